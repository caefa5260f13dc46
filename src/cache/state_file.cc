#include "cache/state_file.h"

#include <fcntl.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"
#include "io/files.h"

namespace vr::cache {

namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

}  // namespace

void SealState(std::string& bytes) {
  const Hash128 hash = HashOf(bytes);
  PutUint(bytes, hash.high, 8);
  PutUint(bytes, hash.low, 8);
}

Result<std::string_view> UnsealState(std::string_view bytes, const StateFormat& format) {
  const std::string_view header = format.header;
  const std::string_view family = header.substr(0, header.rfind(' ') + 1);
  if (bytes.starts_with(family) && !bytes.starts_with(header)) {
    return Error(Code::kUnsupported, format.other_version);
  }
  if (!bytes.starts_with(header) || bytes.size() < header.size() + kStateHashBytes) {
    return Error(Code::kCorruption, format.unreadable, "header");
  }
  const std::string_view hashed = bytes.substr(0, bytes.size() - kStateHashBytes);
  Hash128 said;
  said.high = GetUint(bytes, hashed.size(), 8);
  said.low = GetUint(bytes, hashed.size() + 8, 8);
  if (said != HashOf(hashed)) return Error(Code::kCorruption, format.unreadable, "checksum");
  return hashed.substr(header.size());
}

Result<void> WriteStateFile(const std::string& path, std::string_view bytes) {
  io::Files& files = io::Files::System();
  const std::string fresh = path + ".new";
  {
    TRY(const UniqueFd fd, files.Open(fresh, O_WRONLY | O_CREAT | O_TRUNC));
    CHECK_OK(files.WriteAt(fd.get(), bytes, 0));
    CHECK_OK(files.Sync(fd.get()));
  }
  CHECK_OK(files.Rename(fresh, path));
  return files.SyncDirectory(DirectoryOf(path));
}

Result<std::string> ReadStateFile(const std::string& path, uint64_t most) {
  TRY(const UniqueFd fd, io::Files::System().Open(path, O_RDONLY));
  TRY(const uint64_t size, io::SizeOf(fd.get()));
  if (size > most) return Error(Code::kCorruption, "a file of state is larger than any", path);
  return io::ReadAt(fd.get(), 0, size);
}

}  // namespace vr::cache
