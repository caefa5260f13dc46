#include "cache/purge_journal.h"

#include <limits>

#include "base/bytes.h"

namespace vr::cache {
namespace {

constexpr uint64_t kVersion = 1;
enum Kind : uint64_t { kKey = 1, kTag, kSource, kPrefix, kOrigin, kCreatedBefore, kEverything };

Error Unreadable(std::string detail) {
  return Error(Code::kCorruption, "a purge journal row is damaged", std::move(detail));
}

}  // namespace

std::string EncodeIntent(const PurgeIntent& intent) {
  const PurgeScope& scope = intent.scope;
  std::string value;
  Kind kind = kEverything;
  const auto take = [&](const std::optional<std::string>& text, Kind its) {
    if (!text) return;
    value = *text;
    kind = its;
  };
  take(scope.key, kKey);
  take(scope.tag, kTag);
  take(scope.source, kSource);
  take(scope.prefix, kPrefix);
  take(scope.origin, kOrigin);
  if (scope.created_before_ms) {
    kind = kCreatedBefore;
    PutUint(value, static_cast<uint64_t>(*scope.created_before_ms), 8);
  }
  std::string out;
  PutUint(out, kVersion, 1);
  PutUint(out, intent.mode == PurgeMode::kSoft ? 1 : 0, 1);
  PutUint(out, kind, 1);
  PutUint(out, static_cast<uint64_t>(intent.horizon_ms), 8);
  PutBytes(out, value);
  return out;
}

Result<PurgeIntent> DecodeIntent(std::string_view bytes) {
  ByteReader reader(bytes);
  const uint64_t version = reader.Uint(1);
  if (!reader.failed() && version != kVersion) {
    return Error(Code::kUnsupported, "a purge journal row has another format",
                 "version " + std::to_string(version));
  }
  const uint64_t mode = reader.Uint(1);
  const uint64_t kind = reader.Uint(1);
  PurgeIntent intent;
  intent.horizon_ms = static_cast<int64_t>(reader.Uint(8));
  std::string value = reader.Bytes();
  if (reader.failed() || !reader.at_end()) return Unreadable("its length");
  if (mode > 1) return Unreadable("mode " + std::to_string(mode));
  intent.mode = mode == 1 ? PurgeMode::kSoft : PurgeMode::kHard;
  PurgeScope& scope = intent.scope;
  switch (kind) {
    case kKey:
      scope.key = std::move(value);
      break;
    case kTag:
      scope.tag = std::move(value);
      break;
    case kSource:
      scope.source = std::move(value);
      break;
    case kPrefix:
      scope.prefix = std::move(value);
      break;
    case kOrigin:
      scope.origin = std::move(value);
      break;
    case kCreatedBefore:
      if (value.size() != 8) return Unreadable("its time");
      scope.created_before_ms = static_cast<int64_t>(GetUint(value, 0, 8));
      break;
    case kEverything:
      if (!value.empty()) return Unreadable("a value without meaning");
      scope.everything = true;
      break;
    default:
      return Unreadable("scope " + std::to_string(kind));
  }
  return intent;
}

std::string Describe(const PurgeIntent& intent) {
  const PurgeScope& scope = intent.scope;
  std::string what = "everything";
  const auto name = [&](const std::optional<std::string>& text, const char* kind) {
    if (text) what = std::string(kind) + " \"" + *text + '"';
  };
  name(scope.key, "key");
  name(scope.tag, "tag");
  name(scope.source, "source");
  name(scope.prefix, "prefix");
  name(scope.origin, "origin");
  if (scope.created_before_ms) {
    what = "what was created before " + std::to_string(*scope.created_before_ms);
  }
  return (intent.mode == PurgeMode::kSoft ? "soft purge of " : "hard purge of ") + what +
         ", requested at " + std::to_string(intent.horizon_ms);
}

PurgeIntent WorstIntent() {
  PurgeIntent intent;
  intent.scope.everything = true;
  intent.horizon_ms = std::numeric_limits<int64_t>::max();
  return intent;
}

}  // namespace vr::cache
