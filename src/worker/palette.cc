#include "worker/palette.h"

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include <string>
#include <utility>

#include "worker/failure.h"

namespace vr::worker {
namespace {

constexpr int kPaletteSide = 16;

Result<AVFilterContext*> AddSource(AVFilterGraph* graph, const char* name, int width, int height) {
  const std::string options = "width=" + std::to_string(width) +
                              ":height=" + std::to_string(height) +
                              ":pix_fmt=bgra:time_base=1/1000:pixel_aspect=1/1";
  AVFilterContext* source = nullptr;
  const int r = avfilter_graph_create_filter(&source, avfilter_get_by_name("buffer"), name,
                                             options.c_str(), nullptr, graph);
  if (r < 0) return EngineError("palette", r);
  return source;
}

Result<AVFilterContext*> AddFilter(AVFilterGraph* graph, const char* kind,
                                   const std::string& options) {
  AVFilterContext* filter = nullptr;
  const int r =
      avfilter_graph_create_filter(&filter, avfilter_get_by_name(kind), kind,
                                   options.empty() ? nullptr : options.c_str(), nullptr, graph);
  if (r < 0) return EngineError("palette", r);
  return filter;
}

Result<AvPtr<AVFilterGraph>> NewGraph() {
  AvPtr<AVFilterGraph> graph(avfilter_graph_alloc());
  if (graph == nullptr) return EngineError("palette", AVERROR(ENOMEM));
  graph->nb_threads = 1;
  return graph;
}

}  // namespace

Result<PaletteMaker> PaletteMaker::Create(int width, int height, const GifRecipe& recipe) {
  PaletteMaker out;
  TRY(out.graph_, NewGraph());
  AVFilterGraph* graph = out.graph_.get();
  TRY(out.source_, AddSource(graph, "in", width, height));
  TRY(AVFilterContext * maker,
      AddFilter(graph, "palettegen", "max_colors=" + std::to_string(recipe.colours)));
  TRY(out.sink_, AddFilter(graph, "buffersink", ""));
  int r = avfilter_link(out.source_, 0, maker, 0);
  if (r >= 0) r = avfilter_link(maker, 0, out.sink_, 0);
  if (r >= 0) r = avfilter_graph_config(graph, nullptr);
  if (r < 0) return EngineError("palette", r);
  return out;
}

Result<void> PaletteMaker::Add(const AVFrame& picture) {
  AvPtr<AVFrame> frame(av_frame_clone(&picture));
  if (frame == nullptr) return EngineError("palette", AVERROR(ENOMEM));
  frame->pts = next_++;
  const int r = av_buffersrc_add_frame(source_, frame.get());
  if (r < 0) return EngineError("palette", r);
  AvPtr<AVFrame> none = NewFrame();  // asking is what makes the graph work
  (void)av_buffersink_get_frame(sink_, none.get());
  return {};
}

Result<AvPtr<AVFrame>> PaletteMaker::Finish() {
  AvPtr<AVFrame> palette = NewFrame();
  int r = av_buffersrc_add_frame(source_, nullptr);
  if (r >= 0) r = av_buffersink_get_frame(sink_, palette.get());
  if (r < 0) return EngineError("palette", r);
  return palette;
}

Result<PaletteMapper> PaletteMapper::Create(int width, int height, AvPtr<AVFrame> palette,
                                            const GifRecipe& recipe) {
  PaletteMapper out;
  TRY(out.graph_, NewGraph());
  AVFilterGraph* graph = out.graph_.get();
  TRY(out.source_, AddSource(graph, "in", width, height));
  TRY(AVFilterContext * colours, AddSource(graph, "colours", kPaletteSide, kPaletteSide));
  TRY(AVFilterContext * mapper, AddFilter(graph, "paletteuse", recipe.dither));
  TRY(out.sink_, AddFilter(graph, "buffersink", ""));
  int r = avfilter_link(out.source_, 0, mapper, 0);
  if (r >= 0) r = avfilter_link(colours, 0, mapper, 1);
  if (r >= 0) r = avfilter_link(mapper, 0, out.sink_, 0);
  if (r >= 0) r = avfilter_graph_config(graph, nullptr);
  if (r < 0) return EngineError("palette", r);
  palette->pts = 0;
  r = av_buffersrc_add_frame(colours, palette.get());
  if (r >= 0) r = av_buffersrc_add_frame(colours, nullptr);
  if (r < 0) return EngineError("palette", r);
  return out;
}

Result<void> PaletteMapper::Send(AvPtr<AVFrame> picture) {
  const int r = av_buffersrc_add_frame(source_, picture.get());
  if (r < 0 && r != AVERROR_EOF) return EngineError("palette", r);
  return {};
}

Result<AvPtr<AVFrame>> PaletteMapper::Receive() {
  AvPtr<AVFrame> frame = NewFrame();
  const int r = av_buffersink_get_frame(sink_, frame.get());
  if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return AvPtr<AVFrame>();
  if (r < 0) return EngineError("palette", r);
  frame->pts = av_rescale_q(frame->pts, av_buffersink_get_time_base(sink_), AVRational{1, 1000});
  return frame;
}

}  // namespace vr::worker
