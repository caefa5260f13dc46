#include "delivery/redirect.h"

#include <algorithm>
#include <optional>

#include "http/url.h"
#include "origin/source.h"
#include "variant/parse.h"

namespace vr::delivery {

namespace {

std::string Take(Error& error, std::string_view name) {
  std::string value;
  std::erase_if(error.facts, [&](auto& fact) {
    if (fact.first != name) return false;
    value = std::move(fact.second);
    return true;
  });
  return value;
}

/// The path of ours that means `path` at the origin, when `ours` means `asked`; all decoded, ours
/// without its leading slash.
std::optional<std::string> OurPath(std::string_view ours, std::string_view asked,
                                   std::string_view path) {
  const size_t most = std::min(ours.size(), asked.size());
  size_t common = 0;
  for (size_t n = 1; n <= most; ++n) {
    if (ours[ours.size() - n] != asked[asked.size() - n]) break;
    // Whole segments only.
    const bool ours_begins = n == ours.size() || ours[ours.size() - n - 1] == '/';
    const bool asked_begins = n == asked.size() || asked[asked.size() - n - 1] == '/';
    if (ours_begins && asked_begins) common = n;
  }
  if (common == 0) return std::nullopt;
  const std::string_view theirs = asked.substr(0, asked.size() - common);
  if (!path.starts_with(theirs) || path.size() == theirs.size()) return std::nullopt;
  std::string mapped = "/";
  mapped += ours.substr(0, ours.size() - common);
  mapped += path.substr(theirs.size());
  // Two slashes first would be another host.
  if (mapped.starts_with("//")) return std::nullopt;
  return mapped;
}

}  // namespace

Error ForOurClients(Error error, std::string_view our_path) {
  if (error.reason != origin::kRedirectReason) return error;
  const Result<std::string> asked = http::PercentDecode(Take(error, "asked"));
  const Result<std::string> path = http::PercentDecode(Take(error, "path"));
  if (asked.ok() && path.ok() && !path->empty()) {
    if (const auto mapped = OurPath(our_path, *asked, *path)) {
      Take(error, "location");
      error.facts.emplace_back("location", http::PercentEncode(*mapped, http::kPathChars));
      return error;
    }
  }
  std::string location = Take(error, "location");
  if (location.empty()) {
    error.code = Code::kUnavailable;
    error.reason = "ALL_SOURCES_FAILED";
    error.public_message = "the origin redirects to a place that is not allowed";
    Take(error, "status");
    return error;
  }
  error.facts.emplace_back("location", std::move(location));
  return error;
}

std::string LocationFor(std::string_view location, std::string_view query) {
  std::string out(location);
  if (!query.empty() && out.starts_with('/')) {
    out += '?';
    out += query;
  }
  return out;
}

bool StaysWithin(const Snapshot& config, const origin::Resolved& asked, std::string_view location) {
  if (!location.starts_with('/') || asked.locations.size() != 1) return false;
  const Result<std::string> path = http::PercentDecode(location);
  if (!path.ok() || !variant::IsVideoPath(*path, config.variant.video_formats)) return false;
  const std::optional<origin::Resolved> there = config.origins->Match(*path);
  return there && there->origin_index == asked.origin_index && there->locations.size() == 1 &&
         there->locations[0].source_index == asked.locations[0].source_index &&
         there->locations[0].base == asked.locations[0].base;
}

}  // namespace vr::delivery
