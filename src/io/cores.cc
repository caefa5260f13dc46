#include "io/cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <thread>

namespace vr::io {

namespace {

/// Of this thread; 0 = the kernel has more than the set can name.
size_t CoresOfAffinity() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  return static_cast<size_t>(CPU_COUNT(&set));
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string FirstLine(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace

std::optional<size_t> CoresOfQuota(std::string_view cpu_max) {
  while (!cpu_max.empty() && cpu_max.back() == '\n') cpu_max.remove_suffix(1);
  const size_t space = cpu_max.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::optional<uint64_t> quota = Number(cpu_max.substr(0, space));
  const std::optional<uint64_t> period = Number(cpu_max.substr(space + 1));
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<size_t>((*quota - 1) / *period + 1);
}

std::optional<size_t> QuotaOfGroup(const std::filesystem::path& self_cgroup,
                                   const std::filesystem::path& root) {
  std::ifstream in(self_cgroup);
  std::string line;
  // Version 2 is the line "0::/path".
  while (std::getline(in, line) && !line.starts_with("0::/")) line.clear();
  if (line.empty()) return std::nullopt;
  std::optional<size_t> least;
  std::filesystem::path group = std::filesystem::path(line.substr(4)).lexically_normal();
  for (;;) {
    const std::optional<size_t> cores = CoresOfQuota(FirstLine(root / group / "cpu.max"));
    if (cores) least = std::min(least.value_or(*cores), *cores);
    if (group.empty()) return least;
    group = group.parent_path();
  }
}

size_t UsableCores() {
  size_t cores = CoresOfAffinity();
  if (cores == 0) cores = std::max(1U, std::thread::hardware_concurrency());
  const std::optional<size_t> quota = QuotaOfGroup("/proc/self/cgroup", "/sys/fs/cgroup");
  return std::max<size_t>(1, std::min(cores, quota.value_or(cores)));
}

}  // namespace vr::io
