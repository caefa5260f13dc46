#include "app/import_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

namespace vr::app {
namespace {

using import::ImportOutcome;

constexpr size_t kMaxFileBytes = 16u << 20;
constexpr std::string_view kResult = "result";

/// Nullopt after a line to stderr.
std::optional<import::Document> ReadDocument(const std::string& path) {
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, error)) {
    std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
    return std::nullopt;
  }
  import::Document document{path, {}};
  char buffer[65536];
  while (file.read(buffer, sizeof buffer) || file.gcount() > 0) {
    document.text.append(buffer, static_cast<size_t>(file.gcount()));
    if (document.text.size() > kMaxFileBytes) {
      std::fprintf(stderr, "%s: more than 16 MiB\n", path.c_str());
      return std::nullopt;
    }
  }
  return document;
}

/// Where in the input the value at `pointer` of the result, or what holds it, came from.
const ImportOutcome::Origin* OriginOf(const ImportOutcome& outcome, std::string pointer) {
  while (true) {
    const auto it = outcome.from.find(pointer);
    if (it != outcome.from.end()) return &it->second;
    if (pointer.empty()) return nullptr;
    pointer.erase(pointer.rfind('/'));
  }
}

/// A problem of the result, told about the input.
config::Problem LedBack(const ImportOutcome& outcome, const config::Problem& problem) {
  config::Problem out = problem;
  const ImportOutcome::Origin* origin = OriginOf(outcome, problem.pointer);
  if (origin == nullptr) return out;
  out.place = origin->place;
  out.pointer = origin->pointer;
  out.allowed += " (as " + problem.pointer + " of the result)";
  return out;
}

/// What the import says of matchers and paths in the input's own terms, config check says of the
/// result in other words: once is enough.
bool IsSaidAlready(const import::Report& report, const config::Problem& led) {
  struct Topic {
    std::string_view import, check;
    bool is_said_once;  ///< by the import, for all matchers
  };
  static constexpr Topic kTopics[] = {
      {"stops at the first dot", "which ends at the first dot", false},
      {"not anchored at its end", "\"$\" at its end", false},
      {"letter case counts", "\"(?i)\" at its beginning", true},
      {"not in passthrough.formats", "extensions of \"passthrough.formats\"", true},
      {"lost the file's extension", "one with the extension", false}};
  for (const Topic& topic : kTopics) {
    if (led.allowed.find(topic.check) == std::string::npos) continue;
    return std::any_of(report.warnings.begin(), report.warnings.end(),
                       [&](const import::Warning& warning) {
                         return warning.text.find(topic.import) != std::string::npos &&
                                (topic.is_said_once || warning.pointer == led.pointer);
                       });
  }
  return false;
}

/// Whole or not at all.
bool WriteFile(const std::string& path, const std::string& text) {
  const std::string aside = path + ".new-" + std::to_string(::getpid());
  std::ofstream file(aside, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (file.good()) std::filesystem::rename(aside, path, error);
  if (!file.good() || error) {
    std::filesystem::remove(aside, error);
    std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
    return false;
  }
  return true;
}

bool IsFree(const std::string& path, bool force) {
  std::error_code error;
  if (path.empty() || path == "-" || force || !std::filesystem::exists(path, error)) return true;
  std::fprintf(stderr, "%s: exists; --force replaces it\n", path.c_str());
  return false;
}

}  // namespace

ImportOutcome ImportChecked(const import::ImportRequest& request,
                            const std::map<std::string, std::string>& environment) {
  ImportOutcome outcome = import::Import(request);
  if (!outcome.problems.empty()) return outcome;
  // The file is judged, not what this shell happens to override.
  Sources sources;
  for (const auto& [name, uses] : outcome.report.variables) {
    const auto it = environment.find(name);
    const bool is_set = it != environment.end() && !it->second.empty();
    if (!is_set) outcome.report.missing_variables.push_back(name);
    // Each another text: a check may compare them.
    sources.environment[name] =
        is_set ? it->second : "unset" + std::to_string(sources.environment.size());
  }
  const LoadOutcome loaded = LoadText(outcome.jsonc, std::string(kResult), sources);
  for (const config::Problem& problem : loaded.problems)
    outcome.problems.push_back(LedBack(outcome, problem));
  for (const config::Problem& warning : loaded.warnings) {
    const config::Problem led = LedBack(outcome, warning);
    if (IsSaidAlready(outcome.report, led)) continue;
    outcome.report.warnings.push_back(
        {led.place, led.pointer, "found " + led.found + ", allowed: " + led.allowed});
  }
  if (!outcome.report.missing_variables.empty()) {
    std::string names;
    for (const std::string& name : outcome.report.missing_variables)
      names += (names.empty() ? "" : " ") + name;
    outcome.report.warnings.push_back({{std::string(kResult), 0, 0},
                                       "",
                                       "variables that must be set before the start: " + names});
  }
  outcome.report.result.push_back(
      "config check: " + (loaded.settings
                              ? "OK, " + std::to_string(loaded.warnings.size()) + " warnings"
                              : std::to_string(loaded.problems.size()) + " problems"));
  return outcome;
}

int RunConfigImport(const cli::Command::Import& how,
                    const std::map<std::string, std::string>& environment) {
  if (!IsFree(how.out, how.force) || !IsFree(how.report, how.force)) return cli::kExitFailed;
  import::ImportRequest request;
  std::optional<import::Document> main = ReadDocument(how.file);
  if (!main) return cli::kExitFailed;
  request.main = std::move(*main);
  if (!how.wrangler.empty()) {
    request.wrangler = ReadDocument(how.wrangler);
    if (!request.wrangler) return cli::kExitFailed;
  }
  request.environment = how.environment;
  request.bucket_roots = how.bucket_roots;
  const ImportOutcome outcome = ImportChecked(request, environment);
  for (const config::Problem& problem : outcome.problems)
    std::fprintf(stderr, "%s\n", problem.ToString().c_str());
  if (!outcome.problems.empty()) {
    const size_t count = outcome.problems.size();
    std::fprintf(stderr, "%zu %s; nothing was written\n", count,
                 count == 1 ? "problem" : "problems");
    return cli::kExitFailed;
  }
  if (how.out.empty()) {
    std::fputs(outcome.jsonc.c_str(), stdout);
  } else if (!WriteFile(how.out, outcome.jsonc)) {
    return cli::kExitFailed;
  }
  const std::string report = import::ToText(outcome.report);
  if (how.report == "-") {
    std::fputs(report.c_str(), stdout);
  } else if (how.report.empty()) {
    std::fputs(report.c_str(), stderr);
  } else if (!WriteFile(how.report, report)) {
    return cli::kExitFailed;
  }
  return cli::kExitDone;
}

}  // namespace vr::app
