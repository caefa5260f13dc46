#include "worker/quality_probe.h"

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/failure.h"
#include "worker/media.h"
#include "worker/picture_decoder.h"
#include "worker/picture_graph.h"
#include "worker/recipe.h"
#include "worker/video_encoder.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

constexpr uint32_t kTrialSide = 640;   // pixels of the longer side
constexpr size_t kTrialPictures = 48;  // per place
constexpr size_t kFewestPictures = 8;
// Where the two trials stand on the encoder's scale, from best to worst.
constexpr double kFirst = 0.30, kSecond = 0.55;

using Pictures = std::vector<AvPtr<AVFrame>>;

/// Upright small pictures from the key frame at or before `seconds` on.
Result<Pictures> PicturesFrom(const protocol::Job& job, SourceIo& source, double seconds,
                              PictureTarget& target, Reporter& reporter) {
  Pictures pictures;
  auto opened = Media::Open(source, job.limits);
  if (!opened.ok()) {
    if (source.failed()) return std::move(opened).error();
    return pictures;
  }
  Media& media = **opened;
  const bool after_seek = seconds > 0 && media.Seek(seconds);
  TRY(PictureDecoder decoder, PictureDecoder::Create(media, static_cast<int>(job.decoder_threads),
                                                     media.origin(), false, after_seek));
  std::optional<PictureGraph> graph;
  const auto drain = [&]() -> Result<void> {
    for (;;) {
      TRY(AvPtr<AVFrame> small, graph->Receive());
      if (small == nullptr) return {};
      if (pictures.size() < kTrialPictures) pictures.push_back(std::move(small));
    }
  };
  const PictureDecoder::OnPicture on_picture = [&](AvPtr<AVFrame> frame, int64_t) -> Result<bool> {
    reporter.Tick();
    const PictureShape shape = ShapeOf(*frame);
    if (graph && !(graph->shape() == shape)) return false;  // a new beginning: enough seen
    if (!graph) {
      target = {AV_PIX_FMT_YUV420P, VideoColour(shape.colour)};
      const SourceShape whole{frame->width, frame->height, 1, {}};
      TRY(const Placement placement,
          Place(whole, {kTrialSide, kTrialSide, protocol::Fit::kScaleDown, {}, 0},
                job.limits.max_pixels));
      TRY(PictureGraph made, PictureGraph::Create(shape, placement, target, 1));
      graph.emplace(std::move(made));
    }
    frame->pts = static_cast<int64_t>(pictures.size());
    CHECK_OK(graph->Send(std::move(frame)));
    CHECK_OK(drain());
    return pictures.size() < kTrialPictures;
  };
  AvPtr<AVPacket> packet = NewPacket();
  for (bool wanted = true; wanted;) {
    TRY(const bool more, media.Read(packet.get()));
    if (more && packet->stream_index != media.video()->index) continue;
    TRY(wanted, decoder.Feed(more ? packet.get() : nullptr, on_picture));
    if (!more) break;
  }
  if (graph) {
    CHECK_OK(graph->Send(nullptr));
    CHECK_OK(drain());
  }
  return pictures;
}

/// Structural similarity of two pictures, by libavfilter.
class Similarity {
 public:
  static Result<Similarity> Create(const AVFrame& like) {
    Similarity s;
    s.graph_.reset(avfilter_graph_alloc());
    char text[256];
    std::snprintf(text, sizeof text,
                  "buffer=video_size=%dx%d:pix_fmt=yuv420p:time_base=1/1:pixel_aspect=1/1 [a];"
                  "buffer=video_size=%dx%d:pix_fmt=yuv420p:time_base=1/1:pixel_aspect=1/1 [b];"
                  "[a][b] ssim [c]; [c] buffersink",
                  like.width, like.height, like.width, like.height);
    AVFilterInOut* in = nullptr;
    AVFilterInOut* out = nullptr;
    int r = avfilter_graph_parse2(s.graph_.get(), text, &in, &out);
    avfilter_inout_free(&in);
    avfilter_inout_free(&out);
    if (r >= 0) r = avfilter_graph_config(s.graph_.get(), nullptr);
    if (r < 0) return EngineError("similarity", r);
    for (unsigned i = 0; i < s.graph_->nb_filters; ++i) {
      AVFilterContext* filter = s.graph_->filters[i];
      const std::string name = filter->filter->name;
      if (name == "buffersink") s.sink_ = filter;
      if (name == "buffer") (s.a_ == nullptr ? s.a_ : s.b_) = filter;
    }
    return s;
  }

  /// @return 0..1, 1 = equal
  Result<double> Of(AVFrame& a, AVFrame& b) {
    a.pts = b.pts = next_++;
    int r = av_buffersrc_write_frame(a_, &a);
    if (r >= 0) r = av_buffersrc_write_frame(b_, &b);
    AvPtr<AVFrame> result = NewFrame();
    if (r >= 0) r = av_buffersink_get_frame(sink_, result.get());
    if (r < 0) return EngineError("similarity", r);
    const AVDictionaryEntry* all = av_dict_get(result->metadata, "lavfi.ssim.All", nullptr, 0);
    return all != nullptr ? std::strtod(all->value, nullptr) : 0.0;
  }

 private:
  AvPtr<AVFilterGraph> graph_;
  AVFilterContext *a_ = nullptr, *b_ = nullptr, *sink_ = nullptr;
  int64_t next_ = 0;
};

