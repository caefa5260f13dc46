#include "worker/time_stretch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <vector>

namespace vr::worker {
namespace {

constexpr int kRate = 48000;

Stereo Stretched(const Stereo& in, double speed, size_t piece = 1000) {
  TimeStretch stretch(kRate, speed);
  Stereo out;
  for (size_t at = 0; at < in.size(); at += piece) {
    const size_t n = std::min(piece, in.size() - at);
    stretch.Push(in.left.data() + at, in.right.data() + at, n, out);
  }
  stretch.Flush(std::llround(static_cast<double>(in.size()) / speed), out);
  return out;
}

Stereo Tone(double hz, double seconds) {
  Stereo s;
  for (int i = 0; i < static_cast<int>(seconds * kRate); ++i) {
    const auto x = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * i / kRate));
    s.left.push_back(x);
    s.right.push_back(-x / 2);
  }
  return s;
}

/// Hz, from zero crossings.
double Pitch(const std::vector<float>& x) {
  size_t first = 0, last = 0, count = 0;
  for (size_t i = 1; i < x.size(); ++i) {
    if (x[i - 1] < 0 && x[i] >= 0) {
      if (count == 0) first = i;
      last = i;
      ++count;
    }
  }
  return count < 2 ? 0 : static_cast<double>(count - 1) * kRate / static_cast<double>(last - first);
}

TEST(TimeStretch, IsExactlyAsLongAsItShouldBe) {
  for (const double speed : {0.25, 0.5, 0.73, 1.0, 1.25, 2.0, 3.3, 4.0}) {
    for (const double seconds : {0.0, 0.001, 0.1, 2.0}) {
      const Stereo in = Tone(440, seconds);
      const Stereo out = Stretched(in, speed);
      EXPECT_EQ(static_cast<int64_t>(out.size()),
                std::llround(static_cast<double>(in.size()) / speed))
          << speed << " " << seconds;
      EXPECT_EQ(out.right.size(), out.size());
    }
  }
}

TEST(TimeStretch, KeepsThePitchAndTheLevel) {
  for (const double speed : {0.25, 0.5, 0.8, 1.5, 2.0, 4.0}) {
    const Stereo out = Stretched(Tone(440, 3), speed);
    EXPECT_NEAR(Pitch(out.left), 440, 2) << speed;
    double sum = 0;
    for (const float x : out.left) sum += static_cast<double>(x) * x;
    const double rms = std::sqrt(sum / static_cast<double>(out.size()));
    EXPECT_NEAR(20 * std::log10(rms * std::numbers::sqrt2 / 0.5), 0, 0.3) << speed;
  }
}

TEST(TimeStretch, SidesStayTogether) {
  const Stereo out = Stretched(Tone(300, 1), 1.7);
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_NEAR(out.right[i], -out.left[i] / 2, 1e-5) << i;
  }
}

TEST(TimeStretch, MomentsAreWhereTheyBelongAlsoAfterALongTime) {
  for (const double speed : {0.25, 0.5, 1.25, 2.0, 3.0, 4.0}) {
    Stereo in;
    in.AppendSilence(120 * kRate);
    constexpr int kBeep = kRate / 25;  // 40 ms each second
    for (int second = 1; second < 120; ++second) {
      for (int i = 0; i < kBeep; ++i) {
        const auto at = static_cast<size_t>(second * kRate + i);
        in.left[at] = in.right[at] =
            static_cast<float>(std::sin(2 * std::numbers::pi * 1000 * i / kRate));
      }
    }
    const Stereo out = Stretched(in, speed);
    double worst = 0;
    for (int second = 1; second < 120; ++second) {
      // Centre of what is heard around there.
      const double middle = (second + 0.02) * kRate / speed;
      double weight = 0, sum = 0;
      for (auto i = static_cast<int64_t>(middle - 0.2 * kRate / speed);
           i < static_cast<int64_t>(middle + 0.2 * kRate / speed); ++i) {
        const double x = out.left[static_cast<size_t>(i)];
        weight += x * x;
        sum += x * x * static_cast<double>(i);
      }
      ASSERT_GT(weight, 1) << speed << " " << second;
      worst = std::max(worst, std::abs(sum / weight - middle) / kRate * 1000);
    }
    RecordProperty("worst_ms_at_" + std::to_string(speed), std::to_string(worst));
    std::printf("speed %.2f: worst %.2f ms\n", speed, worst);
    EXPECT_LT(worst, speed < 1 ? 15 : 6) << speed;
  }
}

TEST(TimeStretch, DoesNotDependOnHowTheSoundIsCut) {
  const Stereo in = Tone(523, 1);
  const Stereo a = Stretched(in, 1.4, 1000), b = Stretched(in, 1.4, 17),
               c = Stretched(in, 1.4, 48000);
  EXPECT_EQ(a.left, b.left);
  EXPECT_EQ(a.left, c.left);
}

}  // namespace
}  // namespace vr::worker
