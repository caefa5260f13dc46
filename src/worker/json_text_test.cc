#include "worker/json_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace vr::worker {
namespace {

TEST(JsonText, WritesObjectsAndListsInOrder) {
  JsonText json;
  json.Add("b", 1);
  json.Add("a", 2.5);
  json.OpenList("list");
  json.AddToList("x");
  json.OpenObjectInList();
  json.Add("yes", true);
  json.Close();
  json.Close();
  json.OpenObject("empty");
  EXPECT_EQ(
      std::move(json).Finish(),
      "{\n  \"b\": 1,\n  \"a\": 2.5,\n  \"list\": [\n    \"x\",\n    {\n      \"yes\": true\n    "
      "}\n  ],\n  \"empty\": {}\n}\n");
}

TEST(JsonText, NumbersAreShortAndNeverNonsense) {
  JsonText json;
  json.Add("a", 29.97002997);
  json.Add("b", -0.0000001);
  json.Add("c", std::nan(""));
  json.Add("d", 3.0);
  json.Add("e", int64_t{-9'000'000'000});
  EXPECT_EQ(
      std::move(json).Finish(),
      "{\n  \"a\": 29.97003,\n  \"b\": 0,\n  \"c\": null,\n  \"d\": 3,\n  \"e\": -9000000000\n}\n");
}

TEST(JsonText, StringsCannotBreakOut) {
  JsonText json;
  json.Add("k\"",
           "a\"b\\c\n\x01\x7F"
           "é\xFF\xC0\x80\xED\xA0\x80");
  EXPECT_EQ(std::move(json).Finish(),
            "{\n  \"k\\\"\": \"a\\\"b\\\\c\\u000a\\u0001\\u007fé"
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"\n}\n");
}

TEST(CleanText, IsCutBetweenCharacters) {
  EXPECT_EQ(CleanText("héllo", 2), "h");
  EXPECT_EQ(CleanText("héllo", 3), "hé");
  EXPECT_EQ(CleanText("a\nb\x7F", 10), "a b ");
  EXPECT_EQ(CleanText("\xC3", 10), "\xEF\xBF\xBD");
  EXPECT_EQ(CleanText(std::string(500, 'x'), 200).size(), 200u);
}

}  // namespace
}  // namespace vr::worker
