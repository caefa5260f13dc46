#include "worker/frame_pipeline.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "worker/failure.h"
#include "worker/file_sink.h"
#include "worker/media.h"
#include "worker/picture_decoder.h"
#include "worker/picture_graph.h"
#include "worker/recipe.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

struct Found {
  AvPtr<AVFrame> frame;  ///< null: look from further back
  int skipped = 0;
};

/// The last picture at or before tick 0, decoding from where the source stands now.
Result<Found> Find(const protocol::Job& job, Media& media, Reporter& reporter, bool may_retry) {
  const int64_t begin =
      media.origin() + static_cast<int64_t>(std::llround(job.start_seconds * 1e6));
  TRY(PictureDecoder decoder,
      PictureDecoder::Create(media, static_cast<int>(job.decoder_threads), begin,
                             job.format == protocol::OutputFormat::kPng, may_retry));
  AvPtr<AVFrame> held, found;
  int64_t held_end = 0;
  bool too_late = false;
  const PictureDecoder::OnPicture on_picture = [&](AvPtr<AVFrame> frame,
                                                   int64_t ticks) -> Result<bool> {
    reporter.Tick();
    if (ticks <= kSameTimeTicks) {
      held_end = ticks + decoder.DurationOf(*frame);
      held = std::move(frame);
      return ticks < -kSameTimeTicks;  // exactly there: nothing later can be it
    }
    if (held == nullptr && may_retry) {
      too_late = true;
      return false;
    }
    found = held != nullptr ? std::move(held) : std::move(frame);
    return false;
  };
  AvPtr<AVPacket> packet = NewPacket();
  bool wanted = true;
  while (wanted) {
    reporter.Tick();
    TRY(const bool more, media.Read(packet.get()));
    if (more && packet->stream_index != media.video()->index) continue;
    TRY(wanted, decoder.Feed(more ? packet.get() : nullptr, on_picture));
    if (!more) break;
  }
  if (too_late || decoder.missed()) return Found{nullptr, decoder.skipped_packets()};
  if (found == nullptr && held != nullptr && !wanted) found = std::move(held);
  if (found != nullptr) return Found{std::move(found), decoder.skipped_packets()};
  if (may_retry && held == nullptr) return Found{nullptr, decoder.skipped_packets()};

  // The source has ended before this time.
  if (held == nullptr) return media.WhyNoPicture("no picture was decoded");
  constexpr double kTicksPerSecond = kOutputTimeBase.den;
  const double last_end = job.start_seconds + static_cast<double>(held_end) / kTicksPerSecond;
  if (!LastPictureStillShown(job.start_seconds, last_end, media.video_duration(),
                             media.duration())) {
    char text[96];
    std::snprintf(text, sizeof text, "the source's pictures end at %.3f seconds", last_end);
    return OutOfRange(text);
  }
  return Found{std::move(held), decoder.skipped_packets()};
}

Result<AvPtr<AVFrame>> Filter(AvPtr<AVFrame> frame, const PictureShape& shape,
                              const Placement& placement, const PictureTarget& target) {
  TRY(PictureGraph graph, PictureGraph::Create(shape, placement, target, 1));
  frame->pts = 0;
  CHECK_OK(graph.Send(std::move(frame)));
  CHECK_OK(graph.Send(nullptr));
  TRY(AvPtr<AVFrame> out, graph.Receive());
  if (out == nullptr) return EngineError("filtering", AVERROR_BUG);
  return out;
}

Result<AvPtr<AVPacket>> Encode(const protocol::Job& job, AVFrame& frame) {
  const bool jpeg = job.format == protocol::OutputFormat::kJpeg;
  const AVCodec* codec = avcodec_find_encoder_by_name(jpeg ? "mjpeg" : "png");
  if (codec == nullptr) return TransformFailed("the transform failed", "no image encoder");
  AvPtr<AVCodecContext> c(avcodec_alloc_context3(codec));
  if (c == nullptr) return EngineError("image encoder", AVERROR(ENOMEM));
  c->width = frame.width;
  c->height = frame.height;
  c->pix_fmt = static_cast<AVPixelFormat>(frame.format);
  c->time_base = kOutputTimeBase;
  c->sample_aspect_ratio = AVRational{1, 1};
  c->color_range = AVCOL_RANGE_JPEG;
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT;
  AVDictionary* options = nullptr;
  if (jpeg) {
    c->flags |= AV_CODEC_FLAG_QSCALE;
    c->global_quality = FF_QP2LAMBDA * JpegScale(job);
    frame.quality = c->global_quality;
  } else {
    c->compression_level = PngLevel(job);
    av_dict_set(&options, "pred", "mixed", 0);
  }
  int r = avcodec_open2(c.get(), codec, &options);
  av_dict_free(&options);
  if (r < 0) return EngineError("image encoder", r);
  frame.pict_type = AV_PICTURE_TYPE_NONE;
  AvPtr<AVPacket> packet = NewPacket();
  r = avcodec_send_frame(c.get(), &frame);
  if (r >= 0) r = avcodec_send_frame(c.get(), nullptr);
  if (r >= 0) r = avcodec_receive_packet(c.get(), packet.get());
  if (r < 0) return EngineError("image encoding", r);
  return packet;
}

}  // namespace

Result<protocol::Done> ExtractFrame(const protocol::Job& job, SourceIo& source,
                                    const JobFiles& files, Reporter& reporter) {
  TRY(std::unique_ptr<Media> media, Media::Open(source, job.limits));
  CHECK_OK(CheckStart(job.start_seconds, media->duration()));
  Found found;
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
    TRY(found, Find(job, *media, reporter, !from_start));
    if (found.frame != nullptr) break;
  }
  if (found.frame == nullptr) return media->WhyNoPicture("no picture was decoded");
  reporter.SetDone(0.5);
  reporter.Tick();

  const AVRational sar =
      av_guess_sample_aspect_ratio(media->format(), media->video(), found.frame.get());
  SourceShape shape{found.frame->width, found.frame->height,
                    sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1, media->orientation()};
  TRY(const Placement placement, Place(shape, BoxOf(job), job.limits.max_pixels));
  const PictureShape picture = ShapeOf(*found.frame);
  PictureTarget target;
  if (job.format == protocol::OutputFormat::kPng) {
    target.format =
        HasAlpha(static_cast<AVPixelFormat>(picture.format)) ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24;
    target.colour = VideoColour(picture.colour);
    target.colour.range = AVCOL_RANGE_JPEG;
  } else {
    target = {AV_PIX_FMT_YUVJ420P, JpegColour(picture.colour)};
  }
  TRY(AvPtr<AVFrame> filtered, Filter(std::move(found.frame), picture, placement, target));
  TRY(AvPtr<AVPacket> packet, Encode(job, *filtered));
  const auto size = static_cast<uint64_t>(packet->size);
  if (size > job.limits.max_output_bytes) {
    return TooLarge("the result would be too large").WithFact("limit", "output bytes");
  }
  if (const int e = WriteWhole(files.stored.get(), packet->data, size)) {
    return TransformFailed("the result could not be stored", std::strerror(e));
  }
  protocol::Done done;
  done.stored_bytes = size;
  done.width = static_cast<uint32_t>(placement.width);
  done.height = static_cast<uint32_t>(placement.height);
  done.frames = 1;
  done.video_codec = job.format == protocol::OutputFormat::kPng ? "png" : "mjpeg";
  if (found.skipped > 0) {
    done.warnings.push_back("damaged: " + std::to_string(found.skipped) +
                            " packets could not be decoded");
  }
  return done;
}

}  // namespace vr::worker
