#include "worker/still_encoder.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "worker/failure.h"
#include "worker/file_sink.h"
#include "worker/recipe.h"

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::OutputFormat;

constexpr int kWholeQuantiser = 8;  // the encoder divides its tables by this

Result<void> SetTables(AVCodecContext& c, int quality) {
  for (const bool chroma : {false, true}) {
    const std::array<uint16_t, 64> table = JpegTable(quality, chroma);
    auto* owned = static_cast<uint16_t*>(av_memdup(table.data(), sizeof table));
    if (owned == nullptr) return EngineError("image encoder", AVERROR(ENOMEM));
    (chroma ? c.chroma_intra_matrix : c.intra_matrix) = owned;
  }
  return {};
}

Result<AVDictionary*> Configure(const Job& job, AVCodecContext& c) {
  AVDictionary* options = nullptr;
  switch (job.format) {
    case OutputFormat::kPng: {
      const PngRecipe recipe = PngRecipeFor(job);
      c.compression_level = recipe.level;
      av_dict_set(&options, "pred", recipe.prediction, 0);
      break;
    }
    case OutputFormat::kWebp: {
      const WebpRecipe recipe = WebpRecipeFor(job);
      c.compression_level = recipe.method;
      av_dict_set_int(&options, "lossless", 0, 0);
      av_dict_set(&options, "quality", std::to_string(recipe.quality).c_str(), 0);
      break;
    }
    default: {
      const JpegRecipe recipe = JpegRecipeFor(job);
      c.flags |= AV_CODEC_FLAG_QSCALE;
      c.global_quality = FF_QP2LAMBDA * kWholeQuantiser;
      c.qmin = c.qmax = kWholeQuantiser;
      av_dict_set(&options, "huffman", recipe.optimal_codes ? "optimal" : "default", 0);
      CHECK_OK(SetTables(c, recipe.quality));
    }
  }
  return options;
}

const char* EncoderName(OutputFormat format) {
  return format == OutputFormat::kWebp ? "libwebp" : StillCodec(format);
}

}  // namespace

const char* StillCodec(OutputFormat format) {
  switch (format) {
    case OutputFormat::kPng:
      return "png";
    case OutputFormat::kWebp:
      return "webp";
    default:
      return "mjpeg";
  }
}

int LongestSide(OutputFormat format) {
  return format == OutputFormat::kWebp ? 16383 : 16384;
}

PictureTarget StillTarget(OutputFormat format, const PictureShape& shape, bool keep_alpha) {
  const bool alpha = keep_alpha && HasAlpha(static_cast<AVPixelFormat>(shape.format));
  PictureTarget target;
  switch (format) {
    case OutputFormat::kPng:
      target.format = alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24;
      target.colour = VideoColour(shape.colour);
      target.colour.range = AVCOL_RANGE_JPEG;
      break;
    case OutputFormat::kWebp:
      // WebP is BT.601, limited range, by definition.
      target.format = alpha ? AV_PIX_FMT_YUVA420P : AV_PIX_FMT_YUV420P;
      target.colour = VideoColour(shape.colour);
      target.colour.matrix = AVCOL_SPC_SMPTE170M;
      break;
    default:
      target = {AV_PIX_FMT_YUVJ420P, JpegColour(shape.colour)};
  }
  return target;
}

Result<AvPtr<AVPacket>> EncodeStill(const Job& job, AVFrame& frame) {
  const int longest = LongestSide(job.format);
  if (frame.width > longest || frame.height > longest) {
    return TooLarge("the resulting picture would be too large for its format",
                    std::to_string(frame.width) + "x" + std::to_string(frame.height))
        .WithFact("limit", "side");
  }
  const AVCodec* codec = avcodec_find_encoder_by_name(EncoderName(job.format));
  if (codec == nullptr) return TransformFailed("the transform failed", "no image encoder");
  AvPtr<AVCodecContext> c(avcodec_alloc_context3(codec));
  if (c == nullptr) return EngineError("image encoder", AVERROR(ENOMEM));
  c->width = frame.width;
  c->height = frame.height;
  c->pix_fmt = static_cast<AVPixelFormat>(frame.format);
  c->time_base = kOutputTimeBase;
  c->sample_aspect_ratio = AVRational{1, 1};
  c->color_range = job.format == OutputFormat::kWebp ? AVCOL_RANGE_MPEG : AVCOL_RANGE_JPEG;
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT;
  TRY(AVDictionary * options, Configure(job, *c));
  int r = avcodec_open2(c.get(), codec, &options);
  av_dict_free(&options);
  if (r < 0) return EngineError("image encoder", r);
  frame.pict_type = AV_PICTURE_TYPE_NONE;
  frame.quality = c->global_quality;
  frame.pts = 0;
  AvPtr<AVPacket> packet = NewPacket();
  r = avcodec_send_frame(c.get(), &frame);
  if (r >= 0) r = avcodec_send_frame(c.get(), nullptr);
  if (r >= 0) r = avcodec_receive_packet(c.get(), packet.get());
  if (r < 0) return EngineError("image encoding", r);
  return packet;
}

Result<void> StoreResult(const Job& job, const JobFiles& files, const uint8_t* bytes, size_t size) {
  if (size > job.limits.max_output_bytes) {
    return TooLarge("the result would be too large").WithFact("limit", "output bytes");
  }
  if (const int e = WriteWhole(files.stored.get(), bytes, size)) {
    return TransformFailed("the result could not be stored", std::strerror(e));
  }
  return {};
}

Result<AvPtr<AVFrame>> FilterOne(AvPtr<AVFrame> frame, const PictureShape& shape,
                                 const Placement& placement, const PictureTarget& target) {
  TRY(PictureGraph graph, PictureGraph::Create(shape, placement, target, 1));
  return graph.FilterAlone(std::move(frame), 0);
}

}  // namespace vr::worker
