// WorkerFixture: what tests of the real worker program share: a folder, clips that ffmpeg makes
// once per suite, a zygote.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "worker/testing/worker_client.h"

namespace vr::worker {

/// Generous: builds with sanitizers on a busy machine. A job here takes well under a second.
inline constexpr std::chrono::seconds kLimit{60};

/// What a shell command prints to standard output.
std::string Output(const std::string& command);
void WriteFile(const std::string& path, const std::string& bytes);

class WorkerFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;

  static std::string Path(const std::string& name) { return dir_ + "/" + name; }
  /// Makes a clip once; `arguments` are ffmpeg's between its inputs and the output path.
  static std::string Clip(const std::string& name, const std::string& arguments);
  /// Why there is no result.
  static std::string Why(const Outcome& o);

  static inline std::string dir_;
  static inline bool has_ffmpeg_ = false;
  static inline std::unique_ptr<WorkerClient> client_;
};

}  // namespace vr::worker
