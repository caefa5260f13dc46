// CutDisk: one disk under bodies and index that stops at the n-th change: a write (which is done by
// half), a sync, a create, a rename, a removal. Everything after it fails. What is left is what a
// killed process leaves; LosePower() takes away what had not been synced, as a power cut does at
// its worst. For tests.
//
// The model of a power cut: a file has what it had when it was last synced, or nothing of sense if
// it never was; a directory has the names it had when it was last synced. Nothing else is promised
// by POSIX, though file systems keep more. Thread-safe but for LosePower.
#pragma once

#include <fcntl.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "io/files.h"

namespace vr::kv::testing {

namespace fs = std::filesystem;

class CutDisk final : public io::Files {
 public:
  /// What is in `directory` now counts as synced.
  explicit CutDisk(std::string directory) : directory_(std::move(directory)) {
    env_ = rocksdb::NewCompositeEnv(std::make_shared<IndexFiles>(*this));
    for (const auto& e : fs::recursive_directory_iterator(directory_)) {
      if (e.is_regular_file()) NoteFile(e.path());
      if (e.is_directory()) NoteDirectory(e.path());
    }
    NoteDirectory(directory_);
  }

  /// The n-th change from here on (1 = the next) is the last, and only half done.
  void CutAfter(uint64_t n) {
    std::lock_guard lock(mutex_);
    left_ = n;
  }
  bool is_cut() const {
    std::lock_guard lock(mutex_);
    return left_ == 0;
  }
  rocksdb::Env* env() { return env_.get(); }

  /// Which part of the disk forgets what was not synced; the other keeps everything.
  enum class Lost { kAll, kBodies, kIndex };
  /// Nobody may have anything open below the directory.
  void LosePower(Lost lost) {
    std::lock_guard lock(mutex_);
    const std::string next = directory_ + ".next";
    fs::create_directory(next);
    Rebuild(directory_, next, lost);
    fs::remove_all(directory_);
    fs::rename(next, directory_);
  }

  Result<UniqueFd> Open(const std::string& path, int flags) override {
    const bool is_change = (flags & O_CREAT) != 0 && !fs::exists(path);
    if (is_change && Spend() != Step::kWhole) return Gone();
    TRY(UniqueFd fd, System().Open(path, flags));
    if (is_change) Pin(path);
    return fd;
  }
  Result<void> WriteAt(int fd, std::string_view bytes, uint64_t offset) override {
    const Step step = Spend();
    if (step == Step::kHalf) (void)System().WriteAt(fd, bytes.substr(0, bytes.size() / 2), offset);
    if (step != Step::kWhole) return Gone();
    return System().WriteAt(fd, bytes, offset);
  }
  Result<void> Sync(int fd) override {
    if (Spend() != Step::kWhole) return Gone();
    const std::string path = fs::read_symlink("/proc/self/fd/" + std::to_string(fd));
    std::lock_guard lock(mutex_);
    fs::is_directory(path) ? NoteDirectory(path) : NoteFile(path);
    return {};
  }
  Result<void> Remove(const std::string& path) override {
    if (Spend() != Step::kWhole) return Gone();
    return System().Remove(path);
  }
  Result<void> Rename(const std::string& from, const std::string& to) override {
    if (Spend() != Step::kWhole) return Gone();
    return System().Rename(from, to);
  }
  Result<Space> SpaceAt(const std::string& path) override { return System().SpaceAt(path); }

 private:
  enum class Step { kWhole, kHalf, kNothing };

  static Error Gone() { return Error(Code::kUnavailable, "cut", "the disk was cut off"); }
  static rocksdb::IOStatus IndexGone() { return rocksdb::IOStatus::IOError("cut off"); }

  Step Spend() {
    std::lock_guard lock(mutex_);
    if (left_ == 0) return Step::kNothing;
    return --left_ == 0 ? Step::kHalf : Step::kWhole;
  }

