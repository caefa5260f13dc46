// Owners for libav's objects, and its error numbers in words. The only place with their free
// functions.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/dict.h>
#include <libavutil/frame.h>
#include <libswresample/swresample.h>
}

#include <memory>
#include <string>

namespace vr::worker {

struct AvFree {
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVCodecParameters* p) const { avcodec_parameters_free(&p); }
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFilterGraph* p) const { avfilter_graph_free(&p); }
  void operator()(SwrContext* p) const { swr_free(&p); }
  void operator()(AVAudioFifo* p) const { av_audio_fifo_free(p); }
  void operator()(AVDictionary* p) const { av_dict_free(&p); }
};
template <class T>
using AvPtr = std::unique_ptr<T, AvFree>;

inline constexpr AVRational kMicroseconds{1, 1'000'000};
/// Time base of everything we encode: whole ticks for 23.976, 24, 25, 29.97, 30, 50, 59.94, 60 and
/// 120 frames/s, and 9.9 hours fit 32 bits.
inline constexpr AVRational kOutputTimeBase{1, 120'000};

inline std::string AvError(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return std::string(text) + " (" + std::to_string(code) + ")";
}

inline AvPtr<AVFrame> NewFrame() {
  return AvPtr<AVFrame>(av_frame_alloc());
}
inline AvPtr<AVPacket> NewPacket() {
  return AvPtr<AVPacket>(av_packet_alloc());
}

}  // namespace vr::worker
