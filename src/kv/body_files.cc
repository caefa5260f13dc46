#include "kv/body_files.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <random>
#include <thread>

#include "observe/log.h"

namespace vr::kv {
namespace {

std::string Hex(uint64_t value, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(static_cast<size_t>(digits), '0');
  for (int i = digits - 1; i >= 0; --i, value >>= 4)
    out[static_cast<size_t>(i)] = kDigits[value & 15];
  return out;
}

/// The id in a name of ours; anything else in the directory is not ours to touch.
std::optional<uint64_t> ParseId(std::string_view name) {
  uint64_t id = 0;
  if (name.size() != 16) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id, 16);
  if (error != std::errc() || end != name.data() + name.size() || Hex(id, 16) != name) {
    return std::nullopt;
  }
  return id;
}

std::string FolderPath(const std::string& directory, uint64_t id) {
  return directory + "/" + Hex(id >> 56, 2);
}

/// Appends the files of our naming in folder number `number`.
Result<void> ListFolder(const std::string& folder, uint64_t number, bool with_sizes,
                        std::vector<BodyOnDisk>& found) {
  Result<std::vector<std::string>> names = io::ListDirectory(folder);
  if (!names.ok()) {
    if (names.error().code == Code::kNotFound) return {};
    return std::move(names).error();
  }
  const UniqueFd here(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseId(name);
    if (!id || *id >> 56 != number) continue;
    BodyOnDisk body;
    body.id = *id;
    struct stat st {};
    if (with_sizes && ::fstatat(here.get(), name.c_str(), &st, 0) == 0) {
      body.size = static_cast<uint64_t>(st.st_size);
    }
    found.push_back(body);
  }
  return {};
}

}  // namespace

std::string BodyPath(const std::string& directory, uint64_t id) {
  return FolderPath(directory, id) + "/" + Hex(id, 16);
}

Result<std::vector<BodyOnDisk>> ListBodies(const std::string& directory, bool with_sizes) {
  // On a cold disk each stat waits for a read: several threads wait side by side
  // (tools/bench_store, "nothing in the page cache").
  constexpr uint64_t kThreads = 8;
  struct Part {
    std::vector<BodyOnDisk> found;
    Result<void> done;
  };
  std::array<Part, kThreads> parts;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = t; i < 256 && parts[t].done.ok(); i += kThreads) {
        parts[t].done = ListFolder(directory + "/" + Hex(i, 2), i, with_sizes, parts[t].found);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<BodyOnDisk> found;
  for (Part& part : parts) {
    CHECK_OK(std::move(part.done));
    found.insert(found.end(), part.found.begin(), part.found.end());
  }
  std::sort(found.begin(), found.end(),
            [](const BodyOnDisk& a, const BodyOnDisk& b) { return a.id < b.id; });
  return found;
}

Result<std::optional<Hash128>> HashOfFile(int fd, uint64_t size, std::string* keep) {
  Hasher hasher;
  constexpr uint64_t kStep = 1 << 20;
  for (uint64_t at = 0; at < size; at += kStep) {
    Result<std::string> part = io::ReadAt(fd, at, std::min(kStep, size - at));
    if (!part.ok()) {
      if (part.error().code == Code::kCorruption) return std::optional<Hash128>();
      return std::move(part).error();
    }
    hasher.Update(*part);
    if (keep != nullptr && keep->empty()) {
      *keep = std::move(*part);
    } else if (keep != nullptr) {
      keep->append(*part);
    }
  }
  return std::optional<Hash128>(hasher.Finish());
}

Result<std::shared_ptr<BodyFiles>> BodyFiles::Open(std::string directory, size_t open_limit,
                                                   io::Blocking& blocking, io::Files& files) {
  CHECK_OK(io::MakeDirectory(directory));
  for (uint64_t i = 0; i < 256; ++i) CHECK_OK(io::MakeDirectory(directory + "/" + Hex(i, 2)));
  CHECK_OK(files.SyncDirectory(directory));
  return std::shared_ptr<BodyFiles>(
      new BodyFiles(std::move(directory), open_limit, blocking, files));
}

std::string BodyFiles::FolderOf(uint64_t id) const {
  return FolderPath(directory_, id);
}
std::string BodyFiles::PathOf(uint64_t id) const {
  return BodyPath(directory_, id);
}

