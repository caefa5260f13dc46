#include "analytics/codec.h"

#include <utility>

#include "base/bytes.h"
#include "base/hash.h"

namespace vr::analytics {

namespace {

constexpr std::string_view kMagic = "vr-stats";
constexpr size_t kHeadBytes = 8 + 4 + 8 + 8;

void PutText(std::string& out, std::string_view text) {
  PutUint(out, text.size(), 2);
  out.append(text);
}

/// Strings of 2 bytes length, and numbers, off the front.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  uint64_t Uint(size_t bytes) {
    if (!Has(bytes)) return 0;
    const uint64_t value = GetUint(rest_, 0, bytes);
    rest_.remove_prefix(bytes);
    return value;
  }
  std::string Text() {
    const uint64_t size = Uint(2);
    if (!Has(size)) return {};
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }
  /// A count of things that take at least `each` bytes.
  uint64_t Count(size_t bytes, size_t each) {
    const uint64_t count = Uint(bytes);
    if (!Has(count * each)) return 0;
    return count;
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

 private:
  bool Has(uint64_t bytes) {
    if (failed_ || rest_.size() < bytes) failed_ = true;
    return !failed_;
  }
  std::string_view rest_;
  bool failed_ = false;
};

void Put(std::string& out, const Tally& tally) {
  for (const uint64_t value : {tally.requests, tally.hits, tally.errors, tally.bytes,
                               tally.saved_micros, tally.saved_bytes, tally.encode_micros}) {
    PutUint(out, value, 8);
  }
}

Tally GetTally(Reader& in) {
  Tally tally;
  for (uint64_t* value : {&tally.requests, &tally.hits, &tally.errors, &tally.bytes,
                          &tally.saved_micros, &tally.saved_bytes, &tally.encode_micros}) {
    *value = in.Uint(8);
  }
  return tally;
}

void Put(std::string& out, const LayerSum& layer) {
  Put(out, layer.tally);
  PutUint(out, layer.incomplete, 8);
  std::string counts;
  uint64_t used = 0;
  for (size_t i = 0; i < kLatencyBuckets; ++i) {
    if (layer.latency.counts[i] == 0) continue;
    ++used;
    PutUint(counts, i, 1);
    PutUint(counts, layer.latency.counts[i], 4);
  }
  PutUint(out, used, 1);
  out += counts;
}

LayerSum GetLayer(Reader& in) {
  LayerSum layer;
  layer.tally = GetTally(in);
  layer.incomplete = in.Uint(8);
  for (uint64_t left = in.Count(1, 5); left > 0; --left) {
    const uint64_t place = in.Uint(1);
    const auto count = static_cast<uint32_t>(in.Uint(4));
    if (place < kLatencyBuckets) layer.latency.counts[place] = count;
  }
  return layer;
}

void Put(std::string& out, const TopList& list) {
  const std::vector<TopList::Entry> entries = list.Sorted(list.size());
  PutUint(out, entries.size(), 2);
  for (const TopList::Entry& entry : entries) {
    PutUint(out, entry.hash, 8);
    PutText(out, entry.name);
    Put(out, entry.tally);
    PutUint(out, entry.overcount, 8);
  }
}

void GetTop(Reader& in, TopList& list) {
  for (uint64_t left = in.Count(2, 74); left > 0; --left) {
    const uint64_t hash = in.Uint(8);
    const std::string name = in.Text();
    const Tally tally = GetTally(in);
    const uint64_t overcount = in.Uint(8);
    list.Add(hash, name, tally, overcount);
  }
}

void Put(std::string& out, const Kept::Row& row) {
  const Bucket& bucket = row.bucket;
  PutUint(out, static_cast<uint64_t>(row.level), 1);
  PutUint(out, static_cast<uint64_t>(bucket.start_s), 8);
  for (const uint64_t value :
       {bucket.making.productions, bucket.making.failed, bucket.making.encode_micros,
        bucket.making.worker_micros, bucket.making.origin_bytes}) {
    PutUint(out, value, 8);
  }
  uint64_t used = 0;
  for (const auto& layer : bucket.layers) used += layer != nullptr;
  PutUint(out, used, 1);
  for (size_t i = 0; i < kOutcomes; ++i) {
    if (!bucket.layers[i]) continue;
    PutUint(out, i, 1);
    Put(out, *bucket.layers[i]);
  }
  PutUint(out, kDimensions, 1);
  for (const LabelTable& table : bucket.tables) {
    PutUint(out, table.rows().size(), 2);
    for (const LabelTable::Row& label : table.rows()) {
      PutText(out, label.label);
      Put(out, label.tally);
    }
  }
  Put(out, bucket.variants);
  Put(out, bucket.sources);
}

Result<Kept::Row> GetRow(Reader& in) {
  const auto bad = [](std::string what) {
    return Error(Code::kCorruption, "analytics cannot be read", std::move(what));
  };
  Kept::Row row;
  const uint64_t level = in.Uint(1);
  if (level >= kLevels) return bad("a level that there is not");
  row.level = static_cast<Level>(level);
  row.bucket = Bucket(row.level == Level::kMinute ? 0 : kTopWhileOpen);
  Bucket& bucket = row.bucket;
  bucket.start_s = static_cast<int64_t>(in.Uint(8));
  for (uint64_t* value :
       {&bucket.making.productions, &bucket.making.failed, &bucket.making.encode_micros,
        &bucket.making.worker_micros, &bucket.making.origin_bytes}) {
    *value = in.Uint(8);
  }
  for (uint64_t left = in.Count(1, 66); left > 0; --left) {
    const uint64_t outcome = in.Uint(1);
    if (outcome >= kOutcomes) return bad("an outcome that there is not");
    bucket.layer(static_cast<Outcome>(outcome)) = GetLayer(in);
  }
  if (in.Uint(1) != kDimensions) return bad("another number of dimensions");
  for (size_t i = 0; i < kDimensions; ++i) {
    for (uint64_t left = in.Count(2, 58); left > 0; --left) {
      const std::string label = in.Text();
      bucket.tables[i].Add(label, GetTally(in), kMaxLabels[i]);
    }
  }
  GetTop(in, bucket.variants);
  GetTop(in, bucket.sources);
  if (in.failed()) return bad("a bucket is cut");
  return row;
}

}  // namespace

