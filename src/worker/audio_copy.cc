#include "worker/audio_copy.h"

extern "C" {
#include <libavutil/intreadwrite.h>
}

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/failure.h"
#include "worker/media_output.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

constexpr int kOpusRate = 48000;
constexpr int kToleranceMs = 60;        // as AudioTrack's: more is a gap
constexpr int64_t kMaxMp3Delay = 4000;  // 12 bits of the LAME header, and the decoder's own

MediaOutput::Form FormOf(AVCodecID codec) {
  switch (codec) {
    case AV_CODEC_ID_MP3:
      return MediaOutput::Form::kMp3;
    case AV_CODEC_ID_OPUS:
      return MediaOutput::Form::kOgg;
    default:
      return MediaOutput::Form::kM4a;
  }
}

/// Samples at 48 kHz, from the packet's first bytes (RFC 6716, 3.1). 0 = not a packet.
int64_t OpusSamples(const AVPacket& packet) {
  if (packet.size < 1) return 0;
  const int config = packet.data[0] >> 3, code = packet.data[0] & 3;
  int64_t frame = 0;
  if (config < 12) {
    constexpr int64_t kSilk[] = {480, 960, 1920, 2880};
    frame = kSilk[config & 3];
  } else if (config < 16) {
    frame = (config & 1) != 0 ? 960 : 480;
  } else {
    frame = 120 << (config & 3);
  }
  if (code == 0) return frame;
  if (code < 3) return 2 * frame;
  return packet.size < 2 ? 0 : frame * (packet.data[1] & 63);
}

std::optional<int64_t> SoundEndTicks(const AVStream& stream) {
  const int count = avformat_index_get_entries_count(&stream);
  if (stream.duration <= 0 || stream.start_time == AV_NOPTS_VALUE || count <= 0) return {};
  const AVIndexEntry* last = avformat_index_get_entry(const_cast<AVStream*>(&stream), count - 1);
  const int frame = stream.codecpar->frame_size > 0 ? stream.codecpar->frame_size : 1024;
  const int64_t longest = av_rescale_q(
      2 * frame, AVRational{1, std::max(1, stream.codecpar->sample_rate)}, stream.time_base);
  const int64_t end = stream.start_time + stream.duration;
  if (end <= last->timestamp || end > last->timestamp + longest) return {};
  return end;
}

/// One run over the packets.
class Copier {
 public:
  Copier(const protocol::Job& job, Media& media, const JobFiles& files, Reporter& reporter)
      : job_(job),
        media_(media),
        files_(files),
        reporter_(reporter),
        stream_(*media.audio()),
        codec_(stream_.codecpar->codec_id),
        rate_(codec_ == AV_CODEC_ID_OPUS ? kOpusRate : stream_.codecpar->sample_rate) {}

  Result<std::optional<protocol::Done>> Run() {
    AvPtr<AVPacket> packet = NewPacket();
    for (;;) {
      reporter_.Tick();
      TRY(const bool more, media_.Read(packet.get()));
      if (!more) break;
      if (output_ == nullptr) {
        TRY(const bool possible, Begin(*packet));
        if (!possible) return std::optional<protocol::Done>();
      }
      CHECK_OK(Take(*packet));
    }
    if (output_ == nullptr) return std::optional<protocol::Done>();
    CHECK_OK(WriteLast());
    CHECK_OK(output_->Finish());
    return std::optional(Report());
  }

 private:
  int64_t SamplesOf(const AVPacket& packet) const {
    if (codec_ == AV_CODEC_ID_OPUS) return OpusSamples(packet);
    const int size = stream_.codecpar->frame_size;
    return size > 0 ? size : codec_ == AV_CODEC_ID_MP3 ? 1152 : 1024;
  }

  /// Samples that a decoder leaves out: first = at the beginning, second = at the end.
  static std::pair<int64_t, int64_t> LeftOut(const AVPacket& packet) {
    size_t size = 0;
    const uint8_t* data = av_packet_get_side_data(&packet, AV_PKT_DATA_SKIP_SAMPLES, &size);
    if (data == nullptr || size < 10) return {0, 0};
    return {AV_RL32(data), AV_RL32(data + 4)};
  }

  /// @return false: this cannot be copied
  Result<bool> Begin(const AVPacket& first) {
    if ((first.flags & AV_PKT_FLAG_CORRUPT) != 0 || first.size == 0 || SamplesOf(first) == 0 ||
        av_packet_get_side_data(&first, AV_PKT_DATA_NEW_EXTRADATA, nullptr) != nullptr) {
      return false;
    }
    TRY(TrackFormat track, TrackFormat::Of(stream_));
    track.time_base = AVRational{1, rate_};
    AVCodecParameters* p = track.parameters.get();
    leading_ = LeftOut(first).first;
    if (codec_ == AV_CODEC_ID_OPUS) {
      if (p->extradata_size < 19) return false;
      leading_ = AV_RL16(p->extradata + 10);
    }
    if (codec_ == AV_CODEC_ID_MP3 && leading_ > kMaxMp3Delay) return false;
    if (leading_ >= rate_) return false;
    p->initial_padding = static_cast<int>(leading_);
    next_ = -leading_;
    if (first.pts != AV_NOPTS_VALUE) first_pts_ = first.pts;
    std::vector<TrackFormat> tracks;
    tracks.push_back(std::move(track));
    TRY(output_, MediaOutput::Create(files_.stored.get(), FormOf(codec_),
                                     job_.limits.max_output_bytes, tracks));
    return true;
  }

