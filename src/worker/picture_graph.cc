#include "worker/picture_graph.h"

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/pixdesc.h>
}

#include <cstdio>
#include <cstring>

#include "worker/failure.h"

namespace vr::worker {
namespace {

std::string Number(int value) {
  return std::to_string(value);
}

/// What shows where the picture is not.
std::string Ground(const PictureTarget& target) {
  return HasAlpha(target.format) && !target.opaque ? "black@0" : "black";
}

/// @param from null: RGB. @param to null: RGB, full range
std::string ScaleTo(int width, int height, const Colour* from, const Colour* to) {
  std::string s = "scale=w=" + Number(width) + ":h=" + Number(height) + ":flags=bicubic";
  // The scaler's quick ways round a change of colours are several steps of 255 off.
  if (from == nullptr || to == nullptr || from->matrix != to->matrix || from->range != to->range) {
    s += "+accurate_rnd+full_chroma_int";
  }
  if (from != nullptr) {
    s += ":in_color_matrix=" + MatrixName(from->matrix) + ":in_range=" + RangeName(from->range);
  }
  // RGB to RGB goes through YUV inside the scaler: a matrix named at one end only shifts colours.
  const Colour* matrix = to != nullptr ? to : from;
  if (matrix != nullptr) s += ":out_color_matrix=" + MatrixName(matrix->matrix);
  return s + ":out_range=" + RangeName(to != nullptr ? to->range : AVCOL_RANGE_JPEG);
}

}  // namespace

PictureShape ShapeOf(const AVFrame& frame) {
  return {frame.width, frame.height, frame.format, ColourOf(frame), frame.interlaced_frame != 0};
}

std::string DescribeGraph(const PictureShape& shape, const Placement& p,
                          const PictureTarget& target) {
  const auto in_format = static_cast<AVPixelFormat>(shape.format);
  const bool to_rgb = IsRgb(target.format);
  const std::string out_format = ",format=" + std::string(av_get_pix_fmt_name(target.format));
  std::string g;
  if (shape.interlaced) g += "bwdif=mode=send_frame:parity=auto:deint=interlaced,";
  if (p.crop_width != shape.width || p.crop_height != shape.height) {
    g += "crop=w=" + Number(p.crop_width) + ":h=" + Number(p.crop_height) +
         ":x=" + Number(p.crop_x) + ":y=" + Number(p.crop_y) + ",";
  }
  const std::string size = "w=" + Number(p.scaled_width) + ":h=" + Number(p.scaled_height);
  const ColourPath path = PathOf(shape.colour);
  const Colour* from = IsRgb(in_format) ? nullptr : &shape.colour;
  const Colour* to = to_rgb ? nullptr : &target.colour;
  if (path == ColourPath::kMatrix && HasAlpha(in_format)) {
    // What is transparent must not lend its colour to its neighbours: weighted by its opacity while
    // it is scaled. Without transparency in the output this is black ground.
    g += ScaleTo(p.crop_width, p.crop_height, from, nullptr) +
         ",format=gbrap16le,premultiply=inplace=1,";
    if (HasAlpha(target.format)) {
      g += ScaleTo(p.scaled_width, p.scaled_height, nullptr, nullptr) +
           ",format=gbrap16le,unpremultiply=inplace=1,";
    } else {
      g += "format=gbrp16le,";
    }
    g += ScaleTo(p.scaled_width, p.scaled_height, nullptr, to) + out_format;
  } else if (path == ColourPath::kMatrix) {
    g += ScaleTo(p.scaled_width, p.scaled_height, from, to) + out_format;
  } else {
    // Scaling on the way into linear light is 7 times cheaper than tone-mapping at full size.
    g += "zscale=" + size + ":filter=bicubic";
    if (path == ColourPath::kToneMap) {
      g += ":t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0"
           ",zscale=t=bt709:m=bt709:r=tv";
    } else {
      g += ":p=bt709:t=bt709:m=bt709:r=tv";
    }
    const Colour sdr{AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
    if (!to_rgb && target.colour == sdr) {
      g += out_format;
    } else {
      g += ",format=yuv444p," + ScaleTo(p.scaled_width, p.scaled_height, &sdr, to) + out_format;
    }
  }
  if (p.orientation.mirror) g += ",hflip";
  if (p.orientation.quarter_turns == 1) g += ",transpose=clock";
  if (p.orientation.quarter_turns == 2) g += ",hflip,vflip";
  if (p.orientation.quarter_turns == 3) g += ",transpose=cclock";
  if (p.angle != 0) {
    char angle[32];
    std::snprintf(angle, sizeof angle, "%.9f", p.angle);
    g += ",rotate=a=" + std::string(angle) + ":ow=" + Number(p.turned_width) +
         ":oh=" + Number(p.turned_height) + ":c=" + Ground(target);
    if (p.turned_width != p.picture_width || p.turned_height != p.picture_height) {
      g += ",crop=w=" + Number(p.picture_width) + ":h=" + Number(p.picture_height);
    }
  }
  if (p.width != p.picture_width || p.height != p.picture_height) {
    g += ",pad=w=" + Number(p.width) + ":h=" + Number(p.height) + ":x=" + Number(p.pad_x) +
         ":y=" + Number(p.pad_y) + ":color=" + Ground(target);
  }
  return g + ",setsar=1";
}

Result<PictureGraph> PictureGraph::Create(const PictureShape& shape, const Placement& placement,
                                          const PictureTarget& target, int threads) {
  PictureGraph out;
  out.shape_ = shape;
  out.graph_.reset(avfilter_graph_alloc());
  AVFilterGraph* graph = out.graph_.get();
  // zscale's slices are only known to be exact for whole pictures: one thread where it is used.
  graph->nb_threads = PathOf(shape.colour) == ColourPath::kMatrix ? std::max(1, threads) : 1;

  out.source_ = avfilter_graph_alloc_filter(graph, avfilter_get_by_name("buffer"), "in");
  out.sink_ = avfilter_graph_alloc_filter(graph, avfilter_get_by_name("buffersink"), "out");
  AVBufferSrcParameters* parameters = av_buffersrc_parameters_alloc();
  if (out.source_ == nullptr || out.sink_ == nullptr || parameters == nullptr) {
    av_free(parameters);
    return EngineError("filter graph", AVERROR(ENOMEM));
  }
  parameters->format = shape.format;
  parameters->width = shape.width;
  parameters->height = shape.height;
  parameters->time_base = kOutputTimeBase;
  parameters->sample_aspect_ratio = AVRational{1, 1};
  int r = av_buffersrc_parameters_set(out.source_, parameters);
  av_free(parameters);
  if (r >= 0) r = avfilter_init_str(out.source_, nullptr);
  if (r >= 0) r = avfilter_init_str(out.sink_, nullptr);
  if (r < 0) return EngineError("filter graph ends", r);

  AVFilterInOut* outputs = avfilter_inout_alloc();
  AVFilterInOut* inputs = avfilter_inout_alloc();
  if (outputs == nullptr || inputs == nullptr) return EngineError("filter graph", AVERROR(ENOMEM));
  *outputs = AVFilterInOut{av_strdup("in"), out.source_, 0, nullptr};
  *inputs = AVFilterInOut{av_strdup("out"), out.sink_, 0, nullptr};
  const std::string description = DescribeGraph(shape, placement, target);
  r = avfilter_graph_parse_ptr(graph, description.c_str(), &inputs, &outputs, nullptr);
  avfilter_inout_free(&inputs);
  avfilter_inout_free(&outputs);
  if (r >= 0) r = avfilter_graph_config(graph, nullptr);
  if (r < 0) return EngineError("filter graph", r).In(description);
  return out;
}

Result<void> PictureGraph::Send(AvPtr<AVFrame> frame) {
  if (frame) {
    // The filters believe the frame's tags: give them what we decided.
    const bool rgb = IsRgb(static_cast<AVPixelFormat>(frame->format));
    frame->colorspace = rgb ? AVCOL_SPC_RGB : shape_.colour.matrix;
    frame->color_primaries = shape_.colour.primaries;
    frame->color_trc = shape_.colour.transfer;
    frame->color_range = shape_.colour.range;
    frame->sample_aspect_ratio = AVRational{1, 1};
  }
  const int r = av_buffersrc_add_frame(source_, frame.get());
  if (r < 0 && r != AVERROR_EOF) return EngineError("filtering", r);
  return {};
}

Result<AvPtr<AVFrame>> PictureGraph::Receive() {
  AvPtr<AVFrame> frame = NewFrame();
  const int r = av_buffersink_get_frame(sink_, frame.get());
  if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return AvPtr<AVFrame>();
  if (r < 0) return EngineError("filtering", r);
  frame->pts = av_rescale_q(frame->pts, av_buffersink_get_time_base(sink_), kOutputTimeBase);
  return frame;
}

Result<AvPtr<AVFrame>> PictureGraph::FilterAlone(AvPtr<AVFrame> frame, int64_t pts) {
  frame->pts = pts;
  CHECK_OK(Send(std::move(frame)));
  // Deinterlacing waits for the next one.
  if (shape_.interlaced) CHECK_OK(Send(nullptr));
  TRY(AvPtr<AVFrame> out, Receive());
  if (out == nullptr) return EngineError("filtering", AVERROR_BUG);
  return out;
}

}  // namespace vr::worker
