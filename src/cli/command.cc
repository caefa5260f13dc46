#include "cli/command.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>
#include <sstream>
#include <string_view>

#include "config/overrides.h"

namespace vr::cli {
namespace {

/// Flags of their own for what operators type most; all else goes by --set.
struct Shortcut {
  const char* flag;
  std::vector<std::string> path;
  const char* value_name;
  const char* help;
};

const std::vector<Shortcut>& Shortcuts() {
  static const std::vector<Shortcut> shortcuts = {
      {"--listen", {"listen"}, "ADDRESS:PORT", "main listener, e.g. 0.0.0.0:8080"},
      {"--admin-listen", {"admin", "listen"}, "ADDRESS:PORT", "admin listener"},
      {"--data", {"data"}, "DIR", "directory of store, staging files and spools"},
      {"--log-level", {"log", "level"}, "LEVEL", "debug, info, warn, error or off"},
  };
  return shortcuts;
}

void AddSettings(CLI::App& app, std::vector<Assignment>& assignments) {
  for (const Shortcut& shortcut : Shortcuts()) {
    app.add_option_function<std::string>(
           shortcut.flag,
           [&assignments, &shortcut](const std::string& value) {
             assignments.push_back({shortcut.flag, shortcut.path, value});
           },
           shortcut.help)
        ->type_name(shortcut.value_name);
  }
  app.add_option_function<std::vector<std::string>>(
         "--set",
         [&assignments](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             Assignment item;
             if (!config::ParseAssignment(text, item.path, item.value)) {
               throw CLI::ValidationError(
                   "--set", "expects path=value, for example cache.edge.maxBytes=64MiB");
             }
             item.flag = "--set " + text.substr(0, text.find('='));
             assignments.push_back(std::move(item));
           }
         },
         "any setting by its path, repeatable: --set cache.edge.maxBytes=64MiB")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false)
      ->take_all();
}

CLI::App* AddImport(CLI::App& config, Command::Import& import) {
  CLI::App* app = config.add_subcommand(
      "import",
      "Turn a worker-config.json or wrangler.jsonc of the public video-resizer (v1, v2) into ours");
  app->add_option("FILE", import.file, "worker-config.json, or a wrangler.jsonc alone")
      ->required()
      ->type_name("");
  app->add_option("--wrangler", import.wrangler,
                  "the wrangler.jsonc beside it: buckets, KV namespace, variables")
      ->type_name("FILE");
  app->add_option("--env", import.environment, "section of the wrangler file, e.g. production")
      ->type_name("NAME");
  app->add_option("--out", import.out, "where the configuration goes; default: standard output")
      ->type_name("FILE");
  app->add_option("--report", import.report,
                  "where the report goes, - for standard output; default: standard error")
      ->type_name("FILE");
  app->add_option_function<std::vector<std::string>>(
         "--bucket-root",
         [&import](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const size_t equals = text.find('=');
             if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
               throw CLI::ValidationError(
                   "--bucket-root", "expects binding=directory, for example VIDEOS=/srv/videos");
             }
             import.bucket_roots[text.substr(0, equals)] = text.substr(equals + 1);
           }
         },
         "the objects of this R2 binding are files here, repeatable: VIDEOS=/srv/videos")
      ->type_name("NAME=DIR")
      ->allow_extra_args(false)
      ->take_all();
  app->add_flag("--force", import.force, "replace files that exist");
  app->footer(
      "Nothing is written when something cannot be understood. Exit codes: 0 written (see the "
      "report's warnings), 1 problems, 2 wrong command line. docs/import.md tells it step by "
      "step.");
  return app;
}

