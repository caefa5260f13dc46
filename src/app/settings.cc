#include "app/settings.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <tuple>

#include "app/bind.h"
#include "app/check_settings.h"
#include "config/jsonc.h"
#include "config/overrides.h"

namespace vr::app {
namespace {

using config::Node;
using config::Object;
using config::Override;
using config::Place;
using config::Problem;

constexpr std::string_view kPrefix = "VIDEO_RESIZER_";
constexpr uintmax_t kMaxFileBytes = 16u << 20;

/// Names of the cache contract §4, weaker than VIDEO_RESIZER_CACHE__...
constexpr std::tuple<const char*, const char*, const char*> kCacheVariables[] = {
    {"CACHE_ENABLE_KV", "enableKVCache", nullptr},
    {"CACHE_KV_TTL_OK", "kvTtl", "ok"},
    {"CACHE_KV_TTL_REDIRECTS", "kvTtl", "redirects"},
    {"CACHE_KV_TTL_CLIENT_ERROR", "kvTtl", "clientError"},
    {"CACHE_KV_TTL_SERVER_ERROR", "kvTtl", "serverError"},
};

void ApplyOverrides(Node& root, const Sources& sources, std::vector<Problem>& problems) {
  for (const auto& [name, key, inner] : kCacheVariables) {
    const auto it = sources.environment.find(name);
    if (it == sources.environment.end()) continue;
    Override item;
    item.path = {"cache", key};
    if (inner != nullptr) item.path.emplace_back(inner);
    item.value = it->second;
    item.source = std::string("environment ") + name;
    config::Apply(root, item, problems);
  }
  for (const Override& item : config::FromEnvironment(sources.environment, kPrefix, problems)) {
    config::Apply(root, item, problems);
  }
  for (const Sources::Flag& flag : sources.flags) {
    config::Apply(root, {flag.path, flag.value, "flag " + flag.flag}, problems);
  }
}

/// The rooms' own directories and what one key means for several rooms.
void Derive(Settings& s) {
  const bool is_named = s.kv_namespace && !s.kv_namespace->name().empty();
  s.kv.data_dir = (is_named ? s.data / "kv" / s.kv_namespace->name() : s.data).string();
  s.cache.staging_dir = (s.data / "staging").string();
  // What the edge keeps in memory comes from the store in memory, and verified.
  s.kv.memory_threshold = s.cache.edge.max_bytes > 0 ? s.cache.edge.max_object_in_memory : 0;
  // Where every read is to be verified none is spared.
  s.cache.recent_reads_max_files = s.kv.verify_on_read == 100 ? 0 : s.kv.open_bodies;
  s.cache.keeper.max_bytes = s.kv.max_bytes;
  s.cache.keeper.state_file = s.kv.data_dir + "/capacity.state";
  s.prewarm.state_file = s.kv.data_dir + "/prewarm.orders";
  for (const origin::OriginOptions& origin : s.origins) {
    if (origin.mode != origin::OriginMode::kTransform) continue;
    s.cache.keeper.origins[origin.name] = origin.kv_max_bytes;
  }
  s.fetch.spool_dir = s.data / "spool";
  s.analytics.dir = (s.data / "analytics").string();
  s.fetch.max_source_bytes = s.transform.max_source_bytes;
  s.fetch.allow_private_addresses = s.access.allow_private_addresses;
  for (origin::OriginOptions& origin : s.origins) {
    for (origin::SourceOptions& source : origin.sources) {
      const auto bucket = s.buckets.find(source.bucket);
      if (source.type == origin::SourceType::kS3 && bucket != s.buckets.end())
        source.place = bucket->second;
    }
  }
}

/// In the order of reading: the file first, then environment and flags.
void Sort(std::vector<Problem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    const auto rank = [](const Problem& p) {
      return std::make_tuple(p.place.line == 0, p.place.line, p.place.column);
    };
    return rank(a) < rank(b);
  });
}

LoadOutcome LoadTree(config::Parsed parsed, const Sources& sources) {
  LoadOutcome out;
  config::Session session;
  session.environment = sources.environment;
  session.problems = std::move(parsed.problems);
  if (parsed.usable && !parsed.root.is(Node::Kind::kObject)) {
    session.problems.push_back(
        {parsed.root.place, "", config::Show(parsed.root), "an object { ... }"});
    parsed.usable = false;
  }
  if (parsed.usable) {
    ApplyOverrides(parsed.root, sources, session.problems);
    Settings settings;
    Object root(session, &parsed.root, nullptr);
    BindSettings(root, settings);
    root.Finish();
    Derive(settings);
    std::vector<Finding> findings = CheckBetweenFields(settings);
    for (Finding& finding : findings) {
      const bool is_known =
          std::any_of(session.problems.begin(), session.problems.end(), [&](const Problem& p) {
            return p.pointer == finding.pointer;  // said already, and more exactly
          });
      if (is_known) continue;
      Place place = config::PlaceAt(parsed.root, finding.pointer);
      (finding.is_warning ? session.warnings : session.problems)
          .push_back({std::move(place), finding.pointer, std::move(finding.found),
                      std::move(finding.allowed)});
    }
    if (session.problems.empty()) out.settings = std::move(settings);
  }
  out.problems = std::move(session.problems);
  out.warnings = std::move(session.warnings);
  Sort(out.problems);
  Sort(out.warnings);
  return out;
}