uint64_t BodyFiles::NewId() {
  uint64_t id = 0;
  while (id == 0) {
    if (::getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) {
      id = std::random_device()() | static_cast<uint64_t>(std::random_device()()) << 32;
    }
  }
  return id;
}

Result<BodyFiles::Created> BodyFiles::Create() {
  const uint64_t id = NewId();
  // O_EXCL: should the same 64 random bits ever come twice, it is an error and not a mix-up.
  TRY(UniqueFd fd, files_.Open(PathOf(id), O_RDWR | O_CREAT | O_EXCL));
  Created created;
  created.id = id;
  created.file = std::make_shared<const UniqueFd>(std::move(fd));
  return created;
}

Result<SharedFd> BodyFiles::OpenToRead(uint64_t id, uint64_t size) {
  {
    std::lock_guard lock(open_mutex_);
    const auto it = open_by_id_.find(id);
    if (it != open_by_id_.end()) {
      open_.splice(open_.begin(), open_, it->second);
      return it->second->file;
    }
  }
  TRY(UniqueFd fd, files_.Open(PathOf(id), O_RDONLY));
  TRY(const uint64_t actual, io::SizeOf(fd.get()));
  if (actual != size) {
    return Error(
        Code::kCorruption, "a stored body has the wrong size",
        PathOf(id) + ": " + std::to_string(actual) + " of " + std::to_string(size) + " bytes");
  }
  auto file = std::make_shared<const UniqueFd>(std::move(fd));
  if (open_limit_ == 0) return SharedFd(file);
  SharedFd evicted;  // closed after the lock
  std::lock_guard lock(open_mutex_);
  if (open_by_id_.contains(id)) return SharedFd(file);
  open_.push_front(OpenFile{id, file});
  open_by_id_[id] = open_.begin();
  if (open_.size() > open_limit_) {
    evicted = std::move(open_.back().file);
    open_by_id_.erase(open_.back().id);
    open_.pop_back();
  }
  return SharedFd(file);
}

void BodyFiles::Forget(uint64_t id) {
  SharedFd closed;
  std::lock_guard lock(open_mutex_);
  const auto it = open_by_id_.find(id);
  if (it == open_by_id_.end()) return;
  closed = std::move(it->second->file);
  open_.erase(it->second);
  open_by_id_.erase(it);
}

Result<void> BodyFiles::Sync(const Created& body, bool with_name) {
  CHECK_OK(files_.Sync(body.file->get()));
  if (!with_name) return {};
  return files_.SyncDirectory(FolderOf(body.id));
}

void BodyFiles::Discard(uint64_t id) {
  Discard(std::vector<uint64_t>{id});
}

void BodyFiles::Discard(const std::vector<uint64_t>& ids) {
  if (ids.empty()) return;
  for (const uint64_t id : ids) Forget(id);
  bool is_closed = false;
  {
    std::lock_guard lock(garbage_mutex_);
    garbage_.insert(garbage_.end(), ids.begin(), ids.end());
    is_closed = is_closed_;
  }
  if (is_closed) {
    EmptyGarbage();
    return;
  }
  // A full lane refuses: the list is then emptied by the next removal, or by Close().
  (void)blocking_.Post(io::Lane::kWrite, [self = shared_from_this()] { self->EmptyGarbage(); });
}

void BodyFiles::EmptyGarbage() {
  std::unique_lock lock(garbage_mutex_);
  // One at a time: removing thousands of files must not take all threads of the lane from those who
  // store and purge. Whoever is at it takes what comes meanwhile, too.
  if (is_removing_) return;
  is_removing_ = true;
  while (!garbage_.empty()) {
    std::vector<uint64_t> ids;
    ids.swap(garbage_);
    lock.unlock();
    for (const uint64_t id : ids) {
      Result<void> removed = files_.Remove(PathOf(id));
      // It is swept at the next start.
      if (!removed.ok()) LogWarn("kv.remove_failed", {{"error", removed.error().ToLogString()}});
    }
    lock.lock();
  }
  is_removing_ = false;
  settled_.notify_all();
}

void BodyFiles::Settle() {
  EmptyGarbage();
  std::unique_lock lock(garbage_mutex_);
  settled_.wait(lock, [&] { return !is_removing_ && garbage_.empty(); });
}

void BodyFiles::Close() {
  {
    std::lock_guard lock(garbage_mutex_);
    is_closed_ = true;
  }
  Settle();
  std::lock_guard lock(open_mutex_);
  open_by_id_.clear();
  open_.clear();
}

}  // namespace vr::kv
