#include "config/object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/jsonc.h"
#include "config/overrides.h"

namespace vr::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

enum class Colour { kRed, kBlue };

struct Leaf {
  std::string name;
  int size = 3;
  bool operator==(const Leaf&) const = default;
};

struct Things {
  std::string text = "default";
  std::string secret;
  std::string pattern;
  bool flag = true;
  int count = 5;
  double ratio = 0.5;
  uint64_t bytes = 64 << 20;
  std::chrono::seconds ttl{60};
  std::chrono::milliseconds wait{500};
  std::optional<std::chrono::seconds> maybe;
  Colour colour = Colour::kRed;
  std::vector<std::string> words = {"a", "b"};
  std::vector<Leaf> leaves;
  std::map<std::string, Leaf, std::less<>> named;
  std::map<std::string, std::string, std::less<>> keys;
  Leaf nested;
  std::optional<Leaf> optional;
};

void BindLeaf(Object& o, Leaf& leaf) {
  o.Field("name", leaf.name, {.required = true, .min_length = 1, .allowed = "a name"});
  o.Field("size", leaf.size, {1, 10});
}

void Bind(Object& o, Things& t) {
  o.Field("text", t.text);
  o.Field("secret", t.secret, {.secret = true, .max_length = 64, .allowed = "at most 64 bytes"});
  o.Field("pattern", t.pattern, {.raw = true});
  o.Field("flag", t.flag);
  o.Field("count", t.count, {0, 100});
  o.Field("ratio", t.ratio, {0, 1});
  o.Bytes("bytes", t.bytes, {.min = 1, .max = 1ull << 30});
  o.Duration("ttl", t.ttl, {0s, 31536000s});
  o.Duration("waitTime", t.wait, {0ms, 600s});
  o.Duration("maybe", t.maybe);
  o.Enum("colour", t.colour, {{"red", Colour::kRed}, {"blue", Colour::kBlue}});
  o.Strings("words", t.words, {.max_length = 8, .allowed = "at most 8 bytes"});
  o.List("leaves", t.leaves, BindLeaf);
  o.Map("named", t.named, BindLeaf);
  o.Texts("keys", t.keys, {.secret = true, .min_length = 1, .allowed = "a key"});
  o.Nested("nested", [&](Object& n) { n.Field("size", t.nested.size, {1, 10}); });
  o.Optional("optional", t.optional, BindLeaf);
}

struct Outcome {
  Things things;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
};

Outcome Load(std::string_view text, std::map<std::string, std::string> environment = {}) {
  Outcome out;
  Session session;
  Parsed parsed = ParseJsonc(text, "f");
  session.problems = std::move(parsed.problems);
  for (const Override& item : FromEnvironment(environment, "T_", session.problems)) {
    Apply(parsed.root, item, session.problems);
  }
  session.environment = std::move(environment);
  Object root(session, &parsed.root, nullptr);
  Bind(root, out.things);
  root.Finish();
  for (const Problem& p : session.problems) out.problems.push_back(p.ToString());
  for (const Problem& p : session.warnings) out.warnings.push_back(p.ToString());
  return out;
}

std::string Print(Things things) {
  Session session;
  session.mode = Mode::kPrint;
  Node out;
  Object root(session, nullptr, &out);
  Bind(root, things);
  return WriteJson(out);
}

TEST(Object, DefaultsStayWhereNothingIsSet) {
  const Outcome out = Load("{}");
  EXPECT_THAT(out.problems, IsEmpty());
  EXPECT_EQ(out.things.text, "default");
  EXPECT_EQ(out.things.wait, 500ms);
  EXPECT_FALSE(out.things.maybe);
  EXPECT_FALSE(out.things.optional);
}

