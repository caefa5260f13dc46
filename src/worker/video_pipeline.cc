#include "worker/video_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transform/protocol/costs.h"
#include "worker/audio_route.h"
#include "worker/audio_track.h"
#include "worker/av_log.h"
#include "worker/clock_guard.h"
#include "worker/failure.h"
#include "worker/media.h"
#include "worker/media_output.h"
#include "worker/picture_decoder.h"
#include "worker/picture_graph.h"
#include "worker/quality_probe.h"
#include "worker/recipe.h"
#include "worker/sandbox.h"
#include "worker/segmented_encoder.h"
#include "worker/timing.h"
#include "worker/warm.h"

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
// So many packets are looked at before the first is copied.
constexpr int kPacketsToCheck = 32;
// Sound that begins later is filled with silence, not copied; seconds.
constexpr double kUnheardDelay = 0.02;
// A richer sound is no company for a small picture; bits per second.
constexpr int64_t kMaxCopiedSound = 256'000;

// A copy of a source larger than this gets room for its index in front instead of being moved when
// all is written; bytes. The room is no more than this part of it.
constexpr uint64_t kRoomFrom = 4 << 20;
constexpr uint64_t kRoomPart = 100;
// What an index takes at most, bytes: of one packet (in stts, ctts, stss, stsz, stsc, co64, sdtp),
// of a track beside them.
constexpr uint64_t kIndexPerPacket = 48;
constexpr uint64_t kIndexPerTrack = 8192;

// x265 encodes nothing smaller.
constexpr int kHevcMinSide = 16;

int64_t Microseconds(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * 1e6));
}

/// Pictures at the fixed times of a constant frame rate: at each, the one shown then.
class FrameClock {
 public:
  /// @param fps > 0
  explicit FrameClock(double fps) : rate_(FrameRateOf(fps)) {}

  AVRational rate() const { return rate_; }
  /// Times (kOutputTimeBase) in [from, to) that no picture has been given to yet.
  std::vector<int64_t> Take(int64_t from, int64_t to) {
    std::vector<int64_t> times;
    for (int64_t at = At(next_); at < to; at = At(++next_)) {
      if (at + kSameTimeTicks >= from) times.push_back(at);
    }
    return times;
  }

 private:
  int64_t At(int64_t n) const { return av_rescale_q(n, av_inv_q(rate_), kOutputTimeBase); }
  const AVRational rate_;
  int64_t next_ = 0;
};

/// How many encoders this machine lets us have at the same time. Changes no byte.
SegmentedEncoder::Options EncodersFor(const protocol::Job& job, const VideoRecipe& recipe,
                                      const Placement& placement) {
  // Address space, by what encoders were seen to take: x264 at its dearest.
  constexpr uint64_t kPerEncoder = 64 << 20, kPerPixel = 130;
  constexpr uint64_t kMostEncoders = 8;
  SegmentedEncoder::Options options;
  if (recipe.segment_seconds <= 0) return options;
  const uint64_t memory = MemoryLimit();
  const uint64_t pixels =
      static_cast<uint64_t>(placement.width) * static_cast<uint64_t>(placement.height);
  const uint64_t each = kPerEncoder + kPerPixel * pixels;
  options.threads = static_cast<int>(
      std::min<uint64_t>({job.encoder_threads, memory / 5 * 2 / each, kMostEncoders}));
  options.held_bytes = memory / 6;
  return options;
}

/// How a run over the source ended.
enum class RunEnd {
  kDone,
  kSeekFurtherBack,  ///< this seek point lies behind the wanted picture
  kCannotCopy,       ///< its packets are not as their container says
  kNoRoom,           ///< they are more than its index says: the index has to be made room for
};

/// One run over the source from one seek point.
class Transcoder {
 public:
  struct Plan {
    bool may_retry = false;  ///< there are earlier seek points
    bool may_copy = true;
    bool may_leave_room = true;  ///< for the index of a copy
    double rate_factor = 0;      ///< solved; 0 = by the job's quality
  };

  Transcoder(const protocol::Job& job, Media& media, const JobFiles& files, Reporter& reporter,
             Plan plan)
      : job_(job),
        media_(media),
        files_(files),
        reporter_(reporter),
        plan_(plan),
        begin_(media.origin() + Microseconds(job.start_seconds)) {}

  /// Before Run() or RunTogether(): decodes with `other`, which decodes in the same way.
  void ShareDecoder(const Transcoder& other) { decoder_ = other.decoder_; }
  /// Opens what is needed. @param decodes  false: ShareDecoder() was called
  Result<void> Begin(bool decodes) { return Prepare(decodes); }

  /// One run over the source for all of `all`, which have begun; the first reads and decodes.
  static Result<RunEnd> RunTogether(const std::vector<std::unique_ptr<Transcoder>>& all) {
    Transcoder& first = *all.front();
    AvPtr<AVPacket> packet = NewPacket();
    const auto is_over = [](const std::unique_ptr<Transcoder>& t) {
      return t->is_over_ || t->IsComplete();
    };
    while (!std::all_of(all.begin(), all.end(), is_over)) {
      first.reporter_.Tick();
      TRY(const bool more, first.media_.Read(packet.get()));
      if (!more) break;
      const int64_t at = first.TrustedTimeOf(*packet);
      const bool is_video = packet->stream_index == first.media_.video()->index;
      std::vector<Transcoder*> reading;
      for (const auto& t : all) {
        if (is_over(t)) continue;
        t->is_over_ = t->end_us_ && t->video_done_ && at > *t->end_us_ + kReadPastEnd;
        if (!t->is_over_) reading.push_back(t.get());
      }
      if (is_video) CHECK_OK(DecodeFor(all, packet.get()));
      for (Transcoder* t : reading) {
        if (is_video) {
          CHECK_OK(t->KeepSoundUp(at));
        } else {
          CHECK_OK(t->OnAudioPacket(*packet));
        }
        if (t->end_ != RunEnd::kDone) return t->end_;
      }
    }
    CHECK_OK(DecodeFor(all, nullptr));
    for (const auto& t : all) {
      if (t->end_ == RunEnd::kDone) CHECK_OK(t->Finish());
      if (t->end_ != RunEnd::kDone) return t->end_;
    }
    return RunEnd::kDone;
  }

