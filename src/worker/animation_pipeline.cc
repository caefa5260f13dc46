#include "worker/animation_pipeline.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "worker/animation_encoder.h"
#include "worker/failure.h"
#include "worker/palette.h"
#include "worker/picture_finder.h"
#include "worker/recipe.h"
#include "worker/still_encoder.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

/// A GIF's palette needs all pictures before the first is written. Small ones are kept meanwhile;
/// when they are more than this, the source is decoded a second time.
constexpr uint64_t kKeptBytes = 64 << 20;

/// Chooses pictures for a constant rate: for each slot of 1/fps the picture nearest in time. A slot
/// without one goes on showing the last, which then simply lasts longer.
class Sampler {
 public:
  using Sink = std::function<Result<void>(AvPtr<AVFrame>, int64_t slot)>;

  /// @param slots most; none = to the end
  Sampler(double slots_per_tick, std::optional<int64_t> slots, Sink sink)
      : slots_per_tick_(slots_per_tick), slots_(slots), sink_(std::move(sink)) {}

  /// @return false: enough
  Result<bool> Add(Picture picture) {
    const double at = static_cast<double>(picture.ticks) * slots_per_tick_;
    const int64_t slot = std::max<int64_t>(0, std::llround(at));
    const double distance = std::abs(at - static_cast<double>(slot));
    if (slots_ && slot >= *slots_) return false;
    end_ = std::max(end_, static_cast<double>(picture.ticks + picture.duration) * slots_per_tick_);
    if (held_ != nullptr && (slot < slot_ || (slot == slot_ && distance >= distance_))) return true;
    if (held_ != nullptr && slot > slot_) CHECK_OK(sink_(std::move(held_), slot_));
    held_ = std::move(picture.frame);
    slot_ = slot;
    distance_ = distance;
    return true;
  }

  /// @return how many slots there are
  Result<int64_t> Finish(bool ended_early) {
    if (held_ == nullptr) return EngineError("sampling", AVERROR_BUG);
    CHECK_OK(sink_(std::move(held_), slot_));
    if (ended_early && slots_) return *slots_;
    const int64_t end = std::max<int64_t>(slot_ + 1, std::llround(end_));
    return slots_ ? std::min(end, *slots_) : end;
  }

 private:
  const double slots_per_tick_;
  const std::optional<int64_t> slots_;
  const Sink sink_;
  AvPtr<AVFrame> held_;
  int64_t slot_ = 0;
  double distance_ = 0, end_ = 0;
};

/// @param pixels what is expected, or what was there when it was enough
Error TooMuch(double pixels, const protocol::Job& job) {
  return OverLimit("the animation would be too large; ask for a smaller duration, size or fps",
                   "animation pixels", std::to_string(std::llround(pixels)),
                   job.limits.max_animation_pixels);
}

class Animator {
 public:
  Animator(const protocol::Job& job, PictureFinder& finder, const JobFiles& files,
           Reporter& reporter)
      : job_(job),
        finder_(finder),
        files_(files),
        reporter_(reporter),
        speed_(std::isfinite(job.speed) && job.speed > 0 ? job.speed : 1),
        fps_(AnimationFpsFor(job, av_q2d(finder.media().frame_rate()))) {}

  Result<protocol::Done> Run() {
    if (job_.duration_seconds && !(*job_.duration_seconds > 0)) {
      return OutOfRange("the duration is impossible");
    }
    CHECK_OK(CheckDeclared());
    protocol::Done done;
    TRY(done.stored_bytes, job_.format == protocol::OutputFormat::kGif ? MakeGif() : MakeWebp());
    done.width = static_cast<uint32_t>(placement_.width);
    done.height = static_cast<uint32_t>(placement_.height);
    done.frames = pictures_;
    done.duration_seconds = seconds();
    done.fps = seconds() > 0 ? static_cast<double>(pictures_) / seconds() : 0;
    done.video_codec = job_.format == protocol::OutputFormat::kGif ? "gif" : "webp";
    done.route = "transcode";
    done.warnings = warnings_;
    return done;
  }

 private:
  /// @param frame AV_PIX_FMT_BGRA, @param at seconds
  using OnFrame = std::function<Result<void>(AvPtr<AVFrame> frame, double at)>;

