#include "app/simulate_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace vr::app {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kTrace =
    "timestamp,id,size,cost\n"
    "1,a,600,2\n2,b,400,1\n3,a,600,2\n4,c,400,4\n5,a,600,2\n";

Result<std::string> TableFor(cli::Command::Simulate asked, std::string_view trace = kTrace) {
  std::istringstream in{std::string(trace)};
  return Simulate(asked, in);
}

cli::Command::Simulate Asked(std::string policies, std::string sizes) {
  cli::Command::Simulate asked;
  asked.trace = "-";
  asked.policies = std::move(policies);
  asked.sizes = std::move(sizes);
  return asked;
}

TEST(Simulate, PrintsALineForEachPolicyAndSize) {
  const Result<std::string> table = TableFor(Asked("lru,cost-aware", "1KB,1MiB"));
  ASSERT_TRUE(table.ok()) << table.error().ToLogString();
  EXPECT_THAT(*table, HasSubstr("5 requests for 3 entries of 1400B"));
  EXPECT_THAT(*table, HasSubstr("| lru        |    1 KB |"));
  EXPECT_THAT(*table, HasSubstr("| cost-aware | 1.05 MB |  40.00 % |"));
  EXPECT_THAT(*table, Not(HasSubstr("s3-fifo")));
}

TEST(Simulate, TellsWhatItSkippedAndAssumed) {
  const Result<std::string> table = TableFor(Asked("lru", "1KB"), "1,a,100\n2,a,100\n");
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("every miss counts one second"));
}

TEST(Simulate, NamesTheOptionOrLineThatIsWrong) {
  const auto complaint = [](const Result<std::string>& run) {
    return run.ok() ? std::string() : run.error().public_message;
  };
  EXPECT_THAT(complaint(TableFor(Asked("lru,random", "1GB"))), HasSubstr("--policy: there is no"));
  EXPECT_THAT(complaint(TableFor(Asked("lru", "1GB,huge"))), HasSubstr("--sizes: \"huge\""));
  EXPECT_THAT(complaint(TableFor(Asked("lru", "0"))), HasSubstr("--sizes: \"0\""));
  EXPECT_THAT(complaint(TableFor(Asked("lru", "1GB"), "1,a,100\n2,a,much\n")),
              HasSubstr("line 2, size: \"much\""));
  cli::Command::Simulate asked = Asked("lru", "1GB");
  asked.half_life = "soon";
  EXPECT_THAT(complaint(TableFor(asked)), HasSubstr("--half-life: \"soon\""));
  asked = Asked("lru", "");
  asked.size = "big";
  EXPECT_THAT(complaint(TableFor(asked)), HasSubstr("--size: \"big\""));
  asked = Asked("lru", "1GB");
  asked.plot = "/there/is/no/such/folder.svg";
  EXPECT_FALSE(TableFor(asked).ok());
  for (const char* marks : {"95", "90,95", "101,90", "95,0", "95,90,80", "a,b", "95,"}) {
    asked = Asked("lru", "1GB");
    asked.watermarks = marks;
    EXPECT_THAT(complaint(TableFor(asked)), HasSubstr("--watermarks: ")) << marks;
  }
  asked = Asked("lru", "1GB");
  asked.metadata = "some";
  EXPECT_THAT(complaint(TableFor(asked)), HasSubstr("--metadata: \"some\""));
  asked = Asked("lru,sieve", "1GB");
  asked.held = "/tmp/never-written";
  EXPECT_THAT(complaint(TableFor(asked)), HasSubstr("--held: works with one policy"));
}

TEST(Simulate, KeepsItsLimitAsTheServerDoesWhenAskedTo) {
  cli::Command::Simulate asked = Asked("lru", "");
  asked.size = "2000B";
  EXPECT_THAT(*TableFor(asked), HasSubstr("| lru    | 2 KB |  40.00 % |"));
  // 800 bytes and 200 of metadata: each of the three is evicted for the next.
  asked.watermarks = "50,40";
  asked.metadata = "200B";
  EXPECT_THAT(*TableFor(asked), HasSubstr("| lru    | 2 KB |   0.00 % |"));
}

TEST(Simulate, WritesWhatIsHeldAtTheEnd) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() /
                                     ("vr-simulate-held-" + std::to_string(::getpid()) + ".txt");
  cli::Command::Simulate asked = Asked("lru", "1KB");
  asked.held = file.string();
  ASSERT_TRUE(TableFor(asked).ok());
  std::ifstream in(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "a\nc\n");
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace vr::app
