#include "worker/audio_route.h"

#include <algorithm>

#include "worker/video_route.h"

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::Operation;
using transform::protocol::OutputFormat;

// Sound that begins this much after the picture is not heard as late; more of it must be filled.
constexpr double kUnheardDelay = 0.02;

AVCodecID CodecOf(OutputFormat format) {
  switch (format) {
    case OutputFormat::kMp3:
      return AV_CODEC_ID_MP3;
    case OutputFormat::kOpus:
    case OutputFormat::kWebm:
      return AV_CODEC_ID_OPUS;
    default:
      return AV_CODEC_ID_AAC;
  }
}

const char* Objection(const Job& job, const AudioFacts& f) {
  if (f.codec != CodecOf(job.format)) return "other codec";
  if (f.codec == AV_CODEC_ID_AAC) {
    if (f.profile != FF_PROFILE_AAC_LOW) return "profile";
    if (f.sample_rate > 48000) return "sample rate";
  }
  if (f.channels != 1 && f.channels != 2) return "channels";
  if (f.sample_rate <= 0) return "sample rate";
  if (!IsWhole(job, f.duration_seconds)) return "a part is wanted";
  if (job.bit_rate > 0 && job.operation == Operation::kAudio) return "bit rate";
  if (job.quality_number != 0 || job.quality != Level::kAuto) return "quality";
  if (job.operation == Operation::kAudio && f.late_seconds > kUnheardDelay) return "begins late";
  return nullptr;
}

}  // namespace

AudioRoute AudioRouteFor(const Job& job, const AudioFacts& facts) {
  const char* objection = Objection(job, facts);
  return {objection == nullptr, objection == nullptr ? "copied" : objection};
}

AudioFacts AudioFactsOf(const AVStream& stream, int64_t origin, double duration) {
  AudioFacts f;
  const AVCodecParameters& p = *stream.codecpar;
  f.codec = p.codec_id;
  f.profile = p.profile;
  f.channels = p.ch_layout.nb_channels;
  f.sample_rate = p.sample_rate;
  f.bit_rate = p.bit_rate;
  f.duration_seconds = duration;
  if (stream.start_time != AV_NOPTS_VALUE) {
    const int64_t begins = av_rescale_q(stream.start_time, stream.time_base, kMicroseconds);
    f.late_seconds = std::max(0.0, static_cast<double>(begins - origin) / 1e6);
  }
  return f;
}

}  // namespace vr::worker
