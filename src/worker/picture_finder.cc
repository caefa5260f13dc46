#include "worker/picture_finder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "worker/failure.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

constexpr double kTicksPerSecond = kOutputTimeBase.den;
constexpr double kDecodingAhead = 0.5;  // seconds; sixteen pictures at 30 a second
constexpr double kSameSeconds = kSameTimeTicks / kTicksPerSecond;

}  // namespace

Result<std::unique_ptr<PictureFinder>> PictureFinder::Open(const transform::protocol::Job& job,
                                                           SourceIo& source, Reporter& reporter) {
  std::unique_ptr<PictureFinder> finder(new PictureFinder(job, source, reporter));
  CHECK_OK(finder->Reopen());
  CHECK_OK(CheckStart(job.start_seconds, finder->media_->duration()));
  return finder;
}

Result<void> PictureFinder::Reopen() {
  broke_off_ = broke_off_ || (media_ != nullptr && media_->broke_off());
  key_decoder_.reset();
  media_.reset();
  TRY(media_, Media::Open(source_, job_.limits));
  if (media_->audio() != nullptr) media_->audio()->discard = AVDISCARD_ALL;
  const char* name = media_->format()->iformat->name;
  is_mov_ = std::strncmp(name, "mov", 3) == 0;
  is_gif_ = std::strcmp(name, "gif") == 0;
  fresh_ = true;
  return {};
}

Result<bool> PictureFinder::MoveTo(double point) {
  if (point > 0) {
    if (is_gif_) return false;  // each picture is drawn upon those before it
    fresh_ = false;             // a seek that fails has read, too
    return media_->Seek(point);
  }
  // Containers disagree on what seeking to the start means; opening anew is the same everywhere.
  if (!fresh_) CHECK_OK(Reopen());
  fresh_ = false;
  return true;
}

Result<void> PictureFinder::From(double start, const OnPicture& on_picture) {
  media_->video()->discard = AVDISCARD_DEFAULT;
  for (const double point : SeekPoints(start)) {
    TRY(const bool moved, MoveTo(point));
    if (!moved) continue;
    media_->video()->discard = AVDISCARD_DEFAULT;
    TRY(const bool found, Attempt(start, point > 0, on_picture));
    if (found) return {};
  }
  return media_->WhyNoPicture("no picture was decoded");
}

Result<bool> PictureFinder::Attempt(double start, bool may_retry, const OnPicture& on_picture) {
  const int64_t begin = media_->origin() + static_cast<int64_t>(std::llround(start * 1e6));
  TRY(PictureDecoder decoder,
      PictureDecoder::Create(*media_, static_cast<int>(job_.decoder_threads), begin, true,
                             may_retry));
  Picture held;  // the last one before the start
  bool started = false, too_late = false;
  const auto hand_over = [&](Picture picture) -> Result<bool> {
    started = true;
    return on_picture(std::move(picture));
  };
  const PictureDecoder::OnPicture on_decoded = [&](AvPtr<AVFrame> frame,
                                                   int64_t ticks) -> Result<bool> {
    reporter_.Tick();
    if (++decoded_ > job_.limits.max_frames) {
      return TooManyPictures();
    }
    Picture picture{std::move(frame), ticks, 1};
    picture.duration = decoder.DurationOf(*picture.frame);
    if (started) return hand_over(std::move(picture));
    if (ticks < -kSameTimeTicks) {
      held = std::move(picture);
      return true;
    }
    if (ticks > kSameTimeTicks) {
      if (held.frame == nullptr && may_retry) {
        too_late = true;
        return false;
      }
      if (held.frame != nullptr) {
        held.ticks = 0;
        TRY(const bool more, hand_over(std::move(held)));
        if (!more) return false;
        return hand_over(std::move(picture));
      }
    }
    picture.ticks = 0;  // exactly there, or the source's first: stands from the start
    return hand_over(std::move(picture));
  };
  AvPtr<AVPacket> packet = NewPacket();
  if (packet == nullptr) return EngineError("reading", AVERROR(ENOMEM));
  for (bool wanted = true; wanted;) {
    reporter_.Tick();
    TRY(const bool more, media_->Read(packet.get()));
    if (more && packet->stream_index != media_->video()->index) continue;
    TRY(wanted, decoder.Feed(more ? packet.get() : nullptr, on_decoded));
    if (!more) break;
  }
  if (!started && (too_late || decoder.missed() || (may_retry && held.frame == nullptr))) {
    return false;
  }
  skipped_ += decoder.skipped_packets();
  if (started) return true;

  // The source has ended before this time.
  if (held.frame == nullptr) return media_->WhyNoPicture("no picture was decoded");
  const double last_end = start + static_cast<double>(held.ticks + held.duration) / kTicksPerSecond;
  if (!LastPictureStillShown(start, last_end, media_->video_duration(), media_->duration())) {
    char text[96];
    std::snprintf(text, sizeof text, "the source's pictures end at %.3f seconds", last_end);
    return OutOfRange(text);
  }
  held.ticks = 0;
  TRY([[maybe_unused]] const bool more, hand_over(std::move(held)));
  return true;
}

double PictureFinder::SecondsOf(const AVPacket& packet) const {
  const int64_t ts = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
  if (ts == AV_NOPTS_VALUE) return std::numeric_limits<double>::quiet_NaN();
  const int64_t us = av_rescale_q(ts, media_->video()->time_base, kMicroseconds);
  return static_cast<double>(us - media_->origin()) / 1e6;
}