TEST(Object, ReadsEveryType) {
  const Outcome out =
      Load(R"({"text": "x", "flag": false, "count": 7, "ratio": 0.25, "bytes": "1MiB", "ttl": "2h",
      "waitTime": "250ms", "maybe": 9, "colour": "blue", "words": ["x"], "leaves": [{"name": "n"}, {"name": "m", "size": 2}],
      "named": {"k": {"name": "v"}}, "nested": {"size": 9}, "optional": {"name": "o"}, "keys": {"k1": "${K}"}})",
           {{"K", "key"}});
  EXPECT_THAT(out.problems, IsEmpty());
  EXPECT_FALSE(out.things.flag);
  EXPECT_EQ(out.things.count, 7);
  EXPECT_EQ(out.things.ratio, 0.25);
  EXPECT_EQ(out.things.bytes, 1u << 20);
  EXPECT_EQ(out.things.ttl, 2h);
  EXPECT_EQ(out.things.wait, 250ms);
  EXPECT_EQ(out.things.maybe, 9s);
  EXPECT_EQ(out.things.colour, Colour::kBlue);
  EXPECT_THAT(out.things.words, ElementsAre("x"));
  EXPECT_THAT(out.things.leaves, ElementsAre(Leaf{"n", 3}, Leaf{"m", 2}));
  EXPECT_EQ(out.things.named.at("k"), (Leaf{"v", 3}));
  EXPECT_EQ(out.things.nested.size, 9);
  EXPECT_EQ(out.things.optional, (Leaf{"o", 3}));
  EXPECT_EQ(out.things.keys.at("k1"), "key");
}

TEST(Object, ReportsEverythingAtOnceWithPlacesAndKeepsDefaults) {
  const Outcome out = Load(R"({
  "text": 5,
  "flag": "false",
  "count": 101,
  "ratio": "x",
  "bytes": "0",
  "ttl": "abc",
  "waitTime": -1,
  "colour": "green",
  "words": ["fine", 7, "far too long"],
  "leaves": [{"name": "ok"}, {"size": 99}, 3],
  "named": {"a/b": {"name": ""}},
  "nested": [],
  "cuont": 1,
  "named2": {}
})");
  EXPECT_THAT(
      out.problems,
      ElementsAre(
          "f:2:11: /text: found 5, allowed: a string",
          "f:3:11: /flag: found \"false\", allowed: true or false",
          "f:4:12: /count: found 101, allowed: whole numbers 0..100",
          "f:5:12: /ratio: found \"x\", allowed: numbers 0..1",
          "f:6:12: /bytes: found \"0\", allowed: bytes 1B..1GiB: a whole number, or \"64MiB\", "
          "\"1.5GB\"",
          "f:7:10: /ttl: found \"abc\", allowed: whole seconds 0..31536000 or \"30s\", \"10m\", "
          "\"2h\", \"7d\"",
          "f:8:15: /waitTime: found -1, allowed: seconds 0..600 or \"500ms\", \"30s\", \"10m\", "
          "\"2h\"",
          "f:9:13: /colour: found \"green\", allowed: \"red\", \"blue\"",
          "f:10:21: /words/1: found 7, allowed: at most 8 bytes",
          "f:10:24: /words/2: found \"far too long\", allowed: at most 8 bytes",
          "f:11:30: /leaves/1/name: found nothing, allowed: a name (required)",
          "f:11:39: /leaves/1/size: found 99, allowed: whole numbers 1..10",
          "f:11:44: /leaves/2: found 3, allowed: an object { ... }",
          "f:12:29: /named/a~1b/name: found \"\", allowed: a name",
          "f:13:13: /nested: found an array, allowed: an object { ... }",
          "f:14:3: /cuont: found the unknown key \"cuont\", allowed: did you mean \"count\"?",
          "f:15:3: /named2: found the unknown key \"named2\", allowed: did you mean \"named\"?"));
  EXPECT_EQ(out.things.count, 5);
  EXPECT_EQ(out.things.text, "default");
}

