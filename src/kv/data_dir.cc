#include "kv/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vr::kv {
namespace {

constexpr std::string_view kLayout = "video-resizer store 1\n";

}  // namespace

Result<UniqueFd> LockDataDir(const std::string& dir, io::Files& files) {
  const std::string path = dir + "/lock";
  TRY(UniqueFd lock, files.Open(path, O_RDWR | O_CREAT));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, "flock " + path);
    char pid[24] = {};
    const ssize_t n = ::pread(lock.get(), pid, sizeof pid - 1, 0);
    std::string owner = n > 0 ? std::string(pid, static_cast<size_t>(n)) : "unknown";
    if (owner.ends_with('\n')) owner.pop_back();
    return Error(Code::kUnavailable, "the data directory is in use by another process",
                 dir + " is locked by process " + owner);
  }
  if (::ftruncate(lock.get(), 0) != 0) return ErrnoError(errno, "truncate " + path);
  CHECK_OK(files.WriteAt(lock.get(), std::to_string(::getpid()) + "\n", 0));
  return lock;
}

Result<void> CheckLayout(const std::string& dir, io::Files& files) {
  const std::string path = dir + "/version";
  Result<UniqueFd> existing = files.Open(path, O_RDONLY);
  if (existing.ok()) {
    TRY(const uint64_t size, io::SizeOf(existing->get()));
    TRY(std::string text, io::ReadAt(existing->get(), 0, std::min<uint64_t>(size, 256)));
    if (text == kLayout) return {};
    if (text.ends_with('\n')) text.pop_back();
    return Error(Code::kUnsupported, "the data directory has a layout this version does not know",
                 path + " says \"" + text + "\", this program reads layout 1");
  }
  struct stat st {};
  if (existing.error().code == Code::kNotFound && ::stat((dir + "/index").c_str(), &st) == 0) {
    return Error(Code::kUnsupported, "the data directory has a layout this version does not know",
                 dir + " has an index but no file \"version\"");
  }
  return std::move(existing).error();
}

Result<void> EnsureLayout(const std::string& dir, io::Files& files) {
  Result<void> there = CheckLayout(dir, files);
  if (there.ok() || there.error().code != Code::kNotFound) return there;
  // Whole or absent: written aside, then renamed.
  const std::string path = dir + "/version";
  const std::string aside = path + ".new";
  TRY(const UniqueFd fd, files.Open(aside, O_WRONLY | O_CREAT | O_TRUNC));
  CHECK_OK(files.WriteAt(fd.get(), kLayout, 0));
  CHECK_OK(files.Sync(fd.get()));
  CHECK_OK(files.Rename(aside, path));
  CHECK_OK(files.SyncDirectory(dir));
  // The directory's own name. Where we may not read what is above it, its maker answers for that.
  (void)files.SyncDirectory(dir + "/..").ok();
  return {};
}

}  // namespace vr::kv
