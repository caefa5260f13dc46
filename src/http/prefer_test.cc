#include "http/prefer.h"

#include <gtest/gtest.h>

namespace vr::http {
namespace {

using std::chrono::seconds;

TEST(PreferTest, ReadsWhatItKnowsAndPassesOverTheRest) {
  struct Row {
    const char* field;
    bool respond_async;
    std::optional<seconds> wait;
  };
  const Row table[] = {
      {"", false, std::nullopt},
      {"respond-async", true, std::nullopt},
      {"Respond-Async", true, std::nullopt},
      {" respond-async ; x=1 ", true, std::nullopt},
      {"respond-async=\"\"", true, std::nullopt},
      {"respond-async=1", false, std::nullopt},
      {"respond-asynchronously", false, std::nullopt},
      {"return=minimal, respond-async, wait=10", true, seconds(10)},
      {"wait=10; foo, respond-async", true, seconds(10)},
      {"wait=\"7\"", false, seconds(7)},
      {"wait=5, wait=9", false, seconds(5)},
      {"wait=no, wait=9", false, std::nullopt},
      {"wait=-1", false, std::nullopt},
      {"wait", false, std::nullopt},
      {"wait=99999999999999999999", false, seconds(86400)},
      {"foo=\"a, respond-async\"", false, std::nullopt},
      {"foo=\"a\\\", respond-async\", wait=3", false, seconds(3)},
      {"foo=\"never ends, respond-async", false, std::nullopt},
      {",,respond-async,", true, std::nullopt},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.field);
    const Preferences read = ParsePrefer(row.field);
    EXPECT_EQ(read.respond_async, row.respond_async);
    EXPECT_EQ(read.wait, row.wait);
  }
}

}  // namespace
}  // namespace vr::http
