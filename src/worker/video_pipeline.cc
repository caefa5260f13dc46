#include "worker/video_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/audio_track.h"
#include "worker/av_log.h"
#include "worker/failure.h"
#include "worker/h264_encoder.h"
#include "worker/media.h"
#include "worker/media_output.h"
#include "worker/picture_decoder.h"
#include "worker/picture_graph.h"
#include "worker/recipe.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

constexpr int kVideoStream = 0;
constexpr int kAudioStream = 1;
constexpr double kTicksPerSecond = kOutputTimeBase.den;
// Pictures closer than this to the one before are left out: no screen shows them.
constexpr auto kMinGapTicks = static_cast<int64_t>(kTicksPerSecond / kMaxOutputFps * 0.9);
// A container may bring sound this much later than the pictures it belongs to; then silence takes
// its place.
constexpr int64_t kMaxAudioLag = 10'000'000;  // microseconds
// Packets may be out of order by this much around the end of the window.
constexpr int64_t kReadPastEnd = 10'000'000;

int64_t Microseconds(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * 1e6));
}

/// One run over the source from one seek point.
class Transcoder {
 public:
  Transcoder(const protocol::Job& job, Media& media, const JobFiles& files, Reporter& reporter,
             bool may_retry)
      : job_(job),
        media_(media),
        files_(files),
        reporter_(reporter),
        may_retry_(may_retry),
        begin_(media.origin() + Microseconds(job.start_seconds)) {}

  /// @return nullopt: this seek point lies behind the wanted picture, try an earlier one
  Result<std::optional<protocol::Done>> Run() {
    CHECK_OK(Prepare());
    AvPtr<AVPacket> packet = NewPacket();
    const PictureDecoder::OnPicture on_picture = [this](AvPtr<AVFrame> frame, int64_t ticks) {
      return OnPicture(std::move(frame), ticks);
    };
    while (!(video_done_ && (!audio_ || audio_->complete()))) {
      reporter_.Tick();
      TRY(const bool more, media_.Read(packet.get()));
      if (!more) break;
      const int64_t at = TimeOf(*packet);
      if (end_us_ && video_done_ && at > *end_us_ + kReadPastEnd) break;
      if (packet->stream_index == media_.video()->index) {
        if (!video_done_) {
          TRY(const bool wanted, decoder_->Feed(packet.get(), on_picture));
          video_done_ = !wanted;
          retry_ = retry_ || decoder_->missed();
        }
        if (retry_) return std::optional<protocol::Done>();
        if (audio_ && at > kMaxAudioLag && PlausibleTime(at)) {
          CHECK_OK(audio_->FillUpTo(at - kMaxAudioLag, AudioSink()));
        }
      } else if (audio_) {
        CHECK_OK(audio_->Feed(packet.get(), AudioSink()));
      }
    }
    if (!video_done_) {
      TRY(const bool wanted, decoder_->Feed(nullptr, on_picture));
      video_done_ = !wanted;
      if (retry_) return std::optional<protocol::Done>();
    }
    return Finish();
  }

 private:
  Result<void> Prepare() {
    TRY(PictureDecoder decoder,
        PictureDecoder::Create(media_, static_cast<int>(job_.decoder_threads), begin_, false,
                               may_retry_));
    decoder_.emplace(std::move(decoder));
    if (job_.duration_seconds) {
      if (!(*job_.duration_seconds > 0)) return OutOfRange("the duration is impossible");
      const double seconds = std::min(*job_.duration_seconds, job_.limits.max_output_seconds + 1);
      end_us_ = Microseconds(seconds);
      end_ticks_ = std::max<int64_t>(1, av_rescale_q(*end_us_, kMicroseconds, kOutputTimeBase));
    }
    expected_ticks_ = media_.stream_duration() > 0
                          ? (media_.stream_duration() - job_.start_seconds) * kTicksPerSecond
                          : 0;
    if (end_ticks_) {
      expected_ticks_ =
          expected_ticks_ > 0 ? std::min<double>(expected_ticks_, *end_ticks_) : *end_ticks_;
    }
    const AVCodecParameters* p = media_.video()->codecpar;
    SourceShape shape{p->width, p->height, SampleAspect(nullptr), media_.orientation()};
    TRY(const Placement placement, Place(shape, BoxOf(job_), job_.limits.max_pixels));
    const double shrink = std::min(1.0 * p->width / placement.scaled_width,
                                   1.0 * p->height / placement.scaled_height);
    if (shrink >= 2) decoder_->SkipLoopFilter(job_.compression == protocol::Level::kLow);
    if (job_.audio && media_.audio() != nullptr) CHECK_OK(PrepareAudio());
    return {};
  }

