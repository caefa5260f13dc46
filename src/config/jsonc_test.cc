#include "config/jsonc.h"

#include <gtest/gtest.h>

#include "config/object.h"

namespace vr::config {
namespace {

TEST(Jsonc, ReadsCommentsAndTrailingCommas) {
  const Parsed parsed = ParseJsonc(R"({ // a comment
    /* and
       another */ "a": [1, 2.5, -3e2,], "b": {"c": "x\u00e9\ud83d\ude00\n//no comment",}, "d": null, "e": true,
  })",
                                   "f");
  ASSERT_TRUE(parsed.problems.empty()) << parsed.problems[0].ToString();
  EXPECT_EQ(WriteJsonLine(parsed.root),
            "{\"a\": [1, 2.5, -3e2], \"b\": {\"c\": \"x\u00e9\U0001F600\\n//no comment\"}, \"d\": "
            "null, \"e\": true}");
}

TEST(Jsonc, EveryNodeKnowsWhereItWasWritten) {
  const Parsed parsed =
      ParseJsonc("{\n  \"\u00e9\": 1, \"b\": [true,\n\t{\"c\": \"x\"}]\n}", "conf");
  const Node& root = parsed.root;
  EXPECT_EQ(root.place.line, 1);
  const Place first = PlaceAt(root, "/\u00e9");
  EXPECT_EQ(first.line, 2);
  EXPECT_EQ(first.column, 8);  // characters, not bytes
  const Place c = PlaceAt(root, "/b/1/c");
  EXPECT_EQ(c.line, 3);
  EXPECT_EQ(c.column, 8);
  EXPECT_EQ(c.source, "conf");
  const Place ancestor = PlaceAt(root, "/b/7/none");
  EXPECT_EQ(ancestor.line, 2);
  EXPECT_EQ(ancestor.column, 16);
}

struct Case {
  const char* text;
  std::vector<std::string> problems;
};

