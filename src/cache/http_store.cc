#include "cache/http_store.h"

#include <algorithm>

#include "http/ascii.h"
#include "http/codes.h"
#include "http/date.h"
#include "http/forwarding.h"

namespace vr::cache {

namespace {

constexpr size_t kMaxResponsesPerUrl = 64;
constexpr size_t kMaxEvents = 256;
constexpr size_t kMaxInvalidated = 50'000;
/// Map nodes, shared_ptr blocks and allocator overhead of one entry and of one response.
constexpr uint64_t kEntryOverhead = 512;

bool IsPerAnswer(std::string_view name) {
  constexpr std::string_view kNames[] = {"age", "cache-status", "content-type", "x-cache-status",
                                         "x-cache-source"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view own) { return http::EqualsNoCase(own, name); });
}

/// What says something of the bytes, which a 304 does not carry (RFC 9110 §15.4.5).
bool IsOfTheBytes(std::string_view name) {
  constexpr std::string_view kNames[] = {"content-encoding", "content-language", "content-range",
                                         "content-md5", "content-digest"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view own) { return http::EqualsNoCase(own, name); });
}

Metadata MetadataOf(const StoredResponse& response) {
  Metadata like;
  like.source_path = response.source_path;
  like.origin = response.origin;
  like.cache_tags = response.tags;
  like.created_at_ms = response.policy.response_ms;
  return like;
}

/// One part made of two that overlap or touch; null when they do not belong together, or are more
/// than `max_bytes` together. Bodies in memory only.
StoredRef Join(const StoredResponse& older, const StoredResponse& newer, uint64_t max_bytes) {
  if (!older.part || !newer.part || !older.memory || !newer.memory) return nullptr;
  if (older.strong_etag().empty() || older.etag != newer.etag) return nullptr;
  if (older.part->complete != newer.part->complete) return nullptr;
  const uint64_t older_end = older.part->first + older.size;
  const uint64_t newer_end = newer.part->first + newer.size;
  if (older.part->first > newer_end || newer.part->first > older_end) return nullptr;
  const uint64_t first = std::min(older.part->first, newer.part->first);
  if (std::max(older_end, newer_end) - first > max_bytes) return nullptr;
  std::string body(std::max(older_end, newer_end) - first, '\0');
  body.replace(older.part->first - first, older.size, *older.memory);
  body.replace(newer.part->first - first, newer.size, *newer.memory);
  auto joined = std::make_shared<StoredResponse>(newer);
  joined->fields = http::UpdatedFields(older.fields, newer.fields);
  // What the newer one leaves unsaid, the older one has said.
  http::SharedCacheRules rules;
  rules.store_set_cookie = true;
  const http::ExchangeTimes times{newer.policy.response_ms, newer.policy.response_ms};
  joined->policy = http::PolicyOf(http::StoreRequest(), newer.status, joined->fields, times, rules);
  joined->part->first = first;
  joined->size = body.size();
  joined->memory = std::make_shared<const std::string>(std::move(body));
  MakeWhole(*joined);
  return Seal(std::move(joined));
}

}  // namespace

std::string_view StoredResponse::strong_etag() const {
  return std::string_view(etag).starts_with("W/") ? std::string_view() : std::string_view(etag);
}

bool StoredResponse::Matches(const http::Request& request) const {
  return std::all_of(selecting.begin(), selecting.end(), [&](const auto& field) {
    return http::SelectingValue(request, field.first) == field.second;
  });
}

std::string RenderFields(const http::FieldList& fields) {
  std::string lines;
  for (const auto& [name, value] : fields) {
    if (IsPerAnswer(name) || !http::IsToken(name) || !http::IsFieldValue(value)) continue;
    lines += name;
    lines += ": ";
    lines += value;
    lines += "\r\n";
  }
  return lines;
}