TEST(Object, TheEnvironmentIsTypedExactlyLikeTheFile) {
  const Outcome out = Load(
      R"({"flag": true, "nested": {"size": 2}, "leaves": [{"name": "a"}], "named": {"Mobile": {"name": "m"}}})",
      {{"T_FLAG", "false"},
       {"T_COUNT", "42"},
       {"T_BYTES", "2MiB"},
       {"T_WAITTIME", "1500ms"},
       {"T_NESTED__SIZE", "4"},
       {"T_WORDS", "x, y ,z"},
       {"T_LEAVES__0__SIZE", "7"},
       {"T_LEAVES__1__NAME", "b"},
       {"T_NAMED__MOBILE__SIZE", "8"},
       {"T_TEXT", "[::]:8080"},
       {"T_OPTIONAL", R"({"name": "from json"})"},
       {"UNRELATED", "x"}});
  EXPECT_THAT(out.problems, IsEmpty());
  EXPECT_FALSE(out.things.flag);
  EXPECT_EQ(out.things.count, 42);
  EXPECT_EQ(out.things.bytes, 2u << 20);
  EXPECT_EQ(out.things.wait, 1500ms);
  EXPECT_EQ(out.things.nested.size, 4);
  EXPECT_THAT(out.things.words, ElementsAre("x", "y", "z"));
  EXPECT_THAT(out.things.leaves, ElementsAre(Leaf{"a", 7}, Leaf{"b", 3}));
  EXPECT_EQ(out.things.named.at("Mobile"), (Leaf{"m", 8}));
  EXPECT_EQ(out.things.text, "[::]:8080");
  EXPECT_EQ(out.things.optional, (Leaf{"from json", 3}));
}

TEST(Object, ProblemsOfTheEnvironmentNameTheVariable) {
  const Outcome out = Load(R"({"text": "x"})", {{"T_COUNT", "many"},
                                                {"T_FLAG", "maybe"},
                                                {"T_TEXT__DEEPER", "x"},
                                                {"T_CUONT", "1"},
                                                {"T_NESTED__SISE", "1"},
                                                {"T_LEAVES__5__NAME", "x"},
                                                {"T_NAMED", "{\"a\": {\"name\": 1}}"},
                                                {"T_", "x"},
                                                {"T_A____B", "x"},
                                                {"T_SECRET", std::string(65, 's')}});
  EXPECT_THAT(
      out.problems,
      testing::UnorderedElementsAre(
          "environment T_COUNT: /count: found \"many\", allowed: whole numbers 0..100",
          "environment T_FLAG: /flag: found \"maybe\", allowed: true or false",
          "environment T_TEXT__DEEPER: /text/deeper: found a setting inside a string, allowed: one "
          "inside an object or "
          "a list",
          "environment T_CUONT: /cuont: found the unknown setting \"cuont\", allowed: did you mean "
          "\"count\"?",
          "environment T_NESTED__SISE: /nested/sise: found the unknown setting \"sise\", allowed: "
          "did you mean \"size\"?",
          "environment T_LEAVES__5__NAME: /leaves/5: found the list index \"5\", allowed: whole "
          "numbers 0..0",
          "environment T_NAMED: /named/a/name: found 1, allowed: a name",
          "environment T_: /: found the name \"T_\", allowed: T_<KEY>, with __ between the levels",
          "environment T_A____B: /: found the name \"T_A____B\", allowed: T_<KEY>, with __ between "
          "the levels",
          "environment T_SECRET: /secret: found a secret of 65 bytes, allowed: at most 64 bytes"));
}

