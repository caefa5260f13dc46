#include "transform/protocol/messages.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"

namespace vr::transform::protocol {
namespace {

// The numbers on the wire. Never reuse one; a changed payload needs a new kVersion.
enum class Type : uint8_t {
  kJob = 1,
  kNeed = 2,
  kSourceReady = 3,
  kSourceFailed = 4,
  kProgress = 5,
  kDone = 6,
  kFailed = 7,
  kHello = 8,
  kSpawn = 9,
  kKill = 10,
  kSpawned = 11,
  kExited = 12,
};

constexpr size_t kPrefixBytes = 4;

class Writer {
 public:
  template <class U>
    requires(std::is_unsigned_v<U> && !std::is_same_v<U, bool>)
  void Put(U value) {
    for (size_t i = 0; i < sizeof(U); ++i) {
      out_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
    }
  }
  void Put(bool value) { Put(static_cast<uint8_t>(value ? 1 : 0)); }
  void Put(int32_t value) { Put(static_cast<uint32_t>(value)); }
  void Put(double value) { Put(std::bit_cast<uint64_t>(value)); }
  void Put(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    out_.append(text);
  }
  void Put(const std::string& text) { Put(std::string_view(text)); }
  void Put(const std::vector<std::string>& list) {
    Put(static_cast<uint32_t>(list.size()));
    for (const std::string& text : list) Put(text);
  }
  template <class T>
  void Put(const std::optional<T>& value) {
    Put(value.has_value());
    if (value) Put(*value);
  }
  template <class E>
    requires(std::is_enum_v<E>)
  void PutEnum(E value) {
    Put(static_cast<uint8_t>(value));
  }
  std::string& out() { return out_; }

