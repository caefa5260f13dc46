#include "worker/sheet_layout.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "worker/failure.h"

namespace vr::worker {
namespace {

using transform::protocol::SheetGrid;

/// More cells than any sheet of the largest size could hold.
constexpr double kMaxTiles = 1 << 26;

uint64_t CountOf(const SheetGrid& grid, const SheetRange& range) {
  double count = grid.count;
  if (grid.interval_seconds && *grid.interval_seconds > 0) {
    // A tile that begins where the range ends has nothing to show.
    const double fitting = std::ceil(range.length / *grid.interval_seconds - 1e-6);
    count = grid.count == 0 ? fitting : std::min(count, fitting);
  } else if (range.pictures > 0) {
    const auto there = static_cast<double>(range.pictures);
    count = grid.count == 0 ? there : std::min(count, there);
  }
  if (grid.columns && grid.rows) {
    count = std::min(count, 1.0 * std::max(1u, *grid.columns) * std::max(1u, *grid.rows));
  }
  return static_cast<uint64_t>(std::clamp(count, 1.0, kMaxTiles));
}

uint64_t CeilDivide(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

std::string Clock(double seconds) {
  const int64_t ms = std::llround(std::max(seconds, 0.0) * 1000);
  char text[48];
  std::snprintf(text, sizeof text, "%02lld:%02lld:%02lld.%03lld",
                static_cast<long long>(ms / 3'600'000), static_cast<long long>(ms / 60'000 % 60),
                static_cast<long long>(ms / 1000 % 60), static_cast<long long>(ms % 1000));
  return text;
}

/// Which of the caller's wishes makes the sheet too large.
const char* Culprit(const SheetGrid& grid) {
  if (grid.columns && grid.rows) return "columns";
  return grid.count == 0 ? "interval" : "imageCount";
}

}  // namespace

Result<SheetLayout> LayOut(const SheetGrid& grid, const SheetRange& range, int tile_width,
                           int tile_height, int max_side, uint64_t max_pixels) {
  const uint64_t count = CountOf(grid, range);
  uint64_t columns = 0, rows = 0;
  if (grid.columns && grid.rows) {
    columns = std::max(1u, *grid.columns);
    rows = std::max(1u, *grid.rows);
  } else if (grid.columns) {
    columns = std::max(1u, *grid.columns);
    rows = CeilDivide(count, columns);
  } else if (grid.rows) {
    rows = std::max(1u, *grid.rows);
    columns = CeilDivide(count, rows);
  } else {
    columns = static_cast<uint64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
    const auto fitting = static_cast<uint64_t>(std::max(1, max_side / std::max(1, tile_width)));
    columns = std::clamp<uint64_t>(columns, 1, fitting);
    rows = CeilDivide(count, columns);
  }
  const double width = static_cast<double>(columns) * tile_width;
  const double height = static_cast<double>(rows) * tile_height;
  if (width > max_side || height > max_side || width * height > static_cast<double>(max_pixels)) {
    char text[200];
    std::snprintf(text, sizeof text,
                  "parameter '%s': the sheet would be %.0fx%.0f (%llu tiles of %dx%d); allowed: "
                  "sides up to %d and %llu pixels",
                  Culprit(grid), width, height, static_cast<unsigned long long>(count), tile_width,
                  tile_height, max_side, static_cast<unsigned long long>(max_pixels));
    return InvalidParameter(text);
  }
  SheetLayout layout;
  layout.columns = static_cast<int>(columns);
  layout.rows = static_cast<int>(rows);
  layout.tile_width = tile_width;
  layout.tile_height = tile_height;
  layout.length = range.length;
  layout.step = grid.interval_seconds && *grid.interval_seconds > 0
                    ? *grid.interval_seconds
                    : range.length / static_cast<double>(count);
  layout.times.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    layout.times.push_back(range.start + static_cast<double>(i) * layout.step);
  }
  return layout;
}

std::string WebVtt(const SheetLayout& layout, const std::string& link) {
  std::string text = "WEBVTT\n";
  for (size_t i = 0; i < layout.times.size(); ++i) {
    const double begin = static_cast<double>(i) * layout.step;
    const bool last = i + 1 == layout.times.size();
    const double end = last ? std::max(layout.length, begin + 0.001) : begin + layout.step;
    text += "\n" + Clock(begin) + " --> " + Clock(end) + "\n" + link +
            "#xywh=" + std::to_string(layout.x(i)) + "," + std::to_string(layout.y(i)) + "," +
            std::to_string(layout.tile_width) + "," + std::to_string(layout.tile_height) + "\n";
  }
  return text;
}

}  // namespace vr::worker
