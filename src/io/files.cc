#include "io/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace vr::io {
namespace {

class SystemFiles final : public Files {
 public:
  Result<UniqueFd> Open(const std::string& path, int flags) override {
    int fd = -1;
    do {
      fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return ErrnoError(errno, "open " + path);
    return UniqueFd(fd);
  }
  Result<void> WriteAt(int fd, std::string_view bytes, uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(errno, "write");
      }
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }
  Result<void> Sync(int fd) override {
    struct stat st {};
    if (::fstat(fd, &st) != 0) return ErrnoError(errno, "fstat");
    if ((S_ISDIR(st.st_mode) ? ::fsync(fd) : ::fdatasync(fd)) != 0) {
      return ErrnoError(errno, "sync");
    }
    return {};
  }
  Result<void> Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "unlink " + path);
    return {};
  }
  Result<void> Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoError(errno, "rename " + from);
    return {};
  }
  Result<Space> SpaceAt(const std::string& path) override {
    struct statvfs st {};
    if (::statvfs(path.c_str(), &st) != 0) return ErrnoError(errno, "statvfs " + path);
    Space space;
    space.total = static_cast<uint64_t>(st.f_blocks) * st.f_frsize;
    space.free = static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
    return space;
  }
};

struct CloseDirectory {
  void operator()(DIR* d) const { ::closedir(d); }
};

}  // namespace

Result<void> Files::SyncDirectory(const std::string& path) {
  TRY(const UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  return Sync(fd.get());
}

Files& Files::System() {
  static SystemFiles files;
  return files;
}

Result<uint64_t> SizeOf(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "fstat");
  return static_cast<uint64_t>(st.st_size);
}

Result<std::string> ReadAt(int fd, uint64_t offset, uint64_t size) {
  std::string out(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::pread(fd, out.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read");
    }
    if (n == 0)
      return Error(Code::kCorruption, "the file is shorter than expected", "read: end of file");
    done += static_cast<size_t>(n);
  }
  return out;
}

Result<void> MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoError(errno, "mkdir " + path);
  return {};
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::unique_ptr<DIR, CloseDirectory> dir(::opendir(path.c_str()));
  if (!dir) return ErrnoError(errno, "opendir " + path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return ErrnoError(errno, "readdir " + path);
  return names;
}

Result<UniqueFd> MemoryFile(const char* name) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "memfd_create");
  return UniqueFd(fd);
}

}  // namespace vr::io
