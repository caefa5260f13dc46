#include "worker/testing/worker_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace vr::worker {

namespace fs = std::filesystem;

std::string Output(const std::string& command) {
  std::string out;
  FILE* pipe = popen(("{ " + command + "; } 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return out;
  char buffer[4096];
  size_t n = 0;
  while ((n = fread(buffer, 1, sizeof buffer, pipe)) > 0) out.append(buffer, n);
  pclose(pipe);
  return out;
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void WorkerFixture::SetUpTestSuite() {
  char name[] = "/tmp/vr-worker-test-XXXXXX";
  dir_ = mkdtemp(name);
  has_ffmpeg_ = system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") == 0;
  client_ = std::make_unique<WorkerClient>(VR_WORKER_PATH);
}

void WorkerFixture::TearDownTestSuite() {
  client_.reset();
  fs::remove_all(dir_);
}

void WorkerFixture::SetUp() {
  if (!has_ffmpeg_) GTEST_SKIP() << "needs the ffmpeg command line";
}

std::string WorkerFixture::Clip(const std::string& name, const std::string& arguments) {
  const std::string path = Path(name);
  if (!fs::exists(path)) {
    (void)!system(("ffmpeg -v error -y " + arguments + " '" + path + "' >/dev/null 2>&1").c_str());
  }
  return path;
}

std::string WorkerFixture::Why(const Outcome& o) {
  if (o.failed) {
    return o.failed->reason + ": " + o.failed->message + " (" + o.failed->detail + ")";
  }
  if (o.exited && !o.done) return "died with status " + std::to_string(o.exited->wait_status);
  return o.timed_out ? "timed out" : "";
}

}  // namespace vr::worker
