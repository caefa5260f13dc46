#include "worker/audio_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transform/protocol/costs.h"
#include "worker/audio_copy.h"
#include "worker/audio_route.h"
#include "worker/audio_track.h"
#include "worker/av_log.h"
#include "worker/clock_guard.h"
#include "worker/failure.h"
#include "worker/media.h"
#include "worker/media_output.h"
#include "worker/recipe.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

// Decoders need some packets before they are right again: MP3 leans on up to half a second.
constexpr int64_t kPreroll = 1'000'000;      // microseconds
constexpr int64_t kReadPastEnd = 5'000'000;  // packets may be out of order by this much

int64_t Microseconds(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * 1e6));
}

MediaOutput::Form FormOf(protocol::OutputFormat format) {
  switch (format) {
    case protocol::OutputFormat::kMp3:
      return MediaOutput::Form::kMp3;
    case protocol::OutputFormat::kOpus:
      return MediaOutput::Form::kOgg;
    default:
      return MediaOutput::Form::kM4a;
  }
}

/// Containers whose seeking is a guess by the bit rate, not to be trusted with a sample.
bool SeeksExactly(const Media& media) {
  const std::string_view name = media.format()->iformat->name;
  return name != "mp3" && name != "aac";
}

enum class RunEnd { kDone, kSeekFurtherBack, kNothingDecoded };

/// Decodes and encodes once over the source from one seek point.
class SoundEncoder {
 public:
  SoundEncoder(const protocol::Job& job, Media& media, const JobFiles& files, Reporter& reporter)
      : job_(job),
        media_(media),
        files_(files),
        reporter_(reporter),
        begin_(media.origin() + Microseconds(job.start_seconds)) {}

  /// @param from_start the source was opened anew: there is nothing before this
  Result<RunEnd> Run(AvPtr<AVCodecContext> decoder, bool from_start) {
    CHECK_OK(Prepare(std::move(decoder)));
    AvPtr<AVPacket> packet = NewPacket();
    bool first = true;
    while (!track_->complete()) {
      reporter_.Tick();
      TRY(const bool more, media_.Read(packet.get()));
      if (!more) break;
      const int64_t pts = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
      if (pts != AV_NOPTS_VALUE) {
        const int64_t at = av_rescale_q(pts, media_.audio()->time_base, kMicroseconds) - begin_;
        if (std::exchange(first, false) && !from_start && at > -kPreroll / 4) {
          return RunEnd::kSeekFurtherBack;
        }
        if (at < -kPreroll) continue;
        if (window_.end && at > *window_.end - begin_ + kReadPastEnd) break;
        // A broken clock must not make hours of silence.
        if (media_.duration() > 0 && static_cast<double>(at) / 1e6 > media_.duration() + 60) {
          ++implausible_;
          continue;
        }
        if (!clock_.Accept(at)) packet->pts = packet->dts = AV_NOPTS_VALUE;
        if (expected_ > 0) reporter_.SetDone(static_cast<double>(at) / 1e6 / expected_);
      } else if (!from_start) {
        return RunEnd::kSeekFurtherBack;  // only the beginning tells where this is
      }
      CHECK_OK(track_->Feed(packet.get(), Sink()));
    }
    CHECK_OK(track_->Feed(nullptr, Sink()));
    CHECK_OK(track_->Finish(Sink()));
    if (track_->encoded() == 0) return WhyNothing(from_start);
    CHECK_OK(Open());
    CHECK_OK(output_->Finish());
    return RunEnd::kDone;
  }

  protocol::Done Report() const {
    protocol::Done done;
    done.stored_bytes = output_->size();
    done.duration_seconds = track_->seconds();
    done.has_audio = true;
    done.audio_codec = track_->codec();
    done.route = "transcode";
    if (const int n = track_->skipped_packets() + implausible_; n > 0) {
      done.warnings.push_back("damaged: " + std::to_string(n) +
                              " packets of the sound could not be decoded");
    }
    if (media_.broke_off()) done.warnings.push_back("damaged: reading ended early");
    const double expected = expected_ / job_.speed;
    if (done.duration_seconds < expected - 1 && done.duration_seconds < expected * 0.9) {
      char text[96];
      std::snprintf(text, sizeof text, "shorter than declared: %.2f of %.2f seconds",
                    done.duration_seconds, expected);
      done.warnings.push_back(text);
    }
    return done;
  }

 private:
  Result<void> Prepare(AvPtr<AVCodecContext> decoder) {
    AVStream* stream = media_.audio();
    window_.begin = begin_;
    window_.max_microseconds = Microseconds(job_.limits.max_output_seconds);
    window_.speed = job_.speed;
    if (job_.duration_seconds) {
      const double most = job_.limits.max_output_seconds * job_.speed + 1;
      window_.end =
          begin_ + std::max<int64_t>(1, Microseconds(std::min(*job_.duration_seconds, most)));
    }
    if (const auto end = SoundEnd(*stream)) {
      if (*end > begin_ && (!window_.end || *end < *window_.end)) window_.end = *end;
    }
    expected_ = media_.stream_duration() > 0 ? media_.stream_duration() - job_.start_seconds : 0;
    if (job_.duration_seconds && *job_.duration_seconds > 0) {
      expected_ =
          expected_ > 0 ? std::min(expected_, *job_.duration_seconds) : *job_.duration_seconds;
    }
    reporter_.SetEstimate(expected_ / job_.speed / protocol::kSoundSecondsPerSecond);
    TRY(AudioTrack track,
        AudioTrack::Create(stream, std::move(decoder),
                           AudioRecipeFor(job_, stream->codecpar->sample_rate), window_));
    track_.emplace(std::move(track));
    return {};
  }

