#include "worker/audio_track.h"

extern "C" {
#include <libavutil/opt.h>
}

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "worker/failure.h"

namespace vr::worker {
namespace {

constexpr int kOutputChannels = 2;
constexpr AVSampleFormat kOurFormat = AV_SAMPLE_FMT_FLTP;  // between decoder and encoder
// Time stamps of real files wander by some milliseconds (1 ms container clocks, rounding); more is
// a gap.
constexpr int kToleranceMs = 60;
constexpr int kSilenceChunk = 4096;
// swr's own limit is 64; more than 8 channels without a layout have no meaning to mix by.
constexpr int kMaxMixedChannels = 8;
constexpr int kMaxChannels = 64;
// Measured: what would alias is down by more than 80 dB (with libav's 32 taps by 20), 20.5 kHz is
// still there, and it costs no more than soxr, which brings an OpenMP pool into the sandbox.
constexpr int kResamplerTaps = 128;

/// What the encoder takes, of what we can give.
AVSampleFormat FormatOf(const AVCodec* codec) {
  if (codec->sample_fmts == nullptr) return kOurFormat;
  for (const AVSampleFormat* f = codec->sample_fmts; *f != AV_SAMPLE_FMT_NONE; ++f) {
    if (*f == kOurFormat) return kOurFormat;
  }
  return AV_SAMPLE_FMT_FLT;
}

/// The centre, where voices are, and the surrounds at -3 dB in both, without the bass effects
/// channel. Not scaled down to what the sum could be at worst: that is the limiter's.
int SetMix(SwrContext* swr) {
  int r = av_opt_set_double(swr, "center_mix_level", M_SQRT1_2, 0);
  if (r >= 0) r = av_opt_set_double(swr, "surround_mix_level", M_SQRT1_2, 0);
  if (r >= 0) r = av_opt_set_double(swr, "lfe_mix_level", 0, 0);
  if (r >= 0) r = av_opt_set_int(swr, "filter_size", kResamplerTaps, 0);
  if (r >= 0) r = av_opt_set_sample_fmt(swr, "internal_sample_fmt", kOurFormat, 0);
  return r;
}

}  // namespace

Result<AudioTrack> AudioTrack::Create(AVStream* stream, AvPtr<AVCodecContext> decoder,
                                      const AudioRecipe& recipe, Window window) {
  AudioTrack t;
  t.codec_ = recipe.codec;
  const int sample_rate = recipe.sample_rate;
  const int64_t bit_rate = recipe.bit_rate;
  t.time_base_ = stream->time_base;
  t.window_ = window;
  if (!(window.speed > 0)) return TransformFailed("the transform failed", "speed");
  if (window.end) {
    t.end_sample_ =
        std::max<int64_t>(0, av_rescale(*window.end - window.begin, sample_rate, 1'000'000));
  }
  t.max_samples_ =
      std::llround(static_cast<double>(window.max_microseconds) / 1e6 * sample_rate * window.speed);
  if (window.speed != 1) t.stretch_.emplace(sample_rate, window.speed);
  t.decoder_ = std::move(decoder);

  const AVCodec* codec = avcodec_find_encoder_by_name(recipe.encoder);
  if (codec == nullptr) return TransformFailed("the transform failed", "no audio encoder");
  t.encoder_.reset(avcodec_alloc_context3(codec));
  AVCodecContext* c = t.encoder_.get();
  if (c == nullptr) return EngineError("audio encoder", AVERROR(ENOMEM));
  c->sample_rate = sample_rate;
  c->sample_fmt = FormatOf(codec);
  av_channel_layout_default(&c->ch_layout, kOutputChannels);
  c->bit_rate = bit_rate;
  c->time_base = AVRational{1, sample_rate};
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
  if (recipe.effort) c->compression_level = *recipe.effort;
  AVDictionary* options = nullptr;
  if (recipe.coder != nullptr) av_dict_set(&options, "aac_coder", recipe.coder, 0);
  if (recipe.keeps_rate) av_dict_set(&options, "vbr", "constrained", 0);
  const int r = avcodec_open2(c, codec, &options);
  av_dict_free(&options);
  if (r < 0) return EngineError("audio encoder", r);
  t.fifo_.reset(av_audio_fifo_alloc(c->sample_fmt, kOutputChannels, 1 << 14));
  t.decoded_ = NewFrame();
  t.converted_ = NewFrame();
  t.packet_ = NewPacket();
  if (!t.fifo_ || !t.decoded_ || !t.converted_ || !t.packet_) {
    return EngineError("audio", AVERROR(ENOMEM));
  }
  return t;
}

double AudioTrack::seconds() const {
  return static_cast<double>(encoded_) / encoder_->sample_rate;
}

bool AudioTrack::IsBeforeWindow(const AVPacket* packet) const {
  if (packet == nullptr || packet->pts == AV_NOPTS_VALUE) return false;
  return av_rescale_q(packet->pts, time_base_, kMicroseconds) < window_.begin;
}

Result<void> AudioTrack::Feed(const AVPacket* packet, const PacketSink& sink) {
  if (complete_) return {};
  // After a seek the first packets may lean on ones that were not read: nobody hears them.
  const int blame = IsBeforeWindow(packet) ? 0 : 1;
  int r = avcodec_send_packet(decoder_.get(), packet);
  if (IsShortage(r)) return EngineError("audio decoding", r);
  if (r < 0 && r != AVERROR_EOF && r != AVERROR(EAGAIN)) skipped_ += blame;
  for (;;) {
    r = avcodec_receive_frame(decoder_.get(), decoded_.get());
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) break;
    if (IsShortage(r)) return EngineError("audio decoding", r);
    if (r < 0) {
      skipped_ += blame;
      break;
    }
    CHECK_OK(OnFrame(*decoded_, sink));
    av_frame_unref(decoded_.get());
    if (complete_) return {};
  }
  return {};
}

