#include "cache/staging.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace vr::cache {

Result<std::unique_ptr<Staging>> Staging::Create(std::string directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) return ErrnoError(failed.value(), "creating " + directory);
  return std::unique_ptr<Staging>(new Staging(std::move(directory)));
}

Result<SharedFd> Staging::NewFile() {
  int fd = ::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    // A file system without O_TMPFILE: a named file, unnamed at once.
    std::string name = directory_ + "/stage-XXXXXX";
    fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(name.c_str());
  }
  if (fd < 0) return ErrnoError(errno, "creating a staging file in " + directory_);
  return std::make_shared<const UniqueFd>(fd);
}

}  // namespace vr::cache