TEST(Jsonc, SaysExactlyWhatIsWrongAndWhere) {
  const std::string value = R"(a JSON value ("text", 12, 1.5, true, false, null, [...] or {...}))";
  const std::vector<Case> cases = {
      {"", {"f:1:1: /: found an empty document, allowed: a JSON object"}},
      {"  // only this\n", {"f:2:1: /: found an empty document, allowed: a JSON object"}},
      {"{\"a\": 1}\n{", {"f:2:1: /: found \"{\", allowed: nothing after the document's end"}},
      {"{\"a\": 01}", {"f:1:7: /a: found \"01\", allowed: " + value}},
      {"{\"a\": +1, \"b\": .5, \"c\": 1., \"d\": 0x1F, \"e\": NaN}",
       {"f:1:7: /a: found \"+1\", allowed: " + value, "f:1:16: /b: found \".5\", allowed: " + value,
        "f:1:25: /c: found \"1.\", allowed: " + value,
        "f:1:34: /d: found \"0x1F\", allowed: " + value,
        "f:1:45: /e: found \"NaN\", allowed: " + value}},
      {"{\"a\": True, \"b\": yes}",
       {"f:1:7: /a: found \"True\", allowed: " + value,
        "f:1:18: /b: found \"yes\", allowed: " + value}},
      {"{a: 1,\n 'b': 2, \"c\": 3}",
       {"f:1:2: /: found \"a\", allowed: a key in double quotes",
        "f:2:2: /: found \"'\", allowed: a key in double quotes"}},
      {"{\"a\" 1, \"b\": 2}", {"f:1:6: /a: found \"1\", allowed: \":\" and a value"}},
      {"{\"a\": 1 \"b\": 2 \"c\": x}",
       {"f:1:9: /: found \"\\\"\", allowed: \",\" or \"}\"",
        "f:1:16: /: found \"\\\"\", allowed: \",\" or \"}\"",
        "f:1:21: /c: found \"x\", allowed: " + value}},
      {"{\"a\": [1 2]}", {"f:1:10: /a: found \"2\", allowed: \",\" or \"]\""}},
      {"{\"a\": 1,, \"b\": 2}", {"f:1:9: /: found \",\", allowed: a member or \"}\""}},
      {"{\"a\": }", {"f:1:7: /a: found \"}\", allowed: " + value}},
      {"{\"a\": \"x\n, \"b\": 1}",
       {"f:1:7: /a: found a string without end, allowed: a closing \" on the same line"}},
      {"{\"a\": \"\\x\"}",
       {R"(f:1:8: /a: found the escape \x, allowed: \" \\ \/ \b \f \n \r \t or \uXXXX (a whole character, not NUL))"}},
      {"{\"a\": \"\\ud800\"}",
       {R"(f:1:8: /a: found the escape \ud800, allowed: \" \\ \/ \b \f \n \r \t or \uXXXX (a whole character, not NUL))"}},
      {"{\"a\": \"x\ty\"}",
       {"f:1:9: /a: found a control character in a string, allowed: an escape such as \\t or "
        "\\u0009"}},
      {"{\n  \"a\": 1,\n  \"b\": {\"a\": 2, \"a\": 3},\n  \"a\": 4\n}",
       {"f:3:17: /b/a: found the key \"a\" again (first in line 3), allowed: each key once",
        "f:4:3: /a: found the key \"a\" again (first in line 2), allowed: each key once"}},
      {"{\"a\": {\n\"b\": 1",
       {"f:2:7: /a: found the end of the text, allowed: \"}\" to close what was opened in line 1"}},
      {"{ /* \n",
       {"f:1:3: /: found a comment without end, allowed: /* ... */",
        "f:2:1: /: found the end of the text, allowed: \"}\" to close what was opened in line 1"}},
      {"{\n \"a\": \"\xC3\xA9\xFF\"}", {"f:2:9: /: found byte 0xff, allowed: UTF-8 text"}},
  };
  for (const Case& c : cases) {
    std::vector<std::string> got;
    for (const Problem& p : ParseJsonc(c.text, "f").problems) got.push_back(p.ToString());
    EXPECT_EQ(got, c.problems) << c.text;
  }
}

TEST(Jsonc, DepthIsBounded) {
  const Parsed fine = ParseJsonc(std::string(60, '[') + std::string(60, ']'), "f");
  EXPECT_TRUE(fine.usable);
  const Parsed deep = ParseJsonc(std::string(100'000, '['), "f");
  ASSERT_EQ(deep.problems.size(), 1u);
  EXPECT_EQ(deep.problems[0].place.column, 65);
  EXPECT_FALSE(deep.usable);
}

TEST(Jsonc, NeverHangsOrCrashesOnDamagedText) {
  const std::string good =
      R"({"a": [1, {"b": "c\n"}, null], /* x */ "d": {"e": true, "f": [[], {}]}, // y
      "g": "\u00e9", "h": -1.5e3,})";
  for (size_t cut = 0; cut <= good.size(); ++cut) {
    (void)ParseJsonc(good.substr(0, cut), "f");
    for (const char c : std::string("{}[]\",:\\/x1 \n\xFF")) {
      std::string damaged = good;
      if (cut < damaged.size()) damaged[cut] = c;
      const Parsed parsed = ParseJsonc(damaged, "f");
      EXPECT_LE(parsed.problems.size(), kMaxSyntaxProblems);
      if (!parsed.usable) {
        EXPECT_FALSE(parsed.problems.empty());
      }
    }
  }
}

TEST(Jsonc, Utf8IsCheckedByTheRules) {
  EXPECT_EQ(FindInvalidUtf8("a\u00e9\u20ac\U0001F600"), std::string_view::npos);
  EXPECT_EQ(FindInvalidUtf8("ab\xC0\xAF"), 2u);        // overlong
  EXPECT_EQ(FindInvalidUtf8("\xE0\x80\x80"), 0u);      // overlong
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("x\xE2\x82"), 1u);         // cut
}

}  // namespace
}  // namespace vr::config
