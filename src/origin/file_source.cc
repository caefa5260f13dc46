#include "origin/file_source.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace vr::origin {

namespace {

constexpr int kFlags =
    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // O_NONBLOCK: a fifo must not hold us
constexpr int kMaxRaces = 16;

int OpenAt2(int root, const char* path, uint64_t resolve) {
  open_how how{};
  how.flags = kFlags;
  how.resolve = resolve;
  // EAGAIN: something below the root was renamed while the kernel looked; it could not be sure.
  for (int i = 0;; ++i) {
    const long fd = ::syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == EINTR || (errno == EAGAIN && i < kMaxRaces)) continue;
    return -1;
  }
}

/// For kernels and containers without openat2: step by step, following no link at all.
int OpenStepwise(int root, const std::string& path) {
  UniqueFd at;
  for (size_t begin = 0;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const int from = at ? at.get() : root;
    if (end == path.size()) return ::openat(from, name.c_str(), kFlags | O_NOFOLLOW);
    const int next = ::openat(from, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) return -1;
    at.Reset(next);
    begin = end + 1;
  }
}

int OpenBelow(int root, const std::string& path, SymlinkPolicy policy) {
  uint64_t resolve = RESOLVE_NO_MAGICLINKS;
  if (policy != SymlinkPolicy::kAlways) resolve |= RESOLVE_BENEATH;
  if (policy == SymlinkPolicy::kNever) resolve |= RESOLVE_NO_SYMLINKS;
  const int fd = OpenAt2(root, path.c_str(), resolve);
  if (fd >= 0 || errno != ENOSYS) return fd;
  if (policy == SymlinkPolicy::kAlways) return ::openat(root, path.c_str(), kFlags);
  return OpenStepwise(root, path);
}

Error NotFound(std::string detail) {
  return Error(Code::kNotFound, "the source was not found", std::move(detail));
}

class FileSource final : public Source {
 public:
  FileSource(SourceInfo info, SharedFd file) : info_(std::move(info)), file_(std::move(file)) {}
  const SourceInfo& info() const override { return info_; }
  const SharedFd& file() const override { return file_; }
  bool is_complete() const override { return true; }
  io::Task<Result<uint64_t>> Ensure(Context, uint64_t offset, uint64_t) override {
    const uint64_t size = *info_.size;
    co_return offset < size ? size - offset : 0;
  }

 private:
  const SourceInfo info_;
  const SharedFd file_;
};

}  // namespace

Error TooLarge(std::optional<uint64_t> size, uint64_t limit_bytes) {
  const std::string allowed = std::to_string(limit_bytes);
  return Error(Code::kResourceExhausted, "the source is larger than allowed")
      .WithReason("SOURCE_TOO_LARGE")
      .WithFact("limit", "bytes")
      .WithFact("value", size ? std::to_string(*size) : "more than " + allowed)
      .WithFact("allowed", allowed);
}

Result<SourceRef> OpenFileSource(const FileRequest& request) {
  if (request.path.empty()) return NotFound("the root itself");
  const UniqueFd root(::open(request.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) {
    // The operator's mistake or a lost mount: not the same as "no such source".
    const int why = errno;
    Error error = ErrnoError(why, "opening an origin's root directory");
    if (error.code == Code::kNotFound) error.code = Code::kUnavailable;
    return error;
  }
  const int fd = OpenBelow(root.get(), request.path, request.follow_symlinks);
  if (fd < 0) {
    switch (errno) {
      case ENXIO:  // a socket, or a device that is not there
      case EISDIR:
      case EXDEV:  // leaves the root
      case ELOOP:  // a link under `never`, or too many
      case ENAMETOOLONG:
      case EINVAL:
      case ENODEV:
        return NotFound("no regular file below the root");
      default:
        return ErrnoError(errno, "opening a source file");
    }
  }
  auto file = std::make_shared<UniqueFd>(fd);
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "fstat of a source file");
  if (!S_ISREG(st.st_mode)) return NotFound("not a regular file");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size > request.max_bytes) return TooLarge(size, request.max_bytes);
  SourceInfo info;
  info.size = size;
  info.last_modified_ms = int64_t{st.st_mtim.tv_sec} * 1000 + st.st_mtim.tv_nsec / 1'000'000;
  char validator[96];
  std::snprintf(validator, sizeof validator, "%llx-%llx.%09ld-%llx",
                static_cast<unsigned long long>(size),
                static_cast<unsigned long long>(st.st_mtim.tv_sec),
                static_cast<long>(st.st_mtim.tv_nsec), static_cast<unsigned long long>(st.st_ino));
  info.validator = validator;
  info.type = "file";
  info.origin_name = request.origin_name;
  return SourceRef(std::make_shared<FileSource>(std::move(info), std::move(file)));
}

}  // namespace vr::origin