CLI::App* AddSimulate(CLI::App& parent, Command::Simulate& simulate) {
  CLI::App* app = parent.add_subcommand(
      "simulate", "Replay an access log against eviction policies, or write a made-up trace");
  CLI::Option* trace =
      app->add_option("--trace", simulate.trace,
                      "access log of the server (JSON lines), or CSV: timestamp,id,size[,cost]; - "
                      "for standard input")
          ->type_name("FILE");
  app->add_option("--format", simulate.format, "of the trace; default: by its first line")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"auto", "log", "csv"}));
  app->add_option("--policy", simulate.policies,
                  "lru, s3-fifo, sieve, cost-aware, separated by commas; default: "
                  "lru,s3-fifo,cost-aware")
      ->type_name("NAMES");
  CLI::Option* size =
      app->add_option("--size", simulate.size, "of the store: 10GB, 512MiB")->type_name("BYTES");
  app->add_option("--sizes", simulate.sizes, "several, separated by commas: 1GB,2GB,5GB")
      ->type_name("LIST")
      ->excludes(size);
  app->add_option("--half-life", simulate.half_life,
                  "popularity counts half after that long; default 1d")
      ->type_name("TIME");
  app->add_option("--watermarks", simulate.watermarks,
                  "evict and admit as the server's store does: beyond HIGH percent of the size "
                  "down to LOW, e.g. 95,90; default: when something finds no room")
      ->type_name("HIGH,LOW");
  app->add_option("--metadata", simulate.metadata,
                  "what each entry takes beside its body, e.g. 800B; default 0")
      ->type_name("BYTES");
  app->add_option("--held", simulate.held,
                  "also write what the store holds at the end, a key a line; one policy, one size")
      ->type_name("FILE");
  app->add_option("--plot", simulate.plot, "also draw the result over the sizes")
      ->type_name("FILE.svg");
  CLI::Option* generate = app->add_option("--generate", simulate.generate,
                                          "write a trace to standard output (CSV) instead: "
                                          "steady, scan, churn, burst");
  generate->type_name("KIND")
      ->check(CLI::IsMember({"steady", "scan", "churn", "burst"}))
      ->excludes(trace);
  app->add_option("--seed", simulate.seed, "of the made-up trace; default 1")
      ->type_name("N")
      ->needs(generate);
  app->add_option("--requests", simulate.requests, "of the made-up trace; default 200000")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{100'000'000}))
      ->needs(generate);
  app->footer(
      "Prints hit rate, byte hit rate and encode seconds saved for each policy and size. "
      "docs/capacity.md tells more.");
  return app;
}

/// What Simulate's options lack together. Empty: nothing.
std::string ComplaintAbout(const Command::Simulate& simulate) {
  if (!simulate.generate.empty()) return "";
  if (simulate.trace.empty()) return "simulate: --trace FILE or --generate KIND is needed\n";
  if (simulate.size.empty() && simulate.sizes.empty()) {
    return "simulate: --size BYTES or --sizes LIST is needed\n";
  }
  return "";
}

}  // namespace

