#include "worker/animation_encoder.h"

extern "C" {
#include <libavutil/opt.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "worker/failure.h"
#include "worker/file_sink.h"
#include "worker/recipe.h"
#include "worker/still_encoder.h"

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::OutputFormat;

Result<AvPtr<AVCodecContext>> OpenEncoder(const char* name, AVPixelFormat format, int width,
                                          int height, int per_second, int effort,
                                          AVDictionary* options) {
  const AVCodec* codec = avcodec_find_encoder_by_name(name);
  AvPtr<AVCodecContext> c(codec != nullptr ? avcodec_alloc_context3(codec) : nullptr);
  if (c == nullptr) {
    av_dict_free(&options);
    return TransformFailed("the transform failed", std::string("no encoder ") + name);
  }
  c->width = width;
  c->height = height;
  c->pix_fmt = format;
  c->time_base = AVRational{1, per_second};
  c->sample_aspect_ratio = AVRational{1, 1};
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT;
  c->compression_level = effort;
  const int r = avcodec_open2(c.get(), codec, &options);
  av_dict_free(&options);
  if (r < 0) return EngineError(name, r);
  return c;
}

class GifEncoder final : public AnimationEncoder {
 public:
  GifEncoder(const Job& job, const JobFiles& files)
      : sink_(files.stored.get(), FileSink::Mode::kAppend, job.limits.max_output_bytes) {}
  ~GifEncoder() override {
    if (muxer_ != nullptr) muxer_->pb = nullptr;
    avformat_free_context(muxer_);
  }

  Result<void> Open(int width, int height) {
    if (sink_.avio() == nullptr) return EngineError("gif", AVERROR(ENOMEM));
    TRY(encoder_, OpenEncoder("gif", AV_PIX_FMT_PAL8, width, height, kPerSecond,
                              FF_COMPRESSION_DEFAULT, nullptr));
    int r = avformat_alloc_output_context2(&muxer_, nullptr, "gif", nullptr);
    if (r < 0) return EngineError("gif", r);
    muxer_->pb = sink_.avio();
    muxer_->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
    AVStream* stream = avformat_new_stream(muxer_, nullptr);
    if (stream == nullptr) return EngineError("gif", AVERROR(ENOMEM));
    r = avcodec_parameters_from_context(stream->codecpar, encoder_.get());
    stream->time_base = encoder_->time_base;
    if (r >= 0) r = avformat_write_header(muxer_, nullptr);
    if (r < 0) return EngineError("gif", r);
    return {};
  }

  Result<void> Add(AVFrame& frame, double seconds) override {
    frame.pts = std::max<int64_t>(std::llround(seconds * kPerSecond), last_ + 1);
    last_ = frame.pts;
    frame.pict_type = AV_PICTURE_TYPE_NONE;
    return Write(&frame);
  }

  Result<uint64_t> Finish(double end_seconds) override {
    CHECK_OK(Write(nullptr));
    const int64_t delay = std::llround(end_seconds * kPerSecond) - last_;
    av_opt_set_int(muxer_->priv_data, "final_delay", std::clamp<int64_t>(delay, 1, 65535), 0);
    const int r = av_write_trailer(muxer_);
    avio_flush(sink_.avio());
    CHECK_OK(Check(r));
    return sink_.size();
  }

 private:
  static constexpr int kPerSecond = 100;  // GIF's clock

  Result<void> Check(int r) {
    if (sink_.over_limit()) {
      return TooLarge("the result would be too large").WithFact("limit", "output bytes");
    }
    if (sink_.write_errno() != 0) {
      return TransformFailed("the result could not be stored", std::strerror(sink_.write_errno()));
    }
    if (r < 0) return EngineError("gif", r);
    return {};
  }

  Result<void> Write(const AVFrame* frame) {
    int r = avcodec_send_frame(encoder_.get(), frame);
    AvPtr<AVPacket> packet = NewPacket();
    while (r >= 0) {
      r = avcodec_receive_packet(encoder_.get(), packet.get());
      if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
      if (r >= 0) r = av_write_frame(muxer_, packet.get());
    }
    return Check(r);
  }

  FileSink sink_;
  AVFormatContext* muxer_ = nullptr;
  AvPtr<AVCodecContext> encoder_;
  int64_t last_ = -1;
};

/// libwebp cannot know how long the last picture stays; corrects its ANMF chunk
/// (https://developers.google.com/speed/webp/docs/riff_container).
void SetTotalDuration(uint8_t* bytes, size_t size, int64_t milliseconds) {
  constexpr size_t kRiffHeader = 12, kChunkHeader = 8, kDurationAt = 12;
  const auto number = [bytes](size_t at, int length) {
    uint32_t n = 0;
    for (int i = length; i-- > 0;) n = n << 8 | bytes[at + static_cast<size_t>(i)];
    return n;
  };
  size_t last = 0;
  int64_t before = 0;
  for (size_t at = kRiffHeader; at + kChunkHeader <= size;) {
    const size_t length = number(at + 4, 4);
    if (std::memcmp(bytes + at, "ANMF", 4) == 0 && at + kChunkHeader + 16 <= size) {
      if (last != 0) before += number(last, 3);
      last = at + kChunkHeader + kDurationAt;
    }
    at += kChunkHeader + length + length % 2;
  }
  if (last == 0) return;  // a single picture
  const auto left = static_cast<uint32_t>(std::clamp<int64_t>(milliseconds - before, 1, 0xFFFFFF));
  for (size_t i = 0; i < 3; ++i) bytes[last + i] = static_cast<uint8_t>(left >> 8 * i);
}

class WebpEncoder final : public AnimationEncoder {
 public:
  WebpEncoder(const Job& job, const JobFiles& files) : job_(job), files_(files) {}

  Result<void> Open(int width, int height) {
    const WebpRecipe recipe = WebpRecipeFor(job_);
    AVDictionary* options = nullptr;
    av_dict_set_int(&options, "lossless", 0, 0);
    av_dict_set(&options, "quality", std::to_string(recipe.quality).c_str(), 0);
    TRY(encoder_, OpenEncoder("libwebp_anim", AV_PIX_FMT_BGRA, width, height, kPerSecond,
                              recipe.method, options));
    return {};
  }

  Result<void> Add(AVFrame& frame, double seconds) override {
    frame.pts = std::max<int64_t>(std::llround(seconds * kPerSecond), last_ + 1);
    last_ = frame.pts;
    frame.pict_type = AV_PICTURE_TYPE_NONE;
    return Take(avcodec_send_frame(encoder_.get(), &frame));
  }

  Result<uint64_t> Finish(double end_seconds) override {
    CHECK_OK(Take(avcodec_send_frame(encoder_.get(), nullptr)));
    if (whole_ == nullptr) return EngineError("webp", AVERROR_BUG);
    int r = av_packet_make_writable(whole_.get());
    if (r < 0) return EngineError("webp", r);
    const auto size = static_cast<size_t>(whole_->size);
    SetTotalDuration(whole_->data, size, std::llround(end_seconds * kPerSecond));
    CHECK_OK(StoreResult(job_, files_, whole_->data, size));
    return size;
  }

 private:
  static constexpr int kPerSecond = 1000;

  Result<void> Take(int r) {
    while (r >= 0) {
      AvPtr<AVPacket> packet = NewPacket();
      r = avcodec_receive_packet(encoder_.get(), packet.get());
      if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
      if (r >= 0) whole_ = std::move(packet);
    }
    return EngineError("webp", r);
  }

  const Job& job_;
  const JobFiles& files_;
  AvPtr<AVCodecContext> encoder_;
  AvPtr<AVPacket> whole_;
  int64_t last_ = -1;
};

template <class Encoder>
Result<std::unique_ptr<AnimationEncoder>> Opened(const Job& job, const JobFiles& files, int width,
                                                 int height) {
  auto encoder = std::make_unique<Encoder>(job, files);
  CHECK_OK(encoder->Open(width, height));
  return std::unique_ptr<AnimationEncoder>(std::move(encoder));
}

}  // namespace

Result<std::unique_ptr<AnimationEncoder>> AnimationEncoder::Create(const Job& job,
                                                                   const JobFiles& files, int width,
                                                                   int height) {
  if (job.format == OutputFormat::kGif) return Opened<GifEncoder>(job, files, width, height);
  return Opened<WebpEncoder>(job, files, width, height);
}

}  // namespace vr::worker
