#include "worker/sheet_pipeline.h"

extern "C" {
#include <libavutil/imgutils.h>
}

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/failure.h"
#include "worker/picture_finder.h"
#include "worker/sheet_layout.h"
#include "worker/still_encoder.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

/// Of every format, so that a WebVTT need not know its sheet's.
constexpr int kMaxSide = 16383;
/// Decoding on this far is no dearer than seeking where key frames are not known, seconds.
constexpr double kDecodeOnSeconds = 5;

/// When the pictures end as the container tells, seconds; 0 = it does not.
double DeclaredEnd(const Media& media) {
  if (media.format()->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE) return 0;
  const double video = media.video_duration();
  if (video <= 0) return media.duration();
  double begin = 0;
  if (media.video()->start_time != AV_NOPTS_VALUE) {
    begin = static_cast<double>(
                av_rescale_q(media.video()->start_time, media.video()->time_base, kMicroseconds) -
                media.origin()) /
            1e6;
  }
  const double end = std::max(begin, 0.0) + video;
  return media.duration() > 0 ? std::min(end, media.duration()) : end;
}

/// @param end of the pictures, seconds
Result<SheetRange> RangeUntil(const protocol::Job& job, const Media& media, double end) {
  const double start = job.start_seconds;
  const double fps = av_q2d(media.frame_rate());
  SheetRange range{start, 0, 1};
  if (start >= end) {
    if (!LastPictureStillShown(start, end, media.video_duration(), media.duration())) {
      return OutOfRange("the source's pictures end before this time");
    }
    range.length = std::max(media.duration() - start, 1 / fps);  // sound goes on after the picture
  } else {
    range.length = end - start;
  }
  if (job.duration_seconds) {
    if (!(*job.duration_seconds > 0)) return OutOfRange("the duration is impossible");
    range.length = std::min(range.length, *job.duration_seconds);
  }
  if (start >= end) return range;
  double per_second = fps;
  if (media.video()->nb_frames > 0 && media.video_duration() > 0) {
    per_second = static_cast<double>(media.video()->nb_frames) / media.video_duration();
  }
  range.pictures = static_cast<uint64_t>(std::max(1.0, std::round(range.length * per_second)));
  return range;
}

/// Where the tiles lie and what they show. The same for the sheet and its WebVTT.
Result<SheetLayout> Plan(const protocol::Job& job, PictureFinder& finder,
                         const Placement& placement) {
  double end = DeclaredEnd(finder.media());
  if (end <= 0) {
    constexpr double kBehindAll = 1e9;
    TRY(const std::optional<double> measured, finder.EndBefore(kBehindAll));
    end = measured.value_or(0);
    if (end <= 0) return finder.media().WhyNoPicture("no packets");
  }
  for (bool checked = false;;) {
    TRY(const SheetRange range, RangeUntil(job, finder.media(), end));
    TRY(SheetLayout layout, LayOut(job.sheet, range, placement.width, placement.height, kMaxSide,
                                   job.limits.max_pixels));
    if (checked || layout.times.size() == 1) return layout;
    // Containers promise more than there is; what is missing shall not be black tiles.
    TRY(const std::optional<double> real, finder.EndBefore(layout.times.back()));
    if (!real) return layout;
    if (*real <= 0) return finder.media().WhyNoPicture("no packets");
    end = *real;
    checked = true;
  }
}

/// The sheet while it is painted.
class Canvas {
 public:
  static Result<Canvas> Create(const protocol::Job& job, const PictureFinder& finder,
                               const Placement& placement, const SheetLayout& layout) {
    Canvas c(job, finder, placement, layout);
    c.sheet_ = NewFrame();
    if (c.sheet_ == nullptr) return EngineError("sheet", AVERROR(ENOMEM));
    PictureShape plain;
    c.sheet_->format = StillTarget(job.format, plain, false).format;
    c.sheet_->width = layout.width();
    c.sheet_->height = layout.height();
    int r = av_frame_get_buffer(c.sheet_.get(), 0);
    if (r < 0) return EngineError("sheet", r);
    std::array<ptrdiff_t, 4> strides{};
    for (size_t i = 0; i < strides.size(); ++i) strides[i] = c.sheet_->linesize[i];
    const auto format = static_cast<AVPixelFormat>(c.sheet_->format);
    const bool full = job.format != protocol::OutputFormat::kWebp;
    r = av_image_fill_black(c.sheet_->data, strides.data(), format,
                            full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG, c.sheet_->width,
                            c.sheet_->height);
    if (r < 0) return EngineError("sheet", r);
    return c;
  }