Parsed Parse(int argc, const char* const* argv) {
  Command command;
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    command.kind = Command::Kind::kVersion;
    return Parsed{.command = std::move(command), .exit_code = kExitDone, .output = {}};
  }
  CLI::App app("A video resizer with a cache that remembers.", "video-resizer");
  app.require_subcommand(1);
  app.footer(
      "Settings: flags beat the environment (VIDEO_RESIZER_<PATH>, levels joined by __), which "
      "beats the file.\n"
      "Exit codes: 0 done, 1 failed (configuration problems, no start), 2 wrong command line.\n"
      "SIGHUP reloads the file, SIGTERM drains and stops. docs/configuration.md lists every "
      "setting.");

  CLI::App* serve = app.add_subcommand("serve", "Run the server");
  serve->add_option("-c,--config", command.config_file, "configuration file (JSON with comments)")
      ->type_name("FILE");
  AddSettings(*serve, command.assignments);

  CLI::App* config = app.add_subcommand("config", "Check, print or import a configuration");
  config->require_subcommand(1);
  CLI::App* check =
      config->add_subcommand("check", "Report everything that is wrong with a configuration file");
  check->add_option("FILE", command.config_file, "configuration file")->required();
  AddSettings(*check, command.assignments);
  CLI::App* print = config->add_subcommand("print", "Print the effective settings, secrets masked");
  print->add_option("-c,--config", command.config_file, "configuration file")->type_name("FILE");
  AddSettings(*print, command.assignments);

  CLI::App* import = AddImport(*config, command.import);

  CLI::App* fsck = app.add_subcommand(
      "fsck", "Check the store of a server that is stopped: every entry, body and index row");
  fsck->add_option("-c,--config", command.config_file, "configuration file that names the store")
      ->type_name("FILE");
  fsck->add_flag("--repair", command.fsck.repair,
                 "drop damaged entries and orphans, write index rows anew");
  fsck->add_flag("--quick", command.fsck.quick, "do not read bodies in files, only their sizes");
  fsck->add_flag("--json", command.fsck.json, "report as JSON");
  fsck->add_option("--max-findings", command.fsck.max_findings,
                   "findings shown one by one (all are counted), default 100")
      ->type_name("N");
  AddSettings(*fsck, command.assignments);
  fsck->footer("Exit codes: 0 clean, 1 findings (also when repaired), 2 could not look.");

  CLI::App* sign = app.add_subcommand(
      "sign", "Print a URL with a signature, for access.signing (docs/access.md)");
  sign->add_option("URL", command.sign.url, "\"/path?query\" or the whole URL")->required();
  sign->add_option("--key-id", command.sign.key_id, "which key signs; default: the only one")
      ->type_name("ID");
  sign->add_option("--expires", command.sign.expires,
                   "how long it is good from now on (30s, 1h, 7d), or until when (@UNIX-SECONDS)")
      ->type_name("WHEN");
  sign->add_option("--secret-env", command.sign.secret_variable,
                   "environment variable that holds the secret, instead of a configuration")
      ->type_name("NAME");
  sign->add_option("-c,--config", command.config_file, "configuration file that has the key")
      ->type_name("FILE");
  AddSettings(*sign, command.assignments);

  CLI::App* simulate = AddSimulate(app, command.simulate);
  CLI::App* stats = app.add_subcommand(
      "stats", "Show what a running server was asked, how it answered and what the cache saved");
  stats->add_option("--hours", command.stats.hours, "how far back, default 24")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  stats->add_flag("--json", command.stats.json, "the answer of GET /admin/analytics as it is");
  stats
      ->add_option("--admin", command.stats.admin,
                   "its admin listener; default: admin.listen of the configuration")
      ->type_name("ADDRESS:PORT");
  stats
      ->add_option("--token-env", command.stats.token_variable,
                   "environment variable that holds the admin token, instead of a configuration")
      ->type_name("NAME");
  stats->add_option("-c,--config", command.config_file, "configuration file of that server")
      ->type_name("FILE");
  AddSettings(*stats, command.assignments);

  CLI::App* version = app.add_subcommand("version", "Print the version");

  Parsed out;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream normal;
    std::ostringstream complaint;
    const int code = app.exit(error, normal, complaint);
    out.exit_code = code == 0 ? kExitDone : kExitUsage;
    out.output = code == 0 ? normal.str() : complaint.str();
    return out;
  }
  if (check->parsed()) command.kind = Command::Kind::kConfigCheck;
  if (print->parsed()) command.kind = Command::Kind::kConfigPrint;
  if (import->parsed()) {
    command.kind = Command::Kind::kConfigImport;
    if (command.import.report == "-" && command.import.out.empty()) {
      out.exit_code = kExitUsage;
      out.output =
          "--report -: the configuration goes to standard output; name a file for it with "
          "--out FILE\n";
      return out;
    }
  }
  if (fsck->parsed()) command.kind = Command::Kind::kFsck;
  if (sign->parsed()) command.kind = Command::Kind::kSign;
  if (simulate->parsed()) {
    command.kind = Command::Kind::kSimulate;
    out.output = ComplaintAbout(command.simulate);
    if (!out.output.empty()) {
      out.exit_code = kExitUsage;
      return out;
    }
  }
  if (stats->parsed()) command.kind = Command::Kind::kStats;
  if (version->parsed()) command.kind = Command::Kind::kVersion;
  out.command = std::move(command);
  return out;
}

Parsed ParseCommandLine(int argc, const char* const* argv) {
  Parsed out = Parse(argc, argv);
  if (!out.output.empty())
    std::fputs(out.output.c_str(), out.exit_code == kExitDone ? stdout : stderr);
  return out;
}

}  // namespace vr::cli