Result<void> AudioTrack::OnFrame(const AVFrame& frame, const PacketSink& sink) {
  if (frame.nb_samples <= 0 || frame.sample_rate <= 0 || frame.ch_layout.nb_channels <= 0 ||
      frame.ch_layout.nb_channels > kMaxChannels) {
    ++skipped_;
    return {};
  }
  ++frames_;
  const InputShape shape{
      frame.sample_rate, frame.format, frame.ch_layout.nb_channels,
      frame.ch_layout.order == AV_CHANNEL_ORDER_NATIVE ? frame.ch_layout.u.mask : 0};
  if (!(shape == input_)) {
    if (resampler_) CHECK_OK(Resample(nullptr, sink));
    CHECK_OK(Reconfigure(frame));
    input_ = shape;
  }
  const int64_t pts = frame.best_effort_timestamp;
  if (pts != AV_NOPTS_VALUE) {
    const int64_t us = av_rescale_q(pts, time_base_, kMicroseconds) - window_.begin;
    CHECK_OK(CloseGap(av_rescale(us, encoder_->sample_rate, 1'000'000), frame, sink));
  } else if (!cursor_) {
    cursor_ = 0;
  }
  return Resample(&frame, sink);
}

Result<void> AudioTrack::CloseGap(int64_t at, const AVFrame& frame, const PacketSink& sink) {
  if (!cursor_) {
    cursor_ = std::min<int64_t>(at, 0);
    return AppendSilence(at, sink);
  }
  const int rate = encoder_->sample_rate;
  const int64_t expected = *cursor_ + swr_get_delay(resampler_.get(), rate) - drop_;
  const int64_t off = at - expected;
  if (std::abs(off) <= static_cast<int64_t>(rate) * kToleranceMs / 1000) return {};
  if (off < 0) {
    drop_ -= off;
    return {};
  }
  CHECK_OK(Resample(nullptr, sink));
  CHECK_OK(Reconfigure(frame));
  return AppendSilence(off, sink);
}