  Result<void> PrepareAudio() {
    AVStream* stream = media_.audio();
    auto decoder = media_.OpenDecoder(stream, 1);
    if (!decoder.ok()) {
      if (decoder.error().reason == "TRANSFORM_FAILED") return std::move(decoder).error();
      warnings_.push_back("the sound could not be decoded");
      return {};
    }
    AudioTrack::Window window;
    window.begin = begin_;
    if (end_us_) window.end = begin_ + *end_us_;
    window.max_microseconds = Microseconds(job_.limits.max_output_seconds);
    TRY(AudioTrack track,
        AudioTrack::Create(stream, std::move(*decoder),
                           AudioRecipeFor(job_, stream->codecpar->sample_rate), window));
    audio_.emplace(std::move(track));
    return {};
  }

  double SampleAspect(AVFrame* frame) const {
    const AVRational sar = av_guess_sample_aspect_ratio(media_.format(), media_.video(), frame);
    return sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1;
  }

  /// Microseconds of output time.
  int64_t TimeOf(const AVPacket& packet) const {
    const int64_t pts = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (pts == AV_NOPTS_VALUE) return 0;
    return av_rescale_q(pts, media_.format()->streams[packet.stream_index]->time_base,
                        kMicroseconds) -
           begin_;
  }
  /// A broken clock must not make hours of silence.
  bool PlausibleTime(int64_t us) const {
    return media_.duration() <= 0 || static_cast<double>(us) / 1e6 <= media_.duration() + 60;
  }

  Result<bool> OnPicture(AvPtr<AVFrame> frame, int64_t ticks) {
    reporter_.Tick();
    if (ticks < -kSameTimeTicks) {
      held_ = std::move(frame);
      held_end_ = ticks + decoder_->DurationOf(*held_);
      return true;
    }
    if (!started_) {
      if (ticks > kSameTimeTicks && !held_ && may_retry_) {
        retry_ = true;
        return false;
      }
      if (ticks > kSameTimeTicks && held_) {
        // What is on the screen at the start began before it.
        AvPtr<AVFrame> shown = std::move(held_);
        CHECK_OK(Show(std::move(shown), 0));
      } else {
        ticks = 0;  // the first picture there is stands from the start
      }
      held_.reset();
    }
    if (end_ticks_ && ticks >= *end_ticks_) {
      last_duration_ = *end_ticks_ - last_ticks_;
      return false;
    }
    CHECK_OK(Show(std::move(frame), ticks));
    return true;
  }

  Result<void> Show(AvPtr<AVFrame> frame, int64_t ticks) {
    if (started_ && ticks - last_ticks_ < kMinGapTicks) return {};
    if (static_cast<double>(ticks) / kTicksPerSecond > job_.limits.max_output_seconds) {
      return TooLarge("the result would be too long").WithFact("limit", "output seconds");
    }
    if (static_cast<uint64_t>(frame->width) * static_cast<uint64_t>(frame->height) >
        job_.limits.max_pixels) {
      return TooLarge("the source has too many pixels").WithFact("limit", "pixels");
    }
    last_duration_ = decoder_->DurationOf(*frame);
    last_ticks_ = ticks;
    if (expected_ticks_ > 0) reporter_.SetDone(static_cast<double>(ticks) / expected_ticks_);
    frame->pts = ticks;
    interlaced_ = interlaced_ || frame->interlaced_frame != 0;
    PictureShape shape = ShapeOf(*frame);
    shape.interlaced = interlaced_;
    if (!started_) CHECK_OK(Start(*frame, shape));
    if (!graph_ || !(graph_->shape() == shape)) CHECK_OK(Rebuild(*frame, shape));
    CHECK_OK(graph_->Send(std::move(frame)));
    return EncodeFiltered();
  }

