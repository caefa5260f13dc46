#include "worker/mp4_output.h"

#include <cstring>
#include <string>

#include "worker/failure.h"

namespace vr::worker {

Mp4Output::Mp4Output(int fd, Form form, uint64_t max_bytes)
    : form_(form),
      sink_(fd, form == Form::kIndexed ? FileSink::Mode::kSeekable : FileSink::Mode::kAppend,
            max_bytes) {}

Mp4Output::~Mp4Output() {
  if (context_ != nullptr) avformat_free_context(context_);
}

Error Mp4Output::Failure(const char* where, int code) const {
  if (sink_.over_limit()) {
    return TooLarge("the result would be too large", where).WithFact("limit", "output bytes");
  }
  if (sink_.write_errno() != 0) {
    return TransformFailed("the result could not be stored",
                           std::string(where) + ": " + std::strerror(sink_.write_errno()));
  }
  return EngineError(where, code);
}

int Mp4Output::OpenOwn(AVFormatContext* context, AVIOContext** io, const char*, int flags,
                       AVDictionary**) {
  // The muxer reads its own file once, to move the index to the front. Nothing else can be opened.
  auto* self = static_cast<Mp4Output*>(context->opaque);
  if (self->form_ != Form::kIndexed || (flags & AVIO_FLAG_WRITE) != 0) return AVERROR(EPERM);
  *io = self->sink_.OpenReader();
  return *io != nullptr ? 0 : AVERROR(ENOMEM);
}

int Mp4Output::CloseOwn(AVFormatContext*, AVIOContext* io) {
  FileSink::CloseReader(io);
  return 0;
}

Result<std::unique_ptr<Mp4Output>> Mp4Output::Create(
    int fd, Form form, uint64_t max_bytes, const std::vector<const AVCodecContext*>& encoders) {
  std::unique_ptr<Mp4Output> out(new Mp4Output(fd, form, max_bytes));
  int r = avformat_alloc_output_context2(&out->context_, nullptr, "mp4", nullptr);
  if (r < 0) return EngineError("muxer", r);
  AVFormatContext* c = out->context_;
  c->pb = out->sink_.avio();
  c->opaque = out.get();
  c->io_open = &OpenOwn;
  c->io_close2 = &CloseOwn;
  c->url = av_strdup("output");
  c->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  c->max_interleave_delta =
      0;  // never give up waiting for the other stream: order must not depend on time
  for (const AVCodecContext* encoder : encoders) {
    AVStream* stream = avformat_new_stream(c, nullptr);
    if (stream == nullptr) return EngineError("muxer", AVERROR(ENOMEM));
    r = avcodec_parameters_from_context(stream->codecpar, encoder);
    if (r < 0) return EngineError("muxer parameters", r);
    stream->time_base = encoder->time_base;
    stream->avg_frame_rate = encoder->framerate;
    stream->sample_aspect_ratio = encoder->sample_aspect_ratio;
    out->time_bases_.push_back(encoder->time_base);
  }
  AVDictionary* options = nullptr;
  if (form == Form::kFragmented) {
    av_dict_set(&options, "movflags", "+frag_keyframe+empty_moov+default_base_moof", 0);
    av_dict_set(&options, "frag_duration", "500000", 0);
  } else {
    av_dict_set(&options, "movflags", "+faststart", 0);
  }
  r = avformat_write_header(c, &options);
  av_dict_free(&options);
  if (r < 0) return out->Failure("header", r);
  avio_flush(c->pb);
  return out;
}

Result<void> Mp4Output::Write(const AVPacket& packet, int stream) {
  AvPtr<AVPacket> copy(av_packet_clone(&packet));
  if (copy == nullptr) return EngineError("muxing", AVERROR(ENOMEM));
  const auto index = static_cast<size_t>(stream);
  copy->stream_index = stream;
  // The muxer chose its own time base when it wrote the header.
  av_packet_rescale_ts(copy.get(), time_bases_[index], context_->streams[index]->time_base);
  const int r = av_interleaved_write_frame(context_, copy.get());
  if (r < 0) return Failure("muxing", r);
  if (form_ == Form::kFragmented) avio_flush(context_->pb);
  if (context_->pb->error < 0) return Failure("writing", context_->pb->error);
  return {};
}

Result<void> Mp4Output::Finish() {
  const int r = av_write_trailer(context_);
  avio_flush(context_->pb);
  if (r < 0) return Failure("trailer", r);
  if (context_->pb->error < 0) return Failure("writing", context_->pb->error);
  return {};
}

}  // namespace vr::worker