  Result<RunEnd> Run() {
    CHECK_OK(Prepare(true));
    AvPtr<AVPacket> packet = NewPacket();
    while (!IsComplete()) {
      reporter_.Tick();
      TRY(const bool more, media_.Read(packet.get()));
      if (!more) break;
      const int64_t at = TrustedTimeOf(*packet);
      if (end_us_ && video_done_ && at > *end_us_ + kReadPastEnd) break;
      if (packet->stream_index == media_.video()->index) {
        CHECK_OK(OnVideoPacket(*packet, at));
      } else {
        CHECK_OK(OnAudioPacket(*packet));
      }
      if (end_ != RunEnd::kDone) return end_;
    }
    CHECK_OK(Finish());
    return end_;
  }

  protocol::Done TakeDone() { return std::move(done_); }

 private:
  bool IsComplete() const {
    const bool audio_done = copy_audio_ ? false : !audio_ || audio_->complete();
    return video_done_ && audio_done;
  }

  // ---- before the first packet

  /// Shows each picture to all that still want some. @param packet null = no more
  static Result<void> DecodeFor(const std::vector<std::unique_ptr<Transcoder>>& all,
                                const AVPacket* packet) {
    const auto is_done = [](const std::unique_ptr<Transcoder>& t) { return t->video_done_; };
    if (std::all_of(all.begin(), all.end(), is_done)) return {};
    const PictureDecoder::OnPicture show = [&all](AvPtr<AVFrame> frame,
                                                  int64_t ticks) -> Result<bool> {
      bool is_wanted = false;
      for (const auto& t : all) {
        if (t->video_done_) continue;
        AvPtr<AVFrame> copy(av_frame_clone(frame.get()));
        if (copy == nullptr) return EngineError("decoding", AVERROR(ENOMEM));
        TRY(const bool more, t->OnPicture(std::move(copy), ticks));
        t->video_done_ = !more;
        is_wanted = is_wanted || more;
      }
      return is_wanted;
    };
    TRY(const bool wanted, all.front()->decoder_->Feed(packet, show));
    if (packet == nullptr || !wanted) {
      for (const auto& t : all) t->video_done_ = true;
    }
    return {};
  }

