// The header fields of media answers: those an entity always carries (rendered once, on insertion)
// and those of one answer.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/entity.h"
#include "cache/orchestrator.h"
#include "http/message.h"
#include "variant/parse.h"

namespace vr::delivery {

/// Appends "Name: value\r\n". For values made by us; client text goes through Response::Add.
void AppendField(std::string& fields, std::string_view name, std::string_view value);

/// A field line must not be broken by what a source or a preset is called.
std::string Printable(std::string_view text);
/// The Cache-Tag line; none for no tags.
void AppendTags(std::string& fields, const std::vector<std::string>& tags);

/// The X-Derivative line; none without a derivative.
void AppendDerivative(std::string& fields, std::string_view name);

/// When this representation came to be: of an original, when its source was changed. nullopt while
/// that is not known yet.
std::optional<WallTime> LastModifiedOf(const cache::Metadata& meta);

/// Fields every answer of this entity carries: tags, key, resolved size, origin, validators,
/// Accept-Ranges. (Content-Type is http::RespondWith's: a multipart answer replaces it.)
std::string RenderEntityHead(const cache::Entity& entity);

/// The same for a body that is still being made (Content-Type is the caller's here too);
/// `is_stored_form`: with the validators of what will be stored.
std::string RenderLiveHead(std::string_view key, const cache::Metadata& meta, bool is_stored_form);

/// What one answer adds.
struct AnswerFacts {
  cache::Layer layer = cache::Layer::kEdge;
  const cache::Entity* entity = nullptr;  ///< null: a streamed body
  cache::Freshness freshness = cache::Freshness::kFresh;
  bool is_debug = false;             ///< no-store
  bool is_stored_form = false;       ///< a streamed body is the one that will be stored
  std::chrono::seconds lifetime{0};  ///< of a streamed body that caches may keep
  int64_t now_ms = 0;
  double elapsed_ms = 0;                    ///< since the request was parsed
  bool edge_asked = true, kv_asked = true;  ///< false: switched off, or passed by
  bool edge_written = true, kv_written = true;
  std::string_view request_id;
  const variant::Parsed* parsed = nullptr;
  /// For Vary (RFC 9110 §12.5.5), beside the fields of parsed->selection: a request field that had
  /// a say in the variant; empty: none.
  std::string_view vary;
  /// The origin's own Cache-Control for good answers; empty: none.
  std::string_view cache_control;
};
/// Everything but Cache-Control, which an answer that refuses does not share. Age is the entity's,
/// or 0 where Cache-Control says what remains.
void AppendAnswerFields(std::string& fields, const AnswerFacts& facts);
/// Of those, what another request for the same entity gets too, until HeadHoldsUntil().
void AppendSharedFields(std::string& fields, const AnswerFacts& facts);
/// Of those, what is this request's alone: its id and how long it took.
void AppendOwnFields(std::string& fields, const AnswerFacts& facts);
/// When a number among the shared fields (or in Cache-Control) changes, ms; > now_ms.
int64_t HeadHoldsUntil(const cache::Metadata& meta, int64_t now_ms);

/// What remains of the entity's TTL, or the origin's own words for a good answer; `no-store` for
/// debug and for what only streams; empty = say nothing.
std::string CacheControlOf(const AnswerFacts& facts);

}  // namespace vr::delivery
