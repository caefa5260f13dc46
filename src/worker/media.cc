#include "worker/media.h"

extern "C" {
#include <libavutil/avstring.h>
}

#include <algorithm>
#include <climits>
#include <cmath>
#include <string_view>
#include <tuple>
#include <vector>

#include "worker/av_log.h"
#include "worker/avc_configuration.h"
#include "worker/failure.h"
#include "worker/warm.h"

namespace vr::worker {
namespace {

// One name of a demuxer's list suffices. 352 demuxers are compiled in; most of them are ways to
// reach files and networks (hls, dash, concat, sdp, image2, ...).
constexpr const char* kContainers =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,ogg,flv,asf,gif,ivf,"
    "mp3,aac,wav,flac";

// Decoders by name: never a hardware or network one, never one nobody needs.
constexpr const char* kDecoders =
    "h264,hevc,libdav1d,vp8,vp9,libvpx,libvpx-vp9,vp6,vp6f,vp6a,theora,mpeg1video,mpeg2video,mpeg4,"
    "msmpeg4v1,msmpeg4v2,msmpeg4,h261,h263,h263i,h263p,flv,wmv1,wmv2,wmv3,vc1,mjpeg,mjpegb,prores,"
    "dnxhd,"
    "dvvideo,gif,rawvideo,huffyuv,ffvhuff,ffv1,utvideo,v210,qtrle,rpza,svq1,svq3,cinepak,png,"
    "jpeg2000,"
    "cfhd,indeo5,indeo4,indeo3,cljr,"
    "aac,aac_latm,mp3float,mp3,mp2float,mp2,mp1float,mp1,ac3,eac3,dca,truehd,mlp,vorbis,libvorbis,"
    "opus,"
    "libopus,flac,alac,amrnb,amrwb,wmav1,wmav2,wmapro,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_"
    "swf,"
    "nellymoser,speex,libspeex,qdm2,qdmc,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_"
    "s32be,"
    "pcm_u8,pcm_s8,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd";

// A codec without a decoder (libav 5.1): find_stream_info cannot ask one, and is content.
constexpr AVCodecID kNotDecoded = AV_CODEC_ID_VVC;

constexpr int64_t kProbeBytes = 5'000'000;
constexpr int64_t kProbeMicroseconds = 5'000'000;

bool InList(const char* names, const char* list) {
  return av_match_list(names, list, ',') > 0;
}

bool IsEncrypted(const AVStream* stream) {
  const uint32_t tag = stream->codecpar->codec_tag;
  return tag == MKTAG('e', 'n', 'c', 'v') || tag == MKTAG('e', 'n', 'c', 'a') ||
         tag == MKTAG('d', 'r', 'm', 'i') || tag == MKTAG('d', 'r', 'm', 's');
}

const AVCodec* AllowedDecoder(AVCodecID id) {
  void* state = nullptr;
  while (const AVCodec* codec = av_codec_iterate(&state)) {
    if (codec->id == id && av_codec_is_decoder(codec) && InList(codec->name, kDecoders) &&
        (codec->capabilities & AV_CODEC_CAP_HARDWARE) == 0) {
      return codec;
    }
  }
  return nullptr;
}

Error Encrypted() {
  return Unsupported("the source is encrypted");
}

/// WebM's word that VP8 or VP9 carries transparency beside its pictures.
bool HasAlphaMode(const AVStream* stream) {
  const AVDictionaryEntry* alpha = av_dict_get(stream->metadata, "alpha_mode", nullptr, 0);
  return alpha != nullptr && std::string_view(alpha->value) == "1";
}

bool IsStill(const AVStream* stream) {
  return (stream->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)) !=
         0;
}

int RefuseToOpen(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

}  // namespace

Media::~Media() {
  avformat_close_input(&format_);
  if (slice_) io_.Replace(0, {});
}

Result<std::unique_ptr<Media>> Media::Open(SourceIo& io, const transform::protocol::Limits& limits,
                                           Want want) {
  const MemoryFill as_it_comes(false);  // tables of each packet, grown step by step
  std::unique_ptr<Media> media(new Media(io, limits, want));
  CHECK_OK(media->Probe());
  CHECK_OK(media->ChooseStreams());
  return media;
}

Result<std::unique_ptr<Media>> Media::OpenAt(SourceIo& io,
                                             const transform::protocol::Limits& limits,
                                             double moment) {
  const MemoryFill as_it_comes(false);
  const ReadAt read = [&io](uint64_t offset, void* to, size_t size) {
    return io.ReadAt(offset, to, size);
  };
  const Announce announce = [&io](uint64_t offset, uint64_t size) { io.Announce(offset, size); };
  std::optional<IndexSlice> slice = SliceIndex(read, announce, io.size(), moment);
  if (io.failed()) return SourceBroken(io.failure());
  if (slice) {
    io.Replace(slice->offset, slice->bytes);
    std::unique_ptr<Media> media(new Media(io, limits, Want::kOneFrame));
    media->slice_ = std::move(slice);
    const bool is_open = media->Probe().ok() && media->ChooseStreams().ok();
    if (io.failed()) return SourceBroken(io.failure());
    if (is_open) return media;
  }
  return Open(io, limits, Want::kOneFrame);
}

bool Media::IsReached(const AVPacket& packet) const {
  return !slice_ || std::find(slice_->keys.begin(), slice_->keys.end(),
                              static_cast<uint64_t>(packet.pos)) != slice_->keys.end();
}

namespace {
double DurationOf(const AVStream* stream) {
  if (stream == nullptr || stream->duration <= 0) return 0;
  return static_cast<double>(stream->duration) * av_q2d(stream->time_base);
}
}  // namespace

double Media::video_duration() const {
  return DurationOf(video_);
}

double Media::stream_duration() const {
  const double longest = std::max(DurationOf(video_), DurationOf(audio_));
  if (DurationOf(video_) <= 0 || duration_ <= 0) return duration_;
  return std::min(longest, duration_);
}

SourceShape Media::ShapeIn(AVFrame* frame) const {
  const AVCodecParameters* p = video_->codecpar;
  const AVRational sar = av_guess_sample_aspect_ratio(format_, video_, frame);
  return {frame != nullptr ? frame->width : p->width, frame != nullptr ? frame->height : p->height,
          sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1, orientation_};
}

VideoFacts Media::video_facts() const {
  VideoFacts f;
  const AVCodecParameters* p = video_->codecpar;
  f.codec = p->codec_id;
  f.profile = p->profile;
  f.pixels = static_cast<AVPixelFormat>(p->format);
  f.shape = ShapeIn(nullptr);
  AVFrame tags{};
  tags.format = p->format;
  tags.width = p->width;
  tags.height = p->height;
  tags.colorspace = p->color_space;
  tags.color_primaries = p->color_primaries;
  tags.color_trc = p->color_trc;
  tags.color_range = p->color_range;
  f.colour = ColourOf(tags);
  f.is_progressive = p->field_order == AV_FIELD_UNKNOWN || p->field_order == AV_FIELD_PROGRESSIVE;
  f.has_alpha = HasAlpha(f.pixels) || HasAlphaMode(video_);
  const std::string_view container = format_->iformat->name;
  const bool is_indexed = container.starts_with("mov,") || container.starts_with("matroska,");
  f.has_exact_packets = is_indexed && (p->extradata_size > 0 || p->codec_id == AV_CODEC_ID_VP9);
  f.fps = av_q2d(frame_rate_);
  f.bit_rate = video_bit_rate_;
  f.duration_seconds = stream_duration();
  return f;
}

namespace {
/// "362.433", "60"
std::string SecondsText(double seconds) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", seconds);
  std::string out(text);
  out.erase(out.find_last_not_of('0') + 1);
  if (out.ends_with('.')) out.pop_back();
  return out;
}
}  // namespace

