#include "worker/geometry.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "worker/failure.h"

namespace vr::worker {
namespace {
using transform::protocol::Fit;

constexpr int kMaxSide = 16384;  // H.264 and our scaler end here

int FloorEven(double value) {
  return std::max(2, static_cast<int>(std::floor(value / 2 + 1e-9)) * 2);
}
/// Nearest even number; odd whole numbers go down, so that nothing grows by rounding alone.
int NearEven(double value) {
  return std::max(2, static_cast<int>(std::ceil(value / 2 - 0.5 - 1e-9)) * 2);
}

struct Size {
  double width = 0, height = 0;
};

double SaneRatio(double ratio) {
  return std::isfinite(ratio) && ratio >= 0.02 && ratio <= 50 ? ratio : 1;
}

Size DisplaySize(const SourceShape& s) {
  Size d{s.width * SaneRatio(s.sample_aspect_ratio), static_cast<double>(s.height)};
  if (s.orientation.quarter_turns % 2 == 1) std::swap(d.width, d.height);
  return d;
}

void SetScaled(Placement& p) {
  const bool turned = p.orientation.quarter_turns % 2 == 1;
  p.scaled_width = turned ? p.picture_height : p.picture_width;
  p.scaled_height = turned ? p.picture_width : p.picture_height;
}

/// Centre crop in source pixels so that what remains has the aspect of width x height.
void CropTo(const SourceShape& s, double width, double height, Placement& p) {
  const Size d = DisplaySize(s);
  const double scale = std::max(width / d.width, height / d.height);
  Size seen{width / scale, height / scale};  // display units
  if (s.orientation.quarter_turns % 2 == 1) std::swap(seen.width, seen.height);
  // Even offsets and sizes keep chroma samples whole.
  p.crop_width = std::min(NearEven(seen.width / SaneRatio(s.sample_aspect_ratio)), s.width);
  p.crop_height = std::min(NearEven(seen.height), s.height);
  if (p.crop_width > s.width - 2) p.crop_width = s.width;
  if (p.crop_height > s.height - 2) p.crop_height = s.height;
  p.crop_x = (s.width - p.crop_width) / 4 * 2;
  p.crop_y = (s.height - p.crop_height) / 4 * 2;
}

Placement Whole(const SourceShape& s) {
  Placement p;
  p.crop_width = s.width;
  p.crop_height = s.height;
  p.orientation = s.orientation;
  return p;
}

void PadInto(int width, int height, Placement& p) {
  p.width = width;
  p.height = height;
  p.pad_x = (width - p.picture_width) / 4 * 2;
  p.pad_y = (height - p.picture_height) / 4 * 2;
}

}  // namespace

Orientation OrientationOf(const int32_t* matrix) {
  Orientation out;
  if (matrix == nullptr) return out;
  double a = matrix[0], b = matrix[1];
  const double c = matrix[3], d = matrix[4];
  if ((a == 0 && b == 0) || (c == 0 && d == 0)) return out;
  out.mirror = a * d - b * c < 0;
  if (out.mirror) {
    a = -a;
    b = -b;
  }
  const double turns = std::atan2(b, a) / (std::numbers::pi / 2);
  out.quarter_turns = (static_cast<int>(std::lround(turns)) + 4) % 4;
  return out;
}

Result<Placement> Place(const SourceShape& source, const Box& box, uint64_t max_pixels) {
  const Size d = DisplaySize(source);
  Placement p = Whole(source);
  double scale = 1;
  const bool both = box.width && box.height;
  double width = 0, height = 0;
  if (both && box.fit == Fit::kCover) {
    p.picture_width = FloorEven(*box.width);
    p.picture_height = FloorEven(*box.height);
    CropTo(source, p.picture_width, p.picture_height, p);
    width = p.picture_width;
    height = p.picture_height;
  } else {
    if (both) {
      scale = std::min(*box.width / d.width, *box.height / d.height);
    } else if (box.width) {
      scale = *box.width / d.width;
    } else if (box.height) {
      scale = *box.height / d.height;
    }
    const bool shrink_only = box.fit == Fit::kScaleDown;
    if (shrink_only) scale = std::min(scale, 1.0);
    width = d.width * scale;
    height = d.height * scale;
  }
  const auto too_large = [&](double w, double h) {
    return w > kMaxSide || h > kMaxSide || w * h > static_cast<double>(max_pixels);
  };
  if (too_large(width, height) ||
      (both && box.fit == Fit::kPad && too_large(*box.width, *box.height))) {
    return TooLarge("the resulting picture would be too large",
                    std::to_string(width) + "x" + std::to_string(height));
  }
  if (p.picture_width == 0) {
    p.picture_width = NearEven(width);
    p.picture_height = NearEven(height);
    if (box.width) p.picture_width = std::min(p.picture_width, FloorEven(*box.width));
    if (box.height) p.picture_height = std::min(p.picture_height, FloorEven(*box.height));
    if (box.fit == Fit::kScaleDown) {
      p.picture_width = std::min(p.picture_width, FloorEven(d.width));
      p.picture_height = std::min(p.picture_height, FloorEven(d.height));
    }
  }
  SetScaled(p);
  if (both && box.fit == Fit::kPad) {
    PadInto(FloorEven(*box.width), FloorEven(*box.height), p);
  } else {
    PadInto(p.picture_width, p.picture_height, p);
  }
  return p;
}

Placement PlaceInto(const SourceShape& source, int width, int height, Fit fit) {
  Placement p = Whole(source);
  if (fit == Fit::kCover) {
    p.picture_width = width;
    p.picture_height = height;
    CropTo(source, width, height, p);
  } else {
    const Size d = DisplaySize(source);
    const double scale = std::min(width / d.width, height / d.height);
    p.picture_width = std::min(NearEven(d.width * scale), width);
    p.picture_height = std::min(NearEven(d.height * scale), height);
  }
  SetScaled(p);
  PadInto(width, height, p);
  return p;
}

}  // namespace vr::worker