  /// The first picture decides the output's size and colours.
  Result<void> Start(AVFrame& frame, const PictureShape& shape) {
    started_ = true;
    SourceShape source{frame.width, frame.height, SampleAspect(&frame), media_.orientation()};
    TRY(placement_, Place(source, BoxOf(job_), job_.limits.max_pixels));
    target_ = {AV_PIX_FMT_YUV420P, VideoColour(shape.colour)};
    const double ratio = 1.0 * placement_.width * placement_.height / frame.width / frame.height;
    const H264Recipe recipe =
        H264RecipeFor(job_, placement_.width, placement_.height, av_q2d(media_.frame_rate()),
                      media_.video_bit_rate(), ratio);
    TRY(H264Encoder encoder, H264Encoder::Create(placement_.width, placement_.height,
                                                 media_.frame_rate(), target_.colour, recipe));
    encoder_.emplace(std::move(encoder));
    std::vector<TrackFormat> tracks;
    TRY(TrackFormat video, TrackFormat::Of(*encoder_->context()));
    tracks.push_back(std::move(video));
    if (audio_) {
      TRY(TrackFormat sound, TrackFormat::Of(*audio_->encoder()));
      tracks.push_back(std::move(sound));
    }
    if (files_.stream) {
      TRY(stream_, MediaOutput::Create(files_.stream.get(), MediaOutput::Form::kFragmented,
                                       job_.limits.max_output_bytes, tracks));
      reporter_.SetStreamBytes(stream_->size());
    }
    TRY(stored_, MediaOutput::Create(files_.stored.get(), MediaOutput::Form::kIndexed,
                                     job_.limits.max_output_bytes, tracks));
    for (const AvPtr<AVPacket>& packet : early_audio_) CHECK_OK(Mux(*packet, kAudioStream));
    early_audio_.clear();
    return {};
  }

  Result<void> Rebuild(AVFrame& frame, const PictureShape& shape) {
    Placement placement = placement_;
    if (graph_) {
      CHECK_OK(graph_->Send(nullptr));
      CHECK_OK(EncodeFiltered());
      const PictureShape& before = graph_->shape();
      if (before.width != shape.width || before.height != shape.height) {
        SourceShape source{frame.width, frame.height, SampleAspect(&frame), media_.orientation()};
        placement = PlaceInto(source, placement_.width, placement_.height, BoxOf(job_));
      } else {
        placement = current_placement_;
      }
    }
    current_placement_ = placement;
    TRY(PictureGraph graph,
        PictureGraph::Create(shape, placement, target_, static_cast<int>(job_.decoder_threads)));
    graph_.emplace(std::move(graph));
    return {};
  }

  Result<void> EncodeFiltered() {
    for (;;) {
      TRY(AvPtr<AVFrame> frame, graph_->Receive());
      if (frame == nullptr) return {};
      if (frame->pts <= last_encoded_) continue;  // the encoder insists
      last_encoded_ = frame->pts;
      ++frames_;
      CHECK_OK(encoder_->Encode(*frame, VideoSink()));
      reporter_.Tick();
    }
  }

  PacketSink VideoSink() {
    return [this](AVPacket& packet) { return Mux(packet, kVideoStream); };
  }
  PacketSink AudioSink() {
    return [this](AVPacket& packet) -> Result<void> {
      if (stored_) return Mux(packet, kAudioStream);
      AvPtr<AVPacket> copy(av_packet_clone(&packet));
      if (copy == nullptr) return EngineError("audio", AVERROR(ENOMEM));
      early_audio_.push_back(std::move(copy));
      return {};
    };
  }

  Result<void> Mux(const AVPacket& packet, int stream) {
    if (stream_) {
      CHECK_OK(stream_->Write(packet, stream));
      reporter_.SetStreamBytes(stream_->size());
    }
    CHECK_OK(stored_->Write(packet, stream));
    reporter_.SetStoredBytes(stored_->size());
    return {};
  }

  /// Nothing was shown. Either the window lies behind the end, or nothing could be decoded.
  Result<void> StartLate() {
    if (!held_) {
      if (decoder_->pictures() > 0) return OutOfRange("the source has no picture at this time");
      return media_.WhyNoPicture("no picture was decoded");
    }
    const double start = job_.start_seconds;
    const double last_end = start + static_cast<double>(held_end_) / kTicksPerSecond;
    if (!LastPictureStillShown(start, last_end, media_.video_duration(), media_.duration())) {
      char text[96];
      std::snprintf(text, sizeof text, "the source's pictures end at %.3f seconds", last_end);
      return OutOfRange(text);
    }
    AvPtr<AVFrame> shown = std::move(held_);
    return Show(std::move(shown), 0);
  }

