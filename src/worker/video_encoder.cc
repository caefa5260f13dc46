#include "worker/video_encoder.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "worker/failure.h"

namespace vr::worker {
namespace {

/// x264 begins with some 700 bytes on itself (an SEI unit, ITU-T H.264 7.3.2.3): of a calm picture
/// that is more than the picture.
void LeaveOutWords(AVPacket& packet) {
  constexpr uint8_t kSei = 6;
  const std::string_view all(reinterpret_cast<const char*>(packet.data),
                             static_cast<size_t>(packet.size));
  constexpr std::string_view kStart("\0\0\1", 3);
  const size_t first = all.find(kStart);
  if (first == std::string_view::npos || first + 3 >= all.size()) return;
  if ((static_cast<uint8_t>(all[first + 3]) & 31) != kSei) return;
  size_t next = all.find(kStart, first + 3);
  if (next == std::string_view::npos) return;
  if (all[next - 1] == 0) --next;
  packet.data += next;
  packet.size -= static_cast<int>(next);
}

}  // namespace

Result<VideoEncoder> VideoEncoder::Create(const PictureFormat& format, const VideoRecipe& recipe,
                                          Part part) {
  const AVCodec* codec = avcodec_find_encoder_by_name(recipe.encoder);
  if (codec == nullptr) {
    return TransformFailed("the transform failed", std::string("no encoder ") + recipe.encoder);
  }
  VideoEncoder out;
  out.context_.reset(avcodec_alloc_context3(codec));
  out.packet_ = NewPacket();
  AVCodecContext* c = out.context_.get();
  if (c == nullptr || out.packet_ == nullptr) return EngineError("video encoder", AVERROR(ENOMEM));
  c->width = format.width;
  c->height = format.height;
  c->pix_fmt = format.pixels;
  c->time_base = kOutputTimeBase;
  c->framerate = format.frame_rate;
  c->sample_aspect_ratio = AVRational{1, 1};
  c->colorspace = format.colour.matrix;
  c->color_primaries = format.colour.primaries;
  c->color_trc = format.colour.transfer;
  c->color_range = format.colour.range;
  c->chroma_sample_location = AVCHROMA_LOC_LEFT;
  c->gop_size =
      std::max(1, static_cast<int>(std::lround(av_q2d(format.frame_rate) * kKeyframeSeconds)));
  c->bit_rate = recipe.bit_rate;
  if (recipe.max_rate > 0) {
    c->rc_max_rate = recipe.max_rate;
    c->rc_buffer_size = static_cast<int>(std::min<int64_t>(recipe.max_rate * 2, INT32_MAX));
    // What the part before has left of it is not known.
    if (part == Part::kLater) c->rc_initial_buffer_occupancy = c->rc_buffer_size / 2;
  }
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP | AV_CODEC_FLAG_BITEXACT;
  AVDictionary* options = nullptr;
  for (const auto& [name, value] : recipe.options) {
    av_dict_set(&options, name.c_str(), value.c_str(), 0);
  }
  const int r = avcodec_open2(c, codec, &options);
  const AVDictionaryEntry* unknown = av_dict_get(options, "", nullptr, AV_DICT_IGNORE_SUFFIX);
  const std::string left_over = unknown != nullptr ? unknown->key : "";
  av_dict_free(&options);
  if (r < 0) return EngineError(recipe.encoder, r);
  if (!left_over.empty()) {
    return TransformFailed("the transform failed",
                           std::string(recipe.encoder) + " has no option " + left_over);
  }
  out.has_own_words_ = part == Part::kLater && c->codec_id == AV_CODEC_ID_H264;
  out.frame_duration_ = std::llround(av_q2d(av_inv_q(format.frame_rate)) / av_q2d(kOutputTimeBase));
  return out;
}

Result<void> VideoEncoder::Encode(AVFrame& frame, const PacketSink& sink) {
  frame.pict_type = AV_PICTURE_TYPE_NONE;
  // gop_size counts pictures; with variable frame rates only the clock keeps the promise.
  const auto key_ticks = static_cast<int64_t>(kKeyframeSeconds * kOutputTimeBase.den);
  if (last_key_ == INT64_MIN || frame.pts - last_key_ >= key_ticks) {
    frame.pict_type = AV_PICTURE_TYPE_I;
    last_key_ = frame.pts;
  }
  const int r = avcodec_send_frame(context_.get(), &frame);
  if (r < 0) return EngineError("video encoding", r);
  return Drain(frame_duration_, sink);
}

Result<void> VideoEncoder::Finish(int64_t last_duration, const PacketSink& sink) {
  const int r = avcodec_send_frame(context_.get(), nullptr);
  if (r < 0 && r != AVERROR_EOF) return EngineError("video encoding", r);
  return Drain(last_duration, sink);
}

Result<void> VideoEncoder::Drain(int64_t duration, const PacketSink& sink) {
  for (;;) {
    const int r = avcodec_receive_packet(context_.get(), packet_.get());
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
    if (r < 0) return EngineError("video encoding", r);
    packet_->duration = duration;  // the muxer believes only the last packet's
    if ((packet_->flags & AV_PKT_FLAG_KEY) != 0) last_key_ = std::max(last_key_, packet_->pts);
    if (std::exchange(has_own_words_, false)) LeaveOutWords(*packet_);
    CHECK_OK(sink(*packet_));
    av_packet_unref(packet_.get());
  }
}

std::string X264Build() {
  PictureFormat format;
  format.width = format.height = 64;
  format.frame_rate = AVRational{25, 1};
  format.colour = {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  const VideoRecipe recipe = VideoRecipeFor(transform::protocol::Job(), {64, 64, 25});
  Result<VideoEncoder> encoder = VideoEncoder::Create(format, recipe);
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
