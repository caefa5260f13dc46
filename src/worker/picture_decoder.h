// PictureDecoder: packets of the video stream in, pictures with a place on the output's clock out.
// Damage is counted, not fatal. Main thread only.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "worker/av.h"
#include "worker/media.h"

namespace vr::worker {

class PictureDecoder {
 public:
  /// Called for each picture in presentation order with its time in kOutputTimeBase, relative to
  /// `begin`.
  /// @return false = no more pictures wanted
  using OnPicture = std::function<Result<bool>(AvPtr<AVFrame> frame, int64_t ticks)>;

  /// @param begin microseconds of the source's presentation time that are tick 0
  /// @param after_seek packets before the first key frame are left out: what they refer to was not
  /// read
  static Result<PictureDecoder> Create(const Media& media, int threads, int64_t begin,
                                       bool want_alpha, bool after_seek);

  /// Leaves out deblocking where it cannot be seen. Pictures that others are predicted from keep
  /// it.
  void SkipLoopFilter(bool everywhere);

  /// @param packet null = no more
  /// @return false once `on_picture` wants no more
  Result<bool> Feed(const AVPacket* packet, const OnPicture& on_picture);

  /// The seek landed behind the wanted picture: tick 0 passed before a key frame came.
  bool missed() const { return missed_; }
  int skipped_packets() const { return skipped_; }
  int64_t pictures() const { return pictures_; }
  /// Ticks; of the picture given to on_picture, by the container's word or the frame rate. At
  /// least 1.
  int64_t DurationOf(const AVFrame& frame) const;

 private:
  Result<bool> Drain(const OnPicture& on_picture);

  AvPtr<AVCodecContext> decoder_;
  AvPtr<AVFrame> frame_;
  AVRational time_base_{0, 1};
  int64_t begin_ticks_ = 0;
  int64_t frame_ticks_ = 0;
  int64_t next_ticks_ = 0;
  int wait_for_key_ = 0;  // packets that may still be left out
  int skipped_ = 0;
  int64_t pictures_ = 0;
  bool after_seek_ = false, missed_ = false;
};

}  // namespace vr::worker
