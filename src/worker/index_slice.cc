#include "worker/index_slice.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <utility>

namespace vr::worker {
namespace {

/// A smaller index is read in no time.
constexpr uint64_t kWorthwhile = 16 << 10;
constexpr uint64_t kLargest = 256 << 20;
/// What is kept as it is takes no more than this.
constexpr uint64_t kMostKept = 1 << 20;
/// Samples kept of the beginning, where players begin to count, and after the moment.
constexpr uint64_t kFirst = 64;
constexpr uint64_t kAfter = 64;
constexpr uint64_t kMostSamples = 16 << 20;
constexpr int kMostBoxes = 64;

constexpr uint32_t Name(const char (&name)[5]) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(name[i]);
  return value;
}

struct Box {
  uint32_t name = 0;
  uint64_t begin = 0, body = 0, end = 0;
  uint64_t body_size() const { return end - body; }
};

class Reader {
 public:
  explicit Reader(const ReadAt& read) : read_(&read) {}
  bool ok() const { return ok_; }

  uint32_t Word(uint64_t at) {
    uint8_t bytes[4] = {};
    Take(at, bytes, sizeof bytes);
    return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
  }
  uint64_t Long(uint64_t at) { return uint64_t{Word(at)} << 32 | Word(at + 4); }
  std::string Bytes(uint64_t at, uint64_t size) {
    std::string bytes(static_cast<size_t>(size), '\0');
    Take(at, bytes.data(), bytes.size());
    return bytes;
  }
  /// Remembers what lies around `at`: rows of a table are asked for one after the other.
  uint32_t NearWord(uint64_t at, uint64_t end) {
    if (at < near_begin_ || at + 4 > near_begin_ + near_.size()) {
      constexpr uint64_t kNear = 16 << 10;
      near_begin_ = at;
      near_ = at + 4 <= end ? Bytes(at, std::min(kNear, end - at)) : std::string(4, '\0');
      if (at + 4 > end) ok_ = false;
    }
    const auto* p = reinterpret_cast<const uint8_t*>(near_.data() + (at - near_begin_));
    return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
  }

  std::optional<Box> BoxAt(uint64_t at, uint64_t end) {
    if (at + 8 > end) return std::nullopt;
    Box box{Word(at + 4), at, at + 8, 0};
    uint64_t size = Word(at);
    if (size == 1) {
      if (at + 16 > end) return std::nullopt;
      size = Long(at + 8);
      box.body = at + 16;
    }
    if (!ok_ || size < box.body - at || size > end - at) return std::nullopt;
    box.end = at + size;
    return box;
  }
  /// @return empty when they do not fill it exactly
  std::vector<Box> BoxesIn(uint64_t begin, uint64_t end) {
    std::vector<Box> boxes;
    while (begin < end) {
      const std::optional<Box> box = BoxAt(begin, end);
      if (!box || boxes.size() >= kMostBoxes) return {};
      boxes.push_back(*box);
      begin = box->end;
    }
    return boxes;
  }

 private:
  void Take(uint64_t at, void* to, size_t size) { ok_ = ok_ && (*read_)(at, to, size); }

  const ReadAt* read_;
  bool ok_ = true;
  std::string near_;
  uint64_t near_begin_ = 0;
};

/// Rows of 32-bit words after version, flags and, in the end, their number.
class Table {
 public:
  Table() = default;
  /// @param head words before the rows, the last one their number
  Table(const ReadAt& read, const Box& box, uint64_t head, uint64_t words)
      : reader_(read), rows_at_(box.body + 4 * head), end_(box.end), words_(words) {
    is_good_ = box.body_size() >= 4 * head;
    if (!is_good_) return;
    rows_ = reader_->Word(box.body + 4 * (head - 1));
    is_good_ = reader_->ok() && rows_ <= (end_ - rows_at_) / (4 * words);
  }
  bool ok() const { return is_good_ && reader_->ok(); }
  uint64_t rows() const { return is_good_ ? rows_ : 0; }
  uint32_t At(uint64_t row, uint64_t word = 0) {
    if (row >= rows()) {
      is_good_ = false;
      return 0;
    }
    return reader_->NearWord(rows_at_ + 4 * (row * words_ + word), end_);
  }

