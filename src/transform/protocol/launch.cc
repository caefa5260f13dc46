#include "transform/protocol/launch.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace vr::transform::protocol {
namespace {

constexpr const char* kMemory = "VR_WORKER_MEMORY_BYTES";
constexpr const char* kCpu = "VR_WORKER_CPU_SECONDS";
constexpr const char* kOutput = "VR_WORKER_MAX_OUTPUT_BYTES";

void Read(const char* name, uint64_t& value) {
  const char* text = std::getenv(name);
  if (text == nullptr) return;
  const std::string_view all(text);
  uint64_t parsed = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), parsed);
  if (error == std::errc() && end == all.data() + all.size() && parsed > 0) value = parsed;
}

}  // namespace

std::vector<std::string> WorkerLimits::ToEnvironment() const {
  return {std::string(kMemory) + "=" + std::to_string(memory_bytes),
          std::string(kCpu) + "=" + std::to_string(cpu_seconds),
          std::string(kOutput) + "=" + std::to_string(max_output_bytes)};
}

WorkerLimits WorkerLimits::FromEnvironment() {
  WorkerLimits limits;
  Read(kMemory, limits.memory_bytes);
  Read(kCpu, limits.cpu_seconds);
  Read(kOutput, limits.max_output_bytes);
  return limits;
}

}  // namespace vr::transform::protocol
