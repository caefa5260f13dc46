#include "worker/media_output.h"

extern "C" {
#include <libavutil/opt.h>
}

#include <cstring>
#include <string>

#include "worker/failure.h"

namespace vr::worker {

namespace {

// A fragment each half second; the first as soon as there is something to show: who waits for it
// has waited for the encoder's delay already. Microseconds.
constexpr int64_t kFragment = 500'000;
constexpr int64_t kFirstFragment = 50'000;

const char* MuxerOf(MediaOutput::Form form) {
  switch (form) {
    case MediaOutput::Form::kFragmented:
    case MediaOutput::Form::kIndexed:
      return "mp4";
    case MediaOutput::Form::kWebmLive:
    case MediaOutput::Form::kWebm:
      return "webm";
    case MediaOutput::Form::kM4a:
      return "ipod";
    case MediaOutput::Form::kMp3:
      return "mp3";
    case MediaOutput::Form::kOgg:
      return "ogg";
  }
  return "mp4";
}

/// The sample entry that most players know.
uint32_t TagOf(AVCodecID codec, MediaOutput::Form form) {
  if (form != MediaOutput::Form::kFragmented && form != MediaOutput::Form::kIndexed) return 0;
  return codec == AV_CODEC_ID_HEVC ? MKTAG('h', 'v', 'c', '1') : 0;
}

}  // namespace

Result<TrackFormat> TrackFormat::Of(const AVCodecContext& encoder) {
  TrackFormat track;
  track.parameters.reset(avcodec_parameters_alloc());
  if (track.parameters == nullptr) return EngineError("muxer", AVERROR(ENOMEM));
  const int r = avcodec_parameters_from_context(track.parameters.get(), &encoder);
  if (r < 0) return EngineError("muxer parameters", r);
  track.time_base = encoder.time_base;
  track.frame_rate = encoder.framerate;
  return track;
}

Result<TrackFormat> TrackFormat::Of(const AVCodecParameters& pictures, AVRational frame_rate) {
  TrackFormat track;
  track.parameters.reset(avcodec_parameters_alloc());
  if (track.parameters == nullptr) return EngineError("muxer", AVERROR(ENOMEM));
  const int r = avcodec_parameters_copy(track.parameters.get(), &pictures);
  if (r < 0) return EngineError("muxer parameters", r);
  track.time_base = kOutputTimeBase;
  track.frame_rate = frame_rate;
  return track;
}

Result<TrackFormat> TrackFormat::Of(const AVStream& stream) {
  TrackFormat track;
  track.parameters.reset(avcodec_parameters_alloc());
  if (track.parameters == nullptr) return EngineError("muxer", AVERROR(ENOMEM));
  const int r = avcodec_parameters_copy(track.parameters.get(), stream.codecpar);
  if (r < 0) return EngineError("muxer parameters", r);
  track.parameters->codec_tag = 0;
  track.time_base = stream.time_base;
  track.frame_rate = stream.avg_frame_rate;
  return track;
}

MediaOutput::MediaOutput(int fd, Form form, uint64_t max_bytes)
    : form_(form),
      sink_(fd, is_append_only() ? FileSink::Mode::kAppend : FileSink::Mode::kSeekable, max_bytes) {
}

MediaOutput::~MediaOutput() {
  if (context_ != nullptr) avformat_free_context(context_);
}

Error MediaOutput::Failure(const char* where, int code) const {
  if (sink_.over_limit()) {
    return TooLarge("the result would be too large", where).WithFact("limit", "output bytes");
  }
  if (sink_.write_errno() != 0) {
    return TransformFailed("the result could not be stored",
                           std::string(where) + ": " + std::strerror(sink_.write_errno()));
  }
  return EngineError(where, code);
}

int MediaOutput::OpenOwn(AVFormatContext* context, AVIOContext** io, const char*, int flags,
                         AVDictionary**) {
  // The muxer reads its own file once, to move the index to the front. Nothing else can be opened.
  auto* self = static_cast<MediaOutput*>(context->opaque);
  if (self->is_append_only() || (flags & AVIO_FLAG_WRITE) != 0) return AVERROR(EPERM);
  *io = self->sink_.OpenReader();
  return *io != nullptr ? 0 : AVERROR(ENOMEM);
}

int MediaOutput::CloseOwn(AVFormatContext*, AVIOContext* io) {
  FileSink::CloseReader(io);
  return 0;
}

Result<std::unique_ptr<MediaOutput>> MediaOutput::Create(int fd, Form form, uint64_t max_bytes,
                                                         const std::vector<TrackFormat>& tracks,
                                                         uint64_t index_room) {
  std::unique_ptr<MediaOutput> out(new MediaOutput(fd, form, max_bytes));
  int r = avformat_alloc_output_context2(&out->context_, nullptr, MuxerOf(form), nullptr);
  if (r < 0) return EngineError("muxer", r);
  AVFormatContext* c = out->context_;
  c->pb = out->sink_.avio();
  c->opaque = out.get();
  c->io_open = &OpenOwn;
  c->io_close2 = &CloseOwn;
  c->url = av_strdup("output");
  c->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  for (const TrackFormat& track : tracks) {
    AVStream* stream = avformat_new_stream(c, nullptr);
    if (stream == nullptr) return EngineError("muxer", AVERROR(ENOMEM));
    r = avcodec_parameters_copy(stream->codecpar, track.parameters.get());
    if (r < 0) return EngineError("muxer parameters", r);
    stream->codecpar->codec_tag = TagOf(track.parameters->codec_id, form);
    stream->time_base = track.time_base;
    stream->avg_frame_rate = track.frame_rate;
    stream->sample_aspect_ratio = track.parameters->sample_aspect_ratio;
    out->time_bases_.push_back(track.time_base);
  }
  out->waiting_.resize(tracks.size());
  AVDictionary* options = nullptr;
  switch (form) {
    case Form::kFragmented:
      av_dict_set(&options, "movflags",
                  "+frag_keyframe+empty_moov+default_base_moof+delay_moov+skip_trailer", 0);
      av_dict_set_int(&options, "frag_duration", kFirstFragment, 0);
      break;
    case Form::kIndexed:
      if (index_room > 0) {
        av_dict_set_int(&options, "moov_size", static_cast<int64_t>(index_room), 0);
      } else {
        av_dict_set(&options, "movflags", "+faststart", 0);
      }
      break;
    case Form::kM4a:
      av_dict_set(&options, "movflags", "+faststart", 0);
      // Where the sound begins and ends is told in these units: to the sample.
      av_dict_set_int(&options, "movie_timescale", tracks.at(0).parameters->sample_rate, 0);
      break;
    case Form::kWebmLive:
      av_dict_set(&options, "live", "1", 0);
      av_dict_set(&options, "cluster_time_limit", "500", 0);
      break;
    case Form::kWebm:
      av_dict_set(&options, "cues_to_front", "1", 0);
      break;
    case Form::kMp3:
    case Form::kOgg:
      break;
  }
  r = avformat_write_header(c, &options);
  av_dict_free(&options);
  if (r < 0) return out->Failure("header", r);
  avio_flush(c->pb);
  return out;
}

Result<void> MediaOutput::Write(const AVPacket& packet, int stream) {
  AvPtr<AVPacket> copy(av_packet_clone(&packet));
  if (copy == nullptr) return EngineError("muxing", AVERROR(ENOMEM));
  const auto index = static_cast<size_t>(stream);
  copy->stream_index = stream;
  // The muxer chose its own time base when it wrote the header.
  av_packet_rescale_ts(copy.get(), time_bases_[index], context_->streams[index]->time_base);
  waiting_[index].push_back(std::move(copy));
  return WriteInOrder(false);
}

Result<void> MediaOutput::WriteInOrder(bool all) {
  for (;;) {
    std::deque<AvPtr<AVPacket>>* next = nullptr;
    for (std::deque<AvPtr<AVPacket>>& queue : waiting_) {
      if (queue.empty()) {
        if (!all) return Flush();
        continue;
      }
      if (next == nullptr || IsBefore(*queue.front(), *next->front())) next = &queue;
    }
    if (next == nullptr) return Flush();
    const AvPtr<AVPacket> packet = std::move(next->front());
    next->pop_front();
    const int r = av_write_frame(context_, packet.get());
    if (r < 0) return Failure("muxing", r);
    if (form_ == Form::kFragmented && !has_begun_) {
      avio_flush(context_->pb);
      has_begun_ = sink_.size() > 0;
      if (has_begun_) av_opt_set_int(context_->priv_data, "frag_duration", kFragment, 0);
    }
  }
}

bool MediaOutput::IsBefore(const AVPacket& a, const AVPacket& b) const {
  return av_compare_ts(a.dts, context_->streams[a.stream_index]->time_base, b.dts,
                       context_->streams[b.stream_index]->time_base) < 0;
}

Result<void> MediaOutput::Flush() {
  if (is_append_only()) avio_flush(context_->pb);
  if (context_->pb->error < 0) return Failure("writing", context_->pb->error);
  return {};
}

Result<void> MediaOutput::Finish() {
  CHECK_OK(WriteInOrder(true));
  const int r = av_write_trailer(context_);
  avio_flush(context_->pb);
  if (r < 0) return Failure("trailer", r);
  if (context_->pb->error < 0) return Failure("writing", context_->pb->error);
  return {};
}

}  // namespace vr::worker
