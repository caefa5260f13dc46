#include "observe/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

namespace vr {
namespace {

std::string Json(std::string_view text) {
  std::string out = "x";
  AppendJsonString(out, text);
  EXPECT_EQ(out[0], 'x') << "it appends";
  return out.substr(1);
}

TEST(AppendJsonString, EscapesWhatJsonForbids) {
  EXPECT_EQ(Json(""), "\"\"");
  EXPECT_EQ(Json("plain /text"), "\"plain /text\"");
  EXPECT_EQ(Json("\"\\"), R"("\"\\")");
  EXPECT_EQ(Json("\n\r\t"), R"("\n\r\t")");
  EXPECT_EQ(Json(std::string_view("\0\x01\x1f\x7f", 4)), R"("\u0000\u0001\u001f\u007f")");
}

TEST(AppendJsonString, KeepsGoodUtf8) {
  for (const char* text :
       {"caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xac", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(Json(text), '"' + std::string(text) + '"');
  }
}

TEST(AppendJsonString, ReplacesBadUtf8ByteByByte) {
  const std::string bad = "\xef\xbf\xbd";
  const std::pair<std::string, int> table[] = {
      {"\x80", 1},  // continuation alone
      {"\xff", 1},
      {"\xc3", 1},  // cut
      {"\xe2\x82", 2},
      {"\xf0\x9f\x8e", 3},
      {"\xc0\xaf", 2},  // over-long
      {"\xc1\xbf", 2},
      {"\xe0\x9f\xbf", 3},
      {"\xf0\x8f\xbf\xbf", 4},
      {"\xed\xa0\x80", 3},      // surrogate
      {"\xf4\x90\x80\x80", 4},  // above U+10FFFF
      {"\xf5\x80\x80\x80", 4},
  };
  for (const auto& [bytes, count] : table) {
    std::string want = "\"a";
    for (int i = 0; i < count; ++i) want += bad;
    EXPECT_EQ(Json("a" + bytes + "b"), want + "b\"");
  }
  EXPECT_EQ(Json("\xc3\""), "\"" + bad + "\\\"\"") << "a cut sequence never swallows the quote";
}

// Captures what the log thread writes.
class LogTest : public ::testing::Test {
 protected:
  void TearDown() override { InitLog({}); }
  template <class F>
  std::string Written(F f) {
    ::testing::internal::CaptureStderr();
    f();
    FlushLog();
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, OneJsonObjectPerLine) {
  InitLog({.level = LogLevel::kInfo, .json = true});
  const std::string line = Written([] {
    LogInfo("it\"happened", {{"text", "a\nb"},
                             {"number", -5},
                             {"big", uint64_t{1} << 40},
                             {"real", 1.5},
                             {"nan", std::nan("")},
                             {"yes", true},
                             {"owned", std::string("s")}});
  });
  EXPECT_TRUE(line.starts_with("{\"time\":\"20")) << line;
  EXPECT_TRUE(line.ends_with(
      "Z\",\"level\":\"info\",\"event\":\"it\\\"happened\",\"text\":\"a\\nb\",\"number\":-5,"
      "\"big\":1099511627776,\"real\":1.5,\"nan\":null,\"yes\":true,\"owned\":\"s\"}\n"))
      << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST_F(LogTest, WritesNothingBelowItsLevel) {
  InitLog({.level = LogLevel::kWarn, .json = true});
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarn));
  const std::string lines = Written([] {
    LogDebug("a");
    LogInfo("b");
    LogRendered(LogLevel::kInfo, "c", "\"x\":1");
    LogWarn("d");
    LogError("e");
  });
  EXPECT_EQ(lines.find("\"event\":\"b\""), std::string::npos);
  EXPECT_EQ(lines.find("\"event\":\"c\""), std::string::npos);
  EXPECT_LT(lines.find("\"event\":\"d\""), lines.find("\"event\":\"e\""));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  InitLog({.level = LogLevel::kOff, .json = true});
  EXPECT_EQ(Written([] { LogError("e"); }), "");
}

TEST_F(LogTest, TakesReadyMadeMembers) {
  InitLog({.level = LogLevel::kInfo, .json = true});
  const std::string line =
      Written([] { LogRendered(LogLevel::kInfo, "access", "\"status\":200"); });
  EXPECT_TRUE(line.ends_with("\"event\":\"access\",\"status\":200}\n")) << line;
}

TEST_F(LogTest, IsPlainTextWhenAsked) {
  InitLog({.level = LogLevel::kInfo, .json = false});
  const std::string line = Written([] { LogInfo("started", {{"port", 80}}); });
  EXPECT_TRUE(line.ends_with("Z info started \"port\":80\n")) << line;
}

}  // namespace
}  // namespace vr
