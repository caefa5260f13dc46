#include "app/check_settings.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>

#include "app/warn_origins.h"
#include "config/units.h"
#include "origin/origin_table.h"
#include "variant/parse.h"

namespace vr::app {
namespace {

std::string At(std::string_view list, size_t index, std::string_view rest = {}) {
  return std::string(list) + '/' + std::to_string(index) + std::string(rest);
}

/// Paths that a matcher beginning with `prefix` may be meant for.
std::vector<std::string> Samples(const std::string& prefix,
                                 const std::vector<std::string>& formats) {
  std::vector<std::string> extensions = {"mp4", "webm", "mov", "mkv", "avi", "m4v",
                                         "ts",  "gif",  "jpg", "MP4", "html"};
  extensions.insert(extensions.end(), formats.begin(), formats.end());
  std::vector<std::string> out;
  for (const char* name : {"", "a", "a.", "a.b.", "A1-b_c.", "a/b/c.", "2024/a b."}) {
    for (const std::string& extension : extensions) out.push_back(prefix + name + extension);
  }
  return out;
}

/// Whether a regular expression is a part of another cannot be asked of RE2, so this tries names:
/// enough to find the catch-all that was written too early, which is how origins are shadowed in
/// practice. Judged as requests are routed (delivery/router.cc): an origin that transforms
/// gets videos only, so what is no video goes past it to those that pass through.
void CheckShadows(const Settings& s, std::vector<Finding>& out) {
  RE2::Options options;
  options.set_log_errors(false);
  const std::vector<std::string>& formats = s.variant.video_formats;
  std::vector<std::unique_ptr<RE2>> matchers;
  for (size_t i = 0; i < s.origins.size(); ++i) {
    matchers.push_back(std::make_unique<RE2>(s.origins[i].matcher, options));
    const RE2& mine = *matchers[i];
    if (!mine.ok()) continue;
    std::string prefix;
    std::string last;
    // assign: `prefix = "/"` is a false -Wstringop-overflow of g++ 12 at -O3.
    if (!mine.PossibleMatchRange(&prefix, &last, 200) || prefix.empty() || prefix[0] != '/')
      prefix.assign(1, '/');
    const auto is_for = [&](size_t origin, const std::string& path) {
      return RE2::PartialMatch(path, *matchers[origin]) &&
             (s.origins[origin].mode == origin::OriginMode::kPassthrough ||
              variant::IsVideoPath(path, formats));
    };
    std::vector<std::string> samples = Samples(prefix, formats);
    std::erase_if(samples, [&](const std::string& path) { return !is_for(i, path); });
    for (size_t k = 0; k < i; ++k) {
      const bool is_twin =
          s.origins[k].matcher == s.origins[i].matcher && s.origins[k].mode == s.origins[i].mode;
      const bool takes_all =
          is_twin || (matchers[k]->ok() && !samples.empty() &&
                      std::all_of(samples.begin(), samples.end(),
                                  [&](const std::string& path) { return is_for(k, path); }));
      if (!takes_all) continue;
      out.push_back({At("/origins", i, "/matcher"), config::Quote(s.origins[i].matcher),
                     "paths that origin " + config::Quote(s.origins[k].name) + " (" +
                         config::Quote(s.origins[k].matcher) +
                         ") does not take first: this one seems to be out of reach, put it before",
                     true});
      break;
    }
  }
}

void CheckOrigins(const Settings& s, std::vector<Finding>& out) {
  for (origin::Problem& problem : origin::OriginTable::Check(s.origins)) {
    const bool is_value = problem.found != "nothing" && problem.found.substr(0, 1) != "(";
    out.push_back({std::move(problem.field),
                   is_value ? config::Quote(problem.found) : std::move(problem.found),
                   std::move(problem.allowed)});
  }
  for (size_t i = 0; i < s.origins.size(); ++i) {
    if (s.origins[i].mode != origin::OriginMode::kPassthrough) continue;
    for (size_t k = 0; k < s.origins[i].sources.size(); ++k) {
      const origin::SourceOptions& source = s.origins[i].sources[k];
      if (source.type == origin::SourceType::kHttp) continue;
      if (source.type == origin::SourceType::kS3) {
        if (!source.place || source.place->root.empty()) continue;
        out.push_back({At(At("/origins", i, "/sources"), k, "/bucket"),
                       "a bucket that is a directory",
                       "a bucket of an S3 server: an origin of mode \"passthrough\" speaks HTTP"});
        continue;
      }
      out.push_back({At(At("/origins", i, "/sources"), k, "/type"), "\"file\"",
                     "\"http\" or \"s3\": an origin of mode \"passthrough\" speaks HTTP"});
    }
  }
  CheckShadows(s, out);
  WarnAboutOrigins(s, out);
  if (s.origins.empty())
    out.push_back({"/origins", "no origins", "some: without one every request is a 404", true});
}

void CheckResponsive(const Settings& s, std::vector<Finding>& out) {
  const variant::Responsive& responsive = s.variant.responsive;
  std::string names;
  for (const auto& [name, derivative] : s.variant.derivatives)
    names += (names.empty() ? "" : ", ") + name;
  const std::string allowed = "a name of \"derivatives\": " + names;
  uint32_t previous = 0;
  for (size_t i = 0; i < responsive.breakpoints.size(); ++i) {
    const variant::Breakpoint& breakpoint = responsive.breakpoints[i];
    if (breakpoint.max_width <= previous && breakpoint.max_width > 0) {
      out.push_back({At("/responsive/breakpoints", i, "/maxWidth"),
                     std::to_string(breakpoint.max_width),
                     "more than the " + std::to_string(previous) + " before it"});
    }
    previous = breakpoint.max_width;
    if (!breakpoint.derivative.empty() && !s.variant.derivatives.contains(breakpoint.derivative)) {
      out.push_back({At("/responsive/breakpoints", i, "/derivative"),
                     config::Quote(breakpoint.derivative), allowed});
    }
  }
  if (!responsive.default_derivative.empty() &&
      !s.variant.derivatives.contains(responsive.default_derivative)) {
    out.push_back(
        {"/responsive/defaultDerivative", config::Quote(responsive.default_derivative), allowed});
  }
}

/// What the variant room itself refuses and no check of ours has found: "derivatives.mobile: ...".
void CheckVariant(const Settings& s, std::vector<Finding>& out) {
  for (const std::string& problem : variant::Problems(s.variant)) {
    const size_t colon = problem.find(": ");
    std::string pointer;
    std::string_view where = std::string_view(problem).substr(0, colon);
    if (where.substr(0, 10) == "responsive") continue;  // CheckResponsive
    const size_t dot = where.find('.');
    pointer = config::AppendPointer("", where.substr(0, dot));
    if (dot != std::string_view::npos)
      pointer = config::AppendPointer(pointer, where.substr(dot + 1));
    out.push_back(
        {pointer, "a problem", colon == std::string::npos ? problem : problem.substr(colon + 2)});
  }
}

void CheckAccess(const Settings& s, std::vector<Finding>& out) {
  if (s.access.signing_required && s.access.signing_keys.empty()) {
    out.push_back({"/access/signing/keys", "no keys", "at least one: signatures are required"});
  }
  for (const auto& [id, secret] : s.access.signing_keys) {
    constexpr size_t kStrong = 16;
    if (secret.size() < kStrong) {
      out.push_back({"/access/signing/keys/" + id,
                     "a secret of " + std::to_string(secret.size()) + " bytes",
                     "16 or more, random: shorter ones can be guessed", true});
    }
  }
  if (s.admin.on_main_listener && s.admin.token.empty()) {
    out.push_back({"/admin/onMainListener", "no admin.token",
                   "a token: without one every admin route is closed", true});
  }
}

void CheckCapacity(const Settings& s, std::vector<Finding>& out) {
  const cache::KeeperOptions& keeper = s.cache.keeper;
  if (keeper.low_watermark >= keeper.high_watermark) {
    out.push_back(
        {"/cache/kv/lowWatermark", std::to_string(keeper.low_watermark),
         "less than cache.kv.highWatermark (" + std::to_string(keeper.high_watermark) + ")"});
  }
  for (size_t i = 0; i < s.origins.size(); ++i) {
    if (s.origins[i].kv_max_bytes <= s.kv.max_bytes) continue;
    out.push_back({At("/origins", i, "/kvMaxBytes"), config::FormatBytes(s.origins[i].kv_max_bytes),
                   "at most cache.kv.maxBytes: a larger quota limits nothing", true});
  }
  for (size_t i = 0; i < keeper.purge_rules.size(); ++i) {
    const std::string& name = keeper.purge_rules[i].origin;
    if (name.empty() || keeper.origins.contains(name)) continue;
    out.push_back({At("/cache/purgeRules", i, "/origin"), config::Quote(name),
                   "the name of an origin: nothing is of this one, but perhaps of old", true});
  }
}

void CheckPrewarm(const Settings& s, std::vector<Finding>& out) {
  std::string names;
  for (const auto& [name, derivative] : s.variant.derivatives) {
    names += (names.empty() ? "" : ", ") + name;
  }
  const auto check = [&](const char* list, const std::vector<std::string>& wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (s.variant.derivatives.contains(wanted[i])) continue;
      out.push_back({At(list, i), config::Quote(wanted[i]), "a name of \"derivatives\": " + names});
    }
  };
  check("/prewarm/derivatives", s.prewarm.derivatives);
  check("/prewarm/onUpload", s.prewarm.on_upload);
  if (s.prewarm.hot_requests > 0 && s.prewarm.derivatives.empty()) {
    out.push_back({"/prewarm/hotRequests", std::to_string(s.prewarm.hot_requests),
                   "prewarm.derivatives beside it: of a hot source nothing is made", true});
  }
}

void CheckSizes(const Settings& s, std::vector<Finding>& out) {
  if (s.cache.edge.max_bytes > 0 && s.cache.edge.max_object_in_memory > s.cache.edge.max_bytes) {
    out.push_back({"/cache/edge/maxObjectInMemory",
                   config::FormatBytes(s.cache.edge.max_object_in_memory),
                   "at most cache.edge.maxBytes"});
  }
  if (s.server.listen == s.admin.listen &&
      s.server.listen.substr(s.server.listen.rfind(':')) != ":0") {
    out.push_back(
        {"/admin/listen", config::Quote(s.admin.listen), "another address than \"listen\""});
  }
}

}  // namespace

std::vector<Finding> CheckBetweenFields(const Settings& settings) {
  std::vector<Finding> out;
  CheckOrigins(settings, out);
  CheckResponsive(settings, out);
  CheckVariant(settings, out);
  CheckSizes(settings, out);
  CheckCapacity(settings, out);
  CheckAccess(settings, out);
  CheckPrewarm(settings, out);
  return out;
}

}  // namespace vr::app
