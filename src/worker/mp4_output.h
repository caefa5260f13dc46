// Mp4Output: one MP4 file made of packets that are already encoded.
//
// Two forms of the same packets: kFragmented for those who wait now (append-only, a fragment each
// half second), kIndexed for what is stored (index first). Both are free of dates and random
// numbers. Packets of all streams are interleaved by decoding time alone, so that the bytes do not
// depend on which decoder was quicker. Main thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "worker/av.h"
#include "worker/file_sink.h"

namespace vr::worker {

class Mp4Output {
 public:
  enum class Form { kFragmented, kIndexed };

  /// Writes the header. @param encoders opened; stream i of the file is encoders[i]
  static Result<std::unique_ptr<Mp4Output>> Create(
      int fd, Form form, uint64_t max_bytes, const std::vector<const AVCodecContext*>& encoders);
  ~Mp4Output();
  Mp4Output(const Mp4Output&) = delete;
  Mp4Output& operator=(const Mp4Output&) = delete;

  /// @param packet not consumed; times in the encoder's time base
  Result<void> Write(const AVPacket& packet, int stream);
  /// Writes what is left, the index included.
  Result<void> Finish();
  /// Bytes that will not change any more (fragmented), or written so far (indexed).
  uint64_t size() const { return sink_.size(); }

 private:
  Mp4Output(int fd, Form form, uint64_t max_bytes);
  Error Failure(const char* where, int code) const;
  static int OpenOwn(AVFormatContext* context, AVIOContext** io, const char* url, int flags,
                     AVDictionary** options);
  static int CloseOwn(AVFormatContext* context, AVIOContext* io);

  const Form form_;
  FileSink sink_;
  AVFormatContext* context_ = nullptr;
  std::vector<AVRational> time_bases_;
};

}  // namespace vr::worker
