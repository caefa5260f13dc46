#include "import/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "config/jsonc.h"
#include "import/testing/data.h"

namespace vr::import {
namespace {

using config::Node;
using import::testing::Data;
using import::testing::ReadAll;
using import::testing::Shipped;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ImportOutcome ImportText(std::string text) {
  return Import({.main = {"in", std::move(text)}});
}

std::vector<std::string> Lines(const std::vector<config::Problem>& problems) {
  std::vector<std::string> out;
  for (const config::Problem& p : problems) out.push_back(p.ToString());
  return out;
}

Node Result(const ImportOutcome& outcome) {
  EXPECT_THAT(Lines(outcome.problems), IsEmpty());
  config::Parsed parsed = config::ParseJsonc(outcome.jsonc, "result");
  EXPECT_THAT(Lines(parsed.problems), IsEmpty()) << outcome.jsonc;
  return std::move(parsed.root);
}

/// What stands at a pointer of the result, as one line of JSON; "" = nothing.
std::string At(const Node& root, const std::string& pointer) {
  const Node* node = &root;
  for (const std::string& name : config::SplitPointer(pointer)) {
    if (node->is(Node::Kind::kArray)) {
      const size_t i = std::strtoul(name.c_str(), nullptr, 10);
      if (i >= node->items.size()) return "";
      node = &node->items[i];
      continue;
    }
    const config::Member* member = node->Find(name);
    if (member == nullptr) return "";
    node = &member->value;
  }
  return config::WriteJsonLine(*node);
}

/// Imports one origin with one source.
ImportOutcome OneSource(const std::string& source, const std::string& more = "") {
  return ImportText(
      R"({"origins": [{"name": "o", "matcher": "^/o/([a-z]+)$", "captureGroups": ["id"], "sources": [)" +
      source + "]" + more + "}]}");
}

std::string SourceOf(const ImportOutcome& outcome) {
  return At(Result(outcome), "/origins/0/sources/0");
}

const Line* LineAt(const ImportOutcome& outcome, const std::string& pointer) {
  for (const Line& line : outcome.report.lines) {
    if (line.pointer == pointer) return &line;
  }
  return nullptr;
}

Verdict VerdictAt(const ImportOutcome& outcome, const std::string& pointer) {
  const Line* line = LineAt(outcome, pointer);
  EXPECT_NE(line, nullptr) << pointer;
  return line == nullptr ? Verdict::kDropped : line->verdict;
}

std::vector<std::string> WarningsAt(const ImportOutcome& outcome, const std::string& pointer) {
  std::vector<std::string> out;
  for (const Warning& warning : outcome.report.warnings) {
    if (warning.pointer == pointer) out.push_back(warning.text);
  }
  return out;
}

// --- every leaf is accounted for ---

/// Leaves as the report's promise has them, found without the importer's own help.
void CollectLeaves(const Node& node, const std::string& pointer, std::multiset<std::string>& out) {
  const bool is_object = node.is(Node::Kind::kObject);
  bool holds_containers = false;
  for (const Node& item : node.items) {
    holds_containers =
        holds_containers || item.is(Node::Kind::kObject) || item.is(Node::Kind::kArray);
  }
  if (is_object && !node.members.empty()) {
    for (const config::Member& member : node.members)
      CollectLeaves(member.value, config::AppendPointer(pointer, member.name), out);
  } else if (holds_containers) {
    for (size_t i = 0; i < node.items.size(); ++i)
      CollectLeaves(node.items[i], config::AppendPointer(pointer, std::to_string(i)), out);
  } else {
    out.insert(pointer);
  }
}

void ExpectEveryLeafOnce(const ImportOutcome& outcome, const std::vector<Document>& documents) {
  for (const Document& document : documents) {
    std::multiset<std::string> leaves;
    CollectLeaves(config::ParseJsonc(document.text, document.name).root, "", leaves);
    std::multiset<std::string> lines;
    for (const Line& line : outcome.report.lines) {
      if (line.place.source == document.name) lines.insert(line.pointer);
    }
    EXPECT_EQ(lines, leaves) << document.name;
  }
}

struct Case {
  std::string main, wrangler, environment;
  bool has_folders = false;
  std::string golden;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"v1-worker-config.json", "", "", true, "v1-worker-config.jsonc"},
      {"v1-worker-config.json", "v1-wrangler.jsonc", "production", false, "v1-combined.jsonc"},
      {"v1-comprehensive.json", "", "", false, "v1-comprehensive.jsonc"},
      {"v1-legacy.json", "", "", false, "v1-legacy.jsonc"},
      {"v2-worker-config.json", "v2-wrangler.jsonc", "", false, "v2-combined.jsonc"},
      {"v2-worker-config.json", "", "", true, "v2-worker-config.jsonc"},
      {"v1-wrangler.jsonc", "", "production", false, "v1-wrangler.jsonc"},
      {"v2-wrangler.jsonc", "", "", false, "v2-wrangler.jsonc"},
  };
  return cases;
}

ImportOutcome RunCase(const Case& c, std::vector<Document>& documents) {
  ImportRequest request;
  request.main = Shipped(c.main);
  documents.push_back(request.main);
  if (!c.wrangler.empty()) {
    request.wrangler = Shipped(c.wrangler);
    documents.push_back(*request.wrangler);
  }
  request.environment = c.environment;
  if (c.has_folders) request.bucket_roots = {{"VIDEOS", "/srv/videos"}};
  return Import(request);
}

TEST(Import, EveryLeafOfTheInputIsInExactlyOneList) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.golden);
    std::vector<Document> documents;
    const ImportOutcome outcome = RunCase(c, documents);
    ASSERT_THAT(Lines(outcome.problems), IsEmpty());
    ExpectEveryLeafOnce(outcome, documents);
    for (const Line& line : outcome.report.lines) {
      EXPECT_FALSE(line.verdict != Verdict::kConverted && line.why.empty()) << line.pointer;
      EXPECT_GT(line.place.line, 0) << line.pointer;
    }
  }
}

