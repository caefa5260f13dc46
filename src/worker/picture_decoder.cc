#include "worker/picture_decoder.h"

#include <algorithm>

#include "worker/failure.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {
// No key frame for this long: the stream does not mark them.
constexpr int kMaxPacketsWithoutKey = 1000;
}  // namespace

Result<PictureDecoder> PictureDecoder::Create(const Media& media, int threads, int64_t begin,
                                              bool want_alpha, bool after_seek) {
  PictureDecoder d;
  TRY(d.decoder_, media.OpenDecoder(media.video(), threads, want_alpha));
  d.frame_ = NewFrame();
  if (d.frame_ == nullptr) return EngineError("decoder", AVERROR(ENOMEM));
  d.time_base_ = media.video()->time_base;
  d.begin_ticks_ = av_rescale_q(begin, kMicroseconds, kOutputTimeBase);
  d.frame_ticks_ =
      std::max<int64_t>(1, av_rescale_q(1, av_inv_q(media.frame_rate()), kOutputTimeBase));
  d.next_ticks_ = INT64_MIN;
  d.after_seek_ = after_seek;
  // libav's HEVC decoder invents missing references and shows the result; H.264's waits by itself.
  if (after_seek || d.decoder_->codec_id == AV_CODEC_ID_HEVC)
    d.wait_for_key_ = kMaxPacketsWithoutKey;
  return d;
}

void PictureDecoder::SkipLoopFilter(bool everywhere) {
  decoder_->skip_loop_filter = everywhere ? AVDISCARD_ALL : AVDISCARD_NONREF;
}

Result<bool> PictureDecoder::Feed(const AVPacket* packet, const OnPicture& on_picture) {
  if (packet != nullptr && wait_for_key_ > 0) {
    if ((packet->flags & AV_PKT_FLAG_KEY) == 0) {
      --wait_for_key_;
      missed_ =
          after_seek_ && packet->pts != AV_NOPTS_VALUE &&
          av_rescale_q(packet->pts, time_base_, kOutputTimeBase) > begin_ticks_ + kSameTimeTicks;
      return !missed_;
    }
    wait_for_key_ = 0;
  }
  if (packet != nullptr && packet->pts != AV_NOPTS_VALUE) {
    // The picture shown at tick 0 may itself be one that no other needs: stop sparing well before
    // it.
    const int64_t margin = std::max<int64_t>(
        kOutputTimeBase.den, 4 * av_rescale_q(packet->duration, time_base_, kOutputTimeBase));
    const int64_t ticks = av_rescale_q(packet->pts, time_base_, kOutputTimeBase) - begin_ticks_;
    decoder_->skip_frame = ticks + margin < 0 ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
  }
  for (;;) {
    const int r = avcodec_send_packet(decoder_.get(), packet);
    if (IsShortage(r)) return EngineError("decoding", r);
    if (r < 0 && r != AVERROR_EOF && r != AVERROR(EAGAIN)) ++skipped_;
    TRY(const bool more, Drain(on_picture));
    if (!more) return false;
    if (r != AVERROR(EAGAIN)) return true;
  }
}

Result<bool> PictureDecoder::Drain(const OnPicture& on_picture) {
  for (;;) {
    const int r = avcodec_receive_frame(decoder_.get(), frame_.get());
    if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return true;
    if (IsShortage(r)) return EngineError("decoding", r);
    if (r < 0) {
      ++skipped_;
      return true;
    }
    if (frame_->width <= 0 || frame_->height <= 0) {
      av_frame_unref(frame_.get());
      continue;
    }
    ++pictures_;
    int64_t ticks = 0;
    if (frame_->best_effort_timestamp != AV_NOPTS_VALUE) {
      ticks =
          av_rescale_q(frame_->best_effort_timestamp, time_base_, kOutputTimeBase) - begin_ticks_;
    } else {
      ticks = next_ticks_ != INT64_MIN ? next_ticks_ : -begin_ticks_;
    }
    next_ticks_ = ticks + DurationOf(*frame_);
    AvPtr<AVFrame> taken = NewFrame();
    if (taken == nullptr) return EngineError("decoding", AVERROR(ENOMEM));
    av_frame_move_ref(taken.get(), frame_.get());
    TRY(const bool more, on_picture(std::move(taken), ticks));
    if (!more) return false;
  }
}

int64_t PictureDecoder::DurationOf(const AVFrame& frame) const {
  int64_t ticks = frame_ticks_;
  if (frame.pkt_duration > 0) {
    ticks = av_rescale_q(frame.pkt_duration, time_base_, kOutputTimeBase);
  }
  return std::max<int64_t>(ticks, 1);
}

}  // namespace vr::worker
