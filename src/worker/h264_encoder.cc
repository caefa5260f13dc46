#include "worker/h264_encoder.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "worker/failure.h"

namespace vr::worker {

Result<H264Encoder> H264Encoder::Create(int width, int height, AVRational frame_rate,
                                        const Colour& colour, const H264Recipe& recipe) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  if (codec == nullptr) return TransformFailed("the transform failed", "no libx264 encoder");
  H264Encoder out;
  out.context_.reset(avcodec_alloc_context3(codec));
  out.packet_ = NewPacket();
  AVCodecContext* c = out.context_.get();
  if (c == nullptr || out.packet_ == nullptr) return EngineError("H.264 encoder", AVERROR(ENOMEM));
  c->width = width;
  c->height = height;
  c->pix_fmt = AV_PIX_FMT_YUV420P;
  c->time_base = kOutputTimeBase;
  c->framerate = frame_rate;
  c->sample_aspect_ratio = AVRational{1, 1};
  c->colorspace = colour.matrix;
  c->color_primaries = colour.primaries;
  c->color_trc = colour.transfer;
  c->color_range = colour.range;
  c->chroma_sample_location = AVCHROMA_LOC_LEFT;
  const double fps = av_q2d(frame_rate);
  c->gop_size = std::max(1, static_cast<int>(std::lround(fps * kKeyframeSeconds)));
  c->rc_max_rate = recipe.max_rate;
  c->rc_buffer_size = static_cast<int>(std::min<int64_t>(recipe.max_rate * 2, INT32_MAX));
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP | AV_CODEC_FLAG_BITEXACT;
  AVDictionary* options = nullptr;
  av_dict_set(&options, "preset", recipe.preset, 0);
  av_dict_set(&options, "profile", "high", 0);
  av_dict_set_int(&options, "crf", recipe.crf, 0);
  av_dict_set(&options, "forced-idr", "1", 0);
  const int r = avcodec_open2(c, codec, &options);
  av_dict_free(&options);
  if (r < 0) return EngineError("H.264 encoder", r);
  out.frame_duration_ = std::llround(av_q2d(av_inv_q(frame_rate)) / av_q2d(kOutputTimeBase));
  return out;
}

Result<void> H264Encoder::Encode(AVFrame& frame, const PacketSink& sink) {
  frame.pict_type = AV_PICTURE_TYPE_NONE;
  // gop_size counts pictures; with variable frame rates only the clock keeps the promise.
  const auto key_ticks = static_cast<int64_t>(kKeyframeSeconds * kOutputTimeBase.den);
  if (last_key_ == INT64_MIN || frame.pts - last_key_ >= key_ticks) {
    frame.pict_type = AV_PICTURE_TYPE_I;
    last_key_ = frame.pts;
  }
  const int r = avcodec_send_frame(context_.get(), &frame);
  if (r < 0) return EngineError("H.264 encoding", r);
  return Drain(frame_duration_, sink);
}

Result<void> H264Encoder::Finish(int64_t last_duration, const PacketSink& sink) {
  const int r = avcodec_send_frame(context_.get(), nullptr);
  if (r < 0 && r != AVERROR_EOF) return EngineError("H.264 encoding", r);
  return Drain(last_duration, sink);
}

Result<void> H264Encoder::Drain(int64_t duration, const PacketSink& sink) {
  for (;;) {
    const int r = avcodec_receive_packet(context_.get(), packet_.get());
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
    if (r < 0) return EngineError("H.264 encoding", r);
    packet_->duration = duration;  // the muxer believes only the last packet's
    if ((packet_->flags & AV_PKT_FLAG_KEY) != 0) last_key_ = std::max(last_key_, packet_->pts);
    CHECK_OK(sink(*packet_));
    av_packet_unref(packet_.get());
  }
}

std::string X264Build() {
  const Colour colour{AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  H264Recipe recipe;
  recipe.max_rate = 1'000'000;
  Result<H264Encoder> encoder = H264Encoder::Create(64, 64, AVRational{25, 1}, colour, recipe);
  if (!encoder.ok()) return "unknown";
  std::string build = "unknown";
  const PacketSink sink = [&build](AVPacket& packet) -> Result<void> {
    const std::string_view all(reinterpret_cast<const char*>(packet.data),
                               static_cast<size_t>(packet.size));
    constexpr std::string_view kMark = "x264 - ";
    const size_t begin = all.find(kMark);
    if (begin == std::string_view::npos) return {};
    const size_t end = all.find(" - ", begin + kMark.size());
    if (end != std::string_view::npos) {
      build = all.substr(begin + kMark.size(), end - begin - kMark.size());
    }
    return {};
  };
  AvPtr<AVFrame> frame = NewFrame();
  frame->format = AV_PIX_FMT_YUV420P;
  frame->width = frame->height = 64;
  if (av_frame_get_buffer(frame.get(), 0) < 0) return build;
  for (int plane = 0; plane < 3; ++plane) {
    const int rows = plane == 0 ? 64 : 32;
    std::fill_n(frame->data[plane], static_cast<ptrdiff_t>(frame->linesize[plane]) * rows, 128);
  }
  for (int i = 0; i < 4; ++i) {
    frame->pts = i * 4800;
    if (!encoder->Encode(*frame, sink).ok()) return build;
  }
  if (!encoder->Finish(4800, sink).ok()) return build;
  return build;
}

}  // namespace vr::worker
