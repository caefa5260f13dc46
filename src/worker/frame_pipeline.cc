#include "worker/frame_pipeline.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "worker/picture_finder.h"
#include "worker/still_encoder.h"
#include "worker/warm.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

/// How far before the time a key frame is looked for where the container does not lead to it.
constexpr double kKeySearchSeconds = 6;

Result<AvPtr<AVFrame>> FindKeyFrame(const protocol::Job& job, PictureFinder& finder) {
  if (finder.media().duration() <= 0) return AvPtr<AVFrame>();  // where it ends is not known either
  const double at = job.start_seconds;
  TRY(std::optional<KeyPacket> key, finder.KeyAt(at, std::max(0.0, at - kKeySearchSeconds)));
  if (!key) return AvPtr<AVFrame>();
  return finder.Decode(*key);
}

Result<AvPtr<AVFrame>> FindExact(const protocol::Job& job, PictureFinder& finder) {
  AvPtr<AVFrame> found;
  {
    const MemoryFill as_it_comes(false);  // only what is decoded without a fault counts
    TRY(found, finder.Alone(job.start_seconds));
  }
  if (found != nullptr) return found;
  const auto take = [&found](Picture picture) -> Result<bool> {
    found = std::move(picture.frame);
    return false;
  };
  CHECK_OK(finder.From(job.start_seconds, take));
  return found;
}

}  // namespace

Result<protocol::Done> ExtractFrame(const protocol::Job& job, SourceIo& source,
                                    const JobFiles& files, Reporter& reporter) {
  const bool is_exact = job.accuracy != protocol::Accuracy::kKeyframe;
  TRY(std::unique_ptr<PictureFinder> finder,
      is_exact ? PictureFinder::OpenForOne(job, source, reporter)
               : PictureFinder::Open(job, source, reporter, Want::kOneFrame));
  protocol::Done done;
  AvPtr<AVFrame> frame;
  if (!is_exact) {
    TRY(frame, FindKeyFrame(job, *finder));
    done.route = "keyframes";
  }
  if (frame == nullptr) {
    TRY(frame, FindExact(job, *finder));
    done.route = "decode";
  }
  reporter.SetDone(0.5);
  reporter.Tick();

  TRY(const Placement placement,
      Place(finder->media().ShapeIn(frame.get()), BoxOf(job), job.limits.max_pixels));
  const PictureShape shape = ShapeOf(*frame);
  const PictureTarget target = StillTarget(job.format, shape, true);
  TRY(AvPtr<AVFrame> filtered, FilterOne(std::move(frame), shape, placement, target));
  TRY(AvPtr<AVPacket> packet, EncodeStill(job, *filtered));
  const auto size = static_cast<size_t>(packet->size);
  CHECK_OK(StoreResult(job, files, packet->data, size));
  done.stored_bytes = size;
  done.width = static_cast<uint32_t>(placement.width);
  done.height = static_cast<uint32_t>(placement.height);
  done.frames = 1;
  done.video_codec = StillCodec(job.format);
  done.warnings = finder->Warnings();
  return done;
}

}  // namespace vr::worker