Error Media::WhyNoPicture(std::string detail) const {
  if (io_.failed()) return SourceBroken(io_.failure());
  if (format_ != nullptr && video_ != nullptr &&
      av_stream_get_side_data(video_, AV_PKT_DATA_ENCRYPTION_INIT_INFO, nullptr) != nullptr) {
    return Encrypted();
  }
  const std::string lines = AvLogLines();
  if (!lines.empty()) detail += ": " + lines;
  if (AvLogSawTooManyPixels()) {
    return OverLimit("the source has too many pixels", "pixels", MoreThan(limits_.max_pixels),
                     limits_.max_pixels, std::move(detail));
  }
  return Corrupt("the source cannot be decoded", detail);
}

Error Media::TooManyStreams() const {
  return OverLimit("the source has too many streams", "streams", MoreThan(limits_.max_streams),
                   limits_.max_streams);
}

Result<void> Media::Probe() {
  const AVInputFormat* input = nullptr;
  (void)avio_seek(io_.avio(), 0, SEEK_SET);
  int r = av_probe_input_buffer2(io_.avio(), &input, nullptr, nullptr, 0, 1 << 20);
  if (io_.failed()) return SourceBroken(io_.failure());
  if (r < 0 || input == nullptr) {
    return Unsupported("the source is not a video", "probing: " + AvError(r));
  }
  if (!InList(input->name, kContainers)) {
    return Unsupported("the source is not a video we support",
                       std::string("container ") + input->name);
  }
  format_ = avformat_alloc_context();
  if (format_ == nullptr) return EngineError("opening", AVERROR(ENOMEM));
  format_->pb = io_.avio();
  format_->flags |= AVFMT_FLAG_CUSTOM_IO;
  format_->io_open = &RefuseToOpen;
  format_->probesize = kProbeBytes;
  format_->max_analyze_duration = kProbeMicroseconds;
  AVDictionary* options = nullptr;
  av_dict_set(&options, "format_whitelist", kContainers, 0);
  av_dict_set(&options, "protocol_whitelist", "none", 0);
  av_dict_set(&options, "codec_whitelist", kDecoders, 0);
  av_dict_set_int(&options, "max_streams", limits_.max_streams, 0);
  r = avformat_open_input(&format_, nullptr, input, &options);
  av_dict_free(&options);
  if (r < 0) {
    if (io_.failed()) return SourceBroken(io_.failure());
    // A container that can hold no more streams than libav takes; what it says is ENOMEM.
    if (AvLogSawTooManyStreams()) return TooManyStreams();
    if (IsShortage(r)) return EngineError("opening", r);
    return Corrupt("the source cannot be opened",
                   std::string(input->name) + ": " + AvError(r) + ": " + AvLogLines());
  }
  if (is_encrypted() && want_ != Want::kAnything) return Encrypted();
  CHECK_OK(CheckSizes());

  CHECK_OK(FindStreamInfo());
  if (want_ == Want::kAnything) return {};
  if (is_encrypted()) return Encrypted();
  return CheckSizes();
}

