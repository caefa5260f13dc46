// How many cores this process may use: what is installed is not what a container or a service
// manager has granted.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string_view>

namespace vr::io {

/// Cores that may run this thread (sched_setaffinity(2): taskset, cpusets), but no more than the
/// quota of its control group, rounded up (cgroup v2, cpu.max of the group and those above it). At
/// least 1.
size_t UsableCores();

/// Reads one cpu.max file's text: "max 100000" or "QUOTA PERIOD", microseconds.
/// @return cores, rounded up; nullopt: no limit, or not such a text
std::optional<size_t> CoresOfQuota(std::string_view cpu_max);

/// The smallest quota of the control group that `self_cgroup` (/proc/self/cgroup) names and of
/// those above it, below the mount point `root`; nullopt: none.
std::optional<size_t> QuotaOfGroup(const std::filesystem::path& self_cgroup,
                                   const std::filesystem::path& root);

}  // namespace vr::io