  double seconds() const { return static_cast<double>(slots_) / fps_; }

  /// Seconds of the source as declared, 0 = unknown.
  double Expected() const {
    const Media& media = finder_.media();
    double length = media.video_duration() > 0 ? media.video_duration() : media.duration();
    length = std::max(0.0, length - job_.start_seconds);
    if (!job_.duration_seconds) return length;
    return length > 0 ? std::min(length, *job_.duration_seconds) : *job_.duration_seconds;
  }

  Result<void> CheckDeclared() {
    SourceShape declared = finder_.media().ShapeIn(nullptr);
    TRY(const Placement placement, Place(declared, BoxOf(job_), job_.limits.max_pixels));
    const double rate = std::min(fps_, av_q2d(finder_.media().frame_rate()) * speed_);
    const double pictures = Expected() / speed_ * rate;
    const double pixels = pictures * placement.width * placement.height;
    if (pixels > static_cast<double>(job_.limits.max_animation_pixels)) {
      return TooMuch(pixels, job_);
    }
    if (Expected() / speed_ > job_.limits.max_output_seconds) {
      return TooLarge("the result would be too long").WithFact("limit", "output seconds");
    }
    return {};
  }

  /// Decodes, samples and scales all of the clip once.
  Result<void> Pass(double done_before, double done_after, const OnFrame& on_frame) {
    pixels_ = pictures_ = 0;
    std::optional<int64_t> slots;
    if (job_.duration_seconds) {
      slots = std::max<int64_t>(1, std::llround(*job_.duration_seconds / speed_ * fps_));
    }
    const Sampler::Sink sink = [&](AvPtr<AVFrame> frame, int64_t slot) -> Result<void> {
      TRY(AvPtr<AVFrame> small, Shrink(std::move(frame)));
      ++pictures_;
      pixels_ += static_cast<uint64_t>(small->width) * static_cast<uint64_t>(small->height);
      if (pixels_ > job_.limits.max_animation_pixels) {
        return TooMuch(static_cast<double>(pixels_), job_);
      }
      return on_frame(std::move(small), static_cast<double>(slot) / fps_);
    };
    Sampler sampler(fps_ / speed_ / kOutputTimeBase.den, slots, sink);
    const double expected = Expected() * kOutputTimeBase.den;
    bool enough = false;
    const PictureFinder::OnPicture on_picture = [&](Picture picture) -> Result<bool> {
      if (expected > 0) {
        const double part = std::min(1.0, static_cast<double>(picture.ticks) / expected);
        reporter_.SetDone(done_before + part * (done_after - done_before));
      }
      reporter_.Tick();
      TRY(const bool more, sampler.Add(std::move(picture)));
      enough = !more;
      return more;
    };
    CHECK_OK(finder_.From(job_.start_seconds, on_picture));
    TRY(slots_, sampler.Finish(enough));
    if (warnings_.empty()) warnings_ = finder_.Warnings();
    graph_.reset();
    return {};
  }

  Result<AvPtr<AVFrame>> Shrink(AvPtr<AVFrame> frame) {
    if (static_cast<uint64_t>(frame->width) * static_cast<uint64_t>(frame->height) >
        job_.limits.max_pixels) {
      return TooManyPixels(frame->width, frame->height, job_.limits.max_pixels);
    }
    const PictureShape shape = ShapeOf(*frame);
    if (!graph_ || shape.interlaced || !(graph_->shape() == shape)) {
      const SourceShape now = finder_.media().ShapeIn(frame.get());
      if (placement_.width == 0) {
        TRY(placement_, Place(now, BoxOf(job_), job_.limits.max_pixels));
        first_ = now;
      }
      const bool as_first = now.width == first_.width && now.height == first_.height;
      const Placement placement =
          as_first ? placement_ : PlaceInto(now, placement_.width, placement_.height, BoxOf(job_));
      PictureTarget target{AV_PIX_FMT_BGRA, VideoColour(shape.colour)};
      target.opaque = !HasAlpha(static_cast<AVPixelFormat>(shape.format));
      TRY(PictureGraph graph, PictureGraph::Create(shape, placement, target, 1));
      graph_.emplace(std::move(graph));
    }
    return graph_->FilterAlone(std::move(frame), next_pts_++);
  }