Result<void> Media::FindStreamInfo() {
  if (slice_) CompleteSlice();
  HideFromProbing();
  if (slice_ && hidden_.empty()) return Corrupt("the source cannot be opened", "index");
  if (slice_ && IsAllKnown()) {
    ShowHidden();
    return {};
  }
  // find_stream_info decodes with contexts of its own; without max_pixels a picture bomb goes off
  // there.
  std::vector<AVDictionary*> per_stream(format_->nb_streams, nullptr);
  for (AVDictionary*& d : per_stream) {
    av_dict_set_int(&d, "max_pixels", static_cast<int64_t>(limits_.max_pixels), 0);
    av_dict_set(&d, "codec_whitelist", kDecoders, 0);
  }
  const int r =
      avformat_find_stream_info(format_, per_stream.empty() ? nullptr : per_stream.data());
  ShowHidden();
  for (AVDictionary*& d : per_stream) av_dict_free(&d);
  if (io_.failed()) return SourceBroken(io_.failure());
  if (want_ == Want::kAnything) return {};
  // Other containers go on without the streams that are too many.
  if (AvLogSawTooManyStreams()) return TooManyStreams();
  if (r < 0) return WhyNoPicture("stream info: " + AvError(r));
  return {};
}

void Media::CompleteSlice() {
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    AVStream* stream = format_->streams[i];
    if (stream->codecpar->codec_type != AVMEDIA_TYPE_VIDEO || IsStill(stream)) continue;
    av_reduce(&stream->avg_frame_rate.num, &stream->avg_frame_rate.den,
              static_cast<int64_t>(slice_->samples * slice_->ticks_per_second),
              static_cast<int64_t>(slice_->ticks), INT_MAX);
    stream->r_frame_rate = stream->avg_frame_rate;
  }
}

