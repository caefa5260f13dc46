// PictureGraph: decoded pictures of one shape in, upright pictures of the output's size and colours
// out.
//
// A libavfilter graph: deinterlace, crop, scale (or the HDR chain), mirror and turn, pad. Built
// anew when the source's shape changes mid-stream. Timestamps go through in kOutputTimeBase.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "worker/av.h"
#include "worker/colour.h"
#include "worker/geometry.h"

namespace vr::worker {

/// What a graph was built for; a frame that differs needs another graph.
struct PictureShape {
  int width = 0, height = 0;
  int format = -1;
  Colour colour;
  bool interlaced = false;
  bool operator==(const PictureShape&) const = default;
};
PictureShape ShapeOf(const AVFrame& frame);

struct PictureTarget {
  AVPixelFormat format = AV_PIX_FMT_YUV420P;
  Colour colour;
  bool opaque = false;  ///< black, not clear, where the picture is not, whatever the format
};

/// The graph in libavfilter's language. Pure; everything in it is a number or a name of ours.
std::string DescribeGraph(const PictureShape& shape, const Placement& placement,
                          const PictureTarget& target);

class PictureGraph {
 public:
  /// @param threads slice threads of the scaler; they do not change the picture
  static Result<PictureGraph> Create(const PictureShape& shape, const Placement& placement,
                                     const PictureTarget& target, int threads);

  /// @param frame consumed; null = no more
  Result<void> Send(AvPtr<AVFrame> frame);
  /// @return null when more input is needed (or after the last)
  Result<AvPtr<AVFrame>> Receive();
  /// One picture for one, whose neighbours in time are not known: an interlaced one ends the graph.
  Result<AvPtr<AVFrame>> FilterAlone(AvPtr<AVFrame> frame, int64_t pts);
  const PictureShape& shape() const { return shape_; }

 private:
  PictureShape shape_;
  AvPtr<AVFilterGraph> graph_;
  AVFilterContext* source_ = nullptr;
  AVFilterContext* sink_ = nullptr;
};

}  // namespace vr::worker