  Result<std::optional<protocol::Done>> Finish() {
    if (!started_) {
      if (may_retry_ && !held_) return std::optional<protocol::Done>();
      CHECK_OK(StartLate());
    }
    if (end_ticks_) last_duration_ = std::min(last_duration_, *end_ticks_ - last_ticks_);
    last_duration_ = std::max<int64_t>(last_duration_, 1);
    if (graph_) {
      CHECK_OK(graph_->Send(nullptr));
      CHECK_OK(EncodeFiltered());
    }
    CHECK_OK(encoder_->Finish(last_duration_, VideoSink()));
    const double video_seconds =
        static_cast<double>(last_ticks_ + last_duration_) / kTicksPerSecond;
    if (audio_) {
      CHECK_OK(audio_->Feed(nullptr, AudioSink()));
      if (audio_->samples() == 0)
        CHECK_OK(audio_->FillUpTo(Microseconds(video_seconds), AudioSink()));
      CHECK_OK(audio_->Finish(AudioSink()));
    }
    if (stream_) {
      CHECK_OK(stream_->Finish());
      reporter_.SetStreamBytes(stream_->size());
    }
    CHECK_OK(stored_->Finish());

    protocol::Done done;
    done.stored_bytes = stored_->size();
    done.stream_bytes = stream_ ? stream_->size() : 0;
    done.width = static_cast<uint32_t>(placement_.width);
    done.height = static_cast<uint32_t>(placement_.height);
    done.has_audio = audio_.has_value();
    done.duration_seconds = std::max(video_seconds, audio_ ? audio_->seconds() : 0);
    done.frames = static_cast<uint64_t>(frames_);
    done.fps = video_seconds > 0 ? static_cast<double>(frames_) / video_seconds : 0;
    done.video_codec = "h264";
    if (audio_) done.audio_codec = "aac";
    AddWarnings(video_seconds);
    done.warnings = warnings_;
    return std::optional<protocol::Done>(std::move(done));
  }

  void AddWarnings(double video_seconds) {
    if (decoder_->skipped_packets() > 0) {
      warnings_.push_back("damaged: " + std::to_string(decoder_->skipped_packets()) +
                          " packets of the video could not be decoded");
    }
    if (audio_ && audio_->skipped_packets() > 0) {
      warnings_.push_back("damaged: " + std::to_string(audio_->skipped_packets()) +
                          " packets of the sound could not be decoded");
    }
    if (media_.broke_off()) warnings_.push_back("damaged: reading ended early");
    const double seconds = std::max(video_seconds, audio_ ? audio_->seconds() : 0);
    const double expected = expected_ticks_ / kTicksPerSecond;
    if (expected > 0 && seconds < expected - 1 && seconds < expected * 0.9) {
      char text[96];
      std::snprintf(text, sizeof text, "shorter than declared: %.2f of %.2f seconds", seconds,
                    expected);
      warnings_.push_back(text);
    }
  }

  const protocol::Job& job_;
  Media& media_;
  const JobFiles& files_;
  Reporter& reporter_;
  const bool may_retry_;
  const int64_t begin_;  // source microseconds at output time 0

  std::optional<int64_t> end_us_, end_ticks_;
  double expected_ticks_ = 0;
  std::optional<PictureDecoder> decoder_;
  std::optional<AudioTrack> audio_;
  std::optional<PictureGraph> graph_;
  std::optional<H264Encoder> encoder_;
  std::unique_ptr<MediaOutput> stream_, stored_;
  std::vector<AvPtr<AVPacket>> early_audio_;
  Placement placement_, current_placement_;
  PictureTarget target_;

  AvPtr<AVFrame> held_;  // the last picture before the window
  int64_t held_end_ = 0;
  bool started_ = false, video_done_ = false, retry_ = false, interlaced_ = false;
  int64_t last_ticks_ = 0, last_duration_ = 0;
  int64_t last_encoded_ = INT64_MIN;
  int64_t frames_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<protocol::Done> TranscodeVideo(const protocol::Job& job, SourceIo& source,
                                      const JobFiles& files, Reporter& reporter) {
  TRY(std::unique_ptr<Media> media, Media::Open(source, job.limits));
  CHECK_OK(CheckStart(job.start_seconds, media->duration()));
  if (job.duration_seconds && *job.duration_seconds > job.limits.max_output_seconds &&
      media->duration() - job.start_seconds > job.limits.max_output_seconds) {
    return TooLarge("the result would be too long").WithFact("limit", "output seconds");
  }
  bool moved = false;
  for (const double point : SeekPoints(job.start_seconds)) {
    const bool from_start = point == 0;
    if (from_start && moved) {
      // Containers disagree on what seeking to the start means; opening anew is the same
      // everywhere.
      media.reset();
      TRY(media, Media::Open(source, job.limits));
    }
    if (!from_start && !media->Seek(point)) continue;
    moved = true;
    Transcoder transcoder(job, *media, files, reporter, !from_start);
    TRY(std::optional<protocol::Done> done, transcoder.Run());
    if (done) return std::move(*done);
  }
  return media->WhyNoPicture("no picture was decoded");
}

}  // namespace vr::worker