Result<void> AudioTrack::Reconfigure(const AVFrame& frame) {
  AVChannelLayout stereo{};
  av_channel_layout_default(&stereo, kOutputChannels);
  AVChannelLayout in{};
  const int channels = frame.ch_layout.nb_channels;
  const bool known = frame.ch_layout.order == AV_CHANNEL_ORDER_NATIVE;
  if (known && channels <= kMaxMixedChannels) {
    av_channel_layout_copy(&in, &frame.ch_layout);
  } else {
    av_channel_layout_default(&in, channels);
  }
  SwrContext* made = nullptr;
  int r =
      swr_alloc_set_opts2(&made, &stereo, kOurFormat, encoder_->sample_rate, &in,
                          static_cast<AVSampleFormat>(frame.format), frame.sample_rate, 0, nullptr);
  resampler_.reset(made);
  if (r >= 0) r = SetMix(made);
  if (channels > kOutputChannels && !limiter_) limiter_.emplace(encoder_->sample_rate);
  if (r >= 0 &&
      (channels == 1 || in.order != AV_CHANNEL_ORDER_NATIVE || channels > kMaxMixedChannels)) {
    // No layout to mix by: the first two channels are left and right. A single one is both, at its
    // full level.
    std::vector<double> matrix(static_cast<size_t>(2 * channels), 0.0);
    matrix[0] = 1;
    matrix[static_cast<size_t>(channels + (channels > 1 ? 1 : 0))] = 1;
    r = swr_set_matrix(made, matrix.data(), channels);
  }
  if (r >= 0) r = swr_init(made);
  av_channel_layout_uninit(&in);
  if (r < 0) return EngineError("audio conversion", r);
  return {};
}

Result<void> AudioTrack::Resample(const AVFrame* frame, const PacketSink& sink) {
  const int in = frame != nullptr ? frame->nb_samples : 0;
  const int room = swr_get_out_samples(resampler_.get(), in);
  if (room < 0) return EngineError("audio conversion", room);
  if (room == 0) return {};
  av_frame_unref(converted_.get());
  converted_->format = kOurFormat;
  converted_->nb_samples = room;
  av_channel_layout_default(&converted_->ch_layout, kOutputChannels);
  int r = av_frame_get_buffer(converted_.get(), 0);
  if (r < 0) return EngineError("audio conversion", r);
  auto** input = frame != nullptr ? const_cast<const uint8_t**>(frame->extended_data) : nullptr;
  r = swr_convert(resampler_.get(), converted_->data, room, input, in);
  if (r < 0) return EngineError("audio conversion", r);
  return Append(reinterpret_cast<const float*>(converted_->data[0]),
                reinterpret_cast<const float*>(converted_->data[1]), r, sink);
}

Result<void> AudioTrack::Append(const float* left, const float* right, int count,
                                const PacketSink& sink) {
  const int64_t skip = std::min<int64_t>(drop_, count);
  drop_ -= skip;
  const int64_t at = *cursor_;
  const int64_t keep_from = std::max<int64_t>(skip, at < 0 ? skip - at : skip);
  *cursor_ += count - skip;
  int64_t usable = count;
  if (end_sample_ && *cursor_ >= *end_sample_) {
    usable -= *cursor_ - *end_sample_;
    complete_ = true;
  }
  if (*cursor_ > max_samples_ && usable > keep_from) {
    return TooLarge("the result would be too long", "audio").WithFact("limit", "output seconds");
  }
  if (usable <= keep_from) return {};
  return Process(left + keep_from, right + keep_from, static_cast<size_t>(usable - keep_from),
                 sink);
}

Result<void> AudioTrack::AppendSilence(int64_t count, const PacketSink& sink) {
  static constexpr float kZeros[kSilenceChunk] = {};
  const int64_t drop = std::exchange(drop_, 0);
  while (count > 0 && !complete_) {
    const int n = static_cast<int>(std::min<int64_t>(count, kSilenceChunk));
    CHECK_OK(Append(kZeros, kZeros, n, sink));
    count -= n;
  }
  drop_ = drop;
  return {};
}

Result<void> AudioTrack::FillUpTo(int64_t microseconds, const PacketSink& sink) {
  const int64_t to = av_rescale(microseconds, encoder_->sample_rate, 1'000'000);
  if (complete_ || to <= 0) return {};
  if (!cursor_) cursor_ = 0;
  if (*cursor_ >= to) return {};
  return AppendSilence(to - *cursor_, sink);
}

