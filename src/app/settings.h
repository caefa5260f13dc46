// Settings: the options of all rooms in one struct, as one configuration file, the environment and
// the flags make them together.
//
// Load() is used at the start and at every reload; it reports everything that is wrong at once and
// never returns half of a configuration. Settings are plain values: whoever runs by
// them copies what it needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analytics/options.h"
#include "cache/options.h"
#include "cache/prewarm_options.h"
#include "config/object.h"
#include "config/problem.h"
#include "delivery/access_options.h"
#include "delivery/options.h"
#include "delivery/snapshot.h"
#include "http/server.h"
#include "kv/options.h"
#include "observe/log.h"
#include "origin/options.h"
#include "transform/options.h"
#include "variant/options.h"

namespace vr::app {

struct AdminOptions {
  std::string listen = "127.0.0.1:9090";
  std::string token;  ///< secret; empty: routes that need one are closed
  bool on_main_listener = false;
};

/// Of the main listener.
struct TlsOptions {
  http::TlsFiles files;
  std::chrono::milliseconds handshake_timeout = http::ServerOptions().handshake_timeout;
};

struct AccessOptions : delivery::AccessOptions {
  std::vector<std::string> allowed_sources;
  bool allow_private_addresses = false;
};

/// Whose the entries of the store are: a store of its own below `data`, so that nothing of another
/// namespace can be seen, purged or counted.
struct KvNamespace {
  std::string binding;
  std::string id;
  /// What tells namespaces apart: the id, the binding's name where there is no id; "" = unnamed.
  const std::string& name() const { return id.empty() ? binding : id; }
};

struct Settings {
  http::ServerOptions server;  ///< of the main listener; the admin listener takes its limits too
  std::chrono::seconds drain_timeout{30};  ///< from SIGTERM until running answers are cut
  std::optional<TlsOptions> tls;
  bool enable_http2 = true;  ///< offered to clients of TLS
  AdminOptions admin;
  std::filesystem::path data =
      "./var";  ///< the rooms' own directories below it are filled in by Load()
  std::vector<origin::OriginOptions> origins;
  std::map<std::string, origin::BucketOptions, std::less<>> buckets;  ///< by the name sources use
  origin::FetchOptions fetch;
  variant::Options
      variant;  ///< derivatives, responsive, passthrough.formats, validation, bypass names
  cache::Options cache;
  kv::Options kv;
  cache::FreshnessOptions freshness;
  cache::PrewarmOptions prewarm;
  cache::EdgeOptions passthrough_edge{.max_bytes = 64ull << 20};  ///< of passed-through responses
  delivery::PassthroughPolicy passthrough;
  std::optional<KvNamespace> kv_namespace;
  transform::Options transform;
  AccessOptions access;
  delivery::CorsOptions cors;
  delivery::Options delivery;
  analytics::Options analytics;
  LogOptions log;
};

/// Where settings come from, weakest first: defaults, file, environment, flags.
struct Sources {
  std::filesystem::path file;                      ///< empty: no file
  std::map<std::string, std::string> environment;  ///< the whole environment; CurrentEnvironment()
  /// (path, value) as in `--set cache.edge.maxBytes=64MiB`; `flag` is how problems call it
  /// ("--listen").
  struct Flag {
    std::string flag;
    std::vector<std::string> path;
    std::string value;
  };
  std::vector<Flag> flags;
};

struct LoadOutcome {
  std::optional<Settings> settings;       ///< set exactly when there are no problems
  std::vector<config::Problem> problems;  ///< in the order of the file
  std::vector<config::Problem> warnings;
};

/// Reads, merges, types and checks. Reads the file; otherwise pure.
LoadOutcome Load(const Sources& sources);
/// The same for a text that is already there; `name` is what places call it.
LoadOutcome LoadText(std::string_view text, const std::string& name, const Sources& sources);

/// The effective values as JSON in the form of the file, secrets masked.
std::string PrintEffective(const Settings& settings);

/// Every key there is, with the defaults.
std::vector<config::KeyInfo> DescribeKeys();

/// Paths ("listen", "cache.edge") that differ and take effect at the next start only.
std::vector<std::string> NeedsRestart(const Settings& running, const Settings& wanted);

std::map<std::string, std::string> CurrentEnvironment();

}  // namespace vr::app
