// Settings of the transform room: how many workers, how much each may take, and how long.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "transform/protocol/messages.h"

namespace vr::transform {

struct Options {
  /// Jobs at the same time, each in a worker process of its own; 0 = one per core.
  uint32_t workers = 0;
  /// How far workers stand behind the server when there are not enough cores, nice(2): 0 = not at
  /// all, 19 = as far as possible.
  int niceness = 10;
  /// Jobs that wait for a worker; one more is refused at once (OVERLOADED).
  size_t queue = 256;
  /// Most wall time of one job, its waiting for a worker not included (that is the caller's
  /// deadline).
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};
  /// A worker that makes no progress for this long, and does not wait for its source, is killed.
  std::chrono::milliseconds no_progress_timeout{std::chrono::seconds(30)};
  /// A source larger than this is refused (SOURCE_TOO_LARGE), bytes.
  uint64_t max_source_bytes = 6ull << 30;
  /// Most width*height of a source, pixels.
  uint64_t max_pixels = 35'000'000;
  /// Longest source, and longest output.
  std::chrono::milliseconds max_duration{std::chrono::hours(4)};
  /// Largest output file, bytes. The worker's own limit (RLIMIT_FSIZE) and the pool's.
  uint64_t max_output_bytes = 4ull << 30;
  /// Address space of a worker, bytes. The libraries alone map about 250 MiB, 1080p needs 500 MiB.
  uint64_t worker_memory = 2ull << 30;
  /// CPU time of one worker.
  std::chrono::seconds max_cpu{std::chrono::minutes(20)};
  /// Most streams of a source; more is refused as a bomb.
  uint32_t max_streams = 64;
  /// Most pictures decoded for one result.
  uint64_t max_frames = 1'000'000;
  /// Most width*height*pictures of a GIF or WebP that moves; they are held in memory or slow to
  /// make.
  uint64_t max_animation_pixels = 500'000'000;
  /// Whether a frame is the picture at its time or, cheaper, the key frame before it.
  protocol::Accuracy frame_accuracy = protocol::Accuracy::kExact;
  /// quality=auto: the structural similarity (SSIM) to aim at, 0.8-0.999; 0 = a fixed quality.
  double target_ssim = 0;
  /// Long videos are encoded in segments, several at the same time when there are idle cores.
  bool segments = true;
  /// Largest `width` or `height` that may be asked for, pixels.
  uint32_t max_dimension = 8192;
  /// Pause before the worker's parent (the zygote) is started again after it died; doubles up to 32
  /// times this.
  std::chrono::milliseconds restart_backoff{100};
  /// How long Stop() lets running jobs go on before they are killed.
  std::chrono::milliseconds drain_timeout{std::chrono::seconds(20)};
  /// The worker program; empty = `video-resizer-worker` beside our own executable.
  std::string worker_path;
};

}  // namespace vr::transform
