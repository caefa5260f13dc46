#include "delivery/tries.h"

#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

using namespace std::chrono_literals;

TryEnd Away(std::optional<std::chrono::milliseconds> retry = 7ms) {
  TryEnd end;
  end.text = "unreachable";
  end.retry = retry;
  return end;
}
TryEnd Silent(std::optional<std::chrono::milliseconds> retry = 7ms) {
  TryEnd end = Away(retry);
  end.text = "no answer";
  end.was_sent = true;
  return end;
}
TryEnd Skipped() {
  TryEnd end;
  end.text = "circuit open";
  end.was_skipped = true;
  return end;
}

TEST(Tries, WhoHasSeenNothingIsFollowedByTheNext) {
  Tries tries({"http", "http"}, 0);
  EXPECT_EQ(tries.at(), 0u);
  EXPECT_EQ(tries.Next(Away()), 0ms);
  EXPECT_EQ(tries.at(), 1u);
  EXPECT_EQ(tries.Next(Away()), std::nullopt) << "nothing is repeated";
  EXPECT_EQ(tries.Text(), "http: unreachable, http: unreachable");
}

TEST(Tries, WhoMayHaveSeenItIsTheLastOne) {
  Tries tries({"http", "http"}, 0);
  EXPECT_EQ(tries.Next(Silent()), std::nullopt);
  EXPECT_EQ(tries.Text(), "http: no answer");
}

TEST(Tries, ThereAreNoMoreRoundsThanAllowed) {
  Tries tries({"http"}, 2);
  EXPECT_TRUE(tries.may_repeat());
  EXPECT_EQ(tries.Next(Silent(3ms)), 3ms);
  EXPECT_EQ(tries.round(), 1);
  EXPECT_EQ(tries.Next(Silent(5ms)), 5ms);
  EXPECT_FALSE(tries.may_repeat());
  EXPECT_EQ(tries.Next(Silent()), std::nullopt);
  EXPECT_EQ(tries.Text(), "http: no answer (3 tries)");
}

TEST(Tries, WhatIsNotWorthAnotherTryIsNotAskedAgain) {
  Tries tries({"http", "http"}, 5);
  EXPECT_EQ(tries.Next(Away(std::nullopt)), 0ms);
  EXPECT_EQ(tries.Next(Silent(4ms)), 4ms);
  EXPECT_EQ(tries.at(), 1u);
  EXPECT_EQ(tries.Next(Away(std::nullopt)), std::nullopt);
  EXPECT_EQ(tries.Text(), "http: unreachable, http: no answer then unreachable");
}

TEST(Tries, WhoHasSeenItAndIsNotWorthAnotherTryEndsIt) {
  Tries tries({"http", "s3"}, 5);
  EXPECT_EQ(tries.Next(Away(4ms)), 0ms);
  EXPECT_EQ(tries.Next(Silent(std::nullopt)), std::nullopt);
  EXPECT_EQ(tries.Text(), "http: unreachable, s3: no answer");
}

TEST(Tries, OnePauseIsAsLongAsTheMostPatientWants) {
  Tries tries({"http", "s3"}, 1);
  EXPECT_EQ(tries.Next(Away(9ms)), 0ms);
  EXPECT_EQ(tries.Next(Away(2ms)), 9ms);
  EXPECT_EQ(tries.at(), 0u);
  EXPECT_EQ(tries.Next(Away()), 0ms) << "the second one is due in this round too";
  EXPECT_EQ(tries.at(), 1u);
  EXPECT_EQ(tries.Next(Away()), std::nullopt);
  EXPECT_EQ(tries.Text(), "http: unreachable (2 tries), s3: unreachable (2 tries)");
}

TEST(Tries, ASourceNotAskedYetGetsItsTurnInALaterRound) {
  Tries tries({"http", "http"}, 1);
  EXPECT_EQ(tries.Next(Silent(1ms)), 1ms);
  EXPECT_EQ(tries.at(), 0u);
  EXPECT_EQ(tries.Next(Away()), 0ms);
  EXPECT_EQ(tries.at(), 1u);
}

TEST(Tries, OpenCircuitsArePassedOverAndNotComeBackTo) {
  Tries tries({"http", "http", "http"}, 3);
  EXPECT_EQ(tries.Next(Skipped()), 0ms);
  EXPECT_EQ(tries.Next(Skipped()), 0ms);
  EXPECT_TRUE(tries.were_all_skipped());
  EXPECT_EQ(tries.Next(Skipped()), std::nullopt);
  EXPECT_TRUE(tries.were_all_skipped());

  Tries mixed({"http", "http"}, 0);
  mixed.Next(Skipped());
  mixed.Next(Away());
  EXPECT_FALSE(mixed.were_all_skipped());
}

}  // namespace
}  // namespace vr::delivery
