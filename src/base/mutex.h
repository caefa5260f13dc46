// Mutex, SharedMutex, their locks and Guarded<T> with clang's thread-safety annotations (std::mutex
// has none).
#pragma once

#include <mutex>
#include <shared_mutex>
#include <utility>

#if defined(__clang__)
#define VR_ANNOTATE(x) __attribute__((x))
#else
#define VR_ANNOTATE(x)
#endif
#define CAPABILITY(x) VR_ANNOTATE(capability(x))
#define SCOPED_CAPABILITY VR_ANNOTATE(scoped_lockable)
#define GUARDED_BY(x) VR_ANNOTATE(guarded_by(x))
#define REQUIRES(...) VR_ANNOTATE(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) VR_ANNOTATE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) VR_ANNOTATE(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) VR_ANNOTATE(try_acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) VR_ANNOTATE(acquire_shared_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) VR_ANNOTATE(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) VR_ANNOTATE(release_generic_capability(__VA_ARGS__))
#define EXCLUDES(...) VR_ANNOTATE(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS VR_ANNOTATE(no_thread_safety_analysis)

namespace vr {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { impl_.lock(); }      // NOLINT: BasicLockable's names
  void unlock() RELEASE() { impl_.unlock(); }  // NOLINT: BasicLockable's names
  std::mutex& native() { return impl_; }

 private:
  std::mutex impl_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Many at a time, or one alone.
class CAPABILITY("mutex") SharedMutex {
 public:
  bool try_lock() TRY_ACQUIRE(true) { return impl_.try_lock(); }    // NOLINT: the standard's names
  void lock() ACQUIRE() { impl_.lock(); }                           // NOLINT: the standard's names
  void unlock() RELEASE() { impl_.unlock(); }                       // NOLINT: the standard's names
  void lock_shared() ACQUIRE_SHARED() { impl_.lock_shared(); }      // NOLINT: the standard's names
  void unlock_shared() RELEASE_SHARED() { impl_.unlock_shared(); }  // NOLINT: the standard's names

 private:
  std::shared_mutex impl_;
};

class SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~SharedLock() RELEASE_GENERIC() { mutex_.unlock_shared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class SCOPED_CAPABILITY AloneLock {
 public:
  explicit AloneLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~AloneLock() RELEASE() { mutex_.unlock(); }
  AloneLock(const AloneLock&) = delete;
  AloneLock& operator=(const AloneLock&) = delete;

 private:
  SharedMutex& mutex_;
};

/// A value that can only be reached with its lock held. `f` must not wait.
template <class T>
class Guarded {
 public:
  template <class F>
  auto With(F&& f) {
    MutexLock lock(mutex_);
    return std::forward<F>(f)(value_);
  }
  template <class F>
  auto With(F&& f) const {
    MutexLock lock(mutex_);
    return std::forward<F>(f)(std::as_const(value_));
  }

 private:
  mutable Mutex mutex_;
  T value_{};
};

}  // namespace vr