 private:
  std::optional<Reader> reader_;
  uint64_t rows_at_ = 0, end_ = 0, words_ = 1, rows_ = 0;
  bool is_good_ = false;
};

class Writer {
 public:
  const std::string& bytes() const { return bytes_; }
  void Word(uint64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(value >> shift & 255);
  }
  void Append(const std::string& bytes) { bytes_ += bytes; }
  size_t Open(uint32_t name) {
    Word(0);
    Word(name);
    return bytes_.size() - 8;
  }
  void Close(size_t begin) {
    const size_t size = bytes_.size() - begin;
    for (size_t i = 0; i < 4; ++i)
      bytes_[begin + i] = static_cast<char>(size >> (24 - 8 * i) & 255);
  }
  /// Values that repeat are written once with how often.
  void Runs(uint32_t name, const std::vector<uint32_t>& values) {
    const size_t box = Open(name);
    Word(0);
    const size_t number_at = bytes_.size();
    Word(0);
    uint64_t runs = 0;
    for (size_t i = 0; i < values.size(); ++runs) {
      size_t next = i;
      while (next < values.size() && values[next] == values[i]) ++next;
      Word(next - i);
      Word(values[i]);
      i = next;
    }
    for (size_t i = 0; i < 4; ++i) {
      bytes_[number_at + i] = static_cast<char>(runs >> (24 - 8 * i) & 255);
    }
    Close(box);
  }

 private:
  std::string bytes_;
};

/// Samples [begin, end), counted from 0.
struct Range {
  uint64_t begin = 0, end = 0;
};

/// Adds one that begins where, or before, the last one ends to it.
void Add(std::vector<Range>& ranges, Range range) {
  if (!ranges.empty() && range.begin <= ranges.back().end) {
    ranges.back().end = std::max(ranges.back().end, range.end);
  } else {
    ranges.push_back(range);
  }
}

struct Track {
  uint32_t handler = 0;
  uint32_t ticks_per_second = 0;
  int64_t edit_begin = 0;  ///< ticks
  std::map<uint32_t, Box> tables;
  bool is_plain = true;  ///< nothing in it that is not understood
};

/// What stays of one track.
struct Kept {
  std::vector<uint32_t> durations, delays, sizes;
  std::vector<uint64_t> places;
  std::vector<size_t> keys;         ///< which of them
  size_t moment = 0;                ///< where those around it begin
  uint64_t samples = 0, ticks = 0;  ///< of the whole track
};

class Slicer {
 public:
  Slicer(const ReadAt& read, double at) : read_(read), reader_(read), at_(at) {}

  std::optional<IndexSlice> Slice(const Box& moov) {
    const std::vector<Box> boxes = reader_.BoxesIn(moov.body, moov.end);
    std::vector<std::optional<Kept>> tracks;
    IndexSlice slice;
    for (const Box& box : boxes) {
      if (box.name == Name("mvex") || box.name == Name("cmov")) return std::nullopt;
      if (box.name != Name("trak")) continue;
      Track track;
      if (!ReadTrack(box.body, box.end, track)) return std::nullopt;
      const bool is_video = track.handler == Name("vide");
      std::optional<Kept> kept;
      if (track.is_plain) kept = is_video ? AroundMoment(track) : Beginning(track);
      if (is_video) {
        if (!kept || slice.samples > 0) return std::nullopt;
        for (const size_t i : kept->keys) {
          if (i >= kept->moment) slice.keys.push_back(kept->places[i]);
        }
        slice.samples = kept->samples;
        slice.ticks = kept->ticks;
        slice.ticks_per_second = track.ticks_per_second;
      }
      tracks.push_back(std::move(kept));
    }
    if (slice.samples == 0) return std::nullopt;
    const size_t out = writer_.Open(moov.name);
    auto track = tracks.begin();
    for (const Box& box : boxes) {
      Write(box, box.name == Name("trak") && *track ? &**track : nullptr);
      if (box.name == Name("trak")) ++track;
    }
    writer_.Close(out);
    const uint64_t size = moov.end - moov.begin, written = writer_.bytes().size();
    if (!reader_.ok() || is_too_much_ || written + 8 > size) return std::nullopt;
    writer_.Word(size - written);
    writer_.Word(Name("free"));
    slice.offset = moov.begin;
    slice.bytes = writer_.bytes();
    return slice;
  }

 private:
  static bool HasChildren(uint32_t name) {
    return name == Name("trak") || name == Name("mdia") || name == Name("minf") ||
           name == Name("edts");
  }

  // ---- what there is

