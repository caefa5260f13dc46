// PictureFinder: which picture is on the screen at a time, found with as little reading and
// decoding as the source allows. Frames, spritesheets and animations are built on it.
//
// Two ways: exact (decode from the key frame before) and by key frames alone. Reads no sound. What
// it finds does not depend on threads or on how the source arrives. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/av.h"
#include "worker/media.h"
#include "worker/picture_decoder.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

struct Picture {
  AvPtr<AVFrame> frame;
  int64_t ticks = 0;     ///< of kOutputTimeBase, from the asked start; the first picture's is 0
  int64_t duration = 1;  ///< ticks
};

struct KeyPacket {
  AvPtr<AVPacket> packet;
  double seconds = 0;  ///< when it is shown
};

class PictureFinder {
 public:
  /// @return false = no more pictures wanted
  using OnPicture = std::function<Result<bool>(Picture)>;

  /// @errors as Media::Open, and TIME_OUT_OF_RANGE for a job that starts past the declared end
  static Result<std::unique_ptr<PictureFinder>> Open(const transform::protocol::Job& job,
                                                     SourceIo& source, Reporter& reporter,
                                                     Want want = Want::kPicture);
  /// For Alone(job.start_seconds); everything else works as well, but costs opening anew.
  static Result<std::unique_ptr<PictureFinder>> OpenForOne(const transform::protocol::Job& job,
                                                           SourceIo& source, Reporter& reporter);

  const Media& media() const { return *media_; }

  /// Decodes from the picture on the screen at `start` seconds on, to the end or until `on_picture`
  /// wants no more. At least one picture is given.
  /// @errors TIME_OUT_OF_RANGE: the pictures end before `start`; SOURCE_*; SOURCE_TOO_LARGE when
  ///   more than limits.max_frames had to be decoded, in the whole job
  Result<void> From(double start, const OnPicture& on_picture);

  /// The picture on the screen at `start`, as From() would give it, decoding nothing that it does
  /// not need. @return null: the packets do not tell which that is, or it came out damaged
  Result<AvPtr<AVFrame>> Alone(double start);

  /// The last key frame shown at or before `seconds`, undecoded.
  /// @param earliest how far back it is looked for; may give an earlier one that lay on the way
  /// @return nullopt: none there, or this container cannot tell
  Result<std::optional<KeyPacket>> KeyAt(double seconds, double earliest);
  /// Decodes one key frame alone. @return null when nothing comes out
  Result<AvPtr<AVFrame>> Decode(const KeyPacket& key);

  /// When the pictures end, by the packets from `seconds` on. Reads on only to the first that is
  /// still shown at `seconds`, and then returns nullopt: they end later.
  Result<std::optional<double>> EndBefore(double seconds);

  /// About damage, for Done.
  std::vector<std::string> Warnings() const;
  int skipped_packets() const { return skipped_; }

 private:
  PictureFinder(const transform::protocol::Job& job, SourceIo& source, Reporter& reporter,
                Want want)
      : job_(job), source_(source), reporter_(reporter), want_(want) {}
  Result<void> Reopen();
  /// Before anything but Alone().
  Result<void> HaveAll();
  Result<AvPtr<AVFrame>> TryAlone(double start);
  Error TooManyPictures() const;
  /// Stands at the last key frame at or before `point`, 0 = the beginning. @return false: cannot
  Result<bool> MoveTo(double point);
  Result<bool> Attempt(double start, bool may_retry, const OnPicture& on_picture);
  /// What has to be decoded, in this order, for its last one to be shown.
  using Packets = std::vector<AvPtr<AVPacket>>;
  /// @param begin microseconds. @return empty: not told
  Result<Packets> PacketsFor(int64_t begin);
  Result<AvPtr<AVFrame>> DecodeLastOf(const Packets& packets);
  Result<std::optional<KeyPacket>> ScanForKey(double seconds, bool stop_at_first);
  double SecondsOf(const AVPacket& packet) const;
  bool IndexCovers(double seconds) const;

  const transform::protocol::Job& job_;
  SourceIo& source_;
  Reporter& reporter_;
  const Want want_;
  bool is_for_one_ = false;  ///< the picture at the job's start is all that is wanted, so far
  std::unique_ptr<Media> media_;
  AvPtr<AVCodecContext> key_decoder_;
  bool fresh_ = true;  // stands where opening left it
  bool is_mov_ = false, is_gif_ = false;
  bool broke_off_ = false;
  int skipped_ = 0;
  uint64_t decoded_ = 0;
};

}  // namespace vr::worker