  Result<void> Open() {
    if (output_) return {};
    std::vector<TrackFormat> tracks;
    TRY(TrackFormat sound, TrackFormat::Of(*track_->encoder()));
    tracks.push_back(std::move(sound));
    TRY(output_, MediaOutput::Create(files_.stored.get(), FormOf(job_.format),
                                     job_.limits.max_output_bytes, tracks));
    return {};
  }

  PacketSink Sink() {
    return [this](AVPacket& packet) -> Result<void> {
      CHECK_OK(Open());
      CHECK_OK(output_->Write(packet, 0));
      reporter_.SetStoredBytes(output_->size());
      reporter_.Tick();
      return {};
    };
  }

  Result<RunEnd> WhyNothing(bool from_start) const {
    if (track_->decoded_frames() > 0) return OutOfRange("the source has no sound at this time");
    return from_start ? RunEnd::kNothingDecoded : RunEnd::kSeekFurtherBack;
  }

  const protocol::Job& job_;
  Media& media_;
  const JobFiles& files_;
  Reporter& reporter_;
  const int64_t begin_;  // source microseconds at output time 0
  AudioTrack::Window window_;
  double expected_ = 0;  // seconds of the source
  int implausible_ = 0;
  ClockGuard clock_;
  std::optional<AudioTrack> track_;
  std::unique_ptr<MediaOutput> output_;
};

/// Where to begin reading, seconds, best first; 0 = from the very beginning.
std::vector<double> StartPoints(const protocol::Job& job, const Media& media) {
  constexpr double kPrerollSeconds = kPreroll / 1e6;
  if (!SeeksExactly(media) || job.start_seconds <= 2 * kPrerollSeconds) return {0};
  return SeekPoints(job.start_seconds - kPrerollSeconds);
}

Result<std::unique_ptr<Media>> OpenTrack(SourceIo& source, const protocol::Job& job, int track) {
  TRY(std::unique_ptr<Media> media, Media::Open(source, job.limits, Want::kSound));
  for (int i = 0; i < track; ++i) {
    if (!media->NextAudio()) return Corrupt("the source's sound cannot be decoded", AvLogLines());
  }
  return media;
}

/// One of the source's tracks. @return nullopt: it cannot be decoded
Result<std::optional<protocol::Done>> EncodeTrack(const protocol::Job& job, SourceIo& source,
                                                  const JobFiles& files, Reporter& reporter,
                                                  std::unique_ptr<Media> media, int track) {
  bool moved = false;
  for (const double point : StartPoints(job, *media)) {
    const bool from_start = point == 0;
    if (from_start && moved) {
      // Containers disagree on what seeking to the start means; opening anew is the same
      // everywhere.
      media.reset();
      TRY(media, OpenTrack(source, job, track));
    }
    if (!from_start && !media->Seek(point)) continue;
    moved = true;
    auto decoder = media->OpenDecoder(media->audio(), 1);
    if (!decoder.ok()) {
      if (decoder.error().reason == "TRANSFORM_FAILED") return std::move(decoder).error();
      return std::optional<protocol::Done>();
    }
    SoundEncoder encoder(job, *media, files, reporter);
    TRY(const RunEnd end, encoder.Run(std::move(*decoder), from_start));
    if (end == RunEnd::kDone) return std::optional(encoder.Report());
    if (end == RunEnd::kNothingDecoded) break;
  }
  return std::optional<protocol::Done>();
}

}  // namespace

Result<protocol::Done> ExtractAudio(const protocol::Job& job, SourceIo& source,
                                    const JobFiles& files, Reporter& reporter) {
  TRY(std::unique_ptr<Media> media, OpenTrack(source, job, 0));
  CHECK_OK(CheckStart(job.start_seconds, media->duration()));
  if (job.duration_seconds && !(*job.duration_seconds > 0)) {
    return OutOfRange("the duration is impossible");
  }
  const double left = media->duration() - job.start_seconds;
  const double wanted = job.duration_seconds ? std::min(*job.duration_seconds, left) : left;
  if (media->duration() > 0 && wanted / job.speed > job.limits.max_output_seconds) {
    return TooLarge("the result would be too long").WithFact("limit", "output seconds");
  }
  const AudioRoute route =
      AudioRouteFor(job, AudioFactsOf(*media->audio(), media->origin(), media->duration()));
  if (route.copy) {
    reporter.SetEstimate(static_cast<double>(job.source_size) / protocol::kCopiedBytesPerSecond);
    TRY(std::optional<protocol::Done> copied, CopySound(job, *media, files, reporter));
    if (copied) return std::move(*copied);
    media.reset();
    TRY(media, OpenTrack(source, job, 0));
  }
  for (int track = 0;; ++track) {
    if (track > 0) {
      TRY(media, OpenTrack(source, job, track));
    }
    TRY(std::optional<protocol::Done> done,
        EncodeTrack(job, source, files, reporter, std::move(media), track));
    if (done) {
      if (track > 0) done->warnings.push_back("another track's sound could not be decoded");
      return std::move(*done);
    }
  }
}

}  // namespace vr::worker