  /// @return false: damaged
  bool ReadTrack(uint64_t begin, uint64_t end, Track& track) {
    const std::vector<Box> boxes = reader_.BoxesIn(begin, end);
    if (boxes.empty()) return false;
    for (const Box& box : boxes) {
      if (HasChildren(box.name)) {
        if (box.body < box.end && !ReadTrack(box.body, box.end, track)) return false;
      } else if (box.name == Name("hdlr")) {
        // QuickTime has a second one, about where the media lie.
        const uint32_t handler = box.body_size() >= 12 ? reader_.Word(box.body + 8) : 0;
        if (track.handler == 0) track.handler = handler;
      } else if (box.name == Name("mdhd")) {
        if (box.body_size() < 24) return false;
        const bool is_long = reader_.Word(box.body) >> 24 == 1;
        track.ticks_per_second = reader_.Word(box.body + (is_long ? 20 : 12));
      } else if (box.name == Name("elst")) {
        track.is_plain = track.is_plain && ReadEdit(box, track);
      } else if (box.name == Name("stbl")) {
        ReadTableNames(box, track);
      }
    }
    return reader_.ok();
  }

  bool ReadEdit(const Box& box, Track& track) {
    if (box.body_size() < 20) return false;
    const bool is_long = reader_.Word(box.body) >> 24 == 1;
    if (reader_.Word(box.body + 4) != 1 || box.body_size() < (is_long ? 28 : 20)) return false;
    const uint64_t at = box.body + (is_long ? 16 : 12);
    track.edit_begin =
        is_long ? static_cast<int64_t>(reader_.Long(at)) : static_cast<int32_t>(reader_.Word(at));
    constexpr uint32_t kUsualSpeed = 1 << 16;
    return track.edit_begin >= 0 && reader_.Word(at + (is_long ? 8 : 4)) == kUsualSpeed;
  }

  void ReadTableNames(const Box& stbl, Track& track) {
    for (const Box& box : reader_.BoxesIn(stbl.body, stbl.end)) {
      switch (box.name) {
        case Name("stsd"):
        case Name("stts"):
        case Name("ctts"):
        case Name("stss"):
        case Name("stsz"):
        case Name("stsc"):
        case Name("stco"):
        case Name("co64"):
          track.is_plain = track.is_plain && track.tables.emplace(box.name, box).second;
          break;
        case Name("sdtp"):  // told by the pictures themselves
          break;
        case Name("sgpd"):
        case Name("sbgp"): {  // `roll` says how sound begins; others, where pictures do
          const bool is_known = box.body_size() >= 8 && reader_.Word(box.body + 4) == Name("roll");
          track.is_plain = track.is_plain && is_known;
          break;
        }
        default:
          track.is_plain = false;
      }
    }
  }

  // ---- what of it is kept

  Table TableOf(const Track& track, uint32_t name, uint64_t head, uint64_t words) const {
    const auto it = track.tables.find(name);
    return it != track.tables.end() ? Table(read_, it->second, head, words) : Table();
  }

  std::optional<Kept> Beginning(const Track& track) {
    if (track.tables.contains(Name("stss"))) return std::nullopt;
    Table sizes = TableOf(track, Name("stsz"), 3, 1);
    if (!sizes.ok() || sizes.rows() <= kFirst) return std::nullopt;
    return Keep(track, {{0, kFirst}}, sizes.rows());
  }

  std::optional<Kept> AroundMoment(const Track& track) {
    const auto description = track.tables.find(Name("stsd"));
    if (description == track.tables.end() || description->second.body_size() < 16 ||
        reader_.Word(description->second.body + 4) != 1 ||
        reader_.Word(description->second.body + 12) != Name("avc1") ||
        track.ticks_per_second == 0) {
      return std::nullopt;
    }
    Table sizes = TableOf(track, Name("stsz"), 3, 1);
    const double ticks = at_ * track.ticks_per_second + static_cast<double>(track.edit_begin);
    if (!sizes.ok() || !(ticks >= 0) || ticks > 1e15) return std::nullopt;
    const std::optional<uint64_t> moment =
        SampleAt(track, static_cast<uint64_t>(ticks), sizes.rows());
    if (!moment) return std::nullopt;
    // The key frame before it, and one group more: its pictures may be shown in another order.
    Table keys = TableOf(track, Name("stss"), 2, 1);
    uint64_t before = 0, last = 0;
    for (uint64_t row = 0; row < keys.rows(); ++row) {
      const uint64_t number = keys.At(row);
      if (number <= last && row > 0) return std::nullopt;
      if (number == 0 || number > *moment + 1) break;
      before = last;
      last = number;
    }
    if (!keys.ok() || last == 0) return std::nullopt;
    std::vector<Range> ranges{{0, std::min(kFirst, sizes.rows())}};
    Add(ranges, {(before > 0 ? before : last) - 1, std::min(*moment + kAfter, sizes.rows())});
    std::optional<Kept> kept = Keep(track, ranges, sizes.rows());
    if (!kept) return std::nullopt;
    // Nothing that the edit leaves out lies in what is left out here.
    uint64_t first_ticks = 0;
    for (size_t i = 0; i + 1 < ranges[0].end; ++i) first_ticks += kept->durations[i];
    if (ranges.size() > 1) {
      if (static_cast<uint64_t>(track.edit_begin) > first_ticks) return std::nullopt;
      kept->moment = static_cast<size_t>(ranges[0].end);
    }
    size_t i = 0;
    uint64_t row = 0;
    for (const Range& range : ranges) {
      for (uint64_t sample = range.begin; sample < range.end; ++sample, ++i) {
        while (row < keys.rows() && keys.At(row) < sample + 1) ++row;
        if (row < keys.rows() && keys.At(row) == sample + 1) kept->keys.push_back(i);
      }
    }
    return keys.ok() ? kept : std::nullopt;
  }