  Result<void> Paint(size_t tile, const AVFrame& picture) {
    if (static_cast<uint64_t>(picture.width) * static_cast<uint64_t>(picture.height) >
        job_.limits.max_pixels) {
      return TooManyPixels(picture.width, picture.height, job_.limits.max_pixels);
    }
    AvPtr<AVFrame> frame(av_frame_clone(&picture));
    if (frame == nullptr) return EngineError("sheet", AVERROR(ENOMEM));
    TRY(AvPtr<AVFrame> small, Shrink(std::move(frame)));
    const auto format = static_cast<AVPixelFormat>(sheet_->format);
    std::array<int, 4> left{};
    int r = av_image_fill_linesizes(left.data(), format, layout_.x(tile));
    if (r < 0) return EngineError("sheet", r);
    std::array<uint8_t*, 4> to{};
    for (size_t plane = 0; plane < to.size() && sheet_->data[plane] != nullptr; ++plane) {
      const bool chroma = format != AV_PIX_FMT_RGB24 && (plane == 1 || plane == 2);
      const int row = layout_.y(tile) / (chroma ? 2 : 1);
      to[plane] =
          sheet_->data[plane] + static_cast<ptrdiff_t>(row) * sheet_->linesize[plane] + left[plane];
    }
    av_image_copy(to.data(), sheet_->linesize, const_cast<const uint8_t**>(small->data),
                  small->linesize, format, layout_.tile_width, layout_.tile_height);
    ++painted_;
    return {};
  }

  size_t painted() const { return painted_; }
  AVFrame& sheet() { return *sheet_; }

 private:
  Canvas(const protocol::Job& job, const PictureFinder& finder, const Placement& placement,
         const SheetLayout& layout)
      : job_(job), finder_(finder), placement_(placement), layout_(layout) {}

  Result<AvPtr<AVFrame>> Shrink(AvPtr<AVFrame> frame) {
    const PictureShape shape = ShapeOf(*frame);
    if (!graph_ || shape.interlaced || !(graph_->shape() == shape)) {
      const SourceShape now = finder_.media().ShapeIn(frame.get()),
                        declared = finder_.media().ShapeIn(nullptr);
      const bool as_declared = now.width == declared.width && now.height == declared.height &&
                               now.sample_aspect_ratio == declared.sample_aspect_ratio;
      const Placement placement =
          as_declared ? placement_
                      : PlaceInto(now, layout_.tile_width, layout_.tile_height, BoxOf(job_));
      TRY(PictureGraph graph,
          PictureGraph::Create(shape, placement, StillTarget(job_.format, shape, false), 1));
      graph_.emplace(std::move(graph));
    }
    return graph_->FilterAlone(std::move(frame), next_pts_++);
  }

  const protocol::Job& job_;
  const PictureFinder& finder_;
  const Placement& placement_;
  const SheetLayout& layout_;
  AvPtr<AVFrame> sheet_;
  std::optional<PictureGraph> graph_;
  int64_t next_pts_ = 0;
  size_t painted_ = 0;
};

class SheetMaker {
 public:
  SheetMaker(PictureFinder& finder, const SheetLayout& layout, Canvas& canvas, Reporter& reporter)
      : finder_(finder), layout_(layout), canvas_(canvas), reporter_(reporter) {}

  Result<void> Run() {
    for (size_t i = 0; i < layout_.times.size(); ++i) CHECK_OK(TryKeyFrame(i));
    for (size_t first = 0; first < pending_.size();) {
      size_t end = first + 1;
      while (end < pending_.size() && IsCheaperToDecodeOn(pending_[end - 1], pending_[end])) ++end;
      CHECK_OK(DecodeTiles(first, end));
      first = end;
    }
    if (canvas_.painted() == 0) return std::move(*failure_);
    return {};
  }

  bool decoded_any() const { return !pending_.empty(); }
  size_t missing() const { return layout_.times.size() - canvas_.painted(); }

 private:
  /// A tile that no key frame is near enough to.
  struct Pending {
    size_t tile = 0;
    std::optional<double> key;  ///< the last key frame before it, seconds
  };

  Result<void> Paint(size_t tile, const AVFrame& picture) {
    CHECK_OK(canvas_.Paint(tile, picture));
    reporter_.SetDone(0.95 * static_cast<double>(canvas_.painted()) /
                      static_cast<double>(layout_.times.size()));
    reporter_.Tick();
    return {};
  }