// The goldens are written by `VR_WRITE_GOLDEN=1 vr_import_test`, and read by whoever changes this.
TEST(Import, TheShippedConfigurationsBecomeTheGoldenOnes) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.golden);
    std::vector<Document> documents;
    const ImportOutcome outcome = RunCase(c, documents);
    const std::filesystem::path golden = Data("golden/" + c.golden);
    const std::filesystem::path report = Data("golden/" + c.golden + ".report.txt");
    if (std::getenv("VR_WRITE_GOLDEN") != nullptr) {
      std::filesystem::create_directories(golden.parent_path());
      std::ofstream(golden, std::ios::binary) << outcome.jsonc;
      std::ofstream(report, std::ios::binary) << ToText(outcome.report);
    }
    EXPECT_EQ(outcome.jsonc, ReadAll(golden));
    EXPECT_EQ(ToText(outcome.report), ReadAll(report));
    EXPECT_FALSE(outcome.jsonc.empty());
  }
}

TEST(Import, NoSecretOfTheInputIsInResultOrReport) {
  for (const Case& c : Cases()) {
    std::vector<Document> documents;
    const ImportOutcome outcome = RunCase(c, documents);
    const std::string all = outcome.jsonc + ToText(outcome.report);
    for (const char* secret : {"literal-secret", "hush", "pass:word", "pass", "never-shown"}) {
      const std::string text = secret;
      if (text == "pass") {
        EXPECT_THAT(all, Not(HasSubstr("pass:")));
        continue;
      }
      EXPECT_THAT(all, Not(HasSubstr(text))) << c.golden;
    }
  }
}

// --- shapes ---

TEST(Import, NestedAndFlatAndItemsAreOneThing) {
  const std::string list =
      R"([{"name": "o", "matcher": "^/", "sources": [{"type": "remote", "url": "https://h"}]}])";
  std::set<std::string> results;
  for (const std::string& text :
       {R"({"origins": )" + list + "}", R"({"origins": {"items": )" + list + "}}",
        R"({"video": {"origins": )" + list + "}}",
        R"({"video": {"origins": {"enabled": true, "items": )" + list + "}}}"}) {
    results.insert(At(Result(ImportText(text)), "/origins"));
  }
  EXPECT_THAT(results,
              ElementsAre(R"([{"name": "o", "matcher": "^/", "sources": [{"type": "http", )"
                          R"("url": "https://h", "priority": 0}]}])"));
}

TEST(Import, WhatIsNotOneOfTheirFilesIsRefused) {
  EXPECT_THAT(Lines(ImportText("{}").problems),
              ElementsAre(HasSubstr("in:1:1: /: found neither a worker configuration nor")));
  EXPECT_THAT(Lines(ImportText("[1]").problems), ElementsAre(HasSubstr("found an array")));
  EXPECT_THAT(Lines(ImportText("{\"origins\": [").problems), Not(IsEmpty()));
  EXPECT_THAT(Lines(ImportText(R"({"listen": "x", "origins": []})").problems),
              ElementsAre(HasSubstr("found a configuration of this server")));
  EXPECT_THAT(Lines(ImportText(R"({"origins": [{"name": "a", "matcher": "^/",
                                   "sources": [{"type": "file", "root": "/x"}]}]})")
                        .problems),
              ElementsAre(HasSubstr("found a configuration of this server")));
  EXPECT_THAT(
      Lines(Import({.main = {"a", R"({"vars": {}})"}, .wrangler = Document{"b", "{\"vars\": {}}"}})
                .problems),
      ElementsAre(HasSubstr("found a wrangler configuration")));
  EXPECT_THAT(Lines(Import({.main = {"a", R"({"cache": {}})"},
                            .wrangler = Document{"b", "{\"origins\": []}"}})
                        .problems),
              ElementsAre(HasSubstr("b:1:1: /: found no wrangler configuration")));
}

TEST(Import, R134_WrongTypesAreProblemsWithPlacesAndThereIsNoResult) {
  const ImportOutcome outcome = ImportText(R"({
  "origins": {
    "enabled": "yes",
    "items": [
      { "name": 5, "matcher": "^/", "sources": [ { "type": "remote", "url": "https://h" } ] },
      { "name": "b", "matcher": "^/", "sources": [ { "type": "ftp", "url": "https://h" },
                                                   { "type": "remote", "url": 7 }, { "type": "remote" } ] },
      { "name": "c", "matcher": "^/c", "sources": [] },
      { "name": "d", "matcher": "^/d", "sources": [ { "type": "remote", "url": "https://h", "priority": "first",
          "auth": { "enabled": true, "type": "bearer", "tokenVar": "the secret itself!" } } ], "ttl": { "ok": -1 } }
    ]
  },
  "derivatives": { "a b": {}, "x": 5, "y": { "width": {} } },
  "cache": { "enableKVCache": "true", "bypassQueryParameters": [1] }
})");
  EXPECT_EQ(outcome.jsonc, "");
  EXPECT_THAT(
      Lines(outcome.problems),
      ElementsAre(
          HasSubstr("in:3:16: /origins/enabled: found a string, allowed: true or false"),
          HasSubstr("in:5:17: /origins/items/0/name: found a number, allowed: a string"),
          HasSubstr("in:6:62: /origins/items/1/sources/0/type: found \"ftp\", allowed: \"r2\""),
          HasSubstr("in:7:79: /origins/items/1/sources/1/url: found a number"),
          HasSubstr("in:7:84: /origins/items/1/sources/2/url: found nothing"),
          HasSubstr("in:8:51: /origins/items/2/sources: found no sources"),
          HasSubstr("in:9:105: /origins/items/3/sources/0/priority: found a string"),
          HasSubstr("in:10:68: /origins/items/3/sources/0/auth/tokenVar: found something else"),
          HasSubstr("/origins/items/3/ttl/ok: found -1"),
          HasSubstr("in:13:20: /derivatives/a b: found \"a b\""),
          HasSubstr("in:13:36: /derivatives/x: found a number"),
          HasSubstr("in:13:55: /derivatives/y/width: found an object"),
          HasSubstr("in:14:31: /cache/enableKVCache: found a string"),
          HasSubstr("in:14:65: /cache/bypassQueryParameters/0: found a number")));
  for (const std::string& line : Lines(outcome.problems))
    EXPECT_THAT(line, Not(HasSubstr("secret itself")));
}

TEST(Import, ThereIsNeverADefaultOrigin) {
  const ImportOutcome none = ImportText(R"({"derivatives": {}})");
  EXPECT_EQ(At(Result(none), "/origins"), "");
  EXPECT_THAT(WarningsAt(none, ""), ElementsAre(HasSubstr("no origins: every request")));
  EXPECT_THAT(Lines(ImportText(R"({"origins": []})").problems),
              ElementsAre(HasSubstr("there is no default one")));
  const ImportOutcome off = ImportText(
      R"({"video": {"origins": {"enabled": false, "items": [{"name": "x", "matcher": "^/", "sources": []}]}}})");
  EXPECT_EQ(At(Result(off), "/origins"), "");
  EXPECT_EQ(LineAt(off, "/video/origins/items/0/name")->why, "origins.enabled is false");
}