Result<void> AudioTrack::Process(const float* left, const float* right, size_t count,
                                 const PacketSink& sink) {
  placed_ += static_cast<int64_t>(count);
  limited_.Clear();
  if (limiter_) {
    limiter_->Push(left, right, count, limited_);
  } else {
    limited_.Append(left, right, count);
  }
  return Stretch(limited_, sink);
}

Result<void> AudioTrack::Stretch(const Stereo& sound, const PacketSink& sink) {
  if (!stretch_) return Queue(sound, sink);
  stretched_.Clear();
  stretch_->Push(sound.left.data(), sound.right.data(), sound.size(), stretched_);
  return Queue(stretched_, sink);
}

Result<void> AudioTrack::Queue(const Stereo& sound, const PacketSink& sink) {
  const int count = static_cast<int>(sound.size());
  if (count == 0) return {};
  void* planes[kOutputChannels] = {const_cast<float*>(sound.left.data()),
                                   const_cast<float*>(sound.right.data())};
  std::vector<float> woven;
  if (av_sample_fmt_is_planar(encoder_->sample_fmt) == 0) {
    woven.resize(2 * sound.size());
    for (size_t i = 0; i < sound.size(); ++i) {
      woven[2 * i] = sound.left[i];
      woven[2 * i + 1] = sound.right[i];
    }
    planes[0] = woven.data();
  }
  if (av_audio_fifo_write(fifo_.get(), planes, count) < count) {
    return EngineError("audio", AVERROR(ENOMEM));
  }
  return EncodeFull(false, sink);
}

/// What the whole output must have, from the window when the source filled it, else from what there
/// was.
int64_t AudioTrack::OutputSamples() const {
  if (end_sample_ && placed_ == *end_sample_) {
    return std::llround(static_cast<double>(*window_.end - window_.begin) / 1e6 / window_.speed *
                        encoder_->sample_rate);
  }
  return std::llround(static_cast<double>(placed_) / window_.speed);
}

Result<void> AudioTrack::Finish(const PacketSink& sink) {
  if (resampler_ && !complete_) CHECK_OK(Resample(nullptr, sink));
  if (limiter_) {
    limited_.Clear();
    limiter_->Flush(limited_);
    CHECK_OK(Stretch(limited_, sink));
  }
  if (stretch_) {
    stretched_.Clear();
    stretch_->Flush(OutputSamples(), stretched_);
    CHECK_OK(Queue(stretched_, sink));
  }
  CHECK_OK(EncodeFull(true, sink));
  complete_ = true;
  return {};
}

Result<void> AudioTrack::EncodeFull(bool flush, const PacketSink& sink) {
  const int size = encoder_->frame_size;
  const auto drain = [&]() -> Result<void> {
    for (;;) {
      const int r = avcodec_receive_packet(encoder_.get(), packet_.get());
      if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
      if (r < 0) return EngineError("audio encoding", r);
      CHECK_OK(sink(*packet_));
      av_packet_unref(packet_.get());
    }
  };
  while (av_audio_fifo_size(fifo_.get()) >= size ||
         (flush && av_audio_fifo_size(fifo_.get()) > 0)) {
    AvPtr<AVFrame> frame = NewFrame();
    frame->format = encoder_->sample_fmt;
    frame->sample_rate = encoder_->sample_rate;
    frame->nb_samples = std::min(size, av_audio_fifo_size(fifo_.get()));
    av_channel_layout_default(&frame->ch_layout, kOutputChannels);
    int r = av_frame_get_buffer(frame.get(), 0);
    if (r < 0) return EngineError("audio", r);
    av_audio_fifo_read(fifo_.get(), reinterpret_cast<void**>(frame->data), frame->nb_samples);
    frame->pts = encoded_;
    encoded_ += frame->nb_samples;
    r = avcodec_send_frame(encoder_.get(), frame.get());
    if (r < 0) return EngineError("audio encoding", r);
    CHECK_OK(drain());
  }
  if (flush) {
    const int r = avcodec_send_frame(encoder_.get(), nullptr);
    if (r < 0 && r != AVERROR_EOF) return EngineError("audio encoding", r);
    CHECK_OK(drain());
  }
  return {};
}

}  // namespace vr::worker
