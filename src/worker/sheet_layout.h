// Sheet layout: how many tiles a spritesheet has, which times they show and where they lie. Pure;
// the sheet and its WebVTT both come from here.
//
// Tile i shows the picture at start + i * step. Without an interval the step is the length divided
// by the count, so that the first tile is the first picture and the last one lies a step before the
// end. Row-major; what the tiles do not fill is black.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "transform/protocol/messages.h"

namespace vr::worker {

/// What is there to be shown, seconds of the source.
struct SheetRange {
  double start = 0;
  double length = 0;      ///< > 0
  uint64_t pictures = 0;  ///< in it, 0 = not known
};

struct SheetLayout {
  std::vector<double> times;  ///< of the source, seconds, ascending; at least one
  double step = 0;            ///< seconds between tiles
  double length = 0;          ///< of the range, seconds
  int columns = 1, rows = 1;
  int tile_width = 0, tile_height = 0;
  int width() const { return columns * tile_width; }
  int height() const { return rows * tile_height; }
  int x(size_t tile) const { return static_cast<int>(tile) % columns * tile_width; }
  int y(size_t tile) const { return static_cast<int>(tile) / columns * tile_height; }
};

/// Spread tiles are never more than there are pictures, tiles at an interval never more than fit
/// into the range; columns and rows that were asked for stay. With both, no more tiles than cells.
/// @param max_side pixels of the sheet
/// @errors INVALID_PARAMETER: the sheet would be larger than `max_side` or `max_pixels`
Result<SheetLayout> LayOut(const transform::protocol::SheetGrid& grid, const SheetRange& range,
                           int tile_width, int tile_height, int max_side, uint64_t max_pixels);

/// The cues of the sheet at `link`. Times count from the range's start: they are those of a video
/// made with the same `time` and `duration`.
std::string WebVtt(const SheetLayout& layout, const std::string& link);

}  // namespace vr::worker