/// Mean similarity of `pictures` after a trip through the encoder.
Result<double> Try(const protocol::Job& job, const Pictures& pictures, const PictureTarget& target,
                   double factor, Reporter& reporter) {
  const AVFrame& like = *pictures.front();
  protocol::Job trial;
  trial.format = job.format;
  trial.known_rate_factor = factor;
  VideoRecipe recipe = VideoRecipeFor(trial, {like.width, like.height, 25});
  recipe.max_rate = 0;  // the factor alone shall speak
  PictureFormat format{like.width, like.height, AV_PIX_FMT_YUV420P, AVRational{25, 1},
                       target.colour};
  TRY(VideoEncoder encoder, VideoEncoder::Create(format, recipe));
  const AVCodec* codec = avcodec_find_decoder(encoder.context()->codec_id);
  AvPtr<AVCodecContext> decoder(codec != nullptr ? avcodec_alloc_context3(codec) : nullptr);
  if (decoder == nullptr) return TransformFailed("the transform failed", "no trial decoder");
  decoder->thread_count = 1;
  if (encoder.context()->extradata_size > 0) {
    const auto size = static_cast<size_t>(encoder.context()->extradata_size);
    decoder->extradata = static_cast<uint8_t*>(av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE));
    if (decoder->extradata == nullptr) return EngineError("trial", AVERROR(ENOMEM));
    std::copy_n(encoder.context()->extradata, size, decoder->extradata);
    decoder->extradata_size = encoder.context()->extradata_size;
  }
  if (const int r = avcodec_open2(decoder.get(), codec, nullptr); r < 0) {
    return EngineError("trial decoder", r);
  }
  TRY(Similarity similarity, Similarity::Create(like));
  double sum = 0;
  size_t compared = 0;
  const auto compare = [&]() -> Result<void> {
    AvPtr<AVFrame> decoded = NewFrame();
    while (avcodec_receive_frame(decoder.get(), decoded.get()) >= 0) {
      if (compared < pictures.size()) {
        decoded->sample_aspect_ratio = AVRational{1, 1};
        TRY(const double ssim, similarity.Of(*pictures[compared], *decoded));
        sum += ssim;
        ++compared;
      }
      av_frame_unref(decoded.get());
    }
    return {};
  };
  const PacketSink sink = [&](AVPacket& packet) -> Result<void> {
    const int r = avcodec_send_packet(decoder.get(), &packet);
    if (r < 0) return EngineError("trial decoding", r);
    return compare();
  };
  const int64_t period = kOutputTimeBase.den / 25;
  for (size_t i = 0; i < pictures.size(); ++i) {
    AvPtr<AVFrame> frame(av_frame_clone(pictures[i].get()));
    if (frame == nullptr) return EngineError("trial", AVERROR(ENOMEM));
    frame->pts = static_cast<int64_t>(i) * period;
    CHECK_OK(encoder.Encode(*frame, sink));
    reporter.Tick();
  }
  CHECK_OK(encoder.Finish(period, sink));
  (void)avcodec_send_packet(decoder.get(), nullptr);
  CHECK_OK(compare());
  return compared > 0 ? sum / static_cast<double>(compared) : 0.0;
}

double Decibels(double ssim) {
  return -10 * std::log10(std::max(1 - ssim, 1e-6));
}

}  // namespace

double FactorFor(double target_ssim, double a, double ssim_a, double b, double ssim_b) {
  const double db_a = Decibels(ssim_a), db_b = Decibels(ssim_b);
  // A flat or rising line: the factor hardly matters (a still picture), the worse one does.
  if (db_b >= db_a - 0.05) return ssim_b >= target_ssim ? b : a;
  const double slope = (db_b - db_a) / (b - a);
  return a + (Decibels(target_ssim) - db_a) / slope;
}

Result<double> SolveRateFactor(const protocol::Job& job, SourceIo& source, double duration,
                               Reporter& reporter) {
  std::vector<double> places{0};
  if (duration > 8) places = {duration * 0.25, duration * 0.75};
  const RateFactorRange range = RateFactorsOf(job.format);
  const double a = std::round(range.best + kFirst * (range.worst - range.best));
  const double b = std::round(range.best + kSecond * (range.worst - range.best));
  double ssim_a = 0, ssim_b = 0;
  int tried = 0;
  for (const double place : places) {
    PictureTarget target;
    TRY(const Pictures pictures, PicturesFrom(job, source, place, target, reporter));
    if (pictures.size() < kFewestPictures) continue;
    TRY(const double at_a, Try(job, pictures, target, a, reporter));
    TRY(const double at_b, Try(job, pictures, target, b, reporter));
    ssim_a += at_a;
    ssim_b += at_b;
    ++tried;
  }
  if (tried == 0) return 0.0;
  const double factor = FactorFor(job.target_ssim, a, ssim_a / tried, b, ssim_b / tried);
  const double bounded = std::clamp(factor, range.best, range.worst);
  // Quarters are finer than anybody sees, and the same on every machine.
  const bool has_fractions =
      job.format == protocol::OutputFormat::kMp4 || job.format == protocol::OutputFormat::kHevc;
  return has_fractions ? std::floor(bounded * 4) / 4 : std::floor(bounded);
}

}  // namespace vr::worker
