#include "cache/entity.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace vr::cache {

namespace {

using Json = nlohmann::ordered_json;

std::string Hex(const Hash128& hash) {
  return hash.ToHex();
}

bool ParseHex(const std::string& text, Hash128* out) {
  if (text.size() != 32) return false;
  const char* p = text.data();
  const auto high = std::from_chars(p, p + 16, out->high, 16);
  const auto low = std::from_chars(p + 16, p + 32, out->low, 16);
  return high.ptr == p + 16 && low.ptr == p + 32 && high.ec == std::errc() && low.ec == std::errc();
}

}  // namespace

std::string Metadata::ToJson() const {
  Json j;
  j["sourcePath"] = source_path;
  if (width) j["width"] = *width;
  if (height) j["height"] = *height;
  if (!format.empty()) j["format"] = format;
  if (!quality.empty()) j["quality"] = quality;
  if (!compression.empty()) j["compression"] = compression;
  if (!derivative.empty()) j["derivative"] = derivative;
  j["cacheTags"] = cache_tags;
  j["contentType"] = content_type;
  j["contentLength"] = content_length;
  j["createdAt"] = created_at_ms;
  if (expires_at_ms != 0) j["expiresAt"] = expires_at_ms;
  if (duration) j["duration"] = *duration;
  if (fps) j["fps"] = *fps;
  Json& c = j["customData"];
  c["cacheVersion"] = kMetadataVersion;
  c["status"] = status;
  c["etag"] = etag;
  c["origin"] = origin;
  c["sourceType"] = source_type;
  if (!source_etag.empty()) c["sourceEtag"] = source_etag;
  if (!source_validator.empty()) c["sourceValidator"] = source_validator;
  if (source_last_modified_ms != 0) c["sourceLastModified"] = source_last_modified_ms;
  c["planDigest"] = Hex(plan_digest);
  c["bodyChecksum"] = "xxh3-128:" + Hex(body_hash);
  c["encodeSeconds"] = encode_seconds;
  if (!derived_from.empty()) c["derivedFrom"] = derived_from;
  if (source_bytes > 0) c["sourceBytes"] = source_bytes;
  if (!route.empty()) c["route"] = route;
  if (rate_factor > 0) c["rateFactor"] = rate_factor;
  if (resolved_width) c["resolvedWidth"] = *resolved_width;
  if (resolved_height) c["resolvedHeight"] = *resolved_height;
  if (!warnings.empty()) c["warnings"] = warnings;
  // Paths are bytes; what is not UTF-8 must not make an entry impossible to store.
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Metadata> Metadata::FromJson(std::string_view json) {
  const auto bad = [](std::string detail) {
    return Error(Code::kCorruption, "stored metadata cannot be read", std::move(detail));
  };
  const Json j = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (j.is_discarded() || !j.is_object()) return bad("not a JSON object");
  try {
    const Json& c = j.at("customData");
    const int version = c.at("cacheVersion").get<int>();
    if (version != kMetadataVersion) {
      return Error(Code::kUnsupported, "stored metadata has another format",
                   "cache version " + std::to_string(version));
    }
    Metadata m;
    m.source_path = j.at("sourcePath").get<std::string>();
    if (j.contains("width")) m.width = j["width"].get<uint32_t>();
    if (j.contains("height")) m.height = j["height"].get<uint32_t>();
    m.format = j.value("format", "");
    m.quality = j.value("quality", "");
    m.compression = j.value("compression", "");
    m.derivative = j.value("derivative", "");
    m.cache_tags = j.at("cacheTags").get<std::vector<std::string>>();
    m.content_type = j.at("contentType").get<std::string>();
    m.content_length = j.at("contentLength").get<uint64_t>();
    m.created_at_ms = j.at("createdAt").get<int64_t>();
    m.expires_at_ms = j.value("expiresAt", int64_t{0});
    if (j.contains("duration")) m.duration = j["duration"].get<double>();
    if (j.contains("fps")) m.fps = j["fps"].get<double>();
    m.status = c.at("status").get<int>();
    m.etag = c.at("etag").get<std::string>();
    m.origin = c.value("origin", "");
    m.source_type = c.value("sourceType", "");
    m.source_etag = c.value("sourceEtag", "");
    m.source_validator = c.value("sourceValidator", "");
    m.source_last_modified_ms = c.value("sourceLastModified", int64_t{0});
    if (!ParseHex(c.at("planDigest").get<std::string>(), &m.plan_digest)) return bad("planDigest");
    const std::string checksum = c.at("bodyChecksum").get<std::string>();
    if (!checksum.starts_with("xxh3-128:") || !ParseHex(checksum.substr(9), &m.body_hash)) {
      return bad("bodyChecksum");
    }
    m.encode_seconds = c.value("encodeSeconds", 0.0);
    m.derived_from = c.value("derivedFrom", "");
    m.source_bytes = c.value("sourceBytes", uint64_t{0});
    m.route = c.value("route", "");
    m.rate_factor = c.value("rateFactor", 0.0);
    if (c.contains("resolvedWidth")) m.resolved_width = c["resolvedWidth"].get<uint32_t>();
    if (c.contains("resolvedHeight")) m.resolved_height = c["resolvedHeight"].get<uint32_t>();
    if (c.contains("warnings")) m.warnings = c["warnings"].get<std::vector<std::string>>();
    return m;
  } catch (const Json::exception& e) {
    return bad(e.what());
  }
}

std::shared_ptr<Entity> CopyOf(const Entity& entity) {
  auto copy = std::make_shared<Entity>();
  copy->key = entity.key;
  copy->meta = entity.meta;
  copy->memory = entity.memory;
  copy->file = entity.file;
  copy->head = entity.head;
  copy->location = entity.location;
  copy->reason = entity.reason;
  copy->kv_backed = entity.kv_backed;
  copy->use_id = entity.use_id;
  return copy;
}

}  // namespace vr::cache