  Result<void> TryKeyFrame(size_t tile) {
    const double at = layout_.times[tile], reach = layout_.step / 2;
    const double earliest = std::max(0.0, at - reach);
    TRY(std::optional<KeyPacket> key, finder_.KeyAt(at, earliest));
    Pending pending{tile, key ? std::optional(key->seconds) : std::nullopt};
    if (!key || key->seconds < earliest) {
      // Rather the next one than many that are only decoded to be thrown away.
      TRY(key, finder_.KeyAt(at + reach, at));
      if (key && (key->seconds < at || key->seconds > at + reach)) key.reset();
    }
    if (key) {
      TRY(const AvPtr<AVFrame> frame, finder_.Decode(*key));
      if (frame != nullptr) return Paint(tile, *frame);
    }
    pending_.push_back(pending);
    return {};
  }

  bool IsCheaperToDecodeOn(const Pending& from, const Pending& to) const {
    const double here = layout_.times[from.tile];
    if (to.key) return *to.key <= here;
    return layout_.times[to.tile] - here < kDecodeOnSeconds;
  }

  Result<void> DecodeTiles(size_t first, size_t end) {
    const double start = layout_.times[pending_[first].tile];
    const auto ticks_of = [&](size_t i) {
      return std::llround((layout_.times[pending_[i].tile] - start) * kOutputTimeBase.den);
    };
    size_t next = first;
    Picture held;
    const PictureFinder::OnPicture on_picture = [&](Picture picture) -> Result<bool> {
      for (; next < end && held.frame != nullptr && ticks_of(next) + kSameTimeTicks < picture.ticks;
           ++next) {
        CHECK_OK(Paint(pending_[next].tile, *held.frame));
      }
      if (next == end) return false;
      if (picture.ticks >= ticks_of(next) - kSameTimeTicks) {
        CHECK_OK(Paint(pending_[next].tile, *picture.frame));
        ++next;
      }
      held = std::move(picture);
      return next < end;
    };
    Result<void> decoded = finder_.From(start, on_picture);
    if (!decoded.ok()) {
      const std::string& reason = decoded.error().reason;
      if (reason != "SOURCE_CORRUPT" && reason != "TIME_OUT_OF_RANGE") return decoded;
      if (!failure_) failure_ = decoded.error();
    }
    for (; next < end && held.frame != nullptr; ++next) {
      CHECK_OK(Paint(pending_[next].tile, *held.frame));
    }
    return {};
  }

  PictureFinder& finder_;
  const SheetLayout& layout_;
  Canvas& canvas_;
  Reporter& reporter_;
  std::vector<Pending> pending_;
  std::optional<Error> failure_;
};

}  // namespace

Result<protocol::Done> MakeSheet(const protocol::Job& job, SourceIo& source, const JobFiles& files,
                                 Reporter& reporter) {
  TRY(std::unique_ptr<PictureFinder> finder, PictureFinder::Open(job, source, reporter));
  TRY(const Placement placement,
      Place(finder->media().ShapeIn(nullptr), BoxOf(job), job.limits.max_pixels));
  TRY(const SheetLayout layout, Plan(job, *finder, placement));
  protocol::Done done;
  done.width = static_cast<uint32_t>(layout.width());
  done.height = static_cast<uint32_t>(layout.height());
  done.frames = layout.times.size();
  if (job.format == protocol::OutputFormat::kVtt) {
    const std::string text = WebVtt(layout, job.link);
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    CHECK_OK(StoreResult(job, files, bytes, text.size()));
    done.stored_bytes = text.size();
    return done;
  }
  TRY(Canvas canvas, Canvas::Create(job, *finder, placement, layout));
  SheetMaker maker(*finder, layout, canvas, reporter);
  CHECK_OK(maker.Run());
  TRY(AvPtr<AVPacket> packet, EncodeStill(job, canvas.sheet()));
  const auto size = static_cast<size_t>(packet->size);
  CHECK_OK(StoreResult(job, files, packet->data, size));
  done.stored_bytes = size;
  done.video_codec = StillCodec(job.format);
  done.route = maker.decoded_any() ? "decode" : "keyframes";
  done.warnings = finder->Warnings();
  if (maker.missing() > 0) {
    done.warnings.push_back("damaged: " + std::to_string(maker.missing()) +
                            " tiles could not be decoded");
  }
  return done;
}

}  // namespace vr::worker
