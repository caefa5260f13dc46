#include "worker/info_pipeline.h"

extern "C" {
#include <libavutil/dovi_meta.h>
#include <libavutil/intreadwrite.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "worker/colour.h"
#include "worker/failure.h"
#include "worker/file_sink.h"
#include "worker/json_text.h"
#include "worker/media.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

constexpr int kVersion = 1;
constexpr int kMaxTags = 32;
constexpr size_t kMaxTagBytes = 200;
/// What may be said of a source's tags: no places, devices or people's notes.
constexpr std::string_view kTags[] = {
    "title",       "artist",        "album",   "album_artist",  "composer",    "performer",
    "genre",       "date",          "year",    "track",         "disc",        "show",
    "episode_id",  "season_number", "network", "publisher",     "copyright",   "description",
    "synopsis",    "language",      "encoder", "creation_time", "major_brand", "compatible_brands",
    "handler_name"};

const char* OrUnknown(const char* name) {
  return name != nullptr ? name : "unknown";
}

void AddTags(JsonText& json, const AVDictionary* tags) {
  json.OpenObject("tags");
  int count = 0;
  for (const std::string_view key : kTags) {
    const AVDictionaryEntry* entry = av_dict_get(tags, std::string(key).c_str(), nullptr, 0);
    if (entry == nullptr || entry->value[0] == 0 || ++count > kMaxTags) continue;
    json.Add(key, CleanText(entry->value, kMaxTagBytes));
  }
  json.Close();
}

void AddDispositions(JsonText& json, const AVStream& stream) {
  constexpr std::pair<int, const char*> kNames[] = {
      {AV_DISPOSITION_DEFAULT, "default"},
      {AV_DISPOSITION_FORCED, "forced"},
      {AV_DISPOSITION_ORIGINAL, "original"},
      {AV_DISPOSITION_DUB, "dub"},
      {AV_DISPOSITION_COMMENT, "comment"},
      {AV_DISPOSITION_LYRICS, "lyrics"},
      {AV_DISPOSITION_KARAOKE, "karaoke"},
      {AV_DISPOSITION_HEARING_IMPAIRED, "hearing-impaired"},
      {AV_DISPOSITION_VISUAL_IMPAIRED, "visual-impaired"},
      {AV_DISPOSITION_CLEAN_EFFECTS, "clean-effects"},
      {AV_DISPOSITION_ATTACHED_PIC, "attached-picture"},
      {AV_DISPOSITION_TIMED_THUMBNAILS, "timed-thumbnails"},
      {AV_DISPOSITION_CAPTIONS, "captions"},
      {AV_DISPOSITION_DESCRIPTIONS, "descriptions"},
      {AV_DISPOSITION_DEPENDENT, "dependent"}};
  json.OpenList("dispositions");
  for (const auto& [bit, name] : kNames) {
    if ((stream.disposition & bit) != 0) json.AddToList(name);
  }
  json.Close();
}

void AddRatio(JsonText& json, std::string_view key, AVRational r) {
  json.Add(key, std::to_string(r.num) + ":" + std::to_string(r.den));
}

AVRational RateOr(AVRational rate) {
  return rate.num > 0 && rate.den > 0 ? rate : AVRational{0, 1};
}

std::string Hdr(const AVStream& stream) {
  size_t size = 0;
  const uint8_t* dovi = av_stream_get_side_data(&stream, AV_PKT_DATA_DOVI_CONF, &size);
  if (dovi != nullptr && size >= sizeof(AVDOVIDecoderConfigurationRecord)) {
    AVDOVIDecoderConfigurationRecord record;
    std::memcpy(&record, dovi, sizeof record);
    return "dolby-vision-" + std::to_string(record.dv_profile) +
           (record.dv_profile >= 8 ? "." + std::to_string(record.dv_bl_signal_compatibility_id)
                                   : "");
  }
  if (stream.codecpar->color_trc == AVCOL_TRC_SMPTE2084) return "hdr10";
  if (stream.codecpar->color_trc == AVCOL_TRC_ARIB_STD_B67) return "hlg";
  return "none";
}

const char* FieldOrder(AVFieldOrder order) {
  switch (order) {
    case AV_FIELD_PROGRESSIVE:
      return "progressive";
    case AV_FIELD_TT:
      return "top-first";
    case AV_FIELD_BB:
      return "bottom-first";
    case AV_FIELD_TB:
      return "top-coded-bottom-shown-first";
    case AV_FIELD_BT:
      return "bottom-coded-top-shown-first";
    case AV_FIELD_UNKNOWN:
      break;
  }
  return "unknown";
}

struct Display {
  int width = 0, height = 0;
  AVRational sample{1, 1}, aspect{0, 1};
  Orientation orientation;
};

Display DisplayOf(AVFormatContext* format, AVStream* stream) {
  Display d;
  const AVCodecParameters& p = *stream->codecpar;
  const AVRational sar = av_guess_sample_aspect_ratio(format, stream, nullptr);
  if (sar.num > 0 && sar.den > 0) d.sample = sar;
  size_t size = 0;
  const uint8_t* matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (matrix != nullptr && size >= 9 * sizeof(int32_t)) {
    d.orientation = OrientationOf(reinterpret_cast<const int32_t*>(matrix));
  }
  d.width = static_cast<int>(std::clamp(std::round(p.width * av_q2d(d.sample)), 0.0, 1e9));
  d.height = p.height;
  if (p.width > 0 && p.height > 0) {
    av_reduce(&d.aspect.num, &d.aspect.den, static_cast<int64_t>(p.width) * d.sample.num,
              static_cast<int64_t>(p.height) * d.sample.den, 1 << 20);
  }
  if (d.orientation.quarter_turns % 2 != 0) {
    std::swap(d.width, d.height);
    std::swap(d.aspect.num, d.aspect.den);
  }
  return d;
}

/// Containers tell an average and the finest regular rate; where they differ, pictures do not come
/// regularly.
bool LooksVariable(const AVStream& stream) {
  const AVRational average = RateOr(stream.avg_frame_rate), finest = RateOr(stream.r_frame_rate);
  if (average.num == 0 || finest.num == 0) return false;
  const double ratio = av_q2d(finest) / av_q2d(average);
  return ratio < 0.99 || ratio > 1.01;
}

void AddVideo(JsonText& json, AVFormatContext* format, AVStream* stream) {
  const AVCodecParameters& p = *stream->codecpar;
  const Display d = DisplayOf(format, stream);
  json.Add("width", p.width);
  json.Add("height", p.height);
  json.Add("displayWidth", d.width);
  json.Add("displayHeight", d.height);
  json.Add("rotation", 90 * d.orientation.quarter_turns);
  json.Add("mirrored", d.orientation.mirror);
  AddRatio(json, "sampleAspectRatio", d.sample);
  AddRatio(json, "displayAspectRatio", d.aspect);
  json.Add("frameRate", av_q2d(RateOr(stream->avg_frame_rate)));
  json.Add("realFrameRate", av_q2d(RateOr(stream->r_frame_rate)));
  json.Add("variableFrameRate", LooksVariable(*stream));
  const auto pixels = static_cast<AVPixelFormat>(p.format);
  const AVPixFmtDescriptor* about = av_pix_fmt_desc_get(pixels);
  json.Add("pixelFormat", OrUnknown(about != nullptr ? about->name : nullptr));
  json.Add("bitDepth", about != nullptr && about->nb_components > 0 ? about->comp[0].depth : 0);
  json.OpenObject("colour");
  json.Add("matrix", OrUnknown(av_color_space_name(p.color_space)));
  json.Add("primaries", OrUnknown(av_color_primaries_name(p.color_primaries)));
  json.Add("transfer", OrUnknown(av_color_transfer_name(p.color_trc)));
  json.Add("range", p.color_range == AVCOL_RANGE_MPEG   ? "limited"
                    : p.color_range == AVCOL_RANGE_JPEG ? "full"
                                                        : "unknown");
  json.Add("hdr", Hdr(*stream));
  json.Close();
  json.Add("fieldOrder", FieldOrder(p.field_order));
  json.Add("interlaced",
           p.field_order != AV_FIELD_UNKNOWN && p.field_order != AV_FIELD_PROGRESSIVE);
  const AVDictionaryEntry* alpha = av_dict_get(stream->metadata, "alpha_mode", nullptr, 0);
  json.Add("hasAlpha", (about != nullptr && HasAlpha(pixels)) ||
                           (alpha != nullptr && std::string_view(alpha->value) == "1"));
}

void AddAudio(JsonText& json, const AVCodecParameters& p) {
  json.Add("sampleRate", p.sample_rate);
  json.Add("channels", p.ch_layout.nb_channels);
  char layout[64] = {};
  av_channel_layout_describe(&p.ch_layout, layout, sizeof layout);
  json.Add("layout", CleanText(layout, sizeof layout));
}

const char* TypeOf(const AVStream& stream) {
  switch (stream.codecpar->codec_type) {
    case AVMEDIA_TYPE_VIDEO:
      return "video";
    case AVMEDIA_TYPE_AUDIO:
      return "audio";
    case AVMEDIA_TYPE_SUBTITLE:
      return "subtitle";
    case AVMEDIA_TYPE_ATTACHMENT:
      return "attachment";
    default:
      return "data";
  }
}

void AddStream(JsonText& json, const Media& media, AVStream* stream) {
  const AVCodecParameters& p = *stream->codecpar;
  json.OpenObjectInList();
  json.Add("index", stream->index);
  json.Add("type", TypeOf(*stream));
  json.Add("codec", avcodec_get_name(p.codec_id));
  if (const char* profile = avcodec_profile_name(p.codec_id, p.profile)) {
    json.Add("profile", profile);
  }
  if (p.codec_type == AVMEDIA_TYPE_VIDEO && p.level > 0) json.Add("level", p.level);
  const bool plays = p.codec_type == AVMEDIA_TYPE_VIDEO || p.codec_type == AVMEDIA_TYPE_AUDIO;
  if (plays) json.Add("decodable", Media::IsDecodable(p.codec_id));
  const AVDictionaryEntry* language = av_dict_get(stream->metadata, "language", nullptr, 0);
  if (language != nullptr) json.Add("language", CleanText(language->value, 16));
  AddDispositions(json, *stream);
  const bool starts = stream->start_time != AV_NOPTS_VALUE;
  const double unit = av_q2d(stream->time_base);
  if (starts) json.Add("start", static_cast<double>(stream->start_time) * unit);
  if (stream->duration > 0) json.Add("duration", static_cast<double>(stream->duration) * unit);
  if (p.bit_rate > 0) json.Add("bitRate", p.bit_rate);
  if (stream->nb_frames > 0) json.Add("frames", stream->nb_frames);
  if (p.codec_type == AVMEDIA_TYPE_VIDEO) AddVideo(json, media.format(), stream);
  if (p.codec_type == AVMEDIA_TYPE_AUDIO) AddAudio(json, p);
  AddTags(json, stream->metadata);
  json.Close();
}

/// Whether an MP4's index comes before its media: players can begin before they have all of it.
std::optional<bool> IndexFirst(const Media& media) {
  if (!std::string_view(media.format()->iformat->name).starts_with("mov,")) return {};
  AVIOContext* io = media.format()->pb;
  int64_t at = 0;
  for (int box = 0; box < 16; ++box) {
    uint8_t head[16] = {};
    if (avio_seek(io, at, SEEK_SET) < 0 || avio_read(io, head, 16) < 8) return {};
    const uint32_t name = AV_RL32(head + 4);
    if (name == MKTAG('m', 'o', 'o', 'v')) return true;
    if (name == MKTAG('m', 'd', 'a', 't')) return false;
    const uint64_t size = AV_RB32(head) == 1 ? AV_RB64(head + 8) : AV_RB32(head);
    if (size < 8 || size > (uint64_t{1} << 50)) return {};
    at += static_cast<int64_t>(size);
  }
  return {};
}

bool IsEncrypted(const Media& media) {
  if (media.is_encrypted()) return true;
  for (unsigned i = 0; i < media.format()->nb_streams; ++i) {
    if (av_stream_get_side_data(media.format()->streams[i], AV_PKT_DATA_ENCRYPTION_INIT_INFO,
                                nullptr) != nullptr) {
      return true;
    }
  }
  return false;
}

std::string Describe(const protocol::Job& job, const Media& media) {
  AVFormatContext* format = media.format();
  JsonText json;
  json.Add("version", kVersion);
  json.OpenObject("container");
  json.Add("format", format->iformat->name);
  json.Add("name", OrUnknown(format->iformat->long_name));
  if (format->duration > 0) json.Add("duration", static_cast<double>(format->duration) / 1e6);
  if (format->start_time != AV_NOPTS_VALUE) {
    json.Add("start", static_cast<double>(format->start_time) / 1e6);
  }
  if (job.source_size > 0) json.Add("size", job.source_size);
  if (format->bit_rate > 0) json.Add("bitRate", format->bit_rate);
  if (const auto first = IndexFirst(media)) json.Add("indexFirst", *first);
  json.Add("encrypted", IsEncrypted(media));
  AddTags(json, format->metadata);
  json.Close();
  if (media.video() != nullptr) json.Add("video", media.video()->index);
  if (media.audio() != nullptr) json.Add("audio", media.audio()->index);
  json.OpenList("streams");
  const auto count = std::min(format->nb_streams, job.limits.max_streams);
  for (unsigned i = 0; i < count; ++i) AddStream(json, media, format->streams[i]);
  json.Close();
  return std::move(json).Finish();
}

}  // namespace