  Result<void> Prepare(bool decodes) {
    if (job_.duration_seconds) {
      if (!(*job_.duration_seconds > 0)) return OutOfRange("the duration is impossible");
      const double seconds =
          std::min(*job_.duration_seconds, job_.limits.max_output_seconds * job_.speed + 1);
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
    const VideoFacts facts = media_.video_facts();
    TRY(const Placement placement, Place(facts.shape, BoxOf(job_), job_.limits.max_pixels));
    VideoRoute route = VideoRouteFor(job_, facts, placement);
    copy_video_ = route.copy && plan_.may_copy;
    why_ = copy_video_ == route.copy ? route.why : "packets";
    has_exact_packets_ = facts.has_exact_packets;
    keeps_alpha_ = facts.has_alpha && job_.format == protocol::OutputFormat::kWebm;
    CHECK_OK(CheckExpected());
    Estimate(facts, placement);
    if (!copy_video_) {
      if (decodes) {
        TRY(PictureDecoder decoder,
            PictureDecoder::Create(media_, static_cast<int>(job_.decoder_threads), begin_,
                                   facts.has_alpha, plan_.may_retry));
        decoder_ = std::make_shared<PictureDecoder>(std::move(decoder));
        if (route.skip_loop_filter)
          decoder_->SkipLoopFilter(job_.compression == protocol::Level::kLow);
      }
      if (job_.fps > 0) clock_.emplace(std::min(job_.fps, kMaxOutputFps));
      if (job_.speed > 1 && !clock_) {
        // Twice as fast is not twice as many pictures.
        min_gap_ = std::max(
            min_gap_, static_cast<int64_t>(kTicksPerSecond * 0.9 / av_q2d(media_.frame_rate())));
      }
    }
    if (job_.audio && media_.audio() != nullptr) CHECK_OK(PrepareAudio());
    if (copy_video_) {
      placement_ = placement;
      TRY(TrackFormat video, TrackFormat::Of(*media_.video()));
      tracks_.push_back(std::move(video));
    }
    return {};
  }

  Error TooManyPictures(std::string value) const {
    return OverLimit("the source has too many pictures", "frames", std::move(value),
                     job_.limits.max_frames);
  }

  /// Refuses at once what would be refused at the end.
  Result<void> CheckExpected() const {
    const double seconds = expected_ticks_ / kTicksPerSecond;
    const double limit = job_.limits.max_output_seconds;
    if (job_.speed < 1 && seconds > 0 && seconds / job_.speed > limit && seconds <= limit) {
      return TooLarge("the result would be too long").WithFact("limit", "output seconds");
    }
    if (!copy_video_ && seconds > 0 &&
        seconds * av_q2d(media_.frame_rate()) > 2.0 * static_cast<double>(job_.limits.max_frames)) {
      return TooManyPictures(std::to_string(std::llround(seconds * av_q2d(media_.frame_rate()))));
    }
    return {};
  }

  void Estimate(const VideoFacts& facts, const Placement& placement) {
    const double seconds = expected_ticks_ / kTicksPerSecond;
    if (copy_video_) {
      reporter_.SetEstimate(static_cast<double>(job_.source_size) /
                            protocol::kCopiedBytesPerSecond);
      return;
    }
    // Damaged headers promise hours; a picture takes some bytes at least.
    constexpr double kFewestBytesPerPicture = 20;
    const double pictures = std::min(
        facts.fps * seconds, static_cast<double>(job_.source_size) / kFewestBytesPerPicture);
    const double pixels = 1.0 * facts.shape.width * facts.shape.height;
    const double bits = seconds > 0 && pictures > 0
                            ? static_cast<double>(facts.bit_rate) * seconds / pictures / pixels
                            : 0;
    const double in = pixels * pictures;
    const double fps = job_.fps > 0 ? std::min(job_.fps, facts.fps) : facts.fps;
    const double out =
        1.0 * placement.width * placement.height * std::min(pictures, fps * seconds) / job_.speed;
    const double decode =
        std::min(protocol::kDecodeSecondsPerPixelLeast + protocol::kDecodeSecondsPerBit * bits,
                 protocol::kDecodeSecondsPerPixelMost);
    reporter_.SetEstimate(in * decode / std::max(1u, job_.decoder_threads) +
                          out * protocol::EncodeSecondsPerPixel(job_.format) /
                              std::max(1u, job_.segments ? job_.encoder_threads : 1u));
  }

  Result<void> PrepareAudio() {
    AVStream* stream = media_.audio();
    const AudioFacts facts = AudioFactsOf(*stream, media_.origin(), media_.stream_duration());
    copy_audio_ = plan_.may_copy && AudioRouteFor(job_, facts).copy && facts.channels == 2 &&
                  facts.late_seconds < kUnheardDelay && facts.bit_rate <= kMaxCopiedSound &&
                  HasShortPriming(*stream) && stream->codecpar->extradata_size > 0;
    if (copy_audio_) return {};
    Result<AvPtr<AVCodecContext>> decoder = media_.OpenDecoder(stream, 1);
    while (!decoder.ok()) {
      if (decoder.error().reason == "TRANSFORM_FAILED") return std::move(decoder).error();
      warnings_.push_back("a sound track could not be decoded");
      if (!media_.NextAudio()) return {};
      stream = media_.audio();
      decoder = media_.OpenDecoder(stream, 1);
    }
    AudioTrack::Window window;
    window.begin = begin_;
    if (end_us_) window.end = begin_ + *end_us_;
    window.max_microseconds = Microseconds(job_.limits.max_output_seconds);
    window.speed = job_.speed;
    protocol::Job audio_job = job_;
    audio_job.bit_rate = 0;  // that of the video
    TRY(AudioTrack track,
        AudioTrack::Create(stream, std::move(*decoder),
                           AudioRecipeFor(audio_job, stream->codecpar->sample_rate), window));
    audio_.emplace(std::move(track));
    return {};
  }

  /// Fragments can have players leave out one packet of priming, not several.
  static bool HasShortPriming(const AVStream& stream) {
    const AVIndexEntry* first = avformat_index_get_entry(const_cast<AVStream*>(&stream), 0);
    if (first == nullptr) return true;
    constexpr int64_t kOnePacket = 1024;
    const int rate = std::max(1, stream.codecpar->sample_rate);
    return av_rescale_q(first->timestamp, stream.time_base, AVRational{1, rate}) >= -kOnePacket;
  }

  // ---- packets

  /// Microseconds of the source after the start.
  int64_t TimeOf(const AVPacket& packet) const {
    const int64_t pts = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (pts == AV_NOPTS_VALUE) return 0;
    return av_rescale_q(pts, media_.format()->streams[packet.stream_index]->time_base,
                        kMicroseconds) -
           begin_;
  }
  /// As TimeOf; a time stamp that cannot be is taken off the packet, and 0 returned.
  int64_t TrustedTimeOf(AVPacket& packet) {
    const int64_t at = TimeOf(packet);
    const bool is_video = packet.stream_index == media_.video()->index;
    // In containers with an index pictures may well stand for a minute.
    if (is_video && has_exact_packets_) return at;
    if (packet.pts == AV_NOPTS_VALUE && packet.dts == AV_NOPTS_VALUE) return at;
    if ((is_video ? video_clock_ : audio_clock_).Accept(at)) return at;
    packet.pts = packet.dts = AV_NOPTS_VALUE;
    return 0;
  }
  /// A broken clock must not make hours of silence.
  bool PlausibleTime(int64_t us) const {
    return media_.duration() <= 0 || static_cast<double>(us) / 1e6 <= media_.duration() + 60;
  }

  Result<void> OnVideoPacket(AVPacket& packet, int64_t at) {
    if (copy_video_) {
      CHECK_OK(CopyVideo(packet));
    } else if (!video_done_) {
      const PictureDecoder::OnPicture on_picture = [this](AvPtr<AVFrame> frame, int64_t ticks) {
        return OnPicture(std::move(frame), ticks);
      };
      TRY(const bool wanted, decoder_->Feed(&packet, on_picture));
      video_done_ = !wanted;
      if (decoder_->missed()) end_ = RunEnd::kSeekFurtherBack;
    }
    if (end_ == RunEnd::kDone) return KeepSoundUp(at);
    return {};
  }

  Result<void> KeepSoundUp(int64_t at) {
    if (!audio_ || at <= kMaxAudioLag || !PlausibleTime(at)) return {};
    return audio_->FillUpTo(at - kMaxAudioLag, AudioSink());
  }

  Result<void> OnAudioPacket(AVPacket& packet) {
    if (copy_audio_) return CopyPacket(packet, kAudioStream);
    if (audio_) return audio_->Feed(&packet, AudioSink());
    return {};
  }

  // ---- packets as they are

  /// Holds the first packets back until it is clear that they can be copied.
  Result<void> CopyVideo(AVPacket& packet) {
    if (checked_ >= kPacketsToCheck) return CopyPacket(packet, kVideoStream);
    const int64_t pts = packet.pts, dts = packet.dts;
    const bool is_first = checked_ == 0;
    if (is_first) first_pts_ = pts;
    // Matroska has no decoding times; libav makes them up, but for the first few.
    const bool has_order =
        dts == AV_NOPTS_VALUE ? last_dts_ == INT64_MIN : dts <= pts && dts > last_dts_;
    if (pts == AV_NOPTS_VALUE || pts < first_pts_ || !has_order ||
        (is_first && (packet.flags & AV_PKT_FLAG_KEY) == 0) ||
        (packet.flags & (AV_PKT_FLAG_DISCARD | AV_PKT_FLAG_CORRUPT)) != 0) {
      end_ = RunEnd::kCannotCopy;
      return {};
    }
    if (dts != AV_NOPTS_VALUE) last_dts_ = dts;
    AvPtr<AVPacket> copy(av_packet_clone(&packet));
    if (copy == nullptr) return EngineError("copying", AVERROR(ENOMEM));
    early_video_.push_back(std::move(copy));
    if (++checked_ < kPacketsToCheck) return {};
    return StartCopying();
  }

  /// Decoding times for the first packets that have none: a frame's length apart.
  void FillDecodingTimes() {
    const auto known =
        std::find_if(early_video_.begin(), early_video_.end(),
                     [](const AvPtr<AVPacket>& p) { return p->dts != AV_NOPTS_VALUE; });
    const int64_t frame = std::max<int64_t>(
        1, av_rescale_q(1, av_inv_q(media_.frame_rate()), media_.video()->time_base));
    int64_t dts = known != early_video_.end() ? (*known)->dts : first_pts_;
    for (auto p = std::make_reverse_iterator(known); p != early_video_.rend(); ++p) {
      dts = std::min(dts - frame, (*p)->pts);
      (*p)->dts = dts;
    }
  }

  Result<void> StartCopying() {
    checked_ = kPacketsToCheck;
    started_ = true;
    if (!audio_) as_it_comes_.emplace(false);
    index_packets_ = PacketsByIndex();
    FillDecodingTimes();
    last_dts_ = INT64_MIN;
    CHECK_OK(OpenOutputs());
    for (const AvPtr<AVPacket>& packet : early_video_) CHECK_OK(CopyPacket(*packet, kVideoStream));
    early_video_.clear();
    return {};
  }

  /// How many packets there will be, when the container tells and there is reason to ask; else 0.
  uint64_t PacketsByIndex() const {
    const std::string_view container = media_.format()->iformat->name;
    if (!plan_.may_leave_room || audio_ || !container.starts_with("mov,")) return 0;
    uint64_t packets = 0;
    for (AVStream* stream : {media_.video(), copy_audio_ ? media_.audio() : nullptr}) {
      if (stream == nullptr) continue;
      const int entries = avformat_index_get_entries_count(stream);
      if (entries <= 0 || stream->nb_frames <= 0) return 0;
      packets += static_cast<uint64_t>(entries);
    }
    const bool is_small =
        job_.source_size < kRoomFrom || RoomFor(packets) > job_.source_size / kRoomPart;
    return is_small ? 0 : packets;
  }
  uint64_t RoomFor(uint64_t packets) const {
    return packets * kIndexPerPacket + tracks_.size() * kIndexPerTrack;
  }

  /// With the source's clock set to zero at the origin.
  Result<void> CopyPacket(AVPacket& packet, int index) {
    const AVStream* stream = media_.format()->streams[packet.stream_index];
    const int64_t shift = av_rescale_q(begin_, kMicroseconds, stream->time_base);
    AvPtr<AVPacket> copy(av_packet_clone(&packet));
    if (copy == nullptr) return EngineError("copying", AVERROR(ENOMEM));
    if (copy->pts == AV_NOPTS_VALUE) copy->pts = copy->dts;
    if (copy->pts == AV_NOPTS_VALUE) return {};  // nobody can say when
    if (copy->dts == AV_NOPTS_VALUE) copy->dts = copy->pts;
    copy->pts -= shift;
    copy->dts -= shift;
    // What is damaged further on is put in order; the muxer insists.
    int64_t& last_dts = index == kVideoStream ? last_dts_ : last_sound_dts_;
    if (last_dts != INT64_MIN) copy->dts = std::max(copy->dts, last_dts + 1);
    copy->pts = std::max(copy->pts, copy->dts);
    last_dts = copy->dts;
    const int64_t end = av_rescale_q(copy->pts + std::max<int64_t>(copy->duration, 0),
                                     stream->time_base, kOutputTimeBase);
    copied_until_ = std::max(copied_until_, end);
    if (index == kVideoStream) {
      copied_ticks_ = std::max(copied_ticks_, end);
      ++frames_;
      if (expected_ticks_ > 0) reporter_.SetDone(static_cast<double>(end) / expected_ticks_);
    }
    if (!stored_) {
      early_audio_.push_back(std::move(copy));
      return {};
    }
    ++copied_packets_;
    return Mux(*copy, index);
  }

  // ---- pictures

  Result<bool> OnPicture(AvPtr<AVFrame> frame, int64_t ticks) {
    reporter_.Tick();
    if (static_cast<uint64_t>(decoder_->pictures()) > job_.limits.max_frames) {
      return TooManyPictures(MoreThan(job_.limits.max_frames));
    }
    if (ticks < -kSameTimeTicks) {
      held_end_ = ticks + decoder_->DurationOf(*frame);
      held_ = std::move(frame);
      return true;
    }
    if (!started_) {
      if (ticks > kSameTimeTicks && !held_ && plan_.may_retry) {
        end_ = RunEnd::kSeekFurtherBack;
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
      shown_until_ = OutputTicks(*end_ticks_);
      return false;
    }
    CHECK_OK(Show(std::move(frame), ticks));
    return true;
  }

  int64_t OutputTicks(int64_t source_ticks) const {
    if (job_.speed == 1) return source_ticks;
    return std::llround(static_cast<double>(source_ticks) / job_.speed);
  }

  /// @param source_ticks after the start
  Result<void> Show(AvPtr<AVFrame> frame, int64_t source_ticks) {
    const int64_t ticks = OutputTicks(source_ticks);
    if (static_cast<double>(ticks) / kTicksPerSecond > job_.limits.max_output_seconds) {
      return TooLarge("the result would be too long").WithFact("limit", "output seconds");
    }
    if (static_cast<uint64_t>(frame->width) * static_cast<uint64_t>(frame->height) >
        job_.limits.max_pixels) {
      return TooManyPixels(frame->width, frame->height, job_.limits.max_pixels);
    }
    shown_until_ = std::max(shown_until_, OutputTicks(source_ticks + decoder_->DurationOf(*frame)));
    if (!clock_) {
      if (started_ && ticks - last_ticks_ < min_gap_) return {};
      return Filter(std::move(frame), ticks);
    }
    interlaced_ = interlaced_ || frame->interlaced_frame != 0;
    // What was shown until now fills the clock's times up to here.
    if (waiting_) CHECK_OK(FillClock(ticks));
    waiting_ = std::move(frame);
    waiting_ticks_ = ticks;
    if (!started_) CHECK_OK(Start(*waiting_));
    return {};
  }

  Result<void> FillClock(int64_t to) {
    for (const int64_t at : clock_->Take(waiting_ticks_, to - kSameTimeTicks)) {
      AvPtr<AVFrame> copy(av_frame_clone(waiting_.get()));
      if (copy == nullptr) return EngineError("filtering", AVERROR(ENOMEM));
      CHECK_OK(Filter(std::move(copy), at));
    }
    return {};
  }

  Result<void> Filter(AvPtr<AVFrame> frame, int64_t ticks) {
    last_ticks_ = ticks;
    frame->pts = ticks;
    interlaced_ = interlaced_ || frame->interlaced_frame != 0;
    PictureShape shape = ShapeOf(*frame);
    shape.interlaced = interlaced_;
    if (!started_) CHECK_OK(Start(*frame));
    if (!graph_ || !(graph_->shape() == shape)) CHECK_OK(Rebuild(*frame, shape));
    CHECK_OK(graph_->Send(std::move(frame)));
    return EncodeFiltered();
  }

  AVRational OutputFrameRate() const {
    if (clock_) return clock_->rate();
    const AVRational rate = media_.frame_rate();
    if (job_.speed >= 1) return rate;  // see min_gap_
    return FrameRateOf(av_q2d(rate) * job_.speed);
  }

  /// The first picture decides the output's size and colours.
  Result<void> Start(AVFrame& frame) {
    started_ = true;
    const PictureShape shape = ShapeOf(frame);
    TRY(placement_, Place(media_.ShapeIn(&frame), BoxOf(job_), job_.limits.max_pixels));
    if (job_.format == protocol::OutputFormat::kHevc &&
        std::min(placement_.width, placement_.height) < kHevcMinSide) {
      char text[120];
      std::snprintf(text, sizeof text,
                    "parameter 'format' = 'h265' needs pictures of at least %dx%d; these are %dx%d",
                    kHevcMinSide, kHevcMinSide, placement_.width, placement_.height);
      return InvalidParameter(text);
    }
    keeps_alpha_ = keeps_alpha_ && HasAlpha(static_cast<AVPixelFormat>(frame.format));
    target_ = {keeps_alpha_ ? AV_PIX_FMT_YUVA420P : AV_PIX_FMT_YUV420P, VideoColour(shape.colour)};
    OutputShape out;
    out.width = placement_.width;
    out.height = placement_.height;
    out.fps = av_q2d(OutputFrameRate());
    out.source_bit_rate = media_.video_bit_rate();
    out.ratio = 1.0 * placement_.width * placement_.height / frame.width / frame.height;
    protocol::Job asked = job_;
    asked.known_rate_factor = plan_.rate_factor;
    recipe_ = VideoRecipeFor(asked, out);
    const PictureFormat format{placement_.width, placement_.height, target_.format,
                               OutputFrameRate(), target_.colour};
    SegmentedEncoder::Options options = EncodersFor(job_, recipe_, placement_);
    options.beat = [this] { reporter_.Tick(); };
    TRY(encoder_, SegmentedEncoder::Create(format, recipe_, std::move(options)));
    TRY(TrackFormat video, TrackFormat::Of(encoder_->parameters(), encoder_->frame_rate()));
    tracks_.push_back(std::move(video));
    return OpenOutputs();
  }

  Result<void> OpenOutputs() {
    if (audio_) {
      TRY(TrackFormat sound, TrackFormat::Of(*audio_->encoder()));
      tracks_.push_back(std::move(sound));
    } else if (copy_audio_) {
      TRY(TrackFormat sound, TrackFormat::Of(*media_.audio()));
      tracks_.push_back(std::move(sound));
    }
    const bool webm = job_.format == protocol::OutputFormat::kWebm;
    using Form = MediaOutput::Form;
    if (files_.stream) {
      TRY(stream_,
          MediaOutput::Create(files_.stream.get(), webm ? Form::kWebmLive : Form::kFragmented,
                              job_.limits.max_output_bytes, tracks_));
      reporter_.SetStreamBytes(stream_->size());
    }
    TRY(stored_, MediaOutput::Create(files_.stored.get(), webm ? Form::kWebm : Form::kIndexed,
                                     job_.limits.max_output_bytes, tracks_,
                                     index_packets_ > 0 ? RoomFor(index_packets_) : 0));
    copied_packets_ += early_audio_.size();
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
        placement =
            PlaceInto(media_.ShapeIn(&frame), placement_.width, placement_.height, BoxOf(job_));
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
      CHECK_OK(encoder_->Encode(std::move(frame), VideoSink()));
      reporter_.Tick();
    }
  }

  // ---- muxing

  PacketSink VideoSink() {
    return [this](AVPacket& packet) {
      if (expected_ticks_ > 0) {
        reporter_.SetDone(static_cast<double>(packet.pts) * job_.speed / expected_ticks_);
      }
      return Mux(packet, kVideoStream);
    };
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

  // ---- the end

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

  /// @return seconds of video
  Result<double> FinishCopy() {
    if (!stored_) {
      if (early_video_.empty()) {
        // The container promised pictures; decoding will tell what is wrong.
        end_ = RunEnd::kCannotCopy;
        return 0.0;
      }
      CHECK_OK(StartCopying());
    }
    if (index_packets_ > 0 && copied_packets_ > index_packets_) {
      end_ = RunEnd::kNoRoom;
      return 0.0;
    }
    return static_cast<double>(copied_ticks_) / kTicksPerSecond;
  }

  Result<double> FinishPictures() {
    if (!video_done_) {
      const PictureDecoder::OnPicture on_picture = [this](AvPtr<AVFrame> frame, int64_t ticks) {
        return OnPicture(std::move(frame), ticks);
      };
      TRY(const bool wanted, decoder_->Feed(nullptr, on_picture));
      video_done_ = !wanted;
      if (end_ != RunEnd::kDone) return 0.0;
    }
    if (!started_) {
      if (plan_.may_retry && !held_) {
        end_ = RunEnd::kSeekFurtherBack;
        return 0.0;
      }
      CHECK_OK(StartLate());
    }
    if (end_ticks_) shown_until_ = std::min(shown_until_, OutputTicks(*end_ticks_));
    if (waiting_) {
      CHECK_OK(FillClock(shown_until_ + kSameTimeTicks));
      if (frames_ == 0 && !graph_) CHECK_OK(Filter(std::move(waiting_), 0));
      // One period per picture, the last like the others.
      const int64_t period = av_rescale_q(1, av_inv_q(clock_->rate()), kOutputTimeBase);
      if (!end_ticks_) shown_until_ = last_ticks_ + period;
    }
    const int64_t last_duration = std::max<int64_t>(shown_until_ - last_ticks_, 1);
    if (graph_) {
      CHECK_OK(graph_->Send(nullptr));
      CHECK_OK(EncodeFiltered());
    }
    CHECK_OK(encoder_->Finish(last_duration, VideoSink()));
    return static_cast<double>(last_ticks_ + last_duration) / kTicksPerSecond;
  }

  Result<void> Finish() {
    Result<double> finished = copy_video_ ? FinishCopy() : FinishPictures();
    if (!finished.ok()) return std::move(finished).error();
    if (end_ != RunEnd::kDone) return {};
    const double video_seconds = *finished;
    if (audio_) {
      CHECK_OK(audio_->Feed(nullptr, AudioSink()));
      if (audio_->samples() == 0)
        CHECK_OK(audio_->FillUpTo(Microseconds(video_seconds * job_.speed), AudioSink()));
      CHECK_OK(audio_->Finish(AudioSink()));
    }
    if (stream_) {
      CHECK_OK(stream_->Finish());
      reporter_.SetStreamBytes(stream_->size());
    }
    CHECK_OK(stored_->Finish());
    Report(video_seconds);
    return {};
  }

  void Report(double video_seconds) {
    done_.stored_bytes = stored_->size();
    done_.stream_bytes = stream_ ? stream_->size() : 0;
    done_.width = static_cast<uint32_t>(placement_.width);
    done_.height = static_cast<uint32_t>(placement_.height);
    done_.has_audio = audio_.has_value() || copy_audio_;
    done_.duration_seconds = std::max({video_seconds, audio_ ? audio_->seconds() : 0,
                                       static_cast<double>(copied_until_) / kTicksPerSecond});
    done_.frames = static_cast<uint64_t>(frames_);
    done_.fps = video_seconds > 0 ? static_cast<double>(frames_) / video_seconds : 0;
    done_.video_codec =
        copy_video_ ? avcodec_get_name(media_.video()->codecpar->codec_id) : recipe_.codec;
    if (audio_) done_.audio_codec = audio_->codec();
    if (copy_audio_) done_.audio_codec = avcodec_get_name(media_.audio()->codecpar->codec_id);
    done_.route = copy_video_ && (copy_audio_ || !done_.has_audio) ? "remux"
                  : copy_video_                                    ? "copy video"
                  : copy_audio_                                    ? "copy audio: " + why_
                                                                   : "transcode: " + why_;
    done_.rate_factor = plan_.rate_factor;
    AddWarnings();
    done_.warnings = warnings_;
  }

  void AddWarnings() {
    if (decoder_ && decoder_->skipped_packets() > 0) {
      warnings_.push_back("damaged: " + std::to_string(decoder_->skipped_packets()) +
                          " packets of the video could not be decoded");
    }
    if (audio_ && audio_->skipped_packets() > 0) {
      warnings_.push_back("damaged: " + std::to_string(audio_->skipped_packets()) +
                          " packets of the sound could not be decoded");
    }
    if (media_.broke_off()) warnings_.push_back("damaged: reading ended early");
    const double seconds = done_.duration_seconds;
    const double expected = expected_ticks_ / kTicksPerSecond / job_.speed;
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
  const Plan plan_;
  const int64_t begin_;  // source microseconds at output time 0

  std::optional<int64_t> end_us_, end_ticks_;  // of the source, after the start
  double expected_ticks_ = 0;                  // likewise
  RunEnd end_ = RunEnd::kDone;
  bool is_over_ = false;  // together with others: nothing further concerns it
  bool copy_video_ = false, copy_audio_ = false, keeps_alpha_ = false;
  bool has_exact_packets_ = false;
  std::string why_;
  std::shared_ptr<PictureDecoder> decoder_;
  std::optional<AudioTrack> audio_;
  std::optional<FrameClock> clock_;
  std::optional<PictureGraph> graph_;
  std::unique_ptr<SegmentedEncoder> encoder_;
  VideoRecipe recipe_;
  std::vector<TrackFormat> tracks_;
  std::unique_ptr<MediaOutput> stream_, stored_;
  std::vector<AvPtr<AVPacket>> early_audio_, early_video_;
  Placement placement_, current_placement_;
  PictureTarget target_;

  ClockGuard video_clock_, audio_clock_;

  // Copying.
  int checked_ = 0;
  int64_t first_pts_ = 0, last_dts_ = INT64_MIN, last_sound_dts_ = INT64_MIN;
  std::optional<MemoryFill> as_it_comes_;
  uint64_t index_packets_ = 0, copied_packets_ = 0;
  int64_t copied_ticks_ = 0, copied_until_ = 0;  // end of the pictures, of everything

  // Pictures. Times are output ticks unless said otherwise.
  AvPtr<AVFrame> held_;     // the last picture before the window
  int64_t held_end_ = 0;    // source ticks
  AvPtr<AVFrame> waiting_;  // shown until the next one comes; with a clock only
  int64_t waiting_ticks_ = 0;
  bool started_ = false, video_done_ = false, interlaced_ = false;
  int64_t min_gap_ = kMinGapTicks;
  int64_t last_ticks_ = 0, shown_until_ = 0;
  int64_t last_encoded_ = INT64_MIN;
  int64_t frames_ = 0;
  std::vector<std::string> warnings_;
  protocol::Done done_;
};

}  // namespace

namespace {

/// Nothing in the job speaks against packets as they are.
bool LooksLikeCopy(const protocol::Job& job) {
  return job.format == protocol::OutputFormat::kMp4 && !job.width && !job.height;
}

struct Source {
  std::unique_ptr<Media> media;
  Want want = Want::kPicture;
};

/// Without probing what will be decoded anyway.
Result<Source> OpenSource(const protocol::Job& job, SourceIo& io) {
  Source source;
  if (!LooksLikeCopy(job)) {
    TRY(source.media, Media::Open(io, job.limits, Want::kNewPictures));
    const VideoFacts facts = source.media->video_facts();
    TRY(const Placement placement, Place(facts.shape, BoxOf(job), job.limits.max_pixels));
    if (facts.codec != AV_CODEC_ID_H264 || IsNeverCopied(job, facts, placement)) {
      source.want = Want::kNewPictures;
      return source;
    }
    source.media.reset();
  }
  TRY(source.media, Media::Open(io, job.limits, Want::kPicture));
  return source;
}

}  // namespace

Result<protocol::Done> TranscodeVideo(const protocol::Job& job, SourceIo& source,
                                      const JobFiles& files, Reporter& reporter) {
  TRY(Source opened, OpenSource(job, source));
  std::unique_ptr<Media>& media = opened.media;
  CHECK_OK(CheckStart(job.start_seconds, media->duration()));
  if (job.duration_seconds && *job.duration_seconds > job.limits.max_output_seconds &&
      media->duration() - job.start_seconds > job.limits.max_output_seconds) {
    return TooLarge("the result would be too long").WithFact("limit", "output seconds");
  }
  Transcoder::Plan plan;
  if (job.target_ssim > 0) {
    plan.rate_factor = job.known_rate_factor;
    if (plan.rate_factor <= 0) {
      const double duration = media->duration();
      media.reset();
      TRY(plan.rate_factor, SolveRateFactor(job, source, duration, reporter));
      TRY(media, Media::Open(source, job.limits, opened.want));
    }
  }
  bool moved = false;
  std::vector<double> points = SeekPoints(job.start_seconds);
  for (size_t i = 0; i < points.size(); ++i) {
    const bool from_start = points[i] == 0;
    if (from_start && moved) {
      // Containers disagree on what seeking to the start means; opening anew is the same
      // everywhere.
      media.reset();
      TRY(media, Media::Open(source, job.limits, opened.want));
    }
    // A seek that fails may have read all the same.
    const bool sought = from_start || media->Seek(points[i]);
    moved = true;
    if (!sought) continue;
    plan.may_retry = !from_start;
    Transcoder transcoder(job, *media, files, reporter, plan);
    TRY(const RunEnd end, transcoder.Run());
    if (end == RunEnd::kDone) return transcoder.TakeDone();
    if (end == RunEnd::kCannotCopy) plan.may_copy = false;
    // What was streamed by then is written once more, byte for byte.
    if (end == RunEnd::kNoRoom) plan.may_leave_room = false;
    if (end == RunEnd::kCannotCopy || end == RunEnd::kNoRoom) points.push_back(0);
  }
  return media->WhyNoPicture("no picture was decoded");
}

namespace {

/// Jobs of the same kind can be decoded for at once.
enum class Kind {
  kAlone,  ///< packets are copied, or it does not begin at the start
  kWhole,  ///< every picture as it is meant to be
  kUnfiltered,
  kUnfilteredEverywhere,
};

Result<Kind> KindOf(const protocol::Job& job, const Media& media) {
  if (job.start_seconds != 0) return Kind::kAlone;
  const VideoFacts facts = media.video_facts();
  TRY(const Placement placement, Place(facts.shape, BoxOf(job), job.limits.max_pixels));
  const VideoRoute route = VideoRouteFor(job, facts, placement);
  if (route.copy) return Kind::kAlone;
  if (!route.skip_loop_filter) return Kind::kWhole;
  return job.compression == protocol::Level::kLow ? Kind::kUnfilteredEverywhere : Kind::kUnfiltered;
}

/// As TranscodeVideo() does for each, on one run over the source. @return nullopt: they have to be
/// made one by one after all
Result<std::optional<std::vector<protocol::Done>>> TranscodeTogether(
    const std::vector<const protocol::Job*>& jobs, SourceIo& source,
    const std::vector<const JobFiles*>& files, Reporter& reporter) {
  using Dones = std::vector<protocol::Done>;
  std::vector<Transcoder::Plan> plans(jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i]->target_ssim <= 0) continue;
    plans[i].rate_factor = jobs[i]->known_rate_factor;
    if (plans[i].rate_factor > 0) continue;
    double duration = 0;
    {
      TRY(const std::unique_ptr<Media> media, Media::Open(source, jobs[i]->limits));
      duration = media->duration();
    }
    TRY(plans[i].rate_factor, SolveRateFactor(*jobs[i], source, duration, reporter));
  }
  TRY(std::unique_ptr<Media> media, Media::Open(source, jobs[0]->limits));
  const AVStream* const sound = media->audio();
  std::vector<std::unique_ptr<Transcoder>> all;
  for (size_t i = 0; i < jobs.size(); ++i) {
    all.push_back(std::make_unique<Transcoder>(*jobs[i], *media, *files[i], reporter, plans[i]));
    if (i > 0) all[i]->ShareDecoder(*all[0]);
    CHECK_OK(all[i]->Begin(i == 0));
    // It went on to another track, which is its own affair when it is alone.
    if (media->audio() != sound) return std::optional<Dones>();
  }
  TRY(const RunEnd end, Transcoder::RunTogether(all));
  if (end != RunEnd::kDone) return std::optional<Dones>();
  Dones dones;
  for (const auto& one : all) dones.push_back(one->TakeDone());
  return std::optional<Dones>(std::move(dones));
}

}  // namespace