void MakeWhole(StoredResponse& response) {
  if (!response.part || response.part->first != 0) return;
  if (response.size != response.part->complete) return;
  response.part.reset();
  response.status = http::kOk;
  response.reason.clear();
  http::EraseFields(response.fields, "Content-Range");
}

void SetSelecting(StoredResponse& response, const http::Request& request) {
  response.selecting.clear();
  const auto names = http::VaryNames(response.fields);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    response.selecting.emplace_back(name, http::SelectingValue(request, name));
  }
}

StoredRef Seal(std::shared_ptr<StoredResponse> response) {
  const http::StoredValidators validators = http::ValidatorsOf(response->fields);
  response->etag = validators.etag;
  response->last_modified = validators.last_modified;
  response->content_type = http::FirstValue(response->fields, "Content-Type").value_or("");
  response->cache_status = http::JoinedValues(response->fields, "Cache-Status");
  http::FieldList full = response->fields;
  // Of a part, the range is written per answer.
  if (response->part) http::EraseFields(full, "Content-Range");
  response->head = std::make_shared<const std::string>(RenderFields(full));
  std::erase_if(full, [](const auto& field) { return IsOfTheBytes(field.first); });
  response->head_not_modified = std::make_shared<const std::string>(RenderFields(full));
  return response;
}

uint64_t ChargeOf(const UrlEntry& entry) {
  uint64_t charge = kEntryOverhead + 2 * entry.key.size();
  for (const StoredRef& response : entry.responses) {
    charge += kEntryOverhead + 2 * response->head->size() + response->head_not_modified->size();
    if (response->memory) charge += response->memory->size();
  }
  return charge;
}

uint32_t FilesOf(const UrlEntry& entry) {
  return static_cast<uint32_t>(
      std::count_if(entry.responses.begin(), entry.responses.end(),
                    [](const StoredRef& response) { return response->file != nullptr; }));
}

std::vector<StoredRef> HttpStore::Select(const UrlEntry& entry, const http::Request& request) {
  std::vector<StoredRef> out;
  for (const StoredRef& response : entry.responses) {
    if (response->Matches(request)) out.push_back(response);
  }
  std::stable_sort(out.begin(), out.end(), [](const StoredRef& a, const StoredRef& b) {
    return a->policy.date_ms > b->policy.date_ms;
  });
  return out;
}

void HttpStore::Note(PurgeScope scope) {
  const uint64_t next = epoch_.load(std::memory_order_relaxed) + 1;
  events_.push_back(Event{next, std::move(scope)});
  if (events_.size() > kMaxEvents) {
    forgotten_ = events_.front().epoch;
    events_.pop_front();
  }
  epoch_.store(next, std::memory_order_release);
}

bool HttpStore::IsOutdated(const std::string& key, const StoredResponse& response,
                           uint64_t epoch) const {
  if (epoch < forgotten_) return true;  // too long ago to know
  const auto invalidated = invalidated_.find(key);
  if (invalidated != invalidated_.end() && invalidated->second > epoch) return true;
  const Metadata like = MetadataOf(response);
  return std::any_of(events_.begin(), events_.end(), [&](const Event& event) {
    return event.epoch > epoch && event.scope.Matches(key, like);
  });
}

bool HttpStore::Put(const std::string& key, StoredRef response, const http::Request& request,
                    uint64_t epoch) {
  MutexLock lock(mutex_);
  if (IsOutdated(key, *response, epoch)) return false;
  auto entry = std::make_shared<UrlEntry>();
  entry->key = key;
  std::vector<StoredRef> kept;
  if (const UrlEntryRef old = urls_.Find(key)) {
    for (const StoredRef& held : old->responses) {
      if (!held->Matches(request)) {
        kept.push_back(held);
        continue;
      }
      if (!response->part) continue;
      // A part says nothing against another part, nor against a whole, of the same representation.
      const bool is_same = !response->strong_etag().empty() && held->etag == response->etag;
      const bool is_other = !response->strong_etag().empty() && !held->strong_etag().empty();
      if (StoredRef joined = Join(*held, *response, max_part_bytes())) {
        response = std::move(joined);
      } else if (is_same || (held->is_complete() && !is_other)) {
        kept.push_back(held);
      }
    }
  }
  if (kept.size() >= kMaxResponsesPerUrl) kept.resize(kMaxResponsesPerUrl - 1);
  entry->responses.push_back(std::move(response));
  entry->responses.insert(entry->responses.end(), kept.begin(), kept.end());
  return Insert(std::move(entry));
}

