#include "app/simulate_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

namespace vr::app {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kTrace =
    "timestamp,id,size,cost\n"
    "1,a,600,2\n2,b,400,1\n3,a,600,2\n4,c,400,4\n5,a,600,2\n";

Result<std::string> Run(cli::Command::Simulate asked, std::string_view trace = kTrace) {
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
  const Result<std::string> table = Run(Asked("lru,cost-aware", "1KB,1MiB"));
  ASSERT_TRUE(table.ok()) << table.error().ToLogString();
  EXPECT_THAT(*table, HasSubstr("5 requests for 3 entries of 1400B"));
  EXPECT_THAT(*table, HasSubstr("| lru        |    1 KB |"));
  EXPECT_THAT(*table, HasSubstr("| cost-aware | 1.05 MB |  40.00 % |"));
  EXPECT_THAT(*table, Not(HasSubstr("s3-fifo")));
}

TEST(Simulate, TellsWhatItSkippedAndAssumed) {
  const Result<std::string> table = Run(Asked("lru", "1KB"), "1,a,100\n2,a,100\n");
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("every miss counts one second"));
}

TEST(Simulate, NamesTheOptionOrLineThatIsWrong) {
  const auto complaint = [](const Result<std::string>& run) {
    return run.ok() ? std::string() : run.error().public_message;
  };
  EXPECT_THAT(complaint(Run(Asked("lru,random", "1GB"))), HasSubstr("--policy: there is no"));
  EXPECT_THAT(complaint(Run(Asked("lru", "1GB,huge"))), HasSubstr("--sizes: \"huge\""));
  EXPECT_THAT(complaint(Run(Asked("lru", "0"))), HasSubstr("--sizes: \"0\""));
  EXPECT_THAT(complaint(Run(Asked("lru", "1GB"), "1,a,100\n2,a,much\n")),
              HasSubstr("line 2, size: \"much\""));
  cli::Command::Simulate asked = Asked("lru", "1GB");
  asked.half_life = "soon";
  EXPECT_THAT(complaint(Run(asked)), HasSubstr("--half-life: \"soon\""));
  asked = Asked("lru", "");
  asked.size = "big";
  EXPECT_THAT(complaint(Run(asked)), HasSubstr("--size: \"big\""));
  asked = Asked("lru", "1GB");
  asked.plot = "/there/is/no/such/folder.svg";
  EXPECT_FALSE(Run(asked).ok());
}

}  // namespace
}  // namespace vr::app
