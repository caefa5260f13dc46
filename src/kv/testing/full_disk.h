// FullDisk: RocksDB's view of a disk that can be full: then files end in the middle of a write,
// and, if wanted, no file can be made either. For tests. Thread-safe.
#pragma once

#include <pthread.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vr::kv::testing {

class FullDisk {
 public:
  FullDisk() : env_(rocksdb::NewCompositeEnv(std::make_shared<Files>(*this))) {}
  rocksdb::Env* env() { return env_.get(); }

  /// kGrowth: nothing can be appended to a file. kNewFiles: no file can be made. kAll: both.
  /// kCompactions: nothing can be appended to files of compactions. kBroken: as kGrowth, and not
  /// for want of room.
  enum class Refuses { kNothing, kGrowth, kNewFiles, kAll, kCompactions, kBroken };
  void Refuse(Refuses what) { refuses_.store(what, std::memory_order_relaxed); }
  /// Files so far that kCompactions refused to let grow.
  int refused_compactions() const { return refused_compactions_.load(std::memory_order_relaxed); }

 private:
  bool IsFull() const {
    const Refuses what = refuses_.load(std::memory_order_relaxed);
    return what != Refuses::kNothing && what != Refuses::kBroken;
  }
  bool IsBroken() const { return refuses_.load(std::memory_order_relaxed) == Refuses::kBroken; }
  bool RefusesGrowth() const {
    const Refuses what = refuses_.load(std::memory_order_relaxed);
    return what == Refuses::kGrowth || what == Refuses::kAll;
  }
  bool RefusesFiles() const {
    const Refuses what = refuses_.load(std::memory_order_relaxed);
    return what == Refuses::kNewFiles || what == Refuses::kAll;
  }
  /// In the thread of a compaction.
  bool RefusesThread() const {
    if (refuses_.load(std::memory_order_relaxed) != Refuses::kCompactions) return false;
    char name[16] = "";
    return ::pthread_getname_np(::pthread_self(), name, sizeof name) == 0 &&
           std::string_view(name).starts_with("rocksdb:low");
  }
  /// As RocksDB's own file system reports ENOSPC.
  static rocksdb::IOStatus NoSpace() {
    rocksdb::IOStatus s = rocksdb::IOStatus::NoSpace("full");
    s.SetRetryable(true);
    return s;
  }

  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(FullDisk& disk, std::unique_ptr<rocksdb::FSWritableFile> file)
        : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* dbg) override {
      if (disk_.IsBroken()) return rocksdb::IOStatus::IOError("broken");
      if (disk_.RefusesThread()) {
        if (!std::exchange(is_refused_, true)) ++disk_.refused_compactions_;
        return NoSpace();
      }
      if (!disk_.RefusesGrowth()) return target()->Append(data, options, dbg);
      const rocksdb::Slice half(data.data(), data.size() / 2);
      (void)target()->Append(half, options, dbg);
      return NoSpace();
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&,
                             rocksdb::IODebugContext* dbg) override {
      return Append(data, options, dbg);
    }

   private:
    FullDisk& disk_;
    bool is_refused_ = false;
  };

  class Files final : public rocksdb::FileSystemWrapper {
   public:
    explicit Files(FullDisk& disk)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
    const char* Name() const override { return "FullDisk"; }
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* result,
                                      rocksdb::IODebugContext* dbg) override {
      if (disk_.RefusesFiles()) return NoSpace();
      std::unique_ptr<rocksdb::FSWritableFile> file;
      rocksdb::IOStatus s = target()->NewWritableFile(path, options, &file, dbg);
      if (s.ok()) *result = std::make_unique<File>(disk_, std::move(file));
      return s;
    }
    rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                   uint64_t* free, rocksdb::IODebugContext* dbg) override {
      if (!disk_.IsFull()) return target()->GetFreeSpace(path, options, free, dbg);
      *free = 0;
      return rocksdb::IOStatus::OK();
    }

   private:
    FullDisk& disk_;
  };

  std::atomic<Refuses> refuses_{Refuses::kNothing};
  std::atomic<int> refused_compactions_{0};
  const std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace vr::kv::testing
