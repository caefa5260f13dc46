#include "delivery/head.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "http/cache_status.h"
#include "http/codes.h"
#include "http/content_disposition.h"
#include "http/respond.h"

namespace vr::delivery {

namespace {

void AppendNumber(std::string& fields, std::string_view name, int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  AppendField(fields, name, std::string_view(digits, static_cast<size_t>(end - digits)));
}

/// "12.34"; what is negative counts as 0.
void AppendHundredths(std::string& fields, double value) {
  const auto hundredths = static_cast<int64_t>(std::lround(std::clamp(value, 0.0, 1e12) * 100));
  char digits[32];
  char* at = std::to_chars(digits, digits + sizeof digits, hundredths / 100).ptr;
  *at++ = '.';
  *at++ = static_cast<char>('0' + hundredths / 10 % 10);
  *at++ = static_cast<char>('0' + hundredths % 10);
  fields.append(digits, static_cast<size_t>(at - digits));
}

void AppendCommon(std::string& fields, std::string_view key, const cache::Metadata& meta) {
  AppendField(fields, "X-Content-Type-Options", "nosniff");
  AppendTags(fields, meta.cache_tags);
  AppendField(fields, "X-KV-Cache-Key", key);
  AppendDerivative(fields, meta.derivative);
  if (meta.resolved_width) AppendNumber(fields, "X-Resolved-Width", *meta.resolved_width);
  if (meta.resolved_height) AppendNumber(fields, "X-Resolved-Height", *meta.resolved_height);
  if (!meta.origin.empty()) AppendField(fields, "X-Origin", Printable(meta.origin));
  if (!meta.source_type.empty()) AppendField(fields, "X-Source-Type", meta.source_type);
  if (!meta.warnings.empty()) {
    std::string warnings;
    for (const std::string& warning : meta.warnings) {
      if (!warnings.empty()) warnings += "; ";
      warnings += Printable(warning);
    }
    AppendField(fields, "X-Transform-Warnings", warnings);
  }
  AppendField(fields, "Via", "1.1 video-resizer");
}

/// Whether the origin's own words are the answer's Cache-Control.
bool HasOwnWords(const AnswerFacts& facts) {
  const cache::Entity* entity = facts.entity;
  const bool is_good = entity ? entity->meta.status == http::kOk : facts.is_stored_form;
  return !facts.is_debug && is_good && !facts.cache_control.empty();
}

/// Whether Cache-Control is what remains of our TTL. That counts from this answer on: a receiver
/// would take an Age beside it off once more (RFC 9111 section 4.2).
bool CountsFromNow(const AnswerFacts& facts) {
  return !facts.is_debug && !HasOwnWords(facts) && facts.entity &&
         facts.entity->meta.expires_at_ms != 0;
}

/// Which request fields had a say, and which we would like to see.
void AppendVary(std::string& fields, const AnswerFacts& facts) {
  const uint8_t chosen_by = facts.parsed ? facts.parsed->selection.vary : 0;
  if (facts.vary.empty() && chosen_by == 0) return;
  fields += "Vary: ";
  fields += facts.vary;
  bool is_first = facts.vary.empty();
  for (size_t i = 0; i < variant::kChoosingFields.size(); ++i) {
    if ((chosen_by >> i & 1) == 0) continue;
    if (!std::exchange(is_first, false)) fields += ", ";
    fields += variant::kChoosingFields[i];
  }
  fields += "\r\n";
  if (chosen_by != 0) AppendField(fields, "Accept-CH", variant::kAcceptedHints);
}

/// RFC 9211: one member per layer that the request came to, the one nearest to the origin first.
void AppendCacheStatusField(std::string& fields, const AnswerFacts& facts) {
  using cache::Layer;
  http::CacheStatus kv, edge;
  kv.cache = "KV";
  edge.cache = "edge";
  const bool is_kv_hit = facts.layer == Layer::kKv;
  const bool is_edge_hit = facts.layer == Layer::kEdge;
  if (is_kv_hit || is_edge_hit) {
    http::CacheStatus& holder = is_kv_hit ? kv : edge;
    if (facts.freshness == cache::Freshness::kRevalidated) {
      holder.fwd = "stale";
      holder.fwd_status = http::kNotModified;
    } else {
      holder.hit = true;
    }
    if (facts.entity && facts.entity->meta.expires_at_ms != 0) {
      // Negative from the moment it is stale (section 2.6).
      const std::chrono::milliseconds left(facts.entity->meta.expires_at_ms - facts.now_ms);
      holder.ttl = std::chrono::floor<std::chrono::seconds>(left).count();
    }
  }
  if (!is_kv_hit && !is_edge_hit) {
    const bool is_bypass = facts.layer == Layer::kBypass;
    kv.fwd = is_bypass || !facts.kv_asked ? "bypass" : "miss";
    kv.collapsed = facts.layer == Layer::kJoined && facts.kv_asked;
    kv.stored = facts.layer != Layer::kJoined && facts.kv_asked && facts.kv_written;
  }
  if (!is_edge_hit) {
    const bool is_bypass = facts.layer == Layer::kBypass;
    edge.fwd = is_bypass || !facts.edge_asked ? "bypass" : "miss";
    edge.collapsed = facts.layer == Layer::kJoined && facts.edge_asked;
    edge.stored = facts.layer != Layer::kJoined && facts.edge_asked && facts.edge_written;
  }
  fields += "Cache-Status: ";
  if (!is_edge_hit) {
    http::AppendCacheStatus(fields, kv);
    fields += ", ";
  }
  http::AppendCacheStatus(fields, edge);
  fields += "\r\n";
}

}  // namespace

void AppendField(std::string& fields, std::string_view name, std::string_view value) {
  fields += name;
  fields += ": ";
  fields += value;
  fields += "\r\n";
}

std::string Printable(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

void AppendTags(std::string& fields, const std::vector<std::string>& tags) {
  if (tags.empty()) return;
  std::string list;
  for (const std::string& tag : tags) {
    if (!list.empty()) list += ',';
    list += Printable(tag);
  }
  AppendField(fields, "Cache-Tag", list);
}

void AppendDerivative(std::string& fields, std::string_view name) {
  if (!name.empty()) AppendField(fields, "X-Derivative", Printable(name));
}

std::optional<WallTime> LastModifiedOf(const cache::Metadata& meta) {
  const bool is_original = meta.format.empty();
  const int64_t ms = is_original && meta.source_last_modified_ms != 0 ? meta.source_last_modified_ms
                                                                      : meta.created_at_ms;
  if (ms == 0) return std::nullopt;
  return FromUnixMillis(ms);
}

std::string RenderEntityHead(const cache::Entity& entity) {
  std::string fields;
  fields.reserve(640);
  AppendCommon(fields, entity.key, entity.meta);
  // A remembered failure has no validators and no ranges.
  if (entity.meta.status == http::kOk) {
    http::AppendValidatorFields(fields, entity.meta.etag, LastModifiedOf(entity.meta));
  }
  return fields;
}

std::string RenderLiveHead(std::string_view key, const cache::Metadata& meta, bool is_stored_form) {
  std::string fields;
  fields.reserve(640);
  AppendCommon(fields, key, meta);
  if (is_stored_form) http::AppendValidatorFields(fields, meta.etag, LastModifiedOf(meta));
  return fields;
}

std::string CacheControlOf(const AnswerFacts& facts) {
  const cache::Entity* entity = facts.entity;
  if (facts.is_debug) return "no-store";
  if (HasOwnWords(facts)) return std::string(facts.cache_control);
  int64_t lifetime = facts.lifetime.count();
  if (entity) {
    if (entity->meta.expires_at_ms == 0) return {};
    lifetime = std::max<int64_t>(0, (entity->meta.expires_at_ms - facts.now_ms) / 1000);
  } else if (lifetime <= 0) {
    return "no-store";
  }
  return "public, max-age=" + std::to_string(lifetime);
}

void AppendAnswerFields(std::string& fields, const AnswerFacts& facts) {
  AppendSharedFields(fields, facts);
  AppendOwnFields(fields, facts);
}

void AppendOwnFields(std::string& fields, const AnswerFacts& facts) {
  using cache::Layer;
  const bool is_hit = facts.layer == Layer::kEdge || facts.layer == Layer::kKv;
  fields += "Server-Timing: cache;desc=\"";
  fields += cache::ToString(facts.layer);
  fields += "\", total;dur=";
  AppendHundredths(fields, facts.elapsed_ms);
  fields += "\r\n";
  AppendField(fields, "X-Request-ID", facts.request_id);
  if (!is_hit) AppendNumber(fields, "X-Processing-Time-Ms", static_cast<int64_t>(facts.elapsed_ms));
}

int64_t HeadHoldsUntil(const cache::Metadata& meta, int64_t now_ms) {
  constexpr int64_t kSecond = 1000;
  const int64_t age_ms = now_ms - meta.created_at_ms;
  // One from another clock's future has age 0 for that long.
  int64_t until = age_ms < 0 ? meta.created_at_ms + kSecond : now_ms + kSecond - age_ms % kSecond;
  if (meta.expires_at_ms != 0) {
    const int64_t left_ms = meta.expires_at_ms - now_ms;
    const int64_t into = (left_ms % kSecond + kSecond) % kSecond;  // of the second that is going
    until = std::min(until, now_ms + into + 1);
  }
  return until;
}

void AppendSharedFields(std::string& fields, const AnswerFacts& facts) {
  using cache::Layer;
  const cache::Entity* entity = facts.entity;
  int64_t age = 0;
  int64_t remaining = -1;
  if (entity) {
    age = std::max<int64_t>(0, (facts.now_ms - entity->meta.created_at_ms) / 1000);
    if (entity->meta.expires_at_ms != 0) {
      remaining = std::max<int64_t>(0, (entity->meta.expires_at_ms - facts.now_ms) / 1000);
    }
  }
  AppendNumber(fields, "Age", CountsFromNow(facts) ? 0 : age);
  AppendVary(fields, facts);

  const bool is_hit = facts.layer == Layer::kEdge || facts.layer == Layer::kKv;
  AppendField(fields, "X-Cache-Status",
              facts.freshness == cache::Freshness::kStale ? "STALE"
              : is_hit                                    ? "HIT"
              : facts.layer == Layer::kBypass             ? "BYPASS"
                                                          : "MISS");
  AppendField(fields, "X-Cache-Source",
              facts.layer == Layer::kEdge ? "edge"
              : facts.layer == Layer::kKv ? "KV"
                                          : "transform");
  if (entity && entity->kv_backed && !facts.is_debug) {
    AppendNumber(fields, "X-KV-Cache-Age", age);
    if (remaining >= 0) AppendNumber(fields, "X-KV-Cache-TTL", remaining);
  }

  AppendCacheStatusField(fields, facts);

  if (!facts.parsed) return;
  const variant::Parsed& parsed = *facts.parsed;
  if (!parsed.warnings.empty()) {
    AppendField(fields, "X-Param-Warnings", variant::RenderWarnings(parsed.warnings));
  }
  if (!parsed.filename.empty()) {
    AppendField(fields, "Content-Disposition", http::InlineFilename(parsed.filename));
  }
  const auto flag = [&](std::string_view name, const std::optional<bool>& value) {
    if (value) AppendField(fields, name, *value ? "true" : "false");
  };
  flag("X-Playback-Loop", parsed.playback.loop);
  flag("X-Playback-Autoplay", parsed.playback.autoplay);
  flag("X-Playback-Muted", parsed.playback.muted);
  if (!parsed.playback.preload.empty())
    AppendField(fields, "X-Playback-Preload", parsed.playback.preload);
}

}  // namespace vr::delivery