TEST(Import, UnknownKeysAreDroppedAndNamed) {
  const ImportOutcome outcome =
      ImportText(R"({"derivatives": {"a": {"widht": 5, "width": null}}, "x": [[], {}]})");
  EXPECT_EQ(LineAt(outcome, "/derivatives/a/widht")->why, "unknown key");
  EXPECT_EQ(LineAt(outcome, "/derivatives/a/width")->why, "null: not set");
  EXPECT_EQ(LineAt(outcome, "/x/0")->why, "unknown key");
  EXPECT_EQ(LineAt(outcome, "/x/1")->why, "unknown key");
}

// --- sources ---

TEST(Import, ASourceWithoutPathAppendsTheRequestPath) {
  EXPECT_EQ(SourceOf(OneSource(R"({"type": "remote", "url": "https://h/base/"})")),
            R"({"type": "http", "url": "https://h/base", "priority": 0})");
  EXPECT_EQ(SourceOf(OneSource(
                R"({"type": "remote", "url": "https://h", "path": "a/${id}.mp4", "priority": 3})")),
            R"({"type": "http", "url": "https://h", "path": "a/${id}.mp4", "priority": 3})");
}

TEST(Import, AUrlWithPlaceholdersIsTheWholeUrl) {
  EXPECT_EQ(SourceOf(OneSource(R"({"type": "remote", "url": "https://h:81/a/${id}/b.mp4"})")),
            R"({"type": "http", "url": "https://h:81", "path": "a/${id}/b.mp4", "priority": 0})");
  // A host of placeholders cannot be said: the other source is left, or nothing is.
  const ImportOutcome two = OneSource(
      R"({"type": "remote", "url": "https://${id}.h/x"}, {"type": "remote", "url": "https://h"})");
  EXPECT_EQ(SourceOf(two), R"({"type": "http", "url": "https://h", "priority": 0})");
  EXPECT_THAT(WarningsAt(two, "/origins/0/sources/0/url"), ElementsAre(HasSubstr("left out")));
  EXPECT_EQ(VerdictAt(two, "/origins/0/sources/0/url"), Verdict::kDropped);
  EXPECT_THAT(Lines(OneSource(R"({"type": "remote", "url": "https://${id}.h/x"})").problems),
              ElementsAre(HasSubstr("no source that can be used")));
}

TEST(Import, UserAndQueryDoNotStayInAUrl) {
  const ImportOutcome outcome = OneSource(R"({"type": "remote", "url": "https://u:p@h/x?k=v#f"})");
  EXPECT_EQ(
      SourceOf(outcome),
      R"({"query": {"k": "v"}, )"
      R"("auth": {"type": "basic", "user": "${ORIGIN_O_USER}", "password": "${ORIGIN_O_PASSWORD}"}, )"
      R"("type": "http", "url": "https://h/x", "priority": 0})");
  EXPECT_THAT(WarningsAt(outcome, "/origins/0/sources/0/url"), IsEmpty());
  EXPECT_EQ(VerdictAt(outcome, "/origins/0/sources/0/url"), Verdict::kChanged);
  // Decoded, since ours is encoded again; what sounds like a secret is not copied.
  const ImportOutcome secret =
      OneSource(R"({"type": "remote", "url": "https://h/x?a+b=c%20d%26&&flag&X-Api-Key=hush"})");
  EXPECT_EQ(At(Result(secret), "/origins/0/sources/0/query"),
            R"({"a b": "c d&", "flag": "", "X-Api-Key": "${ORIGIN_O_X_API_KEY}"})");
  EXPECT_THAT(ToText(secret.report) + secret.jsonc, Not(HasSubstr("hush")));
  EXPECT_THAT(LineAt(secret, "/origins/0/sources/0/url")->why, HasSubstr("ORIGIN_O_X_API_KEY"));
  // What differs from path to path cannot be said, nor what is signed.
  for (const char* source :
       {R"({"type": "remote", "url": "https://h/x?id=${id}"})",
        R"({"type": "remote", "url": "https://s3.example.com/b?x=y", "path": "${id}",
            "auth": {"type": "aws-s3", "accessKeyVar": "A", "secretKeyVar": "B"}})"}) {
    const ImportOutcome left_out = OneSource(source);
    EXPECT_EQ(At(Result(left_out), "/origins/0/sources/0/query"), "");
    EXPECT_THAT(WarningsAt(left_out, "/origins/0/sources/0/url"),
                ElementsAre(HasSubstr("its query was left out")));
  }
}

TEST(Import, TwoSecretsNeverShareAVariable) {
  const ImportOutcome outcome = OneSource(
      R"({"type": "remote", "url": "https://a", "auth": {"type": "bearer", "token": "one"}},
         {"type": "remote", "url": "https://b", "auth": {"type": "bearer", "token": "two"}},
         {"type": "remote", "url": "https://c", "auth": {"type": "bearer", "token": "one"}},
         {"type": "remote", "url": "https://u:p1@d"}, {"type": "remote", "url": "https://u:p2@d"})");
  const Node root = Result(outcome);
  EXPECT_EQ(At(root, "/origins/0/sources/0/auth/token"), "\"${ORIGIN_O_TOKEN}\"");
  EXPECT_EQ(At(root, "/origins/0/sources/1/auth/token"), "\"${ORIGIN_O_TOKEN_2}\"");
  EXPECT_EQ(At(root, "/origins/0/sources/2/auth/token"), "\"${ORIGIN_O_TOKEN}\"");
  EXPECT_EQ(At(root, "/origins/0/sources/3/auth/password"), "\"${ORIGIN_O_PASSWORD}\"");
  EXPECT_EQ(At(root, "/origins/0/sources/4/auth/user"), "\"${ORIGIN_O_USER}\"");
  EXPECT_EQ(At(root, "/origins/0/sources/4/auth/password"), "\"${ORIGIN_O_PASSWORD_2}\"");
}

TEST(Import, AFallbackIsAskedLastWhateverItsNumber) {
  const ImportOutcome outcome = OneSource(
      R"({"type": "fallback", "priority": 0, "url": "https://f"}, {"type": "remote", "priority": 4, "url": "https://h"})");
  EXPECT_EQ(At(Result(outcome), "/origins/0/sources/0/priority"), "5");
  EXPECT_EQ(VerdictAt(outcome, "/origins/0/sources/0/priority"), Verdict::kChanged);
  EXPECT_EQ(VerdictAt(outcome, "/origins/0/sources/0/type"), Verdict::kChanged);
}

TEST(Import, AuthInAllItsForms) {
  const auto auth = [](const std::string& text) {
    return At(
        Result(OneSource(R"({"type": "remote", "url": "https://h", "auth": {)" + text + "}}")),
        "/origins/0/sources/0/auth");
  };
  EXPECT_EQ(auth(R"("enabled": false, "type": "basic")"), "");
  EXPECT_EQ(auth(R"("enabled": true, "type": "bearer", "accessKeyVar": "A", "secretKeyVar": "B")"),
            R"({"type": "bearer", "token": "${A}"})");
  EXPECT_EQ(auth(R"("type": "bearer", "tokenVar": "T")"), R"({"type": "bearer", "token": "${T}"})");
  EXPECT_EQ(auth(R"("type": "token", "tokenVar": "T")"), R"({"type": "bearer", "token": "${T}"})");
  EXPECT_EQ(auth(R"("type": "basic", "usernameVar": "U", "passwordVar": "P")"),
            R"({"type": "basic", "user": "${U}", "password": "${P}"})");
  EXPECT_EQ(auth(R"("type": "basic", "accessKeyVar": "U", "secretKeyVar": "P")"),
            R"({"type": "basic", "user": "${U}", "password": "${P}"})");
  EXPECT_EQ(auth(R"("type": "header", "headers": {"X-Key": "plain"})"),
            R"({"type": "header", "name": "X-Key", "value": "${ORIGIN_O_X_KEY}"})");
  EXPECT_EQ(auth(R"("type": "header", "headers": {"X-Key": "${K}"})"),
            R"({"type": "header", "name": "X-Key", "value": "${K}"})");
  EXPECT_EQ(auth(R"("type": "query", "params": {"sig": "${S}"})"),
            R"({"type": "query", "name": "sig", "value": "${S}"})");
  // More than one header field or parameter goes with every request all the same.
  EXPECT_EQ(At(Result(OneSource(R"({"type": "remote", "url": "https://h", "auth":
              {"type": "header", "headers": {"A": "${X}", "B": "b"}}})")),
               "/origins/0/sources/0/headers"),
            R"({"A": "${X}", "B": "${ORIGIN_O_B}"})");
  const ImportOutcome two = OneSource(R"({"type": "remote", "url": "https://h", "auth":
              {"type": "query", "params": {"a": "1", "b": "${B}"}}})");
  EXPECT_EQ(SourceOf(two), R"({"type": "http", "url": "https://h", )"
                           R"("query": {"a": "${ORIGIN_O_A}", "b": "${B}"}, "priority": 0})");
  EXPECT_EQ(VerdictAt(two, "/origins/0/sources/0/auth/params/b"), Verdict::kChanged);
  EXPECT_FALSE(OneSource(R"({"type": "remote", "url": "https://h", "auth":
              {"type": "query", "params": {}}})")
                   .problems.empty());
}

TEST(Import, BucketsAreNamedByTheirBindings) {
  const ImportOutcome outcome = OneSource(
      R"({"type": "r2", "bucketBinding": "VIDEOS_BUCKET", "path": "${id}.mp4"}, {"type": "r2"})");
  const Node root = Result(outcome);
  EXPECT_EQ(At(root, "/origins/0/sources/0"),
            R"({"type": "s3", "bucket": "VIDEOS", "path": "${id}.mp4", "priority": 0})");
  EXPECT_EQ(At(root, "/origins/0/sources/1"),
            R"({"type": "s3", "bucket": "VIDEOS", "priority": 0})");
  EXPECT_EQ(
      At(root, "/buckets"),
      R"({"VIDEOS": {"endpoint": "https://${R2_ACCOUNT_ID}.r2.cloudflarestorage.com", )"
      R"("bucket": "${VIDEOS_BUCKET_NAME}", "region": "auto", "accessKey": "${R2_ACCESS_KEY_ID}", )"
      R"("secretKey": "${R2_SECRET_ACCESS_KEY}"}})");
  std::vector<std::string> names;
  for (const auto& [name, uses] : outcome.report.variables) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("R2_ACCESS_KEY_ID", "R2_ACCOUNT_ID", "R2_SECRET_ACCESS_KEY",
                                 "VIDEOS_BUCKET_NAME"));
}

TEST(Import, SignedSourcesBecomeBucketsOfTheSameUrl) {
  const auto both = [](const std::string& url, const std::string& path) {
    const Node root = Result(
        OneSource(R"({"type": "remote", "url": ")" + url + R"(", "path": ")" + path +
                  R"(", "auth": {"type": "aws-s3", "accessKeyVar": "A", "secretKeyVar": "B"}})"));
    return At(root, "/origins/0/sources/0") + " " + At(root, "/buckets");
  };
  const std::string keys = R"("accessKey": "${A}", "secretKey": "${B}"}})";
  EXPECT_EQ(both("https://clips.s3.eu-west-1.amazonaws.com", "x/${id}"),
            R"({"type": "s3", "bucket": "s3-clips", "path": "x/${id}", "priority": 0} )"
            R"({"s3-clips": {"endpoint": "https://s3.eu-west-1.amazonaws.com", "bucket": "clips", )"
            R"("accessKey": "${A}", "secretKey": "${B}", "addressing": "virtual"}})");
  EXPECT_EQ(both("https://s3.example.com/clips/in", "x/${id}"),
            R"({"type": "s3", "bucket": "s3-clips", "path": "in/x/${id}", "priority": 0} )"
            R"({"s3-clips": {"endpoint": "https://s3.example.com", "bucket": "clips", )" +
                keys);
  EXPECT_EQ(both("https://s3.example.com", "clips/${id}"),
            R"({"type": "s3", "bucket": "s3-clips", "path": "${id}", "priority": 0} )"
            R"({"s3-clips": {"endpoint": "https://s3.example.com", "bucket": "clips", )" +
                keys);
  // A first segment that is a placeholder, or the host's own name: the host names the bucket.
  EXPECT_EQ(both("https://media.example.com", "${id}"),
            R"({"type": "s3", "bucket": "s3-media", "path": "${id}", "priority": 0} )"
            R"({"s3-media": {"endpoint": "https://example.com", "bucket": "media", )"
            R"("accessKey": "${A}", "secretKey": "${B}", "addressing": "virtual"}})");
  EXPECT_EQ(both("https://media.example.com", "media/${id}"),
            R"({"type": "s3", "bucket": "s3-media", "path": "media/${id}", "priority": 0} )"
            R"({"s3-media": {"endpoint": "https://example.com", "bucket": "media", )"
            R"("accessKey": "${A}", "secretKey": "${B}", "addressing": "virtual"}})");
  EXPECT_FALSE(
      OneSource(
          R"({"type": "remote", "url": "https://localhost:9000", "path": "${id}", "auth": {"type": "aws-s3"}})")
          .problems.empty());
  // Two servers with a bucket of one name stay two.
  const Node two = Result(OneSource(
      R"({"type": "remote", "url": "https://a.test/clips", "auth": {"type": "aws-s3"}},)"
      R"({"type": "remote", "url": "https://b.test/clips", "auth": {"type": "aws-s3"}},)"
      R"({"type": "remote", "url": "https://a.test/clips", "auth": {"type": "aws-s3"}})"));
  EXPECT_EQ(At(two, "/origins/0/sources/0/bucket"), "\"s3-clips\"");
  EXPECT_EQ(At(two, "/origins/0/sources/1/bucket"), "\"s3-clips-2\"");
  EXPECT_EQ(At(two, "/origins/0/sources/2/bucket"), "\"s3-clips\"");
}

TEST(Import, PresignedSourcesStayPresigned) {
  const Node root = Result(OneSource(
      R"({"type": "remote", "url": "https://s3.example.com/b", "auth": {"type": "aws-s3-presigned-url", "region": "eu-1", "sessionTokenVar": "ST", "expiresInSeconds": 60}})"));
  EXPECT_EQ(At(root, "/buckets/s3-b"),
            R"({"endpoint": "https://s3.example.com", "bucket": "b", "region": "eu-1", )"
            R"("accessKey": "${AWS_ACCESS_KEY_ID}", "secretKey": "${AWS_SECRET_ACCESS_KEY}", )"
            R"("signing": "presigned", "presignExpires": 60, "sessionToken": "${ST}"})");
}

TEST(Import, ABucketCanBeADirectory) {
  for (const char* name : {"VIDEOS", "VIDEOS_BUCKET"}) {
    ImportRequest request;
    request.main = {
        "w",
        R"({"origins": [{"name": "o", "matcher": "^/", "sources": [{"type": "r2", "bucketBinding": "VIDEOS_BUCKET"}]}]})"};
    request.wrangler =
        Document{"v", R"({"r2_buckets": [{"binding": "VIDEOS_BUCKET", "bucket_name": "x"}]})"};
    request.bucket_roots = {{name, "/srv/${v}"}};
    const Node root = Result(Import(request));
    EXPECT_EQ(At(root, "/buckets"), R"({"VIDEOS": {"root": "/srv/$${v}"}})");
    EXPECT_EQ(At(root, "/origins/0/sources/0/bucket"), "\"VIDEOS\"");
  }
}

TEST(Import, ADirectoryForABucketThatIsNotThereIsAMistake) {
  ImportRequest request{
      .main = {"w",
               R"({"origins": [{"name": "o", "matcher": "^/", "sources": [{"type": "r2"}]}]})"}};
  request.bucket_roots = {{"VIDEO", "/srv"}};
  EXPECT_THAT(Lines(Import(request).problems),
              ElementsAre(HasSubstr("--bucket-root: /: found \"VIDEO\"")));
}

TEST(Import, ProcessPathFalsePassesThrough) {
  const ImportOutcome outcome =
      OneSource(R"({"type": "r2"}, {"type": "remote", "url": "https://h"})",
                R"(, "processPath": false, "ttl": {"ok": 5}, "quality": "low",
                    "cacheControl": {"ok": "public", "serverError": "no-store"})");
  const Node root = Result(outcome);
  EXPECT_EQ(At(root, "/origins/0/mode"), "\"passthrough\"");
  EXPECT_EQ(At(root, "/origins/0/sources"),
            R"([{"type": "http", "url": "https://h", "priority": 0}])");
  EXPECT_EQ(At(root, "/origins/0/ttl"), "");
  EXPECT_EQ(At(root, "/origins/0/quality"), "");
  EXPECT_EQ(At(root, "/origins/0/cacheControl"), "");
  EXPECT_THAT(LineAt(outcome, "/origins/0/cacheControl/ok")->why, HasSubstr("bring their own"));
  EXPECT_THAT(WarningsAt(outcome, "/origins/0/sources/0"), ElementsAre(HasSubstr("left out")));
  // Of a bucket alone it cannot be, and is said.
  const ImportOutcome bucket = OneSource(R"({"type": "r2"})", R"(, "processPath": false)");
  EXPECT_EQ(At(Result(bucket), "/origins/0/mode"), "");
  EXPECT_THAT(WarningsAt(bucket, "/origins/0/processPath"), Not(IsEmpty()));
}

TEST(Import, OriginsOfEveryPathGetATwinForWhatIsNoVideo) {
  const std::string origin =
      R"("origins": [{"name": "all", "matcher": ".*", "sources": [{"type": "r2"}, {"type": "remote", "url": "https://h"}]}])";
  const Node on = Result(ImportText(R"({"passthrough": {"enabled": true}, )" + origin + "}"));
  EXPECT_EQ(At(on, "/origins/1"),
            R"({"name": "all-pages", "matcher": ".*", "mode": "passthrough", )"
            R"("sources": [{"type": "http", "url": "https://h", "priority": 0}]})");
  const Node off = Result(ImportText(R"({"passthrough": {"enabled": false}, )" + origin + "}"));
  EXPECT_EQ(At(off, "/origins/1"), "");
}

TEST(Import, TtlPrecedenceAndEncodingDefaults) {
  const ImportOutcome outcome = OneSource(
      R"({"type": "remote", "url": "https://h"})",
      R"(, "cacheTtl": 9, "ttl": {"redirects": 7}, "videoCompression": "low", "transformOptions": {"quality": "high", "width": 5})");
  const Node root = Result(outcome);
  EXPECT_EQ(At(root, "/origins/0/ttl"), R"({"redirects": 7, "ok": 9})");
  EXPECT_EQ(At(root, "/origins/0/compression"), "\"low\"");
  EXPECT_EQ(At(root, "/origins/0/quality"), "\"high\"");
  EXPECT_EQ(VerdictAt(outcome, "/origins/0/transformOptions/width"), Verdict::kDropped);
  const ImportOutcome both =
      OneSource(R"({"type": "remote", "url": "https://h"})",
                R"(, "cacheTtl": 9, "ttl": {"ok": 7}, "cacheability": false)");
  EXPECT_EQ(At(Result(both), "/origins/0/ttl/ok"), "0");
  EXPECT_EQ(VerdictAt(both, "/origins/0/cacheTtl"), Verdict::kDropped);
}

TEST(Import, JavaScriptsNamedGroupsAreRewritten) {
  const Node root = Result(ImportText(
      R"({"origins": [{"name": "n", "matcher": "^/(?<a>x)\\(?<b(?:y)(?<c>z)$", "sources": [{"type": "r2"}]}]})"));
  EXPECT_EQ(At(root, "/origins/0/matcher"), R"("^/(?P<a>x)\\(?<b(?:y)(?P<c>z)$")");
}

TEST(Import, WhatRe2SpellsInAnotherWayIsRewritten) {
  const auto matcher = [](const std::string& text) {
    return At(Result(ImportText(R"({"origins": [{"name": "n", "matcher": ")" + text +
                                R"(", "sources": [{"type": "r2"}]}]})")),
              "/origins/0/matcher");
  };
  EXPECT_EQ(matcher(R"(^\\/a\\_b\\u00e9\\u00g(.+)$)"), R"("^\\/a_b\\x{00e9}\\u00g(.+)$")");
  EXPECT_EQ(matcher(R"(^/[(?<x]+[\\](?<y]/(?<z>.)$)"), R"("^/[(?<x]+[\\](?<y]/(?P<z>.)$")");
}

TEST(Import, R105_MistakesThatWorkedByAccidentAreSaid) {
  const auto warnings = [](const std::string& matcher) {
    const ImportOutcome outcome = ImportText(
        R"({"passthrough": {"formats": ["mp4"]}, "origins": [{"name": "n", "matcher": ")" +
        matcher + R"(", "sources": [{"type": "r2"}]}]})");
    return WarningsAt(outcome, "/origins/0/matcher");
  };
  EXPECT_THAT(warnings(R"(^/v/([^.]+)\\.(mp4|avi))"),
              ElementsAre(HasSubstr("first dot"), HasSubstr("not anchored"), HasSubstr("/x.MP4"),
                          HasSubstr("passthrough.formats, so they never count as video: avi")));
  EXPECT_THAT(warnings(R"((?i)^/v/(.+)\\.(mp4)$)"), IsEmpty());
  EXPECT_THAT(warnings("^/([^.]+)"), ElementsAre(HasSubstr("the rest of the name is lost")));
  EXPECT_THAT(warnings("^/my%20videos/(.+)"), ElementsAre(HasSubstr("decoded path")));
  const ImportOutcome lost = ImportText(
      R"({"origins": [{"name": "n", "matcher": "^/(?:v)/(.+)\\.(mp4)$", "captureGroups": ["id", "extension"],
          "sources": [{"type": "r2", "path": "f/${id}"}, {"type": "r2", "path": "f/${id}.mp4"},
                      {"type": "r2", "path": "f/${id}.${extension}"}]}]})");
  EXPECT_THAT(WarningsAt(lost, "/origins/0/sources/0/path"), ElementsAre(HasSubstr("extension")));
  EXPECT_THAT(WarningsAt(lost, "/origins/0/sources/1/path"), IsEmpty());
  EXPECT_THAT(WarningsAt(lost, "/origins/0/sources/2/path"), IsEmpty());
}

// --- other sections ---

TEST(Import, BreakpointsOfV1BecomeASortedListAndADefault) {
  const ImportOutcome outcome = ImportText(R"({"responsiveBreakpoints": {
    "large": {"min": 1281, "derivative": "desktop"}, "small": {"max": 854, "derivative": "mobile"},
    "medium": {"min": 900, "max": 1280, "derivative": "tablet"}}})");
  const Node root = Result(outcome);
  EXPECT_EQ(
      At(root, "/responsive/breakpoints"),
      R"([{"maxWidth": 854, "derivative": "mobile"}, {"maxWidth": 1280, "derivative": "tablet"}])");
  EXPECT_EQ(At(root, "/responsive/defaultDerivative"), "\"desktop\"");
  EXPECT_EQ(VerdictAt(outcome, "/responsiveBreakpoints/large/min"), Verdict::kConverted);
  EXPECT_THAT(LineAt(outcome, "/responsiveBreakpoints/medium/min")->why, HasSubstr("at 855"));
  const ImportOutcome closed = ImportText(R"({"responsiveBreakpoints": {
    "b": {"max": 900, "derivative": "tablet"}, "a": {"max": 500, "derivative": "none-such"}}})");
  EXPECT_EQ(At(Result(closed), "/responsive/defaultDerivative"), "\"tablet\"");
  EXPECT_THAT(WarningsAt(closed, "/responsiveBreakpoints/a"), ElementsAre(HasSubstr("left out")));
}

TEST(Import, DerivativesKeepWhatWeKnowAndCommentTheRest) {
  const ImportOutcome outcome =
      ImportText(R"({"derivatives": {"s": {"mode": "spritesheet", "frames": 9, "interval": "2s",
     "description": "nine // pictures", "loop": true, "preload": "none"}}})");
  EXPECT_EQ(At(Result(outcome), "/derivatives/s"),
            R"({"mode": "spritesheet", "imageCount": 9, "interval": "2s", "loop": true, )"
            R"("preload": "none"})");
  EXPECT_THAT(outcome.jsonc, HasSubstr("// nine // pictures\n"));
  EXPECT_EQ(VerdictAt(outcome, "/derivatives/s/frames"), Verdict::kChanged);
  EXPECT_EQ(VerdictAt(outcome, "/derivatives/s/loop"), Verdict::kConverted);
}

TEST(Import, CacheSettings) {
  const ImportOutcome outcome =
      ImportText(R"({"cache": {"enableKVCache": false, "ttl": {"ok": 60, "serverError": 5},
     "kvTtl": {"ok": 50}, "bypassQueryParameters": ["nocache", "debug"], "storeIndefinitely": true, "staleIfError": 7,
     "cacheTagPrefix": "p-", "maxSizeBytes": 5}})");
  const Node root = Result(outcome);
  EXPECT_EQ(At(root, "/cache/enableKVCache"), "false");
  EXPECT_EQ(At(root, "/cache/kvTtl"), R"({"ok": 50, "serverError": 5})");
  EXPECT_EQ(At(root, "/cache/bypassQueryParameters"), R"(["nocache"])");
  EXPECT_EQ(At(root, "/cache/staleIfError"), "7");
  EXPECT_EQ(VerdictAt(outcome, "/cache/ttl/ok"), Verdict::kDropped);
  EXPECT_EQ(VerdictAt(outcome, "/cache/bypassQueryParameters"), Verdict::kChanged);
  EXPECT_EQ(VerdictAt(outcome, "/cache/storeIndefinitely"), Verdict::kDropped);
  EXPECT_EQ(At(root, "/cache/tagPrefix"), "\"p-\"");
  EXPECT_EQ(VerdictAt(outcome, "/cache/cacheTagPrefix"), Verdict::kChanged);
  const ImportOutcome none = ImportText(R"({"cache": {"cacheTagPrefix": ""}})");
  EXPECT_EQ(At(Result(none), "/cache"), "");
  EXPECT_EQ(VerdictAt(none, "/cache/cacheTagPrefix"), Verdict::kConverted);
}

TEST(Import, NamesOfDebugThatAreOursTooAreConverted) {
  const ImportOutcome ours = ImportText(
      R"({"debug": {"debugQueryParam": "debug", "debugViewParam": "view", "debugHeaders": ["X-Debug", "debug"]}})");
  const ImportOutcome others = ImportText(
      R"({"debug": {"debugQueryParam": "dbg", "debugViewParam": "v", "debugHeaders": ["X-Debug", "X-Why"]}})");
  for (const char* key : {"debugQueryParam", "debugViewParam", "debugHeaders"}) {
    const std::string pointer = std::string("/debug/") + key;
    EXPECT_EQ(VerdictAt(ours, pointer), Verdict::kConverted) << key;
    EXPECT_EQ(VerdictAt(others, pointer), Verdict::kDropped) << key;
    EXPECT_THAT(LineAt(others, pointer)->why, HasSubstr("fixed"));
  }
}

TEST(Import, DebugEnabledDoesNotSwitchTheCachesOff) {
  const ImportOutcome outcome =
      ImportText(R"({"debug": {"enabled": true, "allowedIps": ["10.0.0.1", "10.0.0.0/8"]}})");
  EXPECT_EQ(At(Result(outcome), "/debug"), R"({"allowedAddresses": ["10.0.0.1"]})");
  EXPECT_EQ(VerdictAt(outcome, "/debug/enabled"), Verdict::kChanged);
}

// --- wrangler ---

TEST(Import, R104_VariablesAreTypedAndStrongerThanTheFile) {
  ImportRequest request;
  request.main = {"w", R"({"cache": {"enableKVCache": true, "ttl": {"ok": 5}}})"};
  request.wrangler = Document{
      "v", R"({"vars": {"CACHE_ENABLE_KV": "false", "CACHE_KV_TTL_OK": "77", "CACHE_DEBUG": "x",
      "CACHE_BYPASS_PARAMS": "a, debug ,b", "LOG_LEVEL": "Silent", "OTHER": "x"}})"};
  const ImportOutcome outcome = Import(request);
  const Node root = Result(outcome);
  EXPECT_EQ(
      At(root, "/cache"),
      R"({"enableKVCache": false, "kvTtl": {"ok": 77}, "bypassQueryParameters": ["a", "b"]})");
  EXPECT_EQ(At(root, "/log/level"), "\"off\"");
  EXPECT_EQ(LineAt(outcome, "/cache/ttl/ok")->why,
            "v /vars/CACHE_KV_TTL_OK says it too and is stronger");
  EXPECT_EQ(LineAt(outcome, "/vars/OTHER")->why, "no key of ours, and nothing here refers to it");
  request.wrangler->text = R"({"vars": {"CACHE_ENABLE_KV": "perhaps", "CACHE_KV_TTL_OK": "soon"}})";
  EXPECT_EQ(Import(request).problems.size(), 2u);
}

TEST(Import, TheCachesBindingBecomesTheNamespace) {
  const auto space = [](const std::string& text) {
    return At(Result(ImportText(text)), "/cache/kvNamespace");
  };
  EXPECT_EQ(
      space(
          R"({"kv_namespaces": [{"binding": "A", "id": "1"}, {"binding": "VIDEO_TRANSFORMATIONS_CACHE", "id": "2f"}]})"),
      R"({"binding": "VIDEO_TRANSFORMATIONS_CACHE", "id": "2f"})");
  EXPECT_EQ(
      space(R"({"vars": {"CACHE_KV_NAME": "A"}, "kv_namespaces": [{"binding": "A", "id": "1"}]})"),
      R"({"binding": "A", "id": "1"})");
  EXPECT_EQ(
      space(
          R"({"kv_namespaces": [{"binding": "VIDEO_TRANSFORMATIONS_CACHE", "id": "<your id>"}]})"),
      R"({"binding": "VIDEO_TRANSFORMATIONS_CACHE"})");
}

TEST(Import, SectionsOfEnvReplaceWhatTheyDoNotInherit) {
  const std::string text =
      R"({"account_id": "ac", "r2_buckets": [{"binding": "TOP", "bucket_name": "t"}], "vars": {"LOG_LEVEL": "info"},
    "env": {"a": {"vars": {"LOG_LEVEL": "error"}}, "b": {}}})";
  const auto log = [&](const std::string& environment) {
    return Import({.main = {"w", text}, .environment = environment});
  };
  EXPECT_EQ(At(Result(log("")), "/log/level"), "\"info\"");
  EXPECT_EQ(At(Result(log("")), "/buckets/TOP/endpoint"),
            "\"https://ac.r2.cloudflarestorage.com\"");
  EXPECT_EQ(At(Result(log("a")), "/log/level"), "\"error\"");
  EXPECT_EQ(At(Result(log("a")), "/buckets"), "");
  EXPECT_EQ(At(Result(log("b")), "/log"), "");
  EXPECT_THAT(Lines(log("c").problems),
              ElementsAre(HasSubstr("found no section \"c\" (--env), allowed: one of: a, b")));
  EXPECT_THAT(Lines(Import({.main = {"w", R"({"origins": []})"}, .environment = "a"}).problems),
              ElementsAre(HasSubstr("for --env to choose from")));
}

TEST(Import, PathPatternsOfAVariableAreRead) {
  const ImportOutcome outcome = ImportText(
      R"({"vars": {"PATH_PATTERNS": "[{\"name\": \"p\", \"matcher\": \"^/p/\", \"originUrl\": \"https://h\"}]", "VIDEO_DEFAULT_QUALITY": "low"}})");
  const Node root = Result(outcome);
  EXPECT_EQ(
      At(root, "/origins"),
      R"([{"name": "p", "matcher": "^/p/", "sources": [{"type": "http", "url": "https://h", "priority": 0}], "quality": "low"}])");
  const ImportOutcome broken = ImportText(R"({"vars": {"PATH_PATTERNS": "[{"}})");
  EXPECT_THAT(Lines(broken.problems), Contains(HasSubstr("in PATH_PATTERNS:1:")));
  const ImportOutcome list = ImportText(
      R"({"vars": {"PATH_PATTERNS": [{"name": "p", "matcher": "^/p/", "originUrl": "https://h"}]}})");
  EXPECT_EQ(At(Result(list), "/origins/0/name"), "\"p\"");
  // Without a URL and without a storage there is nothing to ask.
  EXPECT_FALSE(
      ImportText(R"({"pathPatterns": [{"name": "p", "matcher": "^/"}]})").problems.empty());
}

// --- whatever comes in ---

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  std::string Value(int depth) {
    static const std::vector<std::string> kKeys = {
        "video",       "origins",     "items",         "name",          "matcher",
        "sources",     "type",        "url",           "path",          "auth",
        "enabled",     "headers",     "params",        "ttl",           "ok",
        "derivatives", "width",       "passthrough",   "formats",       "whitelistedFormats",
        "responsive",  "breakpoints", "maxWidth",      "derivative",    "cache",
        "vars",        "env",         "r2_buckets",    "kv_namespaces", "binding",
        "id",          "bucket_name", "PATH_PATTERNS", "pathPatterns",  "storage",
        "r2",          "remoteUrl",   "priority",      "captureGroups", "processPath",
        "x/~y"};
    static const std::vector<std::string> kScalars = {"null",
                                                      "true",
                                                      "false",
                                                      "0",
                                                      "-1",
                                                      "1e3",
                                                      "1e999",
                                                      "1.5",
                                                      "\"\"",
                                                      "\"r2\"",
                                                      "\"remote\"",
                                                      "\"fallback\"",
                                                      "\"https://h/a\"",
                                                      "\"https://${a}.h/\"",
                                                      "\"https://u:p@h/?q\"",
                                                      "\"http://\"",
                                                      "\"^/(\"",
                                                      "\".*\"",
                                                      "\"${x}\"",
                                                      "\"$\"",
                                                      "\"aws-s3\"",
                                                      "\"bearer\"",
                                                      "\"header\"",
                                                      "\"a b\"",
                                                      "\"[{\\\"name\\\": 1}]\"",
                                                      "\"\\u2028//\\n*/\"",
                                                      "\"low\"",
                                                      "\"kv\""};
    switch (depth <= 0 ? 0 : Below(4)) {
      case 1: {
        std::string out = "[";
        for (size_t n = Below(4); n > 0; --n) out += Value(depth - 1) + (n > 1 ? "," : "");
        return out + "]";
      }
      case 2:
      case 3: {
        std::string out = "{";
        std::set<std::string> used;
        for (size_t n = Below(6); n > 0; --n) {
          const std::string& key = kKeys[Below(kKeys.size())];
          if (!used.insert(key).second) continue;
          out += (used.size() > 1 ? "," : "") + config::Quote(key) + ":" + Value(depth - 1);
        }
        return out + "}";
      }
      default:
        return kScalars[Below(kScalars.size())];
    }
  }

  /// One value of the tree is replaced or moved.
  void Mutate(Node& node, int depth) {
    const size_t n = node.items.size() + node.members.size();
    if (n == 0 || Below(4) == 0 || depth == 0) {
      node = config::ParseJsonc(Value(2), "x").root;
      return;
    }
    const size_t i = Below(n);
    Mutate(i < node.items.size() ? node.items[i] : node.members[i - node.items.size()].value,
           depth - 1);
  }

 private:
  std::mt19937 random_;
};

void ExpectSound(const ImportRequest& request, unsigned seed) {
  SCOPED_TRACE(seed);
  const ImportOutcome outcome = Import(request);
  ToText(outcome.report);
  if (!outcome.problems.empty()) {
    EXPECT_EQ(outcome.jsonc, "");
    return;
  }
  EXPECT_THAT(Lines(config::ParseJsonc(outcome.jsonc, "r").problems), IsEmpty()) << outcome.jsonc;
  std::vector<Document> documents{request.main};
  if (request.wrangler) documents.push_back(*request.wrangler);
  ExpectEveryLeafOnce(outcome, documents);
}

TEST(Import, AnyJsonEitherHasProblemsOrIsAccountedFor) {
  int imported = 0;
  for (unsigned seed = 1; seed <= 4000; ++seed) {
    Generator generator(seed);
    const std::string text =
        "{\"derivatives\":{}," + generator.Value(5).insert(0, "\"video\":") + "}";
    ExpectSound({.main = {"m", text}}, seed);
    ExpectSound({.main = {"m", generator.Value(6)}, .wrangler = Document{"w", generator.Value(6)}},
                seed);
    imported += Import({.main = {"m", text}}).problems.empty() ? 1 : 0;
    if (HasFailure()) break;
  }
  EXPECT_GT(imported, 100);
}

TEST(Import, DamagedShippedConfigurationsEitherHaveProblemsOrAreAccountedFor) {
  int imported = 0;
  for (const Case& c : Cases()) {
    const Node root = config::ParseJsonc(Shipped(c.main).text, "x").root;
    for (unsigned seed = 1; seed <= 150; ++seed) {
      Generator generator(seed);
      Node damaged = root;
      for (size_t n = 1 + generator.Below(3); n > 0; --n) generator.Mutate(damaged, 6);
      ImportRequest request{.main = {"m", config::WriteJson(damaged)}};
      if (!c.wrangler.empty()) request.wrangler = Shipped(c.wrangler);
      ExpectSound(request, seed);
      imported += Import(request).problems.empty() ? 1 : 0;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(imported, 100);
}

}  // namespace
}  // namespace vr::import
