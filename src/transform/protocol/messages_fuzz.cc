// Feeds arbitrary bytes to the frame reader, as a broken or hostile worker would; what is
// understood must encode to the very bytes it came from (the format has one spelling).
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "transform/protocol/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vr::transform::protocol;  // NOLINT: one function
  std::string buffer(reinterpret_cast<const char*>(data), size);
  for (;;) {
    const std::string before = buffer;
    auto taken = TakeFrame(buffer);
    if (!taken.ok() || !taken->has_value()) return 0;
    VR_CHECK(Encode(**taken) + buffer == before);
  }
}