  Result<uint64_t> MakeWebp() {
    std::unique_ptr<AnimationEncoder> encoder;
    const OnFrame encode = [&](AvPtr<AVFrame> frame, double at) -> Result<void> {
      if (encoder == nullptr) {
        if (std::max(frame->width, frame->height) > LongestSide(job_.format)) {
          return TooLarge("the resulting picture would be too large for its format")
              .WithFact("limit", "side");
        }
        TRY(encoder, AnimationEncoder::Create(job_, files_, frame->width, frame->height));
      }
      return encoder->Add(*frame, at);
    };
    CHECK_OK(Pass(0, 0.95, encode));
    return encoder->Finish(seconds());
  }

  Result<uint64_t> MakeGif() {
    struct Kept {
      AvPtr<AVFrame> frame;
      double at = 0;
    };
    const GifRecipe recipe = GifRecipeFor(job_);
    std::optional<PaletteMaker> maker;
    std::vector<Kept> kept;
    uint64_t bytes = 0;
    const OnFrame count = [&](AvPtr<AVFrame> frame, double at) -> Result<void> {
      if (!maker) {
        TRY(PaletteMaker made, PaletteMaker::Create(frame->width, frame->height, recipe));
        maker.emplace(std::move(made));
      }
      CHECK_OK(maker->Add(*frame));
      bytes += 4ull * static_cast<uint64_t>(frame->width) * static_cast<uint64_t>(frame->height);
      if (bytes <= kKeptBytes) {
        kept.push_back({std::move(frame), at});
      } else {
        kept.clear();
      }
      return {};
    };
    CHECK_OK(Pass(0, 0.45, count));
    TRY(AvPtr<AVFrame> palette, maker->Finish());
    maker.reset();
    TRY(PaletteMapper mapper,
        PaletteMapper::Create(placement_.width, placement_.height, std::move(palette), recipe));
    TRY(std::unique_ptr<AnimationEncoder> encoder,
        AnimationEncoder::Create(job_, files_, placement_.width, placement_.height));
    std::vector<double> times;  // by pts
    const auto encode_ready = [&]() -> Result<void> {
      for (;;) {
        TRY(AvPtr<AVFrame> frame, mapper.Receive());
        if (frame == nullptr) return {};
        const auto n = static_cast<size_t>(std::max<int64_t>(frame->pts, 0));
        if (n >= times.size()) return EngineError("palette", AVERROR_BUG);
        CHECK_OK(encoder->Add(*frame, times[n]));
        reporter_.Tick();
      }
    };
    const OnFrame map = [&](AvPtr<AVFrame> frame, double at) -> Result<void> {
      frame->pts = static_cast<int64_t>(times.size());
      times.push_back(at);
      CHECK_OK(mapper.Send(std::move(frame)));
      return encode_ready();
    };
    if (bytes <= kKeptBytes) {
      for (size_t i = 0; i < kept.size(); ++i) {
        CHECK_OK(map(std::move(kept[i].frame), kept[i].at));
        reporter_.SetDone(0.5 + 0.45 * static_cast<double>(i) / static_cast<double>(kept.size()));
        reporter_.Tick();
      }
    } else {
      CHECK_OK(Pass(0.5, 0.95, map));
    }
    CHECK_OK(mapper.Send(nullptr));
    CHECK_OK(encode_ready());
    return encoder->Finish(seconds());
  }

  const protocol::Job& job_;
  PictureFinder& finder_;
  const JobFiles& files_;
  Reporter& reporter_;
  const double speed_, fps_;
  Placement placement_;
  SourceShape first_;
  std::optional<PictureGraph> graph_;
  int64_t next_pts_ = 0;
  uint64_t pixels_ = 0, pictures_ = 0;
  int64_t slots_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace

Result<protocol::Done> MakeAnimation(const protocol::Job& job, SourceIo& source,
                                     const JobFiles& files, Reporter& reporter) {
  TRY(std::unique_ptr<PictureFinder> finder, PictureFinder::Open(job, source, reporter));
  Animator animator(job, *finder, files, reporter);
  return animator.Run();
}

}  // namespace vr::worker