 private:
  std::string out_;
};

/// Reads what Writer wrote. After the first impossible byte every read gives zero and ok() is
/// false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class U>
    requires(std::is_unsigned_v<U> && !std::is_same_v<U, bool>)
  void Get(U& value) {
    value = 0;
    if (!Has(sizeof(U))) return;
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(U); ++i) {
      bits |= static_cast<uint64_t>(static_cast<uint8_t>(bytes_[i])) << (8 * i);
    }
    value = static_cast<U>(bits);
    bytes_.remove_prefix(sizeof(U));
  }
  void Get(bool& value) {
    uint8_t byte = 0;
    Get(byte);
    if (byte > 1) Fail("bad bool");
    value = byte == 1;
  }
  void Get(int32_t& value) {
    uint32_t bits = 0;
    Get(bits);
    value = static_cast<int32_t>(bits);
  }
  void Get(double& value) {
    uint64_t bits = 0;
    Get(bits);
    value = std::bit_cast<double>(bits);
  }
  void Get(std::string& text) {
    uint32_t size = 0;
    Get(size);
    if (!Has(size)) return;
    text.assign(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
  }
  void Get(std::vector<std::string>& list) {
    uint32_t count = 0;
    Get(count);
    // Each string takes its length prefix at least, so the count is bounded by what is there.
    if (count > bytes_.size() / sizeof(uint32_t)) Fail("list longer than its frame");
    list.clear();
    for (uint32_t i = 0; i < count && ok(); ++i) Get(list.emplace_back());
  }
  template <class T>
  void Get(std::optional<T>& value) {
    bool there = false;
    Get(there);
    value.reset();
    if (there && ok()) Get(value.emplace());
  }
  /// An enum whose values are 1..last without gaps.
  template <class E>
    requires(std::is_enum_v<E>)
  void GetEnum(E& value, E last) {
    uint8_t byte = 0;
    Get(byte);
    if (byte < 1 || byte > static_cast<uint8_t>(last)) {
      Fail("bad enum");
      return;
    }
    value = static_cast<E>(byte);
  }
  void GetVersion(uint32_t& version) {
    Get(version);
    if (ok() && version != kVersion) Fail("other protocol version");
  }

  void Fail(const char* why) {
    if (ok()) why_ = why;
    bytes_ = {};
  }
  bool ok() const { return why_ == nullptr; }
  const char* why() const { return why_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  bool Has(size_t size) {
    if (ok() && bytes_.size() >= size) return true;
    Fail("frame too short for its type");
    return false;
  }
  std::string_view bytes_;
  const char* why_ = nullptr;
};

void Write(Writer& w, const Limits& m) {
  w.Put(m.max_pixels);
  w.Put(m.max_source_seconds);
  w.Put(m.max_output_seconds);
  w.Put(m.max_output_bytes);
  w.Put(m.max_streams);
  w.Put(m.max_frames);
  w.Put(m.max_animation_pixels);
}
void Read(Reader& r, Limits& m) {
  r.Get(m.max_pixels);
  r.Get(m.max_source_seconds);
  r.Get(m.max_output_seconds);
  r.Get(m.max_output_bytes);
  r.Get(m.max_streams);
  r.Get(m.max_frames);
  r.Get(m.max_animation_pixels);
}

void Write(Writer& w, const SheetGrid& m) {
  w.Put(m.count);
  w.Put(m.columns);
  w.Put(m.rows);
  w.Put(m.interval_seconds);
}
void Read(Reader& r, SheetGrid& m) {
  r.Get(m.count);
  r.Get(m.columns);
  r.Get(m.rows);
  r.Get(m.interval_seconds);
}

Type Write(Writer& w, const Job& m) {
  w.Put(m.version);
  w.PutEnum(m.operation);
  w.PutEnum(m.format);
  w.Put(m.width);
  w.Put(m.height);
  w.PutEnum(m.fit);
  w.PutEnum(m.quality);
  w.Put(m.quality_number);
  w.PutEnum(m.compression);
  w.Put(m.start_seconds);
  w.Put(m.from_first_picture);
  w.Put(m.duration_seconds);
  w.Put(m.audio);
  w.Put(m.crop.has_value());
  const CropBox crop = m.crop.value_or(CropBox());
  for (const uint32_t part : {crop.width, crop.height, crop.x, crop.y}) w.Put(part);
  w.Put(m.rotate_degrees);
  w.Put(m.fps);
  w.Put(m.speed);
  w.Put(m.bit_rate);
  Write(w, m.sheet);
  w.Put(m.link);
  w.PutEnum(m.accuracy);
  w.Put(m.target_ssim);
  w.Put(m.known_rate_factor);
  w.Put(m.source_size);
  w.Put(m.source_complete);
  w.Put(m.more);
  w.Put(m.stream);
  w.Put(m.decoder_threads);
  w.Put(m.segments);
  w.Put(m.encoder_threads);
  Write(w, m.limits);
  return Type::kJob;
}
void Read(Reader& r, Job& m) {
  r.GetVersion(m.version);
  r.GetEnum(m.operation, Operation::kInfo);
  r.GetEnum(m.format, OutputFormat::kJson);
  r.Get(m.width);
  r.Get(m.height);
  r.GetEnum(m.fit, Fit::kPad);
  r.GetEnum(m.quality, Level::kAuto);
  r.Get(m.quality_number);
  r.GetEnum(m.compression, Level::kAuto);
  r.Get(m.start_seconds);
  r.Get(m.from_first_picture);
  r.Get(m.duration_seconds);
  r.Get(m.audio);
  bool has_crop = false;
  r.Get(has_crop);
  CropBox crop;
  for (uint32_t* part : {&crop.width, &crop.height, &crop.x, &crop.y}) r.Get(*part);
  if (has_crop) m.crop = crop;
  r.Get(m.rotate_degrees);
  r.Get(m.fps);
  r.Get(m.speed);
  r.Get(m.bit_rate);
  Read(r, m.sheet);
  r.Get(m.link);
  r.GetEnum(m.accuracy, Accuracy::kKeyframe);
  r.Get(m.target_ssim);
  r.Get(m.known_rate_factor);
  r.Get(m.source_size);
  r.Get(m.source_complete);
  r.Get(m.more);
  r.Get(m.stream);
  r.Get(m.decoder_threads);
  r.Get(m.segments);
  r.Get(m.encoder_threads);
  Read(r, m.limits);
}

Type Write(Writer& w, const Need& m) {
  w.Put(m.offset);
  w.Put(m.length);
  return Type::kNeed;
}
void Read(Reader& r, Need& m) {
  r.Get(m.offset);
  r.Get(m.length);
}

Type Write(Writer& w, const SourceReady& m) {
  w.Put(m.offset);
  w.Put(m.available);
  return Type::kSourceReady;
}
void Read(Reader& r, SourceReady& m) {
  r.Get(m.offset);
  r.Get(m.available);
}

Type Write(Writer& w, const SourceFailed& m) {
  w.Put(m.message);
  return Type::kSourceFailed;
}
void Read(Reader& r, SourceFailed& m) {
  r.Get(m.message);
}

Type Write(Writer& w, const Progress& m) {
  w.Put(m.stream_bytes);
  w.Put(m.stored_bytes);
  w.Put(m.percent);
  w.Put(m.estimated_seconds);
  return Type::kProgress;
}
void Read(Reader& r, Progress& m) {
  r.Get(m.stream_bytes);
  r.Get(m.stored_bytes);
  r.Get(m.percent);
  r.Get(m.estimated_seconds);
}

Type Write(Writer& w, const Done& m) {
  w.Put(m.stored_bytes);
  w.Put(m.stream_bytes);
  w.Put(m.width);
  w.Put(m.height);
  w.Put(m.duration_seconds);
  w.Put(m.fps);
  w.Put(m.frames);
  w.Put(m.has_audio);
  w.Put(m.cpu_seconds);
  w.Put(m.video_codec);
  w.Put(m.audio_codec);
  w.Put(m.route);
  w.Put(m.rate_factor);
  w.Put(m.warnings);
  return Type::kDone;
}
void Read(Reader& r, Done& m) {
  r.Get(m.stored_bytes);
  r.Get(m.stream_bytes);
  r.Get(m.width);
  r.Get(m.height);
  r.Get(m.duration_seconds);
  r.Get(m.fps);
  r.Get(m.frames);
  r.Get(m.has_audio);
  r.Get(m.cpu_seconds);
  r.Get(m.video_codec);
  r.Get(m.audio_codec);
  r.Get(m.route);
  r.Get(m.rate_factor);
  r.Get(m.warnings);
}

Type Write(Writer& w, const Failed& m) {
  w.Put(m.reason);
  w.Put(m.message);
  w.Put(m.detail);
  w.Put(m.facts);
  return Type::kFailed;
}
void Read(Reader& r, Failed& m) {
  r.Get(m.reason);
  r.Get(m.message);
  r.Get(m.detail);
  r.Get(m.facts);
}

Type Write(Writer& w, const Hello& m) {
  w.Put(m.version);
  w.Put(m.recipe);
  return Type::kHello;
}
void Read(Reader& r, Hello& m) {
  r.GetVersion(m.version);
  r.Get(m.recipe);
}

Type Write(Writer& w, const Spawn& m) {
  w.Put(m.id);
  return Type::kSpawn;
}
void Read(Reader& r, Spawn& m) {
  r.Get(m.id);
}

Type Write(Writer& w, const Kill& m) {
  w.Put(m.id);
  return Type::kKill;
}
void Read(Reader& r, Kill& m) {
  r.Get(m.id);
}

Type Write(Writer& w, const Spawned& m) {
  w.Put(m.id);
  w.Put(m.pid);
  return Type::kSpawned;
}
void Read(Reader& r, Spawned& m) {
  r.Get(m.id);
  r.Get(m.pid);
}

Type Write(Writer& w, const Exited& m) {
  w.Put(m.id);
  w.Put(m.wait_status);
  w.Put(m.cpu_seconds);
  w.Put(m.max_rss_bytes);
  return Type::kExited;
}
void Read(Reader& r, Exited& m) {
  r.Get(m.id);
  r.Get(m.wait_status);
  r.Get(m.cpu_seconds);
  r.Get(m.max_rss_bytes);
}

Error Bad(const char* why, size_t type) {
  return Error(Code::kCorruption, "a worker message is damaged",
               std::string(why) + ", message type " + std::to_string(type));
}

template <class M>
Result<std::optional<Message>> Decode(std::string_view payload, size_t type) {
  Reader reader(payload);
  M message;
  Read(reader, message);
  if (!reader.ok()) return Bad(reader.why(), type);
  if (!reader.at_end()) return Bad("trailing bytes", type);
  return std::optional<Message>(std::move(message));
}

Result<std::optional<Message>> DecodeFrame(std::string_view frame) {
  const auto type = static_cast<uint8_t>(frame[0]);
  frame.remove_prefix(1);
  switch (static_cast<Type>(type)) {
    case Type::kJob:
      return Decode<Job>(frame, type);
    case Type::kNeed:
      return Decode<Need>(frame, type);
    case Type::kSourceReady:
      return Decode<SourceReady>(frame, type);
    case Type::kSourceFailed:
      return Decode<SourceFailed>(frame, type);
    case Type::kProgress:
      return Decode<Progress>(frame, type);
    case Type::kDone:
      return Decode<Done>(frame, type);
    case Type::kFailed:
      return Decode<Failed>(frame, type);
    case Type::kHello:
      return Decode<Hello>(frame, type);
    case Type::kSpawn:
      return Decode<Spawn>(frame, type);
    case Type::kKill:
      return Decode<Kill>(frame, type);
    case Type::kSpawned:
      return Decode<Spawned>(frame, type);
    case Type::kExited:
      return Decode<Exited>(frame, type);
  }
  return Bad("unknown type", type);
}

}  // namespace

std::string Encode(const Message& message) {
  Writer writer;
  writer.Put(uint32_t{0});  // length, filled in below
  writer.Put(uint8_t{0});   // type
  const Type type = std::visit([&](const auto& m) { return Write(writer, m); }, message);
  std::string& out = writer.out();
  const size_t length = out.size() - kPrefixBytes;
  VR_CHECK(length <= kMaxFrameBytes);
  for (size_t i = 0; i < kPrefixBytes; ++i) out[i] = static_cast<char>(length >> (8 * i));
  out[kPrefixBytes] = static_cast<char>(type);
  return std::move(out);
}

Result<std::optional<Message>> TakeFrame(std::string& buffer) {
  if (buffer.size() < kPrefixBytes) return std::optional<Message>();
  uint32_t length = 0;
  Reader(std::string_view(buffer).substr(0, kPrefixBytes)).Get(length);
  if (length == 0) return Bad("empty frame", 0);
  if (length > kMaxFrameBytes) return Bad("over-long frame", 0);
  if (buffer.size() - kPrefixBytes < length) return std::optional<Message>();
  auto message = DecodeFrame(std::string_view(buffer).substr(kPrefixBytes, length));
  if (message.ok()) buffer.erase(0, kPrefixBytes + length);
  return message;
}

}  // namespace vr::transform::protocol