bool Media::IsAllKnown() {
  if (format_->duration == AV_NOPTS_VALUE) return false;
  int64_t begin = INT64_MAX;
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVStream* stream = format_->streams[i];
    const AVMediaType type = stream->codecpar->codec_type;
    const bool is_usual = type == AVMEDIA_TYPE_AUDIO || type == AVMEDIA_TYPE_VIDEO;
    if (!is_usual || IsStill(stream) || stream->start_time == AV_NOPTS_VALUE) return false;
    begin = std::min(begin, av_rescale_q(stream->start_time, stream->time_base, kMicroseconds));
  }
  format_->start_time = begin;
  // As after probing a hidden stream: a parser would find key frames that the index does not name.
  format_->flags |= AVFMT_FLAG_NOPARSE;
  return true;
}

void Media::HideFromProbing() {
  if ((want_ != Want::kOneFrame && want_ != Want::kNewPictures) ||
      !std::string_view(format_->iformat->name).starts_with("mov,")) {
    return;
  }
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVStream* stream = format_->streams[i];
    AVCodecParameters* p = stream->codecpar;
    if (p->codec_id != AV_CODEC_ID_H264 || p->codec_tag != MKTAG('a', 'v', 'c', '1') ||
        p->extradata_size <= 0 || stream->avg_frame_rate.num <= 0 ||
        stream->r_frame_rate.num <= 0) {
      continue;
    }
    const auto facts = ReadAvcConfiguration({p->extradata, static_cast<size_t>(p->extradata_size)});
    // A container that lies is found out by decoding.
    const bool is_known = facts && facts->width == p->width && facts->height == p->height &&
                          !facts->may_have_fields && facts->reordered;
    if (!is_known) continue;
    // The profiles that leave no doubt; why packets are not copied is told by them.
    constexpr int kBaseline = 66, kMain = 77, kHigh = 100;
    const bool is_usual =
        facts->chroma_format == 1 &&
        (facts->profile == kBaseline || facts->profile == kMain || facts->profile == kHigh);
    if (want_ == Want::kNewPictures && !is_usual) continue;
    p->sample_aspect_ratio = AVRational{facts->sar_width, facts->sar_height};
    p->field_order = AV_FIELD_PROGRESSIVE;
    p->video_delay = 0;  // or it reads fifty packets to see one that is not delayed
    p->codec_id = kNotDecoded;
    Hidden hidden{i, *facts->reordered};
    if (is_usual) {
      hidden.profile = facts->profile;
      hidden.pixels = AV_PIX_FMT_YUV420P;
    }
    hidden_.push_back(hidden);
  }
}

void Media::ShowHidden() {
  for (const Hidden& hidden : hidden_) {
    AVCodecParameters* p = format_->streams[hidden.stream]->codecpar;
    p->codec_id = AV_CODEC_ID_H264;
    p->video_delay = hidden.reordered;
    p->profile = hidden.profile;
    p->format = hidden.pixels;
  }
}

bool Media::is_encrypted() const {
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    if (IsEncrypted(format_->streams[i])) return true;
  }
  return false;
}

bool Media::IsDecodable(AVCodecID codec) {
  return AllowedDecoder(codec) != nullptr;
}

Result<void> Media::CheckSizes() const {
  if (want_ == Want::kAnything) return {};
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVCodecParameters* p = format_->streams[i]->codecpar;
    if (p->codec_type != AVMEDIA_TYPE_VIDEO || p->width <= 0 || p->height <= 0) continue;
    if (static_cast<uint64_t>(p->width) * static_cast<uint64_t>(p->height) > limits_.max_pixels) {
      return TooManyPixels(p->width, p->height, limits_.max_pixels);
    }
  }
  return {};
}

void Media::ChooseVideo() {
  double best = -1;
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    AVStream* s = format_->streams[i];
    const AVCodecParameters* p = s->codecpar;
    if (p->codec_type != AVMEDIA_TYPE_VIDEO || IsStill(s) || !IsDecodable(p->codec_id)) continue;
    const bool is_default = (s->disposition & AV_DISPOSITION_DEFAULT) != 0;
    const double score = (is_default ? 1e12 : 0) + 1.0 * p->width * p->height;
    if (score > best) {
      best = score;
      video_ = s;
    }
  }
}

