// The header fields of media answers: those an entity always carries (rendered once, on insertion)
// and those of one answer.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "cache/entity.h"
#include "cache/orchestrator.h"
#include "http/message.h"
#include "variant/parse.h"

namespace vr::delivery {

/// Appends "Name: value\r\n". For values made by us; client text goes through Response::Add.
void AppendField(std::string& fields, std::string_view name, std::string_view value);

/// When this representation came to be: of an original, when its source was changed.
WallTime LastModifiedOf(const cache::Metadata& meta);

/// Fields every answer of this entity carries: tags, key, resolved size, origin, validators,
/// Accept-Ranges. (Content-Type is http::RespondWith's: a multipart answer replaces it.)
std::string RenderEntityHead(const cache::Entity& entity);

/// The same for a body that is still being made.
std::string RenderStreamHead(std::string_view key, const cache::Metadata& meta);

/// What one answer adds.
struct AnswerFacts {
  cache::Layer layer = cache::Layer::kEdge;
  const cache::Entity* entity = nullptr;  ///< null: a streamed body
  cache::Freshness freshness = cache::Freshness::kFresh;
  bool is_debug = false;             ///< no-store
  bool is_unmade = false;            ///< HEAD of what nobody has made: nothing is stored by it
  std::chrono::seconds lifetime{0};  ///< of a streamed body that caches may keep
  int64_t now_ms = 0;
  double elapsed_ms = 0;  ///< since the request was parsed
  bool kv_asked = true;
  bool kv_written = true;
  std::string_view request_id;
  const variant::Parsed* parsed = nullptr;
};
/// Everything but Cache-Control, which an answer that refuses does not share.
void AppendAnswerFields(std::string& fields, const AnswerFacts& facts);

/// What remains of the entity's TTL, `no-store` for debug and for what only streams; empty = say
/// nothing.
std::string CacheControlOf(const AnswerFacts& facts);

}  // namespace vr::delivery
