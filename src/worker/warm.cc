#include "worker/warm.h"

#include <link.h>
#include <malloc.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "worker/av.h"
#include "worker/av_log.h"
#include "worker/recipe.h"
#include "worker/video_encoder.h"

extern "C" {
#include <libavutil/cpu.h>
#include <libavutil/mem.h>
}

namespace vr::worker {
namespace {
// One allocation; the largest planes of an 8K picture at 16 bit are far below.
constexpr size_t kMaxAllocation = 512u << 20;

bool is_filling = false;

void Fill(bool on) {
  constexpr int kFill = 0xff;  // glibc's: new memory is its complement, 0
  if (on != is_filling) mallopt(M_PERTURB, on ? kFill : 0);
  is_filling = on;
}

/// File names of the linked encoders, version included ("libvpx.so.7.1.0"): libav does not say it,
/// and another version may make other bytes.
std::vector<std::string> LinkedEncoders() {
  std::vector<std::string> names;
  const auto visit = [](dl_phdr_info* info, size_t, void* out) {
    const std::string_view path = info->dlpi_name != nullptr ? info->dlpi_name : "";
    const std::string_view file = path.substr(path.rfind('/') + 1);
    for (const std::string_view name :
         {"libx264.", "libx265.", "libvpx.", "libSvtAv1Enc.", "libaom.", "libwebp.", "libwebpmux.",
          "libopus.", "libmp3lame.", "libzimg."}) {
      if (!file.starts_with(name)) continue;
      char real[PATH_MAX];
      std::string found(file);
      if (realpath(info->dlpi_name, real) != nullptr) found = real;
      static_cast<std::vector<std::string>*>(out)->push_back(found.substr(found.rfind('/') + 1));
    }
    return 0;
  };
  dl_iterate_phdr(visit, &names);
  std::sort(names.begin(), names.end());
  return names;
}

/// Codecs build their tables when they are first opened.
void OpenOnce(const AVCodec* codec) {
  AvPtr<AVCodecContext> c(avcodec_alloc_context3(codec));
  if (c == nullptr) return;
  c->thread_count = 1;  // a zygote has no threads
  c->sample_rate = 48000;
  av_channel_layout_default(&c->ch_layout, 2);
  (void)avcodec_open2(c.get(), codec, nullptr);
}
}  // namespace

std::string WarmUp() {
  // Each of glibc's arenas reserves 64 MiB or more of address space, which RLIMIT_AS counts.
  mallopt(M_ARENA_MAX, 2);
  // New memory is always zero. x264's macroblock tree (build 164, assembly, B-frames) reads memory
  // it has not written, so that its output would depend on what the heap held before.
  Fill(true);
  av_max_alloc(kMaxAllocation);
  InstallAvLog();
  av_get_cpu_flags();
  tzset();
  const std::string build = X264Build();
  for (const AVCodecID id : {AV_CODEC_ID_H264, AV_CODEC_ID_HEVC, AV_CODEC_ID_VP9, AV_CODEC_ID_VP8,
                             AV_CODEC_ID_AAC, AV_CODEC_ID_MP3}) {
    if (const AVCodec* decoder = avcodec_find_decoder(id)) OpenOnce(decoder);
  }
  return RecipeId(build, LinkedEncoders());
}

MemoryFill::MemoryFill(bool on) : before_(is_filling) {
  Fill(on);
}

MemoryFill::~MemoryFill() {
  Fill(before_);
}

}  // namespace vr::worker