/// What everybody should hear before what some asked for, then the container's own choice, then the
/// most channels, then the first.
void Media::ChooseAudio() {
  constexpr int kForSome = AV_DISPOSITION_COMMENT | AV_DISPOSITION_HEARING_IMPAIRED |
                           AV_DISPOSITION_VISUAL_IMPAIRED | AV_DISPOSITION_DESCRIPTIONS |
                           AV_DISPOSITION_CLEAN_EFFECTS | AV_DISPOSITION_KARAOKE |
                           AV_DISPOSITION_DEPENDENT;
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVCodecParameters* p = format_->streams[i]->codecpar;
    if (p->codec_type != AVMEDIA_TYPE_AUDIO || p->sample_rate <= 0) continue;
    if (IsDecodable(p->codec_id)) more_audio_.push_back(format_->streams[i]);
  }
  const auto rank = [](const AVStream* s) {
    return std::tuple((s->disposition & kForSome) == 0,
                      (s->disposition & AV_DISPOSITION_DEFAULT) != 0,
                      s->codecpar->ch_layout.nb_channels, -s->index);
  };
  std::sort(more_audio_.begin(), more_audio_.end(),
            [&](const AVStream* a, const AVStream* b) { return rank(a) < rank(b); });
  (void)NextAudio();
}

bool Media::NextAudio() {
  if (more_audio_.empty()) return false;
  if (audio_ != nullptr) audio_->discard = AVDISCARD_ALL;
  audio_ = more_audio_.back();
  audio_->discard = AVDISCARD_DEFAULT;
  more_audio_.pop_back();
  return true;
}

Result<void> Media::ChooseStreams() {
  ChooseVideo();
  ChooseAudio();
  bool seen_video = false, seen_audio = false;
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVStream* s = format_->streams[i];
    seen_video |= s->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !IsStill(s);
    seen_audio |= s->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
  }
  if (want_ == Want::kAnything) {
    ReadFacts();
    return {};
  }
  if (want_ == Want::kSound) {
    video_ = nullptr;
    if (audio_ == nullptr) {
      return Unsupported(seen_audio ? "the source's sound codec is not supported"
                                    : "the source has no sound");
    }
  } else if (video_ == nullptr) {
    if (AvLogSawTooManyPixels()) return WhyNoPicture("choosing streams");
    if (seen_video) return Unsupported("the source's video codec is not supported");
    return Unsupported(audio_ != nullptr ? "the source has sound but no video"
                                         : "the source has no video");
  }
  if (video_ != nullptr && (video_->codecpar->width <= 0 || video_->codecpar->height <= 0)) {
    return WhyNoPicture("no picture size");
  }
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    AVStream* s = format_->streams[i];
    if (s != video_ && s != audio_) s->discard = AVDISCARD_ALL;
  }
  ReadFacts();
  if (duration_ > limits_.max_source_seconds) {
    return TooLarge("the source is too long")
        .WithFact("limit", "duration")
        .WithFact("value", SecondsText(duration_))
        .WithFact("allowed", SecondsText(limits_.max_source_seconds));
  }
  return {};
}

int64_t Media::FindOrigin() const {
  const int64_t begin = format_->start_time != AV_NOPTS_VALUE ? format_->start_time : 0;
  const bool is_opus = audio_ != nullptr && audio_->codecpar->codec_id == AV_CODEC_ID_OPUS;
  if (!is_opus || audio_->start_time == AV_NOPTS_VALUE ||
      !std::string_view(format_->iformat->name).starts_with("matroska,")) {
    return begin;
  }
  // Here the sound is said to begin with what an Opus decoder leaves out.
  const AVCodecParameters* p = audio_->codecpar;
  const int skipped = p->extradata_size >= 12 ? p->extradata[10] | p->extradata[11] << 8 : 0;
  const int64_t ticks =
      audio_->start_time + av_rescale_q(skipped, AVRational{1, 48000}, audio_->time_base);
  int64_t heard = av_rescale_q(ticks, audio_->time_base, kMicroseconds);
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVStream* s = format_->streams[i];
    if (s == audio_ || s->start_time == AV_NOPTS_VALUE) continue;
    heard = std::min(heard, av_rescale_q(s->start_time, s->time_base, kMicroseconds));
  }
  return std::max(begin, heard);
}