std::string EncodeFile(const Kept& kept) {
  std::string payload;
  PutUint(payload, kept.rows.size(), 4);
  for (const Kept::Row& row : kept.rows) Put(payload, row);
  PutUint(payload, kept.failures.size(), 2);
  for (const Failure& failure : kept.failures) {
    PutUint(payload, static_cast<uint64_t>(failure.time_ms), 8);
    PutUint(payload, static_cast<uint64_t>(failure.status), 2);
    PutUint(payload, failure.is_servers ? 1 : 0, 1);
    PutUint(payload, static_cast<uint64_t>(failure.outcome), 1);
    PutText(payload, failure.target);
    PutText(payload, failure.code);
    PutText(payload, failure.origin);
    PutText(payload, failure.request_id);
  }
  std::string out(kMagic);
  PutUint(out, kFileVersion, 4);
  PutUint(out, payload.size(), 8);
  PutUint(out, Hash64Of(payload), 8);
  out += payload;
  return out;
}

Result<Kept> DecodeFile(std::string_view bytes) {
  const auto bad = [](std::string what) {
    return Error(Code::kCorruption, "analytics cannot be read", std::move(what));
  };
  if (bytes.size() < kHeadBytes || !bytes.starts_with(kMagic)) return bad("not a file of ours");
  const uint64_t version = GetUint(bytes, 8, 4);
  if (version != kFileVersion) {
    return Error(Code::kUnsupported, "analytics of another version",
                 "version " + std::to_string(version));
  }
  const std::string_view payload = bytes.substr(kHeadBytes);
  if (payload.size() != GetUint(bytes, 12, 8)) return bad("another length than it says");
  if (Hash64Of(payload) != GetUint(bytes, 20, 8)) return bad("the checksum is wrong");
  Reader in(payload);
  Kept kept;
  for (uint64_t left = in.Count(4, 67); left > 0; --left) {
    TRY(Kept::Row row, GetRow(in));
    kept.rows.push_back(std::move(row));
  }
  for (uint64_t left = in.Count(2, 20); left > 0; --left) {
    Failure failure;
    failure.time_ms = static_cast<int64_t>(in.Uint(8));
    failure.status = static_cast<int>(in.Uint(2));
    failure.is_servers = in.Uint(1) != 0;
    const uint64_t outcome = in.Uint(1);
    if (outcome >= kOutcomes) return bad("an outcome that there is not");
    failure.outcome = static_cast<Outcome>(outcome);
    failure.target = in.Text();
    failure.code = in.Text();
    failure.origin = in.Text();
    failure.request_id = in.Text();
    kept.failures.push_back(std::move(failure));
  }
  if (in.failed() || !in.at_end()) return bad("its parts and its length do not agree");
  return kept;
}

}  // namespace vr::analytics
