#include "app/fsck_command.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cache/entity.h"
#include "cache/purge_journal.h"
#include "kv/fsck.h"

namespace vr::app {
namespace {

using Json = nlohmann::ordered_json;

std::string AsJson(const std::string& dir, const kv::FsckReport& report, bool repair) {
  Json j;
  j["data"] = dir;
  j["clean"] = report.flaws() == 0;
  j["cleanStop"] = report.was_clean_stop;
  j["entries"] = report.entries;
  j["entriesOfAnotherVersion"] = report.newer_entries;
  j["bytes"] = report.bytes;
  j["bodyFiles"] = report.body_files;
  j["bodiesVerified"] = report.verified;
  j["bytesVerified"] = report.verified_bytes;
  j["indexRows"] = report.index_rows;
  j["pendingPurges"] = report.pending_purges;
  j["flaws"] = report.flaws();
  if (repair) j["repaired"] = report.repaired;
  j["counts"] = Json::object();
  for (const auto& [flaw, count] : report.counts) j["counts"][std::string(NameOf(flaw))] = count;
  j["findings"] = Json::array();
  for (const kv::Finding& finding : report.findings) {
    Json one;
    one["flaw"] = NameOf(finding.flaw);
    one["where"] = finding.where;
    if (!finding.detail.empty()) one["detail"] = finding.detail;
    j["findings"].push_back(std::move(one));
  }
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string AsText(const std::string& dir, const kv::FsckReport& report, bool repair) {
  const auto count = [](uint64_t n) { return std::to_string(n); };
  std::string out;
  for (const kv::Finding& finding : report.findings) {
    out += std::string(NameOf(finding.flaw)) + ": " + finding.where;
    if (!finding.detail.empty()) out += " (" + finding.detail + ")";
    out += "\n";
  }
  if (report.findings.size() < report.flaws()) {
    out += "... and " + count(report.flaws() - report.findings.size()) + " more\n";
  }
  for (const std::string& purge : report.pending_purges) {
    out += "pending: " + purge + "; the next start finishes it\n";
  }
  out += dir + ": " + count(report.entries) + " entries, " + count(report.bytes) + " bytes, " +
         count(report.body_files) + " body files, " + count(report.index_rows) + " index rows; " +
         count(report.verified) + " bodies verified (" + count(report.verified_bytes) +
         " bytes); last stop " + (report.was_clean_stop ? "clean" : "unclean") + "\n";
  if (report.newer_entries > 0) {
    out += count(report.newer_entries) + " entries of another version were left alone\n";
  }
  for (const auto& [flaw, n] : report.counts) {
    out += "  " + std::string(NameOf(flaw)) + ": " + count(n) + "\n";
  }
  if (report.flaws() == 0) {
    out += "clean\n";
  } else if (repair) {
    out += count(report.repaired) + " of " + count(report.flaws()) + " repaired\n";
  } else {
    out += count(report.flaws()) + " flaws; nothing was changed (--repair)\n";
  }
  return out;
}

/// Who asks for a store that is not there may have forgotten whose it is.
void TellNamespaces(const std::filesystem::path& data) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data / "kv", error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    std::fprintf(stderr, "fsck: there is the namespace %s: --set cache.kvNamespace.id=%s\n",
                 name.c_str(), name.c_str());
  }
}

}  // namespace

int RunFsck(const Sources& sources, const cli::Command::Fsck& how) {
  const LoadOutcome outcome = Load(sources);
  if (!outcome.settings) {
    for (const config::Problem& problem : outcome.problems) {
      std::fprintf(stderr, "%s\n", problem.ToString().c_str());
    }
    return kFsckCouldNotLook;
  }
  kv::FsckOptions options;
  options.data_dir = outcome.settings->kv.data_dir;
  options.repair = how.repair;
  options.quick = how.quick;
  options.max_findings = how.max_findings;
  options.check_metadata = [](std::string_view metadata) -> Result<void> {
    Result<cache::Metadata> read = cache::Metadata::FromJson(metadata);
    if (!read.ok()) return std::move(read).error();
    return {};
  };
  options.describe_intent = [](std::string_view bytes) -> Result<std::string> {
    TRY(const cache::PurgeIntent intent, cache::DecodeIntent(bytes));
    return cache::Describe(intent);
  };
  Result<kv::FsckReport> report = kv::Fsck(options);
  if (!report.ok()) {
    const bool is_absent = report.error().code == Code::kNotFound;
    std::fprintf(stderr, "fsck: %s%s\n", is_absent ? "no store here: " : "",
                 report.error().ToLogString().c_str());
    if (is_absent) TellNamespaces(outcome.settings->data);
    return kFsckCouldNotLook;
  }
  const std::string text = how.json ? AsJson(options.data_dir, *report, how.repair)
                                    : AsText(options.data_dir, *report, how.repair);
  std::fputs(text.c_str(), stdout);
  return report->flaws() == 0 ? kFsckClean : kFsckFindings;
}

}  // namespace vr::app
