#include "io/cores.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <fstream>
#include <thread>

namespace vr::io {
namespace {

namespace fs = std::filesystem;

TEST(Cores, AreThoseThatTheThreadMayRunOn) {
  size_t before = 0, one = 0;
  std::thread([&] {
    before = UsableCores();
    cpu_set_t set;
    CPU_ZERO(&set);
    ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    ASSERT_EQ(::sched_setaffinity(0, sizeof set, &set), 0);
    one = UsableCores();
  }).join();
  EXPECT_GE(before, 1u);
  EXPECT_EQ(one, 1u);
}

TEST(Cores, OfAQuotaAreRoundedUp) {
  EXPECT_EQ(CoresOfQuota("150000 100000\n"), 2u);
  EXPECT_EQ(CoresOfQuota("200000 100000"), 2u);
  EXPECT_EQ(CoresOfQuota("1000 100000"), 1u);
  for (const char* none :
       {"max 100000", "", "100000", "0 100000", "100000 0", "a b", "-1 100000"}) {
    EXPECT_EQ(CoresOfQuota(none), std::nullopt) << none;
  }
}

class GroupTest : public ::testing::Test {
 protected:
  GroupTest() {
    std::string name = (fs::temp_directory_path() / "vr-cores-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    fs::create_directories(root_ / "outer/inner");
  }
  ~GroupTest() override { fs::remove_all(root_); }
  void Write(const fs::path& file, const std::string& text) { std::ofstream(root_ / file) << text; }
  std::optional<size_t> Quota() { return QuotaOfGroup(root_ / "self", root_); }

  fs::path root_;
};

TEST_F(GroupTest, TheTightestOfAllGroupsAboveCounts) {
  Write("self", "12:cpu:/old\n0::/outer/inner\n");
  EXPECT_EQ(Quota(), std::nullopt) << "no limit anywhere";
  Write("outer/inner/cpu.max", "400000 100000\n");
  EXPECT_EQ(Quota(), 4u);
  Write("outer/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), 3u);
  Write("cpu.max", "max 100000\n");
  EXPECT_EQ(Quota(), 3u);
  // Inside a container the group is the root of what is mounted.
  Write("self", "0::/\n");
  Write("cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota(), 1u);
}

TEST_F(GroupTest, WithoutVersion2ThereIsNone) {
  Write("cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), std::nullopt) << "no file";
  Write("self", "12:cpu:/old\n");
  EXPECT_EQ(Quota(), std::nullopt);
}

}  // namespace
}  // namespace vr::io
