// The part of an MP4's index that one moment needs. The index (`moov`, ISO/IEC 14496-12) names
// every sample of every track; libav reads all of it into tables of its own before the first
// picture, for a file of an hour longer than decoding takes. Here the same box is written anew with
// the first samples and those around the moment: what is kept has its own times, sizes and places,
// and the times in between are one long sample. Pure; takes any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace vr::worker {

struct IndexSlice {
  uint64_t offset = 0;         ///< of the box in the file
  std::string bytes;           ///< to be read there instead; a `free` box covers what is left
  std::vector<uint64_t> keys;  ///< where key frames around the moment lie in the file
  /// Of the whole video track.
  uint64_t samples = 0, ticks = 0;
  uint32_t ticks_per_second = 0;
};

/// @return false: cannot be read
using ReadAt = std::function<bool(uint64_t offset, void* to, size_t size)>;
/// [offset, offset + size) will be read.
using Announce = std::function<void(uint64_t offset, uint64_t size)>;

/// @param at seconds from the beginning of the video track
/// @return nullopt for what is small, damaged, fragmented, or unusual in any way (not one track of
///   H.264, several edits, pictures shown before they are decoded)
std::optional<IndexSlice> SliceIndex(const ReadAt& read, const Announce& announce,
                                     uint64_t file_size, double at);

}  // namespace vr::worker