void Media::CountFromFirstPicture() {
  if (video_ == nullptr || video_->start_time == AV_NOPTS_VALUE) return;
  origin_ = av_rescale_q(video_->start_time, video_->time_base, kMicroseconds);
}

void Media::ReadFacts() {
  origin_ = FindOrigin();
  if (format_->duration != AV_NOPTS_VALUE && format_->duration > 0) {
    duration_ = static_cast<double>(format_->duration) / 1e6;
  }
  if (video_ == nullptr) return;
  orientation_ = OrientationOf(reinterpret_cast<const int32_t*>(
      av_stream_get_side_data(video_, AV_PKT_DATA_DISPLAYMATRIX, nullptr)));
  for (const AVRational rate : {video_->avg_frame_rate, video_->r_frame_rate}) {
    if (rate.num <= 0 || rate.den <= 0) continue;
    const double fps = av_q2d(rate);
    if (fps < 0.1 || fps > 120) continue;
    av_reduce(&frame_rate_.num, &frame_rate_.den, rate.num, rate.den, 1'000'000);
    break;
  }
  video_bit_rate_ = video_->codecpar->bit_rate;
  if (video_bit_rate_ <= 0 && duration_ > 0 && io_.size() > 0) {
    video_bit_rate_ = static_cast<int64_t>(static_cast<double>(io_.size()) * 8 / duration_);
  }
}

Result<bool> Media::Read(AVPacket* packet) {
  for (;;) {
    av_packet_unref(packet);
    const int r = av_read_frame(format_, packet);
    if (io_.failed()) return SourceBroken(io_.failure());
    if (r == AVERROR(EAGAIN)) continue;
    if (r == AVERROR_EOF) return false;
    if (IsShortage(r)) return EngineError("reading", r);
    if (r < 0) {
      broke_off_ = true;
      return false;
    }
    if ((video_ == nullptr || packet->stream_index != video_->index) &&
        (audio_ == nullptr || packet->stream_index != audio_->index)) {
      continue;
    }
    if (av_packet_get_side_data(packet, AV_PKT_DATA_ENCRYPTION_INFO, nullptr) != nullptr) {
      return Encrypted();
    }
    return true;
  }
}

bool Media::Seek(double seconds) {
  const int64_t us = static_cast<int64_t>(std::llround(seconds * 1e6)) + origin_;
  const AVStream* stream = video_ != nullptr ? video_ : audio_;
  const int64_t ts = av_rescale_q(us, kMicroseconds, stream->time_base);
  return av_seek_frame(format_, stream->index, ts, AVSEEK_FLAG_BACKWARD) >= 0;
}

Result<AvPtr<AVCodecContext>> Media::OpenDecoder(AVStream* stream, int threads,
                                                 bool want_alpha) const {
  const AVCodec* codec = AllowedDecoder(stream->codecpar->codec_id);
  if (want_alpha) {
    // The native VP8 and VP9 decoders drop the alpha plane.
    const char* name = codec->id == AV_CODEC_ID_VP8   ? "libvpx"
                       : codec->id == AV_CODEC_ID_VP9 ? "libvpx-vp9"
                                                      : nullptr;
    if (name != nullptr && HasAlphaMode(stream)) {
      if (const AVCodec* other = avcodec_find_decoder_by_name(name)) codec = other;
    }
  }
  AvPtr<AVCodecContext> c(avcodec_alloc_context3(codec));
  if (c == nullptr) return EngineError("decoder", AVERROR(ENOMEM));
  int r = avcodec_parameters_to_context(c.get(), stream->codecpar);
  if (r < 0) return EngineError("decoder parameters", r);
  c->pkt_timebase = stream->time_base;
  c->max_pixels = static_cast<int64_t>(limits_.max_pixels);
  c->thread_count = std::clamp(threads, 1, 16);
  c->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
  AVDictionary* options = nullptr;
  av_dict_set(&options, "codec_whitelist", kDecoders, 0);
  r = avcodec_open2(c.get(), codec, &options);
  av_dict_free(&options);
  if (IsShortage(r)) return EngineError("decoder", r);
  if (r < 0) return WhyNoPicture(std::string("decoder ") + codec->name + ": " + AvError(r));
  return c;
}

}  // namespace vr::worker
