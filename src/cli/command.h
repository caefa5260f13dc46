// The command line of `video-resizer`, as a plain value. What a command does is `app`'s matter.
//
// Exit codes: 0 done (also after --help); 1 the command failed (a configuration with problems, a
// server that did not start); 2 the command line itself is wrong. fsck: 0 clean, 1 findings, 2
// could not look. Pure but for what it prints.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vr::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// A setting given by a flag: `flag` is the flag as written, `path` the keys and list indexes.
struct Assignment {
  std::string flag;
  std::vector<std::string> path;
  std::string value;
  bool operator==(const Assignment&) const = default;
};

struct Command {
  enum class Kind {
    kServe,
    kConfigCheck,
    kConfigPrint,
    kConfigImport,
    kFsck,
    kSign,
    kSimulate,
    kStats,
    kVersion
  };
  Kind kind = Kind::kServe;
  std::string config_file;              ///< empty: none given
  std::vector<Assignment> assignments;  ///< in the order of the command line; the last one wins
  struct Fsck {
    bool repair = false, quick = false, json = false;
    size_t max_findings = 100;
  };
  Fsck fsck;
  struct Sign {
    std::string url;
    std::string key_id;
    std::string expires;          ///< "1h", or Unix seconds behind "@"; empty: never
    std::string secret_variable;  ///< of the environment; empty: the configuration has the key
  };
  Sign sign;
  struct Stats {
    int64_t hours = 24;
    bool json = false;
    std::string admin;           ///< "address:port"; empty: as configured
    std::string token_variable;  ///< of the environment; empty: the configuration has the token
  };
  Stats stats;
  struct Import {
    std::string file, wrangler;
    std::string environment;                          ///< section of the wrangler file
    std::string out;                                  ///< empty: standard output
    std::string report;                               ///< empty: standard error; "-": output
    bool force = false;                               ///< files that exist are replaced
    std::map<std::string, std::string> bucket_roots;  ///< R2 binding → directory
  };
  Import import;
  struct Simulate {
    std::string trace;            ///< file, "-": standard input; empty: one is generated
    std::string format = "auto";  ///< log, csv
    std::string policies = "lru,s3-fifo,cost-aware";
    std::string size;              ///< "10GB"; empty: `sizes`
    std::string sizes;             ///< "1GB,2GB,5GB"
    std::string half_life = "1d";  ///< of popularity
    std::string watermarks;        ///< "95,90": high and low, percent; empty: evicts when full
    std::string metadata = "0B";   ///< of each entry, beside its body
    std::string plot;              ///< SVG file; empty: none
    std::string held;              ///< file of what is held at the end; empty: none
    std::string generate;          ///< kind of trace to write to standard output
    uint64_t seed = 1;
    uint64_t requests = 200'000;
  };
  Simulate simulate;
};

struct Parsed {
  std::optional<Command> command;  ///< empty: help was shown or the line is wrong
  int exit_code = kExitDone;       ///< what to exit with when there is no command
  std::string output;              ///< help (exit code 0) or complaint (else)
};

/// Takes the line apart without printing.
Parsed Parse(int argc, const char* const* argv);
/// The same, and prints `output` to stdout or stderr.
Parsed ParseCommandLine(int argc, const char* const* argv);

}  // namespace vr::cli
