#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vr::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Parsed ParseLine(std::vector<const char*> args) {
  args.insert(args.begin(), "video-resizer");
  return Parse(static_cast<int>(args.size()), args.data());
}

TEST(CommandLine, ServeTakesAFileAndSettings) {
  const Parsed parsed =
      ParseLine({"serve", "--config", "a.jsonc", "--listen", "[::]:80", "--data=/x", "--set",
                 "cache.edge.maxBytes=64MiB", "--set", "admin.token=a=b", "--log-level", "debug"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->kind, Command::Kind::kServe);
  EXPECT_EQ(parsed.command->config_file, "a.jsonc");
  EXPECT_THAT(
      parsed.command->assignments,
      testing::UnorderedElementsAre(
          Assignment{"--listen", {"listen"}, "[::]:80"}, Assignment{"--data", {"data"}, "/x"},
          Assignment{"--set cache.edge.maxBytes", {"cache", "edge", "maxBytes"}, "64MiB"},
          Assignment{"--set admin.token", {"admin", "token"}, "a=b"},
          Assignment{"--log-level", {"log", "level"}, "debug"}));
}

TEST(CommandLine, ServeNeedsNoFile) {
  const Parsed parsed = ParseLine({"serve"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->config_file, "");
}

TEST(CommandLine, StatsSaysWhichServerAndHowFarBack) {
  const Parsed parsed = ParseLine({"stats", "--hours", "48", "--json", "--admin", "127.0.0.1:9",
                                   "--token-env", "T", "-c", "f"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->kind, Command::Kind::kStats);
  EXPECT_EQ(parsed.command->stats.hours, 48);
  EXPECT_TRUE(parsed.command->stats.json);
  EXPECT_EQ(parsed.command->stats.admin, "127.0.0.1:9");
  EXPECT_EQ(parsed.command->stats.token_variable, "T");
  EXPECT_EQ(parsed.command->config_file, "f");
  EXPECT_EQ(ParseLine({"stats"}).command->stats.hours, 24);
  for (const char* const bad : {"0", "-1", "x", "1.5"}) {
    EXPECT_EQ(ParseLine({"stats", "--hours", bad}).exit_code, kExitUsage) << bad;
  }
}

TEST(CommandLine, FsckNamesTheStoreAndHowToLook) {
  const Parsed parsed =
      ParseLine({"fsck", "--data", "/x", "--repair", "--json", "--max-findings", "7"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->kind, Command::Kind::kFsck);
  EXPECT_THAT(parsed.command->assignments, ElementsAre(Assignment{"--data", {"data"}, "/x"}));
  EXPECT_TRUE(parsed.command->fsck.repair);
  EXPECT_TRUE(parsed.command->fsck.json);
  EXPECT_FALSE(parsed.command->fsck.quick);
  EXPECT_EQ(parsed.command->fsck.max_findings, 7u);
  EXPECT_EQ(ParseLine({"fsck", "-c", "a.jsonc", "--quick"}).command->config_file, "a.jsonc");
  EXPECT_EQ(ParseLine({"fsck", "--max-findings", "many"}).exit_code, kExitUsage);
}

TEST(CommandLine, SimulateReplaysATraceOrMakesOne) {
  const Parsed replay = ParseLine({"simulate", "--trace", "a.log", "--policy", "lru,sieve",
                                   "--sizes", "1GB,2GB", "--plot", "a.svg", "--half-life", "12h",
                                   "--watermarks", "95,90", "--metadata", "800B", "--held", "h"});
  ASSERT_TRUE(replay.command) << replay.output;
  EXPECT_EQ(replay.command->kind, Command::Kind::kSimulate);
  EXPECT_EQ(replay.command->simulate.trace, "a.log");
  EXPECT_EQ(replay.command->simulate.format, "auto");
  EXPECT_EQ(replay.command->simulate.policies, "lru,sieve");
  EXPECT_EQ(replay.command->simulate.sizes, "1GB,2GB");
  EXPECT_EQ(replay.command->simulate.plot, "a.svg");
  EXPECT_EQ(replay.command->simulate.half_life, "12h");
  EXPECT_EQ(replay.command->simulate.watermarks, "95,90");
  EXPECT_EQ(replay.command->simulate.metadata, "800B");
  EXPECT_EQ(replay.command->simulate.held, "h");

  const Parsed made =
      ParseLine({"simulate", "--generate", "scan", "--seed", "7", "--requests", "10"});
  ASSERT_TRUE(made.command) << made.output;
  EXPECT_EQ(made.command->simulate.generate, "scan");
  EXPECT_EQ(made.command->simulate.seed, 7u);
  EXPECT_EQ(made.command->simulate.requests, 10u);
}

TEST(CommandLine, SimulateSaysWhatIsMissingOrDoesNotGoTogether) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{"simulate"}, "--trace FILE or --generate KIND"},
      {{"simulate", "--trace", "a"}, "--size BYTES or --sizes LIST"},
      {{"simulate", "--trace", "a", "--size", "1", "--sizes", "1,2"}, "--sizes"},
      {{"simulate", "--trace", "a", "--generate", "scan"}, "--generate"},
      {{"simulate", "--generate", "sideways"}, "sideways"},
      {{"simulate", "--generate", "scan", "--requests", "0"}, "--requests"},
      {{"simulate", "--trace", "a", "--size", "1", "--seed", "4"}, "--seed"},
      {{"simulate", "--trace", "a", "--size", "1", "--format", "xml"}, "xml"}};
  for (const auto& [line, named] : cases) {
    const Parsed parsed = ParseLine(line);
    EXPECT_FALSE(parsed.command) << named;
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_THAT(parsed.output, HasSubstr(named));
  }
}

TEST(CommandLine, SignNamesUrlKeyAndWhen) {
  const Parsed parsed =
      ParseLine({"sign", "/a.mp4?w=1", "--key-id", "k", "--expires", "1h", "--secret-env", "S"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->kind, Command::Kind::kSign);
  EXPECT_EQ(parsed.command->sign.url, "/a.mp4?w=1");
  EXPECT_EQ(parsed.command->sign.key_id, "k");
  EXPECT_EQ(parsed.command->sign.expires, "1h");
  EXPECT_EQ(parsed.command->sign.secret_variable, "S");
  EXPECT_EQ(ParseLine({"sign", "/a", "-c", "x"}).command->config_file, "x");
  EXPECT_EQ(ParseLine({"sign"}).exit_code, kExitUsage);
}

TEST(CommandLine, ConfigImportTakesFilesAndWhereResultsGo) {
  const Parsed parsed =
      ParseLine({"config", "import", "w.json", "--wrangler", "wrangler.jsonc", "--env",
                 "production", "--out", "o.jsonc", "--report", "-", "--bucket-root",
                 "VIDEOS=/srv/a=b", "--bucket-root", "OTHER=/x", "--force"});
  ASSERT_TRUE(parsed.command) << parsed.output;
  EXPECT_EQ(parsed.command->kind, Command::Kind::kConfigImport);
  const Command::Import& import = parsed.command->import;
  EXPECT_EQ(import.file, "w.json");
  EXPECT_EQ(import.wrangler, "wrangler.jsonc");
  EXPECT_EQ(import.environment, "production");
  EXPECT_EQ(import.out, "o.jsonc");
  EXPECT_EQ(import.report, "-");
  EXPECT_TRUE(import.force);
  EXPECT_THAT(import.bucket_roots,
              ElementsAre(testing::Pair("OTHER", "/x"), testing::Pair("VIDEOS", "/srv/a=b")));
  EXPECT_TRUE(ParseLine({"config", "import", "w.json"}).command);
  // Two things in one stream, a mapping without its half.
  EXPECT_EQ(ParseLine({"config", "import", "w.json", "--report", "-"}).exit_code, kExitUsage);
  EXPECT_EQ(ParseLine({"config", "import", "w.json", "--bucket-root", "VIDEOS"}).exit_code,
            kExitUsage);
  EXPECT_EQ(ParseLine({"config", "import"}).exit_code, kExitUsage);
}

TEST(CommandLine, ConfigCommandsAndVersion) {
  EXPECT_EQ(ParseLine({"config", "check", "a.jsonc"}).command->kind, Command::Kind::kConfigCheck);
  EXPECT_EQ(ParseLine({"config", "check", "a.jsonc"}).command->config_file, "a.jsonc");
  EXPECT_EQ(ParseLine({"config", "print"}).command->kind, Command::Kind::kConfigPrint);
  EXPECT_EQ(ParseLine({"config", "print", "-c", "b"}).command->config_file, "b");
  EXPECT_EQ(ParseLine({"version"}).command->kind, Command::Kind::kVersion);
  EXPECT_EQ(ParseLine({"--version"}).command->kind, Command::Kind::kVersion);
}

TEST(CommandLine, HelpIsNotAFailure) {
  for (const auto& args :
       std::vector<std::vector<const char*>>{{"--help"}, {"serve", "--help"}, {"config", "-h"}}) {
    const Parsed parsed = ParseLine(args);
    EXPECT_FALSE(parsed.command);
    EXPECT_EQ(parsed.exit_code, kExitDone);
    EXPECT_THAT(parsed.output, HasSubstr("video-resizer"));
  }
  EXPECT_THAT(ParseLine({"--help"}).output, HasSubstr("Exit codes"));
  EXPECT_THAT(ParseLine({"serve", "--help"}).output, HasSubstr("--set"));
}

TEST(CommandLine, WrongLinesExitWithTwoAndAReason) {
  for (const auto& args : std::vector<std::vector<const char*>>{{},
                                                                {"sreve"},
                                                                {"serve", "--nope"},
                                                                {"serve", "extra"},
                                                                {"serve", "--set", "cache"},
                                                                {"serve", "--set", "a..b=1"},
                                                                {"config"},
                                                                {"config", "check"}}) {
    const Parsed parsed = ParseLine(args);
    EXPECT_FALSE(parsed.command) << testing::PrintToString(args);
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_FALSE(parsed.output.empty());
  }
}

}  // namespace
}  // namespace vr::cli
