// What an MP4's description of an H.264 stream (ISO/IEC 14496-15, AVCDecoderConfigurationRecord)
// tells of its pictures, from the sequence parameter set in it (ITU-T H.264, 7.3.2.1.1 and E.1.1).
// libav only knows it after it has decoded a picture. Pure; takes any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace vr::worker {

struct AvcFacts {
  int64_t width = 0, height = 0;      ///< shown, pixels
  int profile = 0;                    ///< profile_idc
  int chroma_format = 1;              ///< 0: grey, 1: 4:2:0
  bool may_have_fields = false;       ///< interlacing is allowed, if not used
  int sar_width = 0, sar_height = 1;  ///< sample aspect ratio; 0:1 = not told
  std::optional<int> reordered;       ///< max_num_reorder_frames, when told
};

/// @return nullopt for what is damaged, or unusual (several parameter sets, colour planes apart)
std::optional<AvcFacts> ReadAvcConfiguration(std::span<const uint8_t> record);

}  // namespace vr::worker
