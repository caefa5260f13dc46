#include "app/import_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "import/testing/data.h"

namespace vr::app {
namespace {

using import::testing::ReadAll;
using import::testing::Shipped;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> Lines(const std::vector<config::Problem>& problems) {
  std::vector<std::string> out;
  for (const config::Problem& p : problems) out.push_back(p.ToString());
  return out;
}

TEST(ConfigImport, TheResultOfEveryShippedFilePassesOurCheck) {
  const std::vector<std::tuple<const char*, const char*, const char*>> cases = {
      {"v1-worker-config.json", "", ""},
      {"v1-worker-config.json", "v1-wrangler.jsonc", "production"},
      {"v1-comprehensive.json", "", ""},
      {"v1-legacy.json", "", ""},
      {"v2-worker-config.json", "", ""},
      {"v2-worker-config.json", "v2-wrangler.jsonc", ""},
      {"v1-wrangler.jsonc", "", "production"},
      {"v1-wrangler.jsonc", "", ""},
      {"v2-wrangler.jsonc", "", ""}};
  for (const auto& [main, wrangler, environment] : cases) {
    SCOPED_TRACE(std::string(main) + " " + wrangler);
    for (const bool has_folders : {false, true}) {
      import::ImportRequest request;
      request.main = Shipped(main);
      if (*wrangler != 0) request.wrangler = Shipped(wrangler);
      request.environment = environment;
      const bool has_bucket = std::string_view(main) != "v1-wrangler.jsonc" || *environment != 0;
      if (has_folders && has_bucket && std::string_view(main) != "v1-comprehensive.json")
        request.bucket_roots = {{"VIDEOS", "/srv/videos"}};
      const import::ImportOutcome outcome = ImportChecked(request, {});
      EXPECT_THAT(Lines(outcome.problems), IsEmpty()) << outcome.jsonc;
      EXPECT_THAT(outcome.report.result, Contains(HasSubstr("config check: OK")));
    }
  }
}

TEST(ConfigImport, MissingVariablesAreListedAndAreNoProblem) {
  import::ImportRequest request{.main = Shipped("v2-worker-config.json")};
  request.wrangler = Shipped("v2-wrangler.jsonc");
  const import::ImportOutcome outcome =
      ImportChecked(request, {{"SHORTS_TOKEN", "x"}, {"CACHE_ENABLE_KV", "nonsense"}});
  EXPECT_THAT(Lines(outcome.problems), IsEmpty());
  EXPECT_THAT(outcome.report.missing_variables,
              ElementsAre("R2_ACCESS_KEY_ID", "R2_ACCOUNT_ID", "R2_SECRET_ACCESS_KEY"));
  EXPECT_THAT(import::ToText(outcome.report),
              HasSubstr("variables that must be set before the start: R2_ACCESS_KEY_ID "
                        "R2_ACCOUNT_ID R2_SECRET_ACCESS_KEY"));
}

TEST(ConfigImport, R134_WhatOurCheckRefusesPointsAtTheInput) {
  const std::string text =
      "{\"origins\": [\n"
      R"json({"name": "a", "matcher": "^/(?=x)", "sources": [{"type": "remote", "url": "https://h"}]},)json"
      "\n"
      R"json({"name": "b", "matcher": "^/b/(.+)$", "captureGroups": ["p"], "sources": [)json"
      "\n"
      R"json({"type": "remote", "url": "https://h", "path": "x/${q}"}]}],)json"
      "\n"
      R"json("derivatives": {"x": {"width": 4, "fit": "stretch"}}})json";
  const import::ImportRequest request{.main = {"w.json", text}};
  EXPECT_THAT(Lines(ImportChecked(request, {}).problems),
              ElementsAre(HasSubstr("w.json:2:26: /origins/0/matcher: found"),
                          HasSubstr("w.json:4:48: /origins/1/sources/0/path: found"),
                          HasSubstr("w.json:5:32: /derivatives/x/width: found 4"),
                          HasSubstr("w.json:5:42: /derivatives/x/fit: found")));
}

TEST(ConfigImport, ShadowedOriginsAreWarningsAboutTheInput) {
  const import::ImportOutcome outcome = ImportChecked(
      {.main = Shipped("v1-worker-config.json"), .bucket_roots = {{"VIDEOS", "/x"}}}, {});
  std::vector<std::string> shadowed;
  for (const import::Warning& warning : outcome.report.warnings) {
    if (warning.text.find("out of reach") != std::string::npos) shadowed.push_back(warning.pointer);
  }
  // Not the one that passes through what is no video, and stands last.
  EXPECT_THAT(shadowed, ElementsAre("/video/origins/items/8/matcher"));
}

TEST(ConfigImport, WhatBothImportAndCheckWarnOfIsSaidOnce) {
  const import::ImportOutcome outcome = ImportChecked(
      {.main = Shipped("v1-worker-config.json"), .bucket_roots = {{"VIDEOS", "/x"}}}, {});
  const auto at = [&](const std::string& pointer) {
    std::vector<std::string> out;
    for (const import::Warning& warning : outcome.report.warnings) {
      if (warning.pointer == pointer) out.push_back(warning.text);
    }
    return out;
  };
  EXPECT_THAT(at("/video/origins/items/0/matcher"),
              ElementsAre(HasSubstr("first dot"), HasSubstr("not anchored"),
                          HasSubstr("letter case"), HasSubstr("passthrough.formats")));
  EXPECT_THAT(at("/video/origins/items/0/sources/2/path"), ElementsAre(HasSubstr("extension")));
  EXPECT_THAT(at("/video/origins/items/2/matcher"),
              ElementsAre(HasSubstr("first dot"), HasSubstr("not anchored")));
  // What only the check knows stays.
  EXPECT_THAT(
      at("/video/origins/items/8/matcher"),
      ElementsAre(HasSubstr("first dot"), HasSubstr("not anchored"), HasSubstr("out of reach")));
  const import::ImportOutcome fixed =
      ImportChecked({.main = {"w", R"({"origins": [{"name": "a", "matcher": "^/a/(.+)$", "sources":
          [{"type": "remote", "url": "https://h", "path": "b.mp4"}]}]})"}},
                    {});
  std::vector<std::string> pointers;
  for (const import::Warning& warning : fixed.report.warnings) pointers.push_back(warning.pointer);
  EXPECT_THAT(pointers, ElementsAre("/origins/0/sources/0/path"));
}