  /// The last one that is decoded at or before `ticks`.
  std::optional<uint64_t> SampleAt(const Track& track, uint64_t ticks, uint64_t samples) {
    if (samples == 0) return std::nullopt;
    Table times = TableOf(track, Name("stts"), 2, 2);
    uint64_t sample = 0, now = 0;
    for (uint64_t row = 0; row < times.rows(); ++row) {
      const uint64_t count = times.At(row), each = times.At(row, 1);
      if (each == 0) return std::nullopt;
      if ((ticks - now) / each < count) return std::min(sample + (ticks - now) / each, samples - 1);
      sample += count;
      now += count * each;
    }
    if (!times.ok() || sample == 0) return std::nullopt;
    return std::min(sample, samples) - 1;
  }

  std::optional<Kept> Keep(const Track& track, const std::vector<Range>& ranges, uint64_t samples) {
    Kept kept;
    kept.samples = samples;
    if (samples > kMostSamples || !KeepTimes(track, ranges, kept) ||
        !KeepDelays(track, ranges, kept) || !KeepPlaces(track, ranges, kept)) {
      return std::nullopt;
    }
    return kept;
  }

  /// Each lasts until the next one kept, the last one to the end.
  bool KeepTimes(const Track& track, const std::vector<Range>& ranges, Kept& kept) {
    Table table = TableOf(track, Name("stts"), 2, 2);
    std::vector<uint64_t> times;
    uint64_t sample = 0, now = 0;
    auto range = ranges.begin();
    for (uint64_t row = 0; row < table.rows(); ++row) {
      const uint64_t count = table.At(row), each = table.At(row, 1);
      if (each == 0 || count > kMostSamples) return false;
      for (; range != ranges.end(); ++range) {
        for (uint64_t i = std::max(range->begin, sample); i < std::min(range->end, sample + count);
             ++i) {
          times.push_back(now + (i - sample) * each);
        }
        if (range->end > sample + count) break;
      }
      sample += count;
      now += count * each;
    }
    kept.ticks = now;
    if (!table.ok() || sample != kept.samples || range != ranges.end()) return false;
    times.push_back(now);
    for (size_t i = 0; i + 1 < times.size(); ++i) {
      const uint64_t duration = times[i + 1] - times[i];
      if (duration > std::numeric_limits<int32_t>::max()) return false;
      kept.durations.push_back(static_cast<uint32_t>(duration));
    }
    return true;
  }

  bool KeepDelays(const Track& track, const std::vector<Range>& ranges, Kept& kept) {
    if (!track.tables.contains(Name("ctts"))) return true;
    Table table = TableOf(track, Name("ctts"), 2, 2);
    uint64_t sample = 0;
    auto range = ranges.begin();
    for (uint64_t row = 0; row < table.rows(); ++row) {
      const uint64_t count = table.At(row), delay = table.At(row, 1);
      // Negative ones move all of the track.
      if (delay > std::numeric_limits<int32_t>::max() || count > kMostSamples) return false;
      for (; range != ranges.end(); ++range) {
        const uint64_t begin = std::max(range->begin, sample);
        const uint64_t end = std::min(range->end, sample + count);
        if (begin < end)
          kept.delays.insert(kept.delays.end(), end - begin, static_cast<uint32_t>(delay));
        if (range->end > sample + count) break;
      }
      sample += count;
    }
    return table.ok() && sample == kept.samples && range == ranges.end();
  }

