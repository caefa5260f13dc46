#include "worker/peak_limiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace vr::worker {
namespace {

Stereo Limited(const Stereo& in, size_t piece = 777) {
  PeakLimiter limiter(48000);
  Stereo out;
  for (size_t at = 0; at < in.size(); at += piece) {
    const size_t n = std::min(piece, in.size() - at);
    limiter.Push(in.left.data() + at, in.right.data() + at, n, out);
  }
  limiter.Flush(out);
  return out;
}

Stereo Noise(size_t count, float level) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> one(-level, level);
  Stereo s;
  for (size_t i = 0; i < count; ++i) {
    s.left.push_back(one(random));
    s.right.push_back(one(random));
  }
  return s;
}

TEST(PeakLimiter, WhatIsQuietEnoughPassesBitByBit) {
  const Stereo in = Noise(20000, PeakLimiter::kCeiling);
  const Stereo out = Limited(in);
  EXPECT_EQ(out.left, in.left);
  EXPECT_EQ(out.right, in.right);
}

TEST(PeakLimiter, NothingIsEverLouderThanTheCeilingAndNothingIsLost) {
  for (const size_t count : {0u, 1u, 100u, 239u, 240u, 241u, 50000u}) {
    const Stereo in = Noise(count, 3);
    const Stereo out = Limited(in);
    ASSERT_EQ(out.size(), count);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_LE(std::fabs(out.left[i]), PeakLimiter::kCeiling) << i;
      ASSERT_LE(std::fabs(out.right[i]), PeakLimiter::kCeiling) << i;
    }
  }
}

TEST(PeakLimiter, TurnsDownSmoothlyAndComesBack) {
  Stereo in;
  for (int i = 0; i < 96000; ++i) {
    const double level = i >= 20000 && i < 24000 ? 2.0 : 0.5;
    const auto x = static_cast<float>(level * std::sin(2 * std::numbers::pi * 1000 * i / 48000));
    in.left.push_back(x);
    in.right.push_back(x);
  }
  const Stereo out = Limited(in);
  EXPECT_EQ(out.left[19000], in.left[19000]);  // before: untouched
  // Within: the wave keeps its shape, so one gain holds for neighbours that are not near zero.
  const auto gain = [&](size_t i) { return out.left[i] / in.left[i]; };
  EXPECT_NEAR(gain(22010), PeakLimiter::kCeiling / 2, 0.02);
  EXPECT_NEAR(gain(22010), gain(22014), 0.01);
  EXPECT_NEAR(gain(95010), 1, 1e-3);
}

TEST(PeakLimiter, OneSideTurnsBothDown) {
  Stereo in;
  for (int i = 0; i < 5000; ++i) {
    in.left.push_back(2);
    in.right.push_back(0.1F);
  }
  const Stereo out = Limited(in);
  EXPECT_NEAR(out.right[2500], 0.1F * PeakLimiter::kCeiling / 2, 1e-4);
}

TEST(PeakLimiter, NonsenseBecomesSilence) {
  Stereo in = Noise(3000, 0.5F);
  in.left[1500] = std::numeric_limits<float>::quiet_NaN();
  in.right[1600] = std::numeric_limits<float>::infinity();
  const Stereo out = Limited(in);
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_TRUE(std::isfinite(out.left[i]) && std::isfinite(out.right[i])) << i;
  }
}

}  // namespace
}  // namespace vr::worker
