// MediaOutput: one media file made of packets that are already encoded.
//
// A video has two forms of the same packets: an append-only one for those who wait now (fragmented
// MP4, a short fragment and then one each half second; WebM without an index) and the one that is
// stored (index first). All are free of dates and random numbers. Packets of all streams are
// interleaved by decoding time alone, so that the bytes do not depend on which decoder was quicker.
// Main thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/result.h"
#include "worker/av.h"
#include "worker/file_sink.h"

namespace vr::worker {

/// One stream of a file, as its muxer wants to know it.
struct TrackFormat {
  AvPtr<AVCodecParameters> parameters;
  AVRational time_base{0, 1};  ///< of the packets that will be written
  AVRational frame_rate{0, 1};

  /// Of an opened encoder.
  static Result<TrackFormat> Of(const AVCodecContext& encoder);
  /// Of pictures we encode: their times are in kOutputTimeBase.
  static Result<TrackFormat> Of(const AVCodecParameters& pictures, AVRational frame_rate);
  /// Of a source's stream whose packets are copied.
  static Result<TrackFormat> Of(const AVStream& stream);
};

class MediaOutput {
 public:
  enum class Form {
    kFragmented,  ///< MP4, append-only
    kIndexed,     ///< MP4, index first
    kWebmLive,    ///< WebM, append-only, without index and duration
    kWebm,        ///< WebM, Cues and duration in front
    kM4a,         ///< MP4 for sound, index first
    kMp3,         ///< with a Xing/LAME header
    kOgg,
  };

  /// Writes the header. Stream i of the file is tracks[i].
  /// @param index_room of kIndexed: bytes left free in front for the index, so that what was
  ///   written need not be moved to make room; when they do not suffice, Finish() fails. 0: moved
  static Result<std::unique_ptr<MediaOutput>> Create(int fd, Form form, uint64_t max_bytes,
                                                     const std::vector<TrackFormat>& tracks,
                                                     uint64_t index_room = 0);
  ~MediaOutput();
  MediaOutput(const MediaOutput&) = delete;
  MediaOutput& operator=(const MediaOutput&) = delete;

  /// @param packet not consumed; times in the track's time base
  Result<void> Write(const AVPacket& packet, int stream);
  /// Writes what is left, the index included.
  Result<void> Finish();
  /// Bytes that will not change any more (append-only forms), or written so far (the others).
  uint64_t size() const { return sink_.size(); }

 private:
  MediaOutput(int fd, Form form, uint64_t max_bytes);
  bool is_append_only() const { return form_ == Form::kFragmented || form_ == Form::kWebmLive; }
  Error Failure(const char* where, int code) const;
  /// Writes what can have nothing before it any more. @param all no more packets come
  Result<void> WriteInOrder(bool all);
  bool IsBefore(const AVPacket& a, const AVPacket& b) const;
  Result<void> Flush();
  static int OpenOwn(AVFormatContext* context, AVIOContext** io, const char* url, int flags,
                     AVDictionary** options);
  static int CloseOwn(AVFormatContext* context, AVIOContext* io);

  const Form form_;
  FileSink sink_;
  AVFormatContext* context_ = nullptr;
  std::vector<AVRational> time_bases_;
  /// By stream. libav's own queue would do, but it writes several packets in one call: when the
  /// first fragment ends would depend on which stream was quicker.
  std::vector<std::deque<AvPtr<AVPacket>>> waiting_;
  bool has_begun_ = false;  ///< the first fragment is written
};

}  // namespace vr::worker
