// Settings of prewarming: what is made before anybody asks for it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vr::cache {

struct PrewarmOptions {
  /// Made of a source that has become hot; names of derivatives.
  std::vector<std::string> derivatives;
  /// Made of a source that a storage says is new; names of derivatives.
  std::vector<std::string> on_upload;
  /// The path of ours where a storage's object is found: ${bucket} and ${key} are filled in.
  std::string upload_path = "/${key}";
  /// A source that is asked for this often within `hot_window` is hot; 0 = none ever is.
  uint32_t hot_requests = 0;
  std::chrono::seconds hot_window{60};
  /// Variants that wait to be made; more are refused (OVERLOADED).
  size_t queue = 10'000;
  /// Sources that are worked on at the same time.
  uint32_t concurrency = 1;
  /// Variants of one source that one worker makes together.
  uint32_t together = 6;
  /// Keeps orders that have not ended over restarts; empty = nothing does.
  std::string state_file;
  std::chrono::milliseconds keep_every{1000};  ///< at the most, while orders change
};

}  // namespace vr::cache
