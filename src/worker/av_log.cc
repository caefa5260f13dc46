#include "worker/av_log.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/mutex.h"
#include "worker/av.h"

namespace vr::worker {
namespace {

constexpr size_t kMaxKept = 600;  // bytes; enough for the first causes

std::atomic<bool> too_many_pixels{false};
std::atomic<bool> too_many_streams{false};
std::atomic<int> kept_lines{0};
Guarded<std::string>& Kept() {
  static Guarded<std::string> kept;
  return kept;
}

void OnLog(void* context, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  if (std::strstr(format, "exceeds specified max pixel count") != nullptr) too_many_pixels = true;
  if (std::strstr(format, "exceeds max_streams parameter") != nullptr) too_many_streams = true;
  if (kept_lines.fetch_add(1, std::memory_order_relaxed) > 20) return;
  char text[200];
  std::vsnprintf(text, sizeof text, format, arguments);
  for (char* c = text; *c != 0; ++c) {
    if (static_cast<unsigned char>(*c) < 0x20 || static_cast<unsigned char>(*c) > 0x7e) *c = ' ';
  }
  const AVClass* av_class = context != nullptr ? *static_cast<const AVClass**>(context) : nullptr;
  Kept().With([&](std::string& all) {
    if (all.size() > kMaxKept) return;
    if (!all.empty()) all += " | ";
    if (av_class != nullptr && av_class->class_name != nullptr) {
      all += std::string(av_class->item_name(context)) + ": ";
    }
    all += text;
  });
}

}  // namespace

void InstallAvLog() {
  Kept();
  av_log_set_callback(&OnLog);
}

std::string AvLogLines() {
  return Kept().With([](std::string& all) { return all; });
}

bool AvLogSawTooManyPixels() {
  return too_many_pixels;
}

bool AvLogSawTooManyStreams() {
  return too_many_streams;
}

}  // namespace vr::worker
