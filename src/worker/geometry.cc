#include "worker/geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <string>
#include <tuple>

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

/// The size of the upright rectangle that holds a turned one.
Size Turned(const Size& d, double angle) {
  const double c = std::abs(std::cos(angle)), s = std::abs(std::sin(angle));
  return {d.width * c + d.height * s, d.width * s + d.height * c};
}

/// A rectangle of the source, in decoded pixels.
struct Region {
  int x = 0, y = 0, width = 0, height = 0;
};

/// Where an upright crop lies in the decoded picture. @return nullopt: nowhere
std::optional<Region> RegionOf(const SourceShape& s, const transform::protocol::CropBox& crop) {
  const Size up = DisplaySize(s);
  double x = crop.x, y = crop.y;
  double w = std::min<double>(crop.width, up.width - x);
  double h = std::min<double>(crop.height, up.height - y);
  if (w < 2 || h < 2) return std::nullopt;
  const double ratio = SaneRatio(s.sample_aspect_ratio);
  const double dw = s.width * ratio, dh = s.height;
  switch (s.orientation.quarter_turns) {
    case 1:
      std::tie(x, y, w, h) = std::tuple(y, dh - x - w, h, w);
      break;
    case 2:
      std::tie(x, y) = std::tuple(dw - x - w, dh - y - h);
      break;
    case 3:
      std::tie(x, y, w, h) = std::tuple(dw - y - h, x, h, w);
      break;
    default:
      break;
  }
  if (s.orientation.mirror) x = dw - x - w;
  // Even offsets and sizes keep chroma samples whole.
  Region r;
  r.x = std::clamp(static_cast<int>(std::lround(x / ratio)) / 2 * 2, 0, std::max(0, s.width - 2));
  r.y = std::clamp(static_cast<int>(std::lround(y)) / 2 * 2, 0, std::max(0, s.height - 2));
  r.width = std::min(NearEven(w / ratio), s.width - r.x);
  r.height = std::min(NearEven(h), s.height - r.y);
  return r;
}

/// What remains to be placed once crop and quarter turns are taken account of.
struct Subject {
  SourceShape shape;  ///< of the region, with all quarter turns
  Region region;
  double angle = 0;
  bool crop_missed = false;  ///< the crop lies outside: this is the whole picture
};

Subject SubjectOf(const SourceShape& source, const Box& box) {
  Subject subject{source, {0, 0, source.width, source.height}};
  if (box.crop) {
    if (const std::optional<Region> region = RegionOf(source, *box.crop)) {
      subject.region = *region;
      subject.shape.width = region->width;
      subject.shape.height = region->height;
    } else {
      subject.crop_missed = true;
    }
  }
  if (std::isfinite(box.rotate_degrees)) {
    const double turns = std::round(box.rotate_degrees / 90);
    const double left = box.rotate_degrees - turns * 90;
    subject.shape.orientation.quarter_turns =
        ((source.orientation.quarter_turns + static_cast<int>(turns)) % 4 + 4) % 4;
    if (std::abs(left) > 1e-3) subject.angle = left * std::numbers::pi / 180;
  }
  return subject;
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

Placement Whole(const Subject& subject) {
  Placement p;
  p.crop_width = subject.shape.width;
  p.crop_height = subject.shape.height;
  p.orientation = subject.shape.orientation;
  p.angle = subject.angle;
  return p;
}

/// Fills in what follows from picture_*: turned and scaled sizes. @param scale of the display size,
/// for free angles
void SetScaled(const Subject& subject, double scale, Placement& p) {
  p.crop_x += subject.region.x;
  p.crop_y += subject.region.y;
  int width = p.picture_width, height = p.picture_height;
  p.turned_width = width;
  p.turned_height = height;
  if (p.angle != 0) {
    const Size d = DisplaySize(subject.shape);
    width = NearEven(d.width * scale);
    height = NearEven(d.height * scale);
    const Size turned = Turned({1.0 * width, 1.0 * height}, p.angle);
    p.turned_width = std::max(NearEven(turned.width), p.picture_width);
    p.turned_height = std::max(NearEven(turned.height), p.picture_height);
  }
  const bool swapped = p.orientation.quarter_turns % 2 == 1;
  p.scaled_width = swapped ? height : width;
  p.scaled_height = swapped ? width : height;
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

Box BoxOf(const transform::protocol::Job& job) {
  return {job.width, job.height, job.fit, job.crop, job.rotate_degrees};
}

Result<Placement> Place(const SourceShape& source, const Box& box, uint64_t max_pixels) {
  const Subject subject = SubjectOf(source, box);
  if (subject.crop_missed) {
    const Size up = DisplaySize(source);
    char text[120];
    std::snprintf(text, sizeof text,
                  "parameter 'crop' lies outside of the source; allowed: within %.0fx%.0f",
                  up.width, up.height);
    return InvalidParameter(text);
  }
  const Size d = Turned(DisplaySize(subject.shape), subject.angle);
  Placement p = Whole(subject);
  double scale = 1;
  const bool both = box.width && box.height;
  const bool covers = both && box.fit == Fit::kCover;
  double width = 0, height = 0;
  if (covers) {
    p.picture_width = FloorEven(*box.width);
    p.picture_height = FloorEven(*box.height);
    if (subject.angle == 0) CropTo(subject.shape, p.picture_width, p.picture_height, p);
    scale = std::max(p.picture_width / d.width, p.picture_height / d.height);
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
      (subject.angle != 0 && too_large(d.width * scale, d.height * scale)) ||
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
  SetScaled(subject, scale, p);
  if (both && box.fit == Fit::kPad) {
    PadInto(FloorEven(*box.width), FloorEven(*box.height), p);
  } else {
    PadInto(p.picture_width, p.picture_height, p);
  }
  return p;
}

Placement PlaceInto(const SourceShape& source, int width, int height, const Box& box) {
  const Subject subject = SubjectOf(source, box);  // without its crop rather than none
  Placement p = Whole(subject);
  const Size d = Turned(DisplaySize(subject.shape), subject.angle);
  double scale = 0;
  if (box.fit == Fit::kCover && box.width && box.height) {
    p.picture_width = width;
    p.picture_height = height;
    if (subject.angle == 0) CropTo(subject.shape, width, height, p);
    scale = std::max(width / d.width, height / d.height);
  } else {
    scale = std::min(width / d.width, height / d.height);
    p.picture_width = std::min(NearEven(d.width * scale), width);
    p.picture_height = std::min(NearEven(d.height * scale), height);
  }
  SetScaled(subject, scale, p);
  PadInto(width, height, p);
  return p;
}

}  // namespace vr::worker