bool HttpStore::Insert(std::shared_ptr<UrlEntry> entry) {
  while (entry->responses.size() > 1 && ChargeOf(*entry) > urls_.max_item_bytes()) {
    entry->responses.pop_back();
  }
  return urls_.Insert(std::move(entry));
}

bool HttpStore::Replace(const std::string& key, const StoredRef& old, StoredRef updated,
                        uint64_t epoch) {
  MutexLock lock(mutex_);
  if (IsOutdated(key, *updated, epoch)) return false;
  const UrlEntryRef held = urls_.Find(key);
  if (!held) return false;
  const auto place = std::find(held->responses.begin(), held->responses.end(), old);
  if (place == held->responses.end()) return false;
  auto entry = std::make_shared<UrlEntry>(*held);
  entry->responses[static_cast<size_t>(place - held->responses.begin())] = std::move(updated);
  return Insert(std::move(entry));
}

void HttpStore::Remove(const std::string& key, const StoredRef& old) {
  MutexLock lock(mutex_);
  const UrlEntryRef held = urls_.Find(key);
  if (!held) return;
  auto entry = std::make_shared<UrlEntry>(*held);
  std::erase(entry->responses, old);
  if (entry->responses.empty()) {
    urls_.Erase(key);
  } else {
    urls_.Insert(std::move(entry));
  }
}

void HttpStore::Invalidate(const std::string& key) {
  MutexLock lock(mutex_);
  const uint64_t next = epoch_.load(std::memory_order_relaxed) + 1;
  if (invalidated_.size() >= kMaxInvalidated) {
    invalidated_.clear();
    forgotten_ = next;
  }
  invalidated_[key] = next;
  epoch_.store(next, std::memory_order_release);
  urls_.Erase(key);
}

uint64_t HttpStore::Purge(const PurgeScope& scope, PurgeMode mode, int64_t now_ms) {
  const auto matches_one = [&scope](const UrlEntry& entry, const StoredRef& response) {
    return scope.Matches(entry.key, MetadataOf(*response));
  };
  const auto matches = [&](const UrlEntry& entry) {
    return std::any_of(entry.responses.begin(), entry.responses.end(),
                       [&](const StoredRef& response) { return matches_one(entry, response); });
  };
  if (mode == PurgeMode::kDryRun) return urls_.CountIf(matches);
  MutexLock lock(mutex_);
  Note(scope);
  // What is out of the scope of its URL's variants, and what only becomes stale, comes back.
  std::vector<std::shared_ptr<UrlEntry>> rest;
  const uint64_t hit = urls_.EraseIf([&](const UrlEntry& entry) {
    if (!matches(entry)) return false;
    auto left = std::make_shared<UrlEntry>();
    left->key = entry.key;
    for (const StoredRef& response : entry.responses) {
      if (!matches_one(entry, response)) {
        left->responses.push_back(response);
      } else if (mode == PurgeMode::kSoft) {
        auto stale = std::make_shared<StoredResponse>(*response);
        stale->policy.lifetime_ms =
            std::min(stale->policy.lifetime_ms, stale->policy.AgeMs(now_ms));
        left->responses.push_back(std::move(stale));
      }
    }
    if (!left->responses.empty()) rest.push_back(std::move(left));
    return true;
  });
  for (auto& entry : rest) urls_.Insert(std::move(entry));
  return hit;
}

}  // namespace vr::cache
