#include "transform/protocol/launch.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace vr::transform::protocol {
namespace {

TEST(Launch, LimitsTravelThroughTheEnvironment) {
  const WorkerLimits sent{.memory_bytes = 123, .cpu_seconds = 45, .max_output_bytes = 67};
  for (std::string& entry : sent.ToEnvironment()) {
    const size_t equals = entry.find('=');
    ASSERT_NE(equals, std::string::npos);
    setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  const WorkerLimits got = WorkerLimits::FromEnvironment();
  EXPECT_EQ(got.memory_bytes, 123u);
  EXPECT_EQ(got.cpu_seconds, 45u);
  EXPECT_EQ(got.max_output_bytes, 67u);
  setenv("VR_WORKER_CPU_SECONDS", "12x", 1);
  setenv("VR_WORKER_MEMORY_BYTES", "0", 1);
  unsetenv("VR_WORKER_MAX_OUTPUT_BYTES");
  const WorkerLimits defaults = WorkerLimits::FromEnvironment();
  EXPECT_EQ(defaults.cpu_seconds, WorkerLimits().cpu_seconds);
  EXPECT_EQ(defaults.memory_bytes, WorkerLimits().memory_bytes);
  EXPECT_EQ(defaults.max_output_bytes, WorkerLimits().max_output_bytes);
  unsetenv("VR_WORKER_CPU_SECONDS");
  unsetenv("VR_WORKER_MEMORY_BYTES");
}

}  // namespace
}  // namespace vr::transform::protocol
