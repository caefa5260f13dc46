#include "io/blocking.h"

#include <pthread.h>

namespace vr::io {

Blocking::Blocking(Options options) : options_(options) {
  for (int i = 0; i < options_.read_threads; ++i) threads_.emplace_back([this] { Work(0); });
  for (int i = 0; i < options_.write_threads; ++i) threads_.emplace_back([this] { Work(1); });
}

Blocking::~Blocking() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (Queue& queue : queues_) queue.ready.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

size_t Blocking::queued() const {
  std::lock_guard lock(mutex_);
  return queues_[0].jobs.size() + queues_[1].jobs.size();
}

bool Blocking::Enqueue(Lane lane, std::unique_ptr<Job> job) {
  Queue& queue = queues_[static_cast<int>(lane)];
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || queue.jobs.size() >= options_.max_queue) return false;
    queue.jobs.push_back(std::move(job));
  }
  queue.ready.notify_one();
  return true;
}

void Blocking::Work(int lane) {
  pthread_setname_np(pthread_self(), lane == 0 ? "block-read" : "block-write");
  Queue& queue = queues_[lane];
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      queue.ready.wait(lock, [&] { return stopping_ || !queue.jobs.empty(); });
      if (queue.jobs.empty()) return;
      job = std::move(queue.jobs.front());
      queue.jobs.pop_front();
    }
    job->Run();
  }
}

}  // namespace vr::io
