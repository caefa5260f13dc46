#include "worker/video_route.h"

#include <algorithm>

#include "worker/recipe.h"

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::OutputFormat;

/// @return what is missing, null when packets of this codec may stand in the wanted format
const char* CodecObjection(const Job& job, const VideoFacts& f) {
  switch (job.format) {
    case OutputFormat::kMp4:
      if (f.codec != AV_CODEC_ID_H264) return "other codec";
      if (f.profile != FF_PROFILE_H264_BASELINE &&
          f.profile != FF_PROFILE_H264_CONSTRAINED_BASELINE && f.profile != FF_PROFILE_H264_MAIN &&
          f.profile != FF_PROFILE_H264_HIGH) {
        return "profile";
      }
      break;
    case OutputFormat::kHevc:
      if (f.codec != AV_CODEC_ID_HEVC) return "other codec";
      if (f.profile != FF_PROFILE_HEVC_MAIN) return "profile";
      break;
    case OutputFormat::kAv1:
      if (f.codec != AV_CODEC_ID_AV1) return "other codec";
      if (f.profile != FF_PROFILE_AV1_MAIN) return "profile";
      break;
    case OutputFormat::kWebm:
      if (f.codec != AV_CODEC_ID_VP9) return "other codec";
      if (f.profile != FF_PROFILE_VP9_0) return "profile";
      break;
    default:
      return "other codec";
  }
  if (f.pixels != AV_PIX_FMT_YUV420P && f.pixels != AV_PIX_FMT_YUVJ420P) return "pixel format";
  return nullptr;
}

const char* Objection(const Job& job, const VideoFacts& f, const Placement& p) {
  if (const char* objection = CodecObjection(job, f)) return objection;
  if (!f.has_exact_packets) return "container";
  if (!IsWhole(job, f.duration_seconds)) return "a part is wanted";
  if (job.fps > 0) return "frame rate";
  if (job.bit_rate > 0 || job.quality_number != 0 || job.quality != Level::kAuto ||
      job.compression != Level::kAuto || job.target_ssim > 0) {
    return "quality";
  }
  if (p.angle != 0 || p.orientation != Orientation() || f.shape.orientation != Orientation()) {
    return "rotation";
  }
  const double ratio = f.shape.sample_aspect_ratio;
  if (ratio < 0.999 || ratio > 1.001) return "sample aspect ratio";
  if (p.width != f.shape.width || p.height != f.shape.height || p.picture_width != p.width ||
      p.picture_height != p.height || p.crop_width != p.width || p.crop_height != p.height) {
    return "size";
  }
  if (PathOf(f.colour) != ColourPath::kMatrix || f.colour.range != AVCOL_RANGE_MPEG)
    return "colour";
  if (!f.is_progressive) return "interlaced";
  // A camera's 50 Mbit/s are no answer to "as it is, for the web".
  if (f.bit_rate <= 0 || f.bit_rate > CeilingRate(p.width, p.height, f.fps, kAutoBitsPerPixel)) {
    return "bit rate";
  }
  return nullptr;
}

}  // namespace

bool IsWhole(const Job& job, double duration) {
  constexpr double kSlack = 0.05;  // declared durations are about right
  if (job.start_seconds > 0 || job.speed != 1) return false;
  return !job.duration_seconds || (duration > 0 && *job.duration_seconds >= duration + kSlack);
}

bool IsNeverCopied(const Job& job, VideoFacts facts, const Placement& placement) {
  facts.profile = FF_PROFILE_H264_HIGH;
  facts.pixels = AV_PIX_FMT_YUV420P;
  facts.colour = {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  facts.is_progressive = true;
  facts.bit_rate = 1;
  return Objection(job, facts, placement) != nullptr;
}

VideoRoute VideoRouteFor(const Job& job, const VideoFacts& facts, const Placement& placement) {
  VideoRoute route;
  const char* objection = Objection(job, facts, placement);
  route.copy = objection == nullptr;
  route.why = route.copy ? "copied" : objection;
  const double shrink =
      std::min(1.0 * placement.crop_width / std::max(1, placement.scaled_width),
               1.0 * placement.crop_height / std::max(1, placement.scaled_height));
  route.skip_loop_filter = !route.copy && shrink >= 2;
  return route;
}

}  // namespace vr::worker