  static std::string ReadAll(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Keeps the inode alive, so that its number stands for this file to the end.
  void Pin(const std::string& path) {
    std::lock_guard lock(mutex_);
    pinned_.emplace_back(::open(path.c_str(), O_PATH | O_CLOEXEC));
  }
  static uint64_t InodeOf(const std::string& path) {
    struct stat st {};
    return ::lstat(path.c_str(), &st) == 0 ? st.st_ino : 0;
  }
  void NoteFile(const std::string& path) {
    pinned_.emplace_back(::open(path.c_str(), O_PATH | O_CLOEXEC));
    synced_files_[InodeOf(path)] = ReadAll(path);
  }
  void NoteDirectory(const std::string& path) {
    auto& names = synced_names_[path];
    names.clear();
    for (const auto& e : fs::directory_iterator(path)) {
      names[e.path().filename()] = e.is_directory() ? 0 : InodeOf(e.path());
    }
  }
  void Rebuild(const std::string& from, const std::string& to, Lost lost) {
    const bool is_bodies = from.starts_with(directory_ + "/bodies");
    const bool is_index = from.starts_with(directory_ + "/index");
    if ((is_bodies && lost == Lost::kIndex) || (is_index && lost == Lost::kBodies)) {
      if (fs::exists(from)) fs::copy(from, to, fs::copy_options::recursive);
      return;
    }
    for (const auto& [name, inode] : synced_names_[from]) {
      const std::string path = to + "/" + name;
      if (inode == 0) {
        fs::create_directory(path);
        Rebuild(from + "/" + name, path, lost);
        continue;
      }
      const auto synced = synced_files_.find(inode);
      std::string content;
      if (synced != synced_files_.end()) {
        content = synced->second;
      } else if (inode % 2 == 0) {
        // Of a file that was never synced a disk may know the size and none of the bytes.
        std::error_code gone;
        const uint64_t size = fs::file_size(from + "/" + name, gone);
        if (!gone) content.assign(size, '\0');
      }
      std::ofstream(path, std::ios::binary) << content;
    }
    // A part that keeps everything is there even if its name was not synced.
    if (from == directory_) {
      for (const auto& [part, keeps] :
           {std::pair{"bodies", lost == Lost::kIndex}, std::pair{"index", lost == Lost::kBodies}}) {
        if (!keeps || synced_names_[from].contains(part) || !fs::exists(from + "/" + part))
          continue;
        fs::copy(from + "/" + part, to + "/" + part, fs::copy_options::recursive);
      }
    }
  }

  class IndexFile final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    IndexFile(CutDisk& disk, std::string path, std::unique_ptr<rocksdb::FSWritableFile> file)
        : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk), path_(std::move(path)) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* dbg) override {
      const Step step = disk_.Spend();
      if (step == Step::kHalf) {
        const rocksdb::Slice half(data.data(), data.size() / 2);
        (void)target()->Append(half, options, dbg);
      }
      if (step != Step::kWhole) return IndexGone();
      return target()->Append(data, options, dbg);
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&,
                             rocksdb::IODebugContext* dbg) override {
      return Append(data, options, dbg);
    }
    rocksdb::IOStatus Truncate(uint64_t size, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override {
      if (disk_.is_cut()) return IndexGone();
      return target()->Truncate(size, options, dbg);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
      if (disk_.Spend() != Step::kWhole) return IndexGone();
      std::lock_guard lock(disk_.mutex_);
      disk_.NoteFile(path_);
      return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* dbg) override {
      return Sync(options, dbg);
    }

   private:
    CutDisk& disk_;
    const std::string path_;
  };

  class IndexDirectory final : public rocksdb::FSDirectory {
   public:
    IndexDirectory(CutDisk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
      if (disk_.Spend() != Step::kWhole) return IndexGone();
      std::lock_guard lock(disk_.mutex_);
      disk_.NoteDirectory(path_);
      return rocksdb::IOStatus::OK();
    }

   private:
    CutDisk& disk_;
    const std::string path_;
  };

  /// RocksDB's view of the disk. Only what it uses to change something is stopped.
  class IndexFiles final : public rocksdb::FileSystemWrapper {
   public:
    explicit IndexFiles(CutDisk& disk)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
    const char* Name() const override { return "CutDisk"; }
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* dbg) override {
      if (disk_.Spend() != Step::kWhole) return IndexGone();
      std::unique_ptr<rocksdb::FSWritableFile> file;
      rocksdb::IOStatus s = target()->NewWritableFile(path, options, &file, dbg);
      if (!s.ok()) return s;
      disk_.Pin(path);
      *result = std::make_unique<IndexFile>(disk_, path, std::move(file));
      return s;
    }
    rocksdb::IOStatus ReopenWritableFile(const std::string&, const rocksdb::FileOptions&,
                                         std::unique_ptr<rocksdb::FSWritableFile>*,
                                         rocksdb::IODebugContext*) override {
      return rocksdb::IOStatus::NotSupported("not used by this version");
    }
    rocksdb::IOStatus ReuseWritableFile(const std::string&, const std::string&,
                                        const rocksdb::FileOptions&,
                                        std::unique_ptr<rocksdb::FSWritableFile>*,
                                        rocksdb::IODebugContext*) override {
      return rocksdb::IOStatus::NotSupported("not used by this version");
    }
    rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions&,
                                   std::unique_ptr<rocksdb::FSDirectory>* result,
                                   rocksdb::IODebugContext*) override {
      // RocksDB names it with a slash at its end.
      *result = std::make_unique<IndexDirectory>(
          disk_, path.ends_with('/') ? path.substr(0, path.size() - 1) : path);
      return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* dbg) override {
      if (disk_.Spend() != Step::kWhole) return IndexGone();
      return target()->DeleteFile(path, options, dbg);
    }
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                                 const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* dbg) override {
      if (disk_.Spend() != Step::kWhole) return IndexGone();
      return target()->RenameFile(from, to, options, dbg);
    }
    /// RocksDB's own log is no part of the store.
    rocksdb::IOStatus NewLogger(const std::string&, const rocksdb::IOOptions&,
                                std::shared_ptr<rocksdb::Logger>* result,
                                rocksdb::IODebugContext*) override {
      struct Silent final : rocksdb::Logger {
        using rocksdb::Logger::Logv;
        void Logv(const char*, va_list) override {}
        size_t GetLogFileSize() const override { return 0; }
      };
      *result = std::make_shared<Silent>();
      return rocksdb::IOStatus::OK();
    }

   private:
    CutDisk& disk_;
  };

  const std::string directory_;
  std::unique_ptr<rocksdb::Env> env_;
  mutable std::mutex mutex_;  // guards the rest
  uint64_t left_ = UINT64_MAX;
  std::vector<UniqueFd> pinned_;
  std::map<uint64_t, std::string> synced_files_;                         // by inode
  std::map<std::string, std::map<std::string, uint64_t>> synced_names_;  // 0: a directory
};

}  // namespace vr::kv::testing