  Result<void> Take(AVPacket& packet) {
    // Before the first heard sample a decoder needs them; later an edit list cuts them out.
    if ((packet.flags & AV_PKT_FLAG_DISCARD) != 0 && next_ >= 0) return {};
    const int64_t samples = SamplesOf(packet);
    if (samples == 0 || packet.size == 0) {
      ++damaged_;
      return {};
    }
    if (packet.pts != AV_NOPTS_VALUE && first_pts_) {
      const int64_t at =
          av_rescale_q(packet.pts - *first_pts_, stream_.time_base, AVRational{1, rate_}) -
          leading_;
      const int64_t off = at - next_;
      if (off > static_cast<int64_t>(rate_) * kToleranceMs / 1000) {
        ++gaps_;
        // The clock of MP3 is the number of its frames: there the gap closes.
        if (codec_ != AV_CODEC_ID_MP3)
          next_ = at;
        else
          first_pts_ = *first_pts_ + av_rescale_q(off, AVRational{1, rate_}, stream_.time_base);
      }
    }
    if (static_cast<double>(next_) / rate_ > job_.limits.max_output_seconds) {
      return TooLarge("the result would be too long").WithFact("limit", "output seconds");
    }
    if (media_.duration() > 0) {
      reporter_.SetDone(static_cast<double>(next_) / rate_ / media_.duration());
    }
    if (held_ != nullptr) CHECK_OK(Write(*held_));
    const int64_t trailing = LeftOut(packet).second;
    trailing_ = trailing > 0 ? trailing_ + trailing : 0;
    held_.reset(av_packet_clone(&packet));
    if (held_ == nullptr) return EngineError("copying", AVERROR(ENOMEM));
    if (codec_ != AV_CODEC_ID_MP3) av_packet_free_side_data(held_.get());
    held_->pts = held_->dts = next_;
    held_->duration = samples;
    held_trailing_ = std::min(trailing, samples - 1);
    held_->flags = AV_PKT_FLAG_KEY;
    next_ += samples;
    return {};
  }

  /// The last packet tells where the sound ends.
  Result<void> WriteLast() {
    if (held_ == nullptr) return {};
    int64_t cut = held_trailing_;
    if (codec_ == AV_CODEC_ID_MP3) {
      cut = trailing_;
    } else if (const auto end = SoundEndTicks(stream_); end && cut == 0) {
      const int64_t heard =
          av_rescale_q(*end - stream_.start_time, stream_.time_base, AVRational{1, rate_});
      if (next_ > heard) cut = std::min(next_ - heard, held_->duration - 1);
    }
    next_ -= cut;
    if (codec_ == AV_CODEC_ID_MP3) {
      av_packet_free_side_data(held_.get());
      if (cut > 0) {
        uint8_t* side = av_packet_new_side_data(held_.get(), AV_PKT_DATA_SKIP_SAMPLES, 10);
        if (side == nullptr) return EngineError("copying", AVERROR(ENOMEM));
        std::fill(side, side + 10, uint8_t{0});
        AV_WL32(side + 4, static_cast<uint32_t>(cut));
      }
    } else {
      held_->duration -= cut;
    }
    return Write(*held_);
  }

  Result<void> Write(const AVPacket& packet) {
    CHECK_OK(output_->Write(packet, 0));
    reporter_.SetStoredBytes(output_->size());
    return {};
  }

  protocol::Done Report() const {
    protocol::Done done;
    done.stored_bytes = output_->size();
    done.duration_seconds = std::max(0.0, static_cast<double>(next_) / rate_);
    done.has_audio = true;
    done.audio_codec = avcodec_get_name(codec_);
    done.route = "copy audio";
    if (damaged_ > 0) {
      done.warnings.push_back("damaged: " + std::to_string(damaged_) +
                              " packets of the sound were left out");
    }
    if (gaps_ > 0) {
      done.warnings.push_back("damaged: the sound has " + std::to_string(gaps_) + " gaps");
    }
    if (media_.broke_off()) done.warnings.push_back("damaged: reading ended early");
    return done;
  }

  const protocol::Job& job_;
  Media& media_;
  const JobFiles& files_;
  Reporter& reporter_;
  const AVStream& stream_;
  const AVCodecID codec_;
  const int rate_;
  std::unique_ptr<MediaOutput> output_;
  std::optional<int64_t> first_pts_;
  int64_t leading_ = 0;  // samples before the first that is heard
  int64_t next_ = 0;     // where the next packet belongs, samples
  AvPtr<AVPacket> held_;
  int64_t held_trailing_ = 0, trailing_ = 0;
  int damaged_ = 0, gaps_ = 0;
};

}  // namespace

std::optional<int64_t> SoundEnd(const AVStream& stream) {
  const auto ticks = SoundEndTicks(stream);
  if (!ticks) return {};
  return av_rescale_q(*ticks, stream.time_base, kMicroseconds);
}

Result<std::optional<protocol::Done>> CopySound(const protocol::Job& job, Media& media,
                                                const JobFiles& files, Reporter& reporter) {
  return Copier(job, media, files, reporter).Run();
}

}  // namespace vr::worker