TEST(Object, ReferencesToTheEnvironmentAreResolvedOrReported) {
  const Outcome out =
      Load(R"({"text": "<${A}|${B:-none}|$${A}>", "count": "${N}", "flag": "${F}", "words": "${W}",
                               "pattern": "^/${path}$"})",
           {{"A", "1"}, {"N", "12"}, {"F", "false"}, {"W", "p,q"}});
  EXPECT_THAT(out.problems, IsEmpty());
  EXPECT_EQ(out.things.text, "<1|none|${A}>");
  EXPECT_EQ(out.things.count, 12);
  EXPECT_FALSE(out.things.flag);
  EXPECT_THAT(out.things.words, ElementsAre("p", "q"));
  EXPECT_EQ(out.things.pattern, "^/${path}$");

  EXPECT_THAT(Load(R"({"text": "${NOPE} ${A B} ${NO2}", "secret": "${open"})").problems,
              ElementsAre("f:1:10: /text: found ${NOPE}, which is not set, allowed: a variable of "
                          "the environment, or "
                          "${NOPE:-default}",
                          HasSubstr("found the reference ${A B}"),
                          HasSubstr("found ${NO2}, which is not set"),
                          HasSubstr("/secret: found a ${ without }")));
}

TEST(Object, SecretsAreMaskedEverywhere) {
  const Outcome out = Load(R"({"secret": "hunter2hunter2", "keys": {"k": "hunter3"}})");
  ASSERT_THAT(out.warnings,
              ElementsAre(HasSubstr("f:1:12: /secret: found a secret written in the file"),
                          HasSubstr("f:1:44: /keys/k: found a secret written in the file")));
  const std::string printed = Print(out.things);
  EXPECT_THAT(printed, testing::Not(HasSubstr("hunter")));
  EXPECT_THAT(printed, HasSubstr("\"secret\": \"********\""));
  // What was printed is not a configuration with eight stars as its password.
  EXPECT_THAT(Load(printed).problems,
              testing::Contains(HasSubstr("/secret: found the mask of `config print`")));
  EXPECT_THAT(
      Load("{\"secret\": \"hunter" + std::string(100, '2') + "\"}").problems,
      ElementsAre("f:1:12: /secret: found a secret of 106 bytes, allowed: at most 64 bytes"));
}

TEST(Object, WhatIsPrintedLoadsToTheSame) {
  Things things =
      Load(
          R"({"text": "a $${b} \"c\"\n", "maybe": "90m", "words": ["$${x}"], "leaves": [{"name": "n"}],
                           "named": {"k": {"name": "v"}}, "optional": {"name": "o"}, "pattern": "${p}"})")
          .things;
  const std::string once = Print(things);
  const Outcome again = Load(once);
  EXPECT_THAT(again.problems, IsEmpty());
  EXPECT_EQ(Print(again.things), once);
  EXPECT_EQ(again.things.text, "a ${b} \"c\"\n");
}

TEST(Object, DescribesEveryKey) {
  Session session;
  session.mode = Mode::kDescribe;
  Object root(session, nullptr, nullptr);
  Things things;
  Bind(root, things);
  std::vector<std::string> paths;
  for (const KeyInfo& key : session.keys) paths.push_back(key.path);
  EXPECT_THAT(paths, ElementsAre("text", "secret", "pattern", "flag", "count", "ratio", "bytes",
                                 "ttl", "waitTime", "maybe", "colour", "words", "leaves[].name",
                                 "leaves[].size", "named.*.name", "named.*.size", "keys.*",
                                 "nested.size", "optional.name", "optional.size"));
  EXPECT_EQ(session.keys[6].default_value, "\"64MiB\"");
  EXPECT_EQ(session.keys[9].default_value, "");
}

TEST(Overrides, AssignmentsOfFlags) {
  std::vector<std::string> path;
  std::string value;
  ASSERT_TRUE(ParseAssignment("cache.edge.maxBytes=a=b", path, value));
  EXPECT_THAT(path, ElementsAre("cache", "edge", "maxBytes"));
  EXPECT_EQ(value, "a=b");
  EXPECT_FALSE(ParseAssignment("cache", path, value));
  EXPECT_FALSE(ParseAssignment("cache..x=1", path, value));
  EXPECT_FALSE(ParseAssignment("=1", path, value));
}

}  // namespace
}  // namespace vr::config