Result<protocol::Done> DescribeSource(const protocol::Job& job, SourceIo& source,
                                      const JobFiles& files, Reporter&) {
  TRY(std::unique_ptr<Media> media, Media::Open(source, job.limits, Want::kAnything));
  const std::string text = Describe(job, *media);
  if (source.failed()) return SourceBroken(source.failure());
  if (text.size() > job.limits.max_output_bytes) {
    return TooLarge("the result would be too large").WithFact("limit", "output bytes");
  }
  if (const int e = WriteWhole(files.stored.get(), reinterpret_cast<const uint8_t*>(text.data()),
                               text.size())) {
    return TransformFailed("the result could not be stored", std::strerror(e));
  }
  protocol::Done done;
  done.stored_bytes = text.size();
  done.duration_seconds = media->duration();
  done.has_audio = media->audio() != nullptr;
  done.route = "info";
  if (AVStream* video = media->video()) {
    const Display d = DisplayOf(media->format(), video);
    done.width = static_cast<uint32_t>(std::max(0, d.width));
    done.height = static_cast<uint32_t>(std::max(0, d.height));
    done.fps = av_q2d(RateOr(video->avg_frame_rate));
    done.frames = static_cast<uint64_t>(std::max<int64_t>(0, video->nb_frames));
    done.video_codec = avcodec_get_name(video->codecpar->codec_id);
  }
  if (media->audio() != nullptr) {
    done.audio_codec = avcodec_get_name(media->audio()->codecpar->codec_id);
  }
  return done;
}

}  // namespace vr::worker
