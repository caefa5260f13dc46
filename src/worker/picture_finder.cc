#include "worker/picture_finder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "worker/failure.h"
#include "worker/timing.h"

namespace vr::worker {
namespace {

constexpr double kTicksPerSecond = kOutputTimeBase.den;
constexpr double kDecodingAhead = 0.5;  // seconds; sixteen pictures at 30 a second
/// One picture's packets are held in memory up to here; more is decoded as it is read.
constexpr uint64_t kMostHeldBytes = 64 << 20;
constexpr size_t kFewPictures = 3;

/// Whether no other picture is predicted from this one, by the headers of its parts (ITU-T H.264,
/// 7.4.1: nal_ref_idc). A decoder leaves it out as well, but holds one of its threads for it.
bool IsLeaf(const AVCodecParameters& stream, const AVPacket& packet) {
  const bool is_avc =
      stream.codec_id == AV_CODEC_ID_H264 && stream.extradata_size > 4 && stream.extradata[0] == 1;
  if (!is_avc) return false;
  constexpr uint8_t kLastSlice = 5, kSet = 7, kPictureSet = 8;
  const int length_bytes = (stream.extradata[4] & 3) + 1;
  bool has_slice = false;
  for (int64_t at = 0; at + length_bytes < packet.size;) {
    uint64_t length = 0;
    for (int i = 0; i < length_bytes; ++i) length = length << 8 | packet.data[at + i];
    at += length_bytes;
    const uint8_t head = packet.data[at];
    const uint8_t type = head & 31;
    if (type == kSet || type == kPictureSet) return false;
    if (type >= 1 && type <= kLastSlice) {
      if ((head & 0x60) != 0) return false;
      has_slice = true;
    }
    if (length > static_cast<uint64_t>(packet.size)) return false;
    at += static_cast<int64_t>(length);
  }
  return has_slice;
}

constexpr double kSameSeconds = kSameTimeTicks / kTicksPerSecond;

}  // namespace

Result<std::unique_ptr<PictureFinder>> PictureFinder::Open(const transform::protocol::Job& job,
                                                           SourceIo& source, Reporter& reporter,
                                                           Want want) {
  std::unique_ptr<PictureFinder> finder(new PictureFinder(job, source, reporter, want));
  CHECK_OK(finder->Reopen());
  CHECK_OK(CheckStart(job.start_seconds, finder->media_->duration()));
  return finder;
}

Result<std::unique_ptr<PictureFinder>> PictureFinder::OpenForOne(
    const transform::protocol::Job& job, SourceIo& source, Reporter& reporter) {
  std::unique_ptr<PictureFinder> finder(new PictureFinder(job, source, reporter, Want::kOneFrame));
  finder->is_for_one_ = true;
  CHECK_OK(finder->Reopen());
  CHECK_OK(CheckStart(job.start_seconds, finder->media_->duration()));
  return finder;
}

Result<void> PictureFinder::HaveAll() {
  is_for_one_ = false;
  return media_->holds_all() ? Result<void>() : Reopen();
}

Result<void> PictureFinder::Reopen() {
  broke_off_ = broke_off_ || (media_ != nullptr && media_->broke_off());
  key_decoder_.reset();
  media_.reset();
  if (is_for_one_) {
    TRY(media_, Media::OpenAt(source_, job_.limits, job_.start_seconds));
  } else {
    TRY(media_, Media::Open(source_, job_.limits, want_));
  }
  if (media_->audio() != nullptr) media_->audio()->discard = AVDISCARD_ALL;
  if (job_.from_first_picture) media_->CountFromFirstPicture();
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
  CHECK_OK(HaveAll());
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

Result<AvPtr<AVFrame>> PictureFinder::Alone(double start) {
  if (!is_for_one_ || start != job_.start_seconds) CHECK_OK(HaveAll());
  TRY(AvPtr<AVFrame> found, TryAlone(start));
  if (found != nullptr || media_->holds_all()) return found;
  CHECK_OK(HaveAll());
  return TryAlone(start);
}

Result<AvPtr<AVFrame>> PictureFinder::TryAlone(double start) {
  switch (media_->video()->codecpar->codec_id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
      break;
    default:
      return AvPtr<AVFrame>();
  }
  if (!media_->video_facts().has_exact_packets) return AvPtr<AVFrame>();
  const int64_t begin = media_->origin() + static_cast<int64_t>(std::llround(start * 1e6));
  // The second point: an index in the order of decoding may lead to a key frame that is shown
  // after this time.
  const std::vector<double> points = SeekPoints(start);
  for (size_t i = 0; i < std::min<size_t>(points.size(), 2); ++i) {
    TRY(const bool moved, MoveTo(points[i]));
    if (!moved) return AvPtr<AVFrame>();
    TRY(const Packets packets, PacketsFor(begin));
    if (!packets.empty()) return DecodeLastOf(packets);
  }
  return AvPtr<AVFrame>();
}

Result<PictureFinder::Packets> PictureFinder::PacketsFor(int64_t begin) {
  const AVRational base = media_->video()->time_base;
  const int64_t begin_ticks = av_rescale_q(begin, kMicroseconds, kOutputTimeBase);
  Packets packets;
  uint64_t bytes = 0;
  std::optional<size_t> shown;  // of those read so far, the one on the screen at `begin`
  int64_t shown_ticks = 0;
  AvPtr<AVPacket> packet = NewPacket();
  if (packet == nullptr) return EngineError("reading", AVERROR(ENOMEM));
  for (;;) {
    reporter_.Tick();
    TRY(const bool more, media_->Read(packet.get()));
    // Whether the last one is still shown is a question of its own.
    if (!more) return Packets();
    if (packet->stream_index != media_->video()->index) continue;
    const bool is_key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    if (packet->pts == AV_NOPTS_VALUE || packet->dts == AV_NOPTS_VALUE ||
        packet->pts < packet->dts || (packets.empty() && !(is_key && media_->IsReached(*packet))) ||
        (packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
      return Packets();
    }
    // Nothing that is decoded later is shown earlier.
    if (av_rescale_q(packet->dts, base, kOutputTimeBase) - begin_ticks > kSameTimeTicks) break;
    bytes += static_cast<uint64_t>(packet->size);
    if (bytes > kMostHeldBytes || packets.size() >= job_.limits.max_frames) return Packets();
    const int64_t ticks = av_rescale_q(packet->pts, base, kOutputTimeBase) - begin_ticks;
    if (ticks <= kSameTimeTicks && (packet->flags & AV_PKT_FLAG_DISCARD) == 0) {
      // As in Attempt(): the first of those exactly there, else the last before.
      const bool is_there = ticks >= -kSameTimeTicks;
      const bool was_there = shown && shown_ticks >= -kSameTimeTicks;
      const bool is_better =
          was_there ? is_there && ticks < shown_ticks : !shown || is_there || ticks > shown_ticks;
      if (is_better) {
        shown = packets.size();
        shown_ticks = ticks;
      }
    }
    AvPtr<AVPacket> copy(av_packet_clone(packet.get()));
    if (copy == nullptr) return EngineError("reading", AVERROR(ENOMEM));
    packets.push_back(std::move(copy));
  }
  if (!shown) return Packets();
  packets.resize(*shown + 1);
  // What follows a key frame in both orders does not look behind it.
  size_t from = *shown;
  while (from > 0 && ((packets[from]->flags & AV_PKT_FLAG_KEY) == 0 ||
                      packets[from]->pts > packets[*shown]->pts)) {
    --from;
  }
  packets.erase(packets.begin(), packets.begin() + static_cast<std::ptrdiff_t>(from));
  const AVCodecParameters& stream = *media_->video()->codecpar;
  const auto last = std::prev(packets.end());
  packets.erase(std::remove_if(packets.begin(), last,
                               [&](const AvPtr<AVPacket>& p) { return IsLeaf(stream, *p); }),
                last);
  return packets;
}

Result<AvPtr<AVFrame>> PictureFinder::DecodeLastOf(const Packets& packets) {
  // Frame threads have to be started, and a few pictures do not repay it.
  const bool is_short = packets.size() <= kFewPictures;
  TRY(AvPtr<AVCodecContext> decoder,
      media_->OpenDecoder(media_->video(), is_short ? 1 : static_cast<int>(job_.decoder_threads),
                          true));
  AvPtr<AVFrame> frame = NewFrame(), found;
  if (frame == nullptr) return EngineError("decoding", AVERROR(ENOMEM));
  const int64_t wanted = packets.back()->pts;
  bool is_clean = true;
  const auto take = [&]() -> Result<void> {
    for (;;) {
      const int r = avcodec_receive_frame(decoder.get(), frame.get());
      if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return {};
      if (IsShortage(r)) return EngineError("decoding", r);
      if (r < 0) {
        is_clean = false;
        return {};
      }
      is_clean =
          is_clean && (frame->flags & AV_FRAME_FLAG_CORRUPT) == 0 && frame->decode_error_flags == 0;
      if (frame->best_effort_timestamp == wanted && frame->width > 0 && frame->height > 0) {
        found = NewFrame();
        if (found == nullptr) return EngineError("decoding", AVERROR(ENOMEM));
        av_frame_move_ref(found.get(), frame.get());
      }
      av_frame_unref(frame.get());
    }
  };
  for (size_t i = 0; i <= packets.size() && is_clean; ++i) {
    reporter_.Tick();
    const AVPacket* packet = i < packets.size() ? packets[i].get() : nullptr;
    decoder->skip_frame = i + 1 < packets.size() ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    int r;
    while ((r = avcodec_send_packet(decoder.get(), packet)) == AVERROR(EAGAIN)) CHECK_OK(take());
    if (IsShortage(r)) return EngineError("decoding", r);
    is_clean = is_clean && r >= 0;
    CHECK_OK(take());
  }
  // Damage is counted and judged by From().
  if (!is_clean) return AvPtr<AVFrame>();
  decoded_ += packets.size();
  return found;
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
  CHECK_OK(HaveAll());
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
  CHECK_OK(HaveAll());
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
