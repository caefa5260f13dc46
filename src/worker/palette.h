// A GIF's palette: made of all of its pictures, then laid over each of them. libavfilter's
// palettegen and paletteuse. Main thread only.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "worker/av.h"
#include "worker/recipe.h"

namespace vr::worker {

/// Counts colours. Memory does not grow with the number of pictures.
class PaletteMaker {
 public:
  static Result<PaletteMaker> Create(int width, int height, const GifRecipe& recipe);
  /// @param picture AV_PIX_FMT_BGRA; kept as it is
  Result<void> Add(const AVFrame& picture);
  /// The palette, as a picture of 16x16. Once, after the last Add.
  Result<AvPtr<AVFrame>> Finish();

 private:
  AvPtr<AVFilterGraph> graph_;
  AVFilterContext* source_ = nullptr;
  AVFilterContext* sink_ = nullptr;
  int64_t next_ = 0;
};

class PaletteMapper {
 public:
  static Result<PaletteMapper> Create(int width, int height, AvPtr<AVFrame> palette,
                                      const GifRecipe& recipe);
  /// @param picture AV_PIX_FMT_BGRA, pts ascending; null = no more
  Result<void> Send(AvPtr<AVFrame> picture);
  /// AV_PIX_FMT_PAL8 with the pts it was sent with. @return null when more input is needed
  Result<AvPtr<AVFrame>> Receive();

 private:
  AvPtr<AVFilterGraph> graph_;
  AVFilterContext* source_ = nullptr;
  AVFilterContext* sink_ = nullptr;
};

}  // namespace vr::worker
