#include "worker/timing.h"

#include <cmath>
#include <cstdio>

#include "worker/failure.h"

namespace vr::worker {

std::vector<double> SeekPoints(double start) {
  std::vector<double> points;
  for (const double back : {0.0, 2.5, 6.0, 15.0, 45.0}) {
    if (start - back > 0) points.push_back(start - back);
  }
  points.push_back(0);
  return points;
}

Result<void> CheckStart(double start, double duration) {
  if (!std::isfinite(start) || start < 0) return OutOfRange("the start time is impossible");
  if (duration > 0 && start >= duration) {
    char text[96];
    std::snprintf(text, sizeof text, "the source is %.3f seconds long", duration);
    return OutOfRange(text);
  }
  return {};
}

bool LastPictureStillShown(double start, double last_end, double video_duration, double duration) {
  constexpr double kSlack = 1.0;  // declared durations are about right
  if (start < last_end) return true;
  if (duration <= 0 || start >= duration) return false;
  const double declared = video_duration > 0 ? video_duration : duration;
  return last_end >= declared - kSlack;
}

AVRational FrameRateOf(double fps) {
  // NTSC rates are written with two or three digits and meant exactly.
  for (const int whole : {24, 30, 48, 60, 120}) {
    const double ntsc = whole * 1000.0 / 1001;
    if (std::abs(fps - ntsc) < 0.005 && std::abs(fps - whole) > 0.005) {
      return AVRational{whole * 1000, 1001};
    }
  }
  return av_d2q(fps, 1'000'000);
}

}  // namespace vr::worker