bool PictureFinder::IndexCovers(double seconds) const {
  AVStream* stream = media_->video();
  const int entries = avformat_index_get_entries_count(stream);
  if (!is_mov_ || entries == 0) return false;
  const AVIndexEntry* last = avformat_index_get_entry(stream, entries - 1);
  const int64_t us = static_cast<int64_t>(std::llround(seconds * 1e6)) + media_->origin();
  return last != nullptr && last->timestamp >= av_rescale_q(us, kMicroseconds, stream->time_base);
}

Result<std::optional<KeyPacket>> PictureFinder::KeyAt(double seconds, double earliest) {
  std::vector<double> points;
  for (const double point : SeekPoints(seconds)) {
    if (point <= earliest) break;
    points.push_back(point);
  }
  // Some containers are searched by the time of decoding, which runs ahead.
  points.push_back(std::max(0.0, earliest - kDecodingAhead));
  bool first = true;
  for (const double point : points) {
    TRY(const bool moved, MoveTo(point));
    if (!moved) continue;
    // Only MP4 and MOV have an index of everything; their demuxer then does not even read the rest.
    const bool indexed = first && point > 0 && IndexCovers(point);
    media_->video()->discard = is_mov_ ? AVDISCARD_NONKEY : AVDISCARD_DEFAULT;
    first = false;
    auto found = ScanForKey(seconds, indexed);
    media_->video()->discard = AVDISCARD_DEFAULT;
    if (!found.ok() || found->has_value()) return found;
  }
  return std::optional<KeyPacket>();
}

Result<std::optional<KeyPacket>> PictureFinder::ScanForKey(double seconds, bool stop_at_first) {
  std::optional<KeyPacket> found;
  AvPtr<AVPacket> packet = NewPacket();
  if (packet == nullptr) return EngineError("reading", AVERROR(ENOMEM));
  for (;;) {
    reporter_.Tick();
    TRY(const bool more, media_->Read(packet.get()));
    if (!more) return found;
    if (packet->stream_index != media_->video()->index) continue;
    const double at = SecondsOf(*packet);
    if (std::isnan(at)) return found;
    if ((packet->flags & AV_PKT_FLAG_KEY) != 0) {
      if (at > seconds + kSameSeconds) return found;
      AvPtr<AVPacket> copy(av_packet_clone(packet.get()));
      if (copy == nullptr) return EngineError("reading", AVERROR(ENOMEM));
      found = KeyPacket{std::move(copy), at};
      if (stop_at_first) return found;
    } else if (packet->dts != AV_NOPTS_VALUE) {
      const int64_t us = av_rescale_q(packet->dts, media_->video()->time_base, kMicroseconds);
      if (static_cast<double>(us - media_->origin()) / 1e6 > seconds) return found;
    }
  }
}

Error PictureFinder::TooManyPictures() const {
  return OverLimit("too many pictures would have to be decoded", "frames",
                   MoreThan(job_.limits.max_frames), job_.limits.max_frames);
}

Result<AvPtr<AVFrame>> PictureFinder::Decode(const KeyPacket& key) {
  if (++decoded_ > job_.limits.max_frames) {
    return TooManyPictures();
  }
  if (key_decoder_ == nullptr) {
    TRY(key_decoder_, media_->OpenDecoder(media_->video(), 1, true));
    key_decoder_->skip_frame = AVDISCARD_NONKEY;
  } else {
    avcodec_flush_buffers(key_decoder_.get());
  }
  AvPtr<AVFrame> frame = NewFrame();
  if (frame == nullptr) return EngineError("decoding", AVERROR(ENOMEM));
  int r = avcodec_send_packet(key_decoder_.get(), key.packet.get());
  if (IsShortage(r)) return EngineError("decoding", r);
  if (r >= 0) r = avcodec_send_packet(key_decoder_.get(), nullptr);
  if (r >= 0) r = avcodec_receive_frame(key_decoder_.get(), frame.get());
  if (IsShortage(r)) return EngineError("decoding", r);
  if (r < 0 || frame->width <= 0 || frame->height <= 0) return AvPtr<AVFrame>();
  return frame;
}

Result<std::optional<double>> PictureFinder::EndBefore(double seconds) {
  AvPtr<AVPacket> packet = NewPacket();
  if (packet == nullptr) return EngineError("reading", AVERROR(ENOMEM));
  const double usual = 1 / av_q2d(media_->frame_rate());
  for (const double point : SeekPoints(seconds)) {
    TRY(const bool moved, MoveTo(point));
    if (!moved) continue;
    double end = -1, counted = 0;
    for (;;) {
      reporter_.Tick();
      TRY(const bool more, media_->Read(packet.get()));
      if (!more) break;
      if (packet->stream_index != media_->video()->index) continue;
      counted += usual;
      const double at = SecondsOf(*packet);
      const double length = packet->duration > 0 ? static_cast<double>(packet->duration) *
                                                       av_q2d(media_->video()->time_base)
                                                 : usual;
      end = std::max(end, std::isnan(at) ? counted : at + length);
      if (end > seconds + kSameSeconds) return std::optional<double>();
    }
    if (end >= 0 || point == 0) return std::optional<double>(std::max(end, 0.0));
  }
  return std::optional<double>(0.0);
}

std::vector<std::string> PictureFinder::Warnings() const {
  std::vector<std::string> warnings;
  if (skipped_ > 0) {
    warnings.push_back("damaged: " + std::to_string(skipped_) + " packets could not be decoded");
  }
  if (broke_off_ || media_->broke_off()) warnings.push_back("damaged: reading ended early");
  return warnings;
}

}  // namespace vr::worker