class ConfigImportFiles : public testing::Test {
 protected:
  ConfigImportFiles() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("import-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    how_.file = (folder_ / "in.json").string();
    how_.out = (folder_ / "out.jsonc").string();
    how_.report = (folder_ / "report.txt").string();
  }
  ~ConfigImportFiles() override {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }
  int Run(const std::string& text) {
    std::ofstream(how_.file) << text;
    return RunConfigImport(how_, {});
  }
  size_t Count() const {
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++n;
    return n;
  }
  std::filesystem::path folder_;
  cli::Command::Import how_;
};

constexpr const char* kGood =
    R"({"origins": [{"name": "a", "matcher": "^/", "sources": [{"type": "remote", "url": "https://h"}]}]})";

TEST_F(ConfigImportFiles, ResultAndReportAreWrittenWhole) {
  EXPECT_EQ(Run(kGood), cli::kExitDone);
  EXPECT_THAT(ReadAll(how_.out), HasSubstr("\"url\": \"https://h\""));
  EXPECT_THAT(ReadAll(how_.report), HasSubstr("config check: OK"));
  EXPECT_EQ(Count(), 3u);
  // Again: what is there is not replaced without being told.
  EXPECT_EQ(Run(kGood), cli::kExitFailed);
  how_.force = true;
  EXPECT_EQ(Run(kGood), cli::kExitDone);
}

TEST_F(ConfigImportFiles, NothingIsWrittenWhenSomethingIsWrong) {
  EXPECT_EQ(
      Run(R"({"origins": [{"name": "a", "matcher": "^/(", "sources": [{"type": "remote", "url": "https://h"}]}]})"),
      cli::kExitFailed);
  EXPECT_EQ(Run("{"), cli::kExitFailed);
  how_.wrangler = (folder_ / "gone").string();
  EXPECT_EQ(Run(kGood), cli::kExitFailed);
  EXPECT_EQ(Count(), 1u);
}

}  // namespace
}  // namespace vr::app
