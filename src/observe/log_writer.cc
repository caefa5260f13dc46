#include "observe/log_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace vr {

LogWriter::LogWriter(int fd, Limits limits, std::string (*describe)(uint64_t lines))
    : fd_(fd), limits_(limits), describe_(describe) {
  // Signals are for the threads that wait for them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread_.native_handle(), "log");
}

LogWriter::~LogWriter() {
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  has_work_.notify_one();
  thread_.join();
}

void LogWriter::Add(std::string_view line, bool urgent) {
  bool wakes = false;
  {
    MutexLock lock(mutex_);
    const size_t before = pending_.size();
    if (before + line.size() + 1 > limits_.pending_bytes) {
      ++dropped_;
      return;
    }
    pending_ += line;
    pending_ += '\n';
    added_ += line.size() + 1;
    // One wake-up begins a batch, another one ends it early.
    wakes = before == 0 || (before < limits_.batch_bytes && pending_.size() >= limits_.batch_bytes);
    if (urgent && !is_urgent_) is_urgent_ = wakes = true;
  }
  if (wakes) has_work_.notify_one();
}

bool LogWriter::Flush(std::chrono::milliseconds most) {
  const auto end = std::chrono::steady_clock::now() + most;
  MutexLock lock(mutex_);
  const uint64_t goal = added_;
  is_urgent_ = true;
  has_work_.notify_one();
  while (written_ < goal) {
    if (is_written_.wait_until(mutex_, end) == std::cv_status::timeout) return written_ >= goal;
  }
  return true;
}

uint64_t LogWriter::dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

void LogWriter::ReportDropped() {
  if (dropped_ == reported_) return;
  const std::string line = describe_(dropped_ - reported_) + '\n';
  reported_ = dropped_;
  pending_ += line;
  added_ += line.size();
}

void LogWriter::Run() {
  std::string batch;
  MutexLock lock(mutex_);
  for (;;) {
    while (pending_.empty() && !is_ending_) {
      is_urgent_ = false;
      has_work_.wait(mutex_);
    }
    if (pending_.empty()) return;
    const auto end = std::chrono::steady_clock::now() + limits_.delay;
    while (!is_urgent_ && !is_ending_ && pending_.size() < limits_.batch_bytes) {
      if (has_work_.wait_until(mutex_, end) == std::cv_status::timeout) break;
    }
    is_urgent_ = false;
    ReportDropped();
    batch.swap(pending_);
    mutex_.unlock();
    Write(batch);
    mutex_.lock();
    written_ += batch.size();
    batch.clear();
    is_written_.notify_all();
  }
}

void LogWriter::Write(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      pollfd look{fd_, POLLOUT, 0};
      ::poll(&look, 1, -1);
    } else if (n == 0 || errno != EINTR) {
      return;  // nobody to tell
    }
  }
}

}  // namespace vr
