// Geometry: from the source's shape and the requested box to crop, scale, rotation and padding.
//
// Pure functions. Display size D = (width * sample aspect ratio, height), swapped for quarter
// turns. Crop happens in source pixels before scaling, rotation after it (on the small picture).
// The box is that of the finished picture. Quarter turns are exact; any other angle turns the
// picture on a black ground that holds all of it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "transform/protocol/messages.h"

namespace vr::worker {

/// How a decoded picture becomes an upright one: first mirrored left-right, then turned clockwise.
struct Orientation {
  int quarter_turns = 0;  ///< 0..3, clockwise
  bool mirror = false;
  bool operator==(const Orientation&) const = default;
};

/// @param matrix nine 16.16 (last column 2.30) fixed-point numbers as in a tkhd box; null =
/// upright. Angles between quarter turns go to the nearest; an all-zero matrix is upright.
Orientation OrientationOf(const int32_t* matrix);

struct SourceShape {
  int width = 0, height = 0;       ///< decoded pixels
  double sample_aspect_ratio = 1;  ///< impossible values count as 1
  Orientation orientation;
};

struct Box {
  std::optional<uint32_t> width, height;  ///< of what comes out, turned as asked
  transform::protocol::Fit fit = transform::protocol::Fit::kContain;
  /// In pixels of the upright source as it is displayed; what lies outside is not there.
  std::optional<transform::protocol::CropBox> crop;
  double rotate_degrees = 0;  ///< clockwise, after the source's own orientation
};
Box BoxOf(const transform::protocol::Job& job);

/// All sizes even, at least 2. Order: crop, scale, mirror and quarter turns, turn by `angle` into
/// turned_*, cut out picture_*, pad.
struct Placement {
  int crop_x = 0, crop_y = 0, crop_width = 0, crop_height = 0;
  int scaled_width = 0, scaled_height = 0;
  Orientation orientation;
  double angle =
      0;  ///< what quarter turns leave over, radians clockwise, within +-pi/4; 0 = nothing
  int turned_width = 0, turned_height = 0;  ///< holds the whole turned picture
  int picture_width = 0, picture_height = 0;
  int pad_x = 0, pad_y = 0;
  int width = 0, height = 0;  ///< what comes out
  bool operator==(const Placement&) const = default;
};

/// @errors SOURCE_TOO_LARGE: the result would have more than `max_pixels` or a side over 16384;
///   INVALID_PARAMETER: the crop lies outside of the source
Result<Placement> Place(const SourceShape& source, const Box& box, uint64_t max_pixels);

/// For pictures after the first whose shape differs: the output keeps its size. kCover crops, all
/// others fit inside and are padded.
Placement PlaceInto(const SourceShape& source, int width, int height, const Box& box);

}  // namespace vr::worker