LoadOutcome Unreadable(const std::filesystem::path& file, std::string found) {
  LoadOutcome out;
  out.problems.push_back(
      {{file.string(), 0, 0}, "", std::move(found), "a readable JSONC file of at most 16 MiB"});
  return out;
}

/// Keys that sockets, threads, processes and open stores were made by.
constexpr std::string_view kRestartKeys[] = {
    "listen",
    "tls.handshakeTimeout",
    "http2",
    "http",
    "admin",
    "data",
    "cache.edge",
    "cache.kvNamespace",
    "passthrough.maxBytes",
    "cache.kv",
    "cache.adaptiveTtl",
    "cache.purgeInterval",
    "transform.workers",
    "transform.queue",
    "transform.niceness",
    "transform.noProgressTimeout",
    "transform.maxCpu",
    "transform.workerMemory",
    "transform.drainTimeout",
    "transform.restartBackoff",
    "transform.workerPath",
    "cache.productionTimeout",
    "cache.coldRangeWait",
    "cache.abandonAfter",
    "cache.keepFromPercent",
    "cache.maxBackgroundStores",
    "analytics",
};

const Node* NodeAt(const Node& root, std::string_view path) {
  const Node* node = &root;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const config::Member* member = node->Find(path.substr(0, dot));
    if (member == nullptr) return nullptr;
    node = &member->value;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return node;
}

Node Printed(Settings settings, bool with_secrets) {
  config::Session session;
  session.mode = config::Mode::kPrint;
  session.show_secrets = with_secrets;
  Node out;
  Object root(session, nullptr, &out);
  BindSettings(root, settings);
  return out;
}

}  // namespace

LoadOutcome LoadText(std::string_view text, const std::string& name, const Sources& sources) {
  return LoadTree(config::ParseJsonc(text, name), sources);
}

LoadOutcome Load(const Sources& sources) {
  if (sources.file.empty()) {
    config::Parsed none;
    none.root = Node::Object();
    none.root.place.source = "defaults";
    return LoadTree(std::move(none), sources);
  }
  std::error_code error;
  if (std::filesystem::is_directory(sources.file, error))
    return Unreadable(sources.file, "a directory");
  std::ifstream file(sources.file, std::ios::binary);
  if (!file) return Unreadable(sources.file, "a file that cannot be opened");
  std::string text;
  char buffer[65536];
  while (file.read(buffer, sizeof buffer) || file.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(file.gcount()));
    if (text.size() > kMaxFileBytes) return Unreadable(sources.file, "a file over 16 MiB");
  }
  if (file.bad()) return Unreadable(sources.file, "an error while reading");
  return LoadText(text, sources.file.string(), sources);
}

std::string PrintEffective(const Settings& settings) {
  return config::WriteJson(Printed(settings, false));
}

std::vector<config::KeyInfo> DescribeKeys() {
  config::Session session;
  session.mode = config::Mode::kDescribe;
  Object root(session, nullptr, nullptr);
  Settings defaults;
  BindSettings(root, defaults);
  return std::move(session.keys);
}

std::vector<std::string> NeedsRestart(const Settings& running, const Settings& wanted) {
  const Node a = Printed(running, true);
  const Node b = Printed(wanted, true);
  std::vector<std::string> out;
  // The files of a listener that speaks TLS are read again; that it does is decided once.
  if (running.tls.has_value() != wanted.tls.has_value()) out.emplace_back("tls");
  for (const std::string_view path : kRestartKeys) {
    if (!out.empty() && out.back() == "tls" && path.starts_with("tls.")) continue;
    const Node* before = NodeAt(a, path);
    const Node* after = NodeAt(b, path);
    const std::string old_text = before == nullptr ? "" : config::WriteJsonLine(*before);
    const std::string new_text = after == nullptr ? "" : config::WriteJsonLine(*after);
    if (old_text != new_text) out.emplace_back(path);
  }
  return out;
}

std::map<std::string, std::string> CurrentEnvironment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace vr::app
