#include "delivery/bucket_answer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "http/ascii.h"
#include "http/date.h"
#include "origin/s3.h"

namespace vr::delivery {

namespace {

/// Fields that S3 servers add of their own; with "-meta-" behind it is the object's owner speaking.
constexpr std::string_view kServerPrefixes[] = {"x-amz-", "x-rgw-", "x-minio-", "x-goog-"};

bool IsServersOwn(std::string_view name) {
  const std::string lower = http::LowerCase(name);
  if (lower == "server" || lower == "set-cookie") return true;
  return std::any_of(
      std::begin(kServerPrefixes), std::end(kServerPrefixes), [&](std::string_view prefix) {
        return lower.starts_with(prefix) && !lower.substr(prefix.size()).starts_with("meta-");
      });
}

/// The codings that are really there: some servers keep the name of the framing in which an object
/// was uploaded.
std::string WithoutFraming(std::string_view codings) {
  std::string out;
  for (std::string_view rest = codings; !rest.empty();) {
    const std::string_view coding = http::NextElement(rest);
    if (coding.empty() || http::EqualsNoCase(coding, "aws-chunked")) continue;
    if (!out.empty()) out += ", ";
    out += coding;
  }
  return out;
}

}  // namespace

bool IsBucket(const origin::Location& location) {
  return location.type == "s3";
}

bool HasBucket(const origin::Resolved& resolved) {
  return std::any_of(resolved.locations.begin(), resolved.locations.end(), IsBucket);
}

bool HasBucketBody(const http::ResponseHead& head) {
  return !head.is_precondition_failed() && !head.is_range_not_satisfiable();
}

bool IsBucketRefusal(const http::ResponseHead& head) {
  return !head.is_success() && !head.is_not_modified() && HasBucketBody(head);
}

Error BucketRefusal(const http::ResponseHead& head, std::string_view body) {
  Error error = origin::S3Refusal(head, body);
  const bool is_missing = error.code == Code::kNotFound;
  if (!is_missing) error.code = Code::kUnavailable;
  error.reason = is_missing ? "NOT_FOUND" : "ALL_SOURCES_FAILED";
  return error;
}

http::ResponseHead CleanBucketHead(http::ResponseHead head) {
  std::erase_if(head.fields, [](const auto& field) { return IsServersOwn(field.first); });
  for (auto& [name, value] : head.fields) {
    if (http::EqualsNoCase(name, "Content-Encoding")) value = WithoutFraming(value);
  }
  std::erase_if(head.fields, [](const auto& field) {
    return field.second.empty() && http::EqualsNoCase(field.first, "Content-Encoding");
  });
  if (HasBucketBody(head)) return head;
  for (const char* name : {"Content-Type", "Content-Encoding", "Content-Length"}) {
    http::EraseFields(head.fields, name);
  }
  head.content_length = 0;
  return head;
}

bool FitsIfRange(const http::ResponseHead& head, std::string_view if_range) {
  if (!head.is_partial() || if_range.empty()) return true;
  // Only a strong validator says that two parts are of one whole.
  if (if_range.front() == '"') return head.Get("ETag") == if_range;
  const auto date = http::ParseDate(if_range);
  return date && head.last_modified_ms() == ToUnixMillis(*date);
}

}  // namespace vr::delivery