Result<std::vector<protocol::Done>> TranscodeVideos(const std::vector<protocol::Job>& jobs,
                                                    SourceIo& source,
                                                    const std::vector<JobFiles>& files,
                                                    Reporter& reporter) {
  std::map<std::pair<Kind, std::optional<double>>, std::vector<size_t>> groups;
  std::vector<size_t> alone;
  {
    TRY(const std::unique_ptr<Media> media, Media::Open(source, jobs[0].limits));
    for (size_t i = 0; i < jobs.size(); ++i) {
      const protocol::Job& job = jobs[i];
      if (job.duration_seconds && *job.duration_seconds > job.limits.max_output_seconds) {
        alone.push_back(i);
        continue;
      }
      TRY(const Kind kind, KindOf(job, *media));
      if (kind == Kind::kAlone) {
        alone.push_back(i);
      } else {
        groups[{kind, job.duration_seconds}].push_back(i);
      }
    }
  }
  std::vector<protocol::Done> dones(jobs.size());
  for (const auto& [kind, members] : groups) {
    if (members.size() == 1) {
      alone.push_back(members[0]);
      continue;
    }
    std::vector<const protocol::Job*> their_jobs;
    std::vector<const JobFiles*> their_files;
    for (const size_t i : members) {
      their_jobs.push_back(&jobs[i]);
      their_files.push_back(&files[i]);
    }
    TRY(auto made, TranscodeTogether(their_jobs, source, their_files, reporter));
    if (!made) return TransformFailed("the transform failed", "not to be made together");
    for (size_t k = 0; k < members.size(); ++k) dones[members[k]] = std::move((*made)[k]);
  }
  for (const size_t i : alone) {
    TRY(dones[i], TranscodeVideo(jobs[i], source, files[i], reporter));
  }
  return dones;
}

}  // namespace vr::worker
