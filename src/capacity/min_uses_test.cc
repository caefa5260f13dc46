#include "capacity/min_uses.h"

#include <gtest/gtest.h>

namespace vr::capacity {
namespace {

TEST(MinUses, AdmitsWhatWasAskedForOftenEnoughOfLate) {
  for (const std::string_view name : PolicyNames()) {
    PolicyOptions options;
    options.max_bytes = 100;
    options.half_life_ms = 1000;
    options.min_uses = 3;
    const auto policy = std::move(*MakePolicy(name, options));
    EXPECT_EQ(policy->name(), name);
    policy->Insert({1, 100, 0.001}, 0);
    const Item item{2, 50, 1};
    for (int n = 0; n < 2; ++n) {
      policy->Miss(2, 0);
      EXPECT_FALSE(policy->Admit(item, 0)) << name;
    }
    policy->Miss(2, 0);
    EXPECT_TRUE(policy->Admit(item, 0)) << name;
    policy->Miss(3, 10'000);  // ten half-lives later
    EXPECT_FALSE(policy->Admit(item, 10'000)) << name;
  }
}

TEST(MinUses, AreBoundedByWhatASketchCanCount) {
  EXPECT_FALSE(MakePolicy("lru", {.min_uses = 0}).ok());
  EXPECT_FALSE(MakePolicy("lru", {.min_uses = 256}).ok());
  EXPECT_TRUE(MakePolicy("lru", {.min_uses = 255}).ok());
}

}  // namespace
}  // namespace vr::capacity
