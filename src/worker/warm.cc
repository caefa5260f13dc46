#include "worker/warm.h"

#include <malloc.h>

#include <ctime>

#include "worker/av.h"
#include "worker/av_log.h"
#include "worker/h264_encoder.h"
#include "worker/recipe.h"

extern "C" {
#include <libavutil/cpu.h>
#include <libavutil/mem.h>
}

namespace vr::worker {
namespace {
// One allocation; the largest planes of an 8K picture at 16 bit are far below.
constexpr size_t kMaxAllocation = 512u << 20;
}  // namespace

std::string WarmUp() {
  // Each of glibc's arenas reserves 64 MiB or more of address space, which RLIMIT_AS counts.
  mallopt(M_ARENA_MAX, 2);
  av_max_alloc(kMaxAllocation);
  InstallAvLog();
  av_get_cpu_flags();
  tzset();
  const std::string build = X264Build();
  return RecipeId(build);
}

}  // namespace vr::worker