  bool KeepPlaces(const Track& track, const std::vector<Range>& ranges, Kept& kept) {
    const bool is_long = track.tables.contains(Name("co64"));
    Table sizes = TableOf(track, Name("stsz"), 3, 1);
    Table runs = TableOf(track, Name("stsc"), 2, 3);
    Table chunks = TableOf(track, is_long ? Name("co64") : Name("stco"), 2, is_long ? 2 : 1);
    const Box& sizes_box = track.tables.at(Name("stsz"));
    if (!chunks.ok() || !runs.ok() || reader_.Word(sizes_box.body + 4) != 0) return false;
    uint64_t sample = 0;
    auto range = ranges.begin();
    for (uint64_t row = 0; row < runs.rows() && range != ranges.end(); ++row) {
      const uint64_t chunk = runs.At(row), each = runs.At(row, 1);
      const uint64_t next = row + 1 < runs.rows() ? runs.At(row + 1) : chunks.rows() + 1;
      if (chunk == 0 || next <= chunk || next > chunks.rows() + 1 || each == 0 ||
          each > kMostSamples || runs.At(row, 2) != 1) {
        return false;
      }
      const uint64_t count = (next - chunk) * each;
      for (; range != ranges.end(); ++range) {
        for (uint64_t i = std::max(range->begin, sample); i < std::min(range->end, sample + count);
             ++i) {
          const uint64_t within = (i - sample) / each, first = sample + within * each;
          uint64_t place = chunks.At(chunk - 1 + within);
          if (is_long) place = place << 32 | chunks.At(chunk - 1 + within, 1);
          for (uint64_t other = first; other < i; ++other) place += sizes.At(other);
          kept.places.push_back(place);
          kept.sizes.push_back(sizes.At(i));
        }
        if (range->end > sample + count) break;
      }
      sample += count;
    }
    return sizes.ok() && chunks.ok() && runs.ok() && range == ranges.end();
  }

  // ---- written anew

  void Write(const Box& box, const Kept* kept) {
    if (kept == nullptr || !(HasChildren(box.name) || box.name == Name("stbl"))) {
      const uint64_t size = box.end - box.begin;
      is_too_much_ = is_too_much_ || size + writer_.bytes().size() > kMostKept;
      if (!is_too_much_) writer_.Append(reader_.Bytes(box.begin, size));
      return;
    }
    const size_t out = writer_.Open(box.name);
    for (const Box& child : reader_.BoxesIn(box.body, box.end)) {
      if (box.name != Name("stbl") || child.name == Name("stsd")) Write(child, kept);
    }
    if (box.name == Name("stbl")) WriteTables(*kept);
    writer_.Close(out);
  }

  void WriteTables(const Kept& kept) {
    writer_.Runs(Name("stts"), kept.durations);
    if (!kept.delays.empty()) writer_.Runs(Name("ctts"), kept.delays);
    if (!kept.keys.empty()) {
      const size_t keys = OpenTable(Name("stss"), {kept.keys.size()});
      for (const size_t i : kept.keys) writer_.Word(i + 1);
      writer_.Close(keys);
    }
    const size_t sizes = OpenTable(Name("stsz"), {0, kept.sizes.size()});
    for (const uint32_t size : kept.sizes) writer_.Word(size);
    writer_.Close(sizes);
    // Each in a chunk of its own.
    writer_.Close(OpenTable(Name("stsc"), {1, 1, 1, 1}));
    const size_t places = OpenTable(Name("co64"), {kept.places.size()});
    for (const uint64_t place : kept.places) {
      writer_.Word(place >> 32);
      writer_.Word(place);
    }
    writer_.Close(places);
  }

  /// With version and flags of 0.
  size_t OpenTable(uint32_t name, std::initializer_list<uint64_t> words) {
    const size_t box = writer_.Open(name);
    writer_.Word(0);
    for (const uint64_t word : words) writer_.Word(word);
    return box;
  }

  const ReadAt& read_;
  Reader reader_;
  const double at_;
  Writer writer_;
  bool is_too_much_ = false;
};

}  // namespace

std::optional<IndexSlice> SliceIndex(const ReadAt& read, const Announce& announce,
                                     uint64_t file_size, double at) {
  if (!std::isfinite(at) || at < 0) return std::nullopt;
  Reader reader(read);
  uint64_t begin = 0;
  for (int i = 0; i < kMostBoxes; ++i) {
    const std::optional<Box> box = reader.BoxAt(begin, file_size);
    if (!box) return std::nullopt;
    switch (box->name) {
      case Name("ftyp"):
      case Name("free"):
      case Name("skip"):
      case Name("wide"):
      case Name("mdat"):
        begin = box->end;
        continue;
      case Name("moov"): {
        const uint64_t size = box->end - box->begin;
        if (size < kWorthwhile || size > kLargest) return std::nullopt;
        announce(box->begin, size);
        return Slicer(read, at).Slice(*box);
      }
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace vr::worker
