#include "worker/testing/worker_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <span>

#include "transform/protocol/fd_passing.h"

namespace vr::worker {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The next frame from a socket, or nullopt at its end or after the timeout.
std::optional<protocol::Message> Next(int socket, std::string& buffer, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    auto taken = protocol::TakeFrame(buffer);
    if (!taken.ok()) return std::nullopt;
    if (taken->has_value()) return std::move(**taken);
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    pollfd wait{socket, POLLIN, 0};
    if (poll(&wait, 1, static_cast<int>(left.count())) <= 0) continue;
    std::vector<UniqueFd> fds;
    auto got = protocol::Receive(socket, buffer, fds);
    if (!got.ok() || *got == protocol::Received::kClosed) return std::nullopt;
  }
}

}  // namespace

UniqueFd TemporaryFile() {
  return UniqueFd(memfd_create("vr-test", MFD_CLOEXEC));
}

std::string ReadAll(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return {};
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = pread(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (n <= 0) break;
    at += static_cast<size_t>(n);
  }
  return bytes;
}

WorkerClient::WorkerClient(const std::string& program, protocol::WorkerLimits limits) {
  auto pair = protocol::MakeSocketPair();
  if (!pair.ok()) std::abort();
  const std::vector<std::string> strings = limits.ToEnvironment();
  std::vector<char*> environment;
  for (const std::string& s : strings) environment.push_back(const_cast<char*>(s.c_str()));
  environment.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    // dup2 onto itself would keep close-on-exec.
    const int control = fcntl(pair->second.get(), F_DUPFD, 10);
    dup2(control, protocol::kControlFd);
    char* arguments[] = {const_cast<char*>(program.c_str()),
                         const_cast<char*>(protocol::kZygoteFlag), nullptr};
    execve(program.c_str(), arguments, environment.data());
    _exit(127);
  }
  control_ = std::move(pair->first);
}

WorkerClient::~WorkerClient() {
  control_.Reset();
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

std::optional<protocol::Message> WorkerClient::ReceiveControl(milliseconds timeout) {
  return Next(control_.get(), buffer_, timeout);
}

std::optional<protocol::Message> WorkerClient::Receive(Worker& worker, milliseconds timeout) {
  return Next(worker.socket.get(), worker.buffer, timeout);
}

std::optional<Worker> WorkerClient::Spawn() {
  auto pair = protocol::MakeSocketPair();
  if (!pair.ok()) return std::nullopt;
  Worker worker;
  worker.id = next_id_++;
  worker.socket = std::move(pair->first);
  const int theirs = pair->second.get();
  const std::string frame = protocol::Encode(protocol::Spawn{worker.id});
  if (!protocol::SendAll(control_.get(), frame, std::span<const int>(&theirs, 1)).ok())
    return std::nullopt;
  pair->second.Reset();
  while (worker.pid == 0) {
    auto message = ReceiveControl(std::chrono::seconds(20));
    if (!message) return std::nullopt;
    if (const auto* exited = std::get_if<protocol::Exited>(&*message))
      exited_[exited->id] = *exited;
    if (const auto* spawned = std::get_if<protocol::Spawned>(&*message)) {
      if (spawned->id == worker.id) worker.pid = spawned->pid;
    }
  }
  if (worker.pid < 0) return std::nullopt;
  auto hello = Receive(worker, std::chrono::seconds(20));
  if (!hello || !std::holds_alternative<protocol::Hello>(*hello)) return std::nullopt;
  worker.hello = std::get<protocol::Hello>(*hello);
  return worker;
}

void WorkerClient::Kill(uint64_t id) {
  (void)protocol::SendAll(control_.get(), protocol::Encode(protocol::Kill{id}));
}

std::optional<protocol::Exited> WorkerClient::WaitExited(uint64_t id, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    if (const auto it = exited_.find(id); it != exited_.end()) return it->second;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    auto message = ReceiveControl(left);
    if (!message) return std::nullopt;
    if (const auto* exited = std::get_if<protocol::Exited>(&*message))
      exited_[exited->id] = *exited;
  }
}

bool WorkerClient::SendJob(Worker& worker, const protocol::Job& job, int source, int stored,
                           int stream) {
  std::vector<int> fds{source, stored};
  if (job.stream) fds.push_back(stream);
  return protocol::SendAll(worker.socket.get(), protocol::Encode(job), fds).ok();
}

Outcome WorkerClient::Run(protocol::Job job, const std::string& path, milliseconds timeout,
                          std::function<uint64_t(const protocol::Need&)> reveal) {
  Outcome out;
  const auto begin = Clock::now();
  UniqueFd real(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::optional<Worker> worker = Spawn();
  if (!real || !worker) return out;
  struct stat info {};
  fstat(real.get(), &info);
  job.source_size = static_cast<uint64_t>(info.st_size);
  job.source_complete = reveal == nullptr;
  UniqueFd spool = TemporaryFile(), stored = TemporaryFile(), stream = TemporaryFile();
  if (reveal) (void)!ftruncate(spool.get(), info.st_size);
  if (!SendJob(*worker, job, reveal ? spool.get() : real.get(), stored.get(), stream.get()))
    return out;
  const auto deadline = begin + timeout;
  while (!out.done && !out.failed) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    auto message = left.count() > 0 ? Receive(*worker, left) : std::nullopt;
    if (!message) {
      out.timed_out = Clock::now() >= deadline;
      if (out.timed_out) Kill(worker->id);
      break;
    }
    if (const auto* p = std::get_if<protocol::Progress>(&*message)) out.progress.push_back(*p);
    if (const auto* d = std::get_if<protocol::Done>(&*message)) out.done = *d;
    if (const auto* f = std::get_if<protocol::Failed>(&*message)) out.failed = *f;
    if (const auto* need = std::get_if<protocol::Need>(&*message)) {
      out.needs.push_back(*need);
      const uint64_t size = job.source_size > need->offset ? job.source_size - need->offset : 0;
      const uint64_t length = std::min(reveal(*need), size);
      std::string frame;
      if (length == 0 && size > 0) {
        frame = protocol::Encode(protocol::SourceFailed{"the test said no"});
      } else {
        std::string bytes(length, '\0');
        const ssize_t n = pread(real.get(), bytes.data(), length, static_cast<off_t>(need->offset));
        (void)!pwrite(spool.get(), bytes.data(), static_cast<size_t>(n),
                      static_cast<off_t>(need->offset));
        frame = protocol::Encode(protocol::SourceReady{need->offset, length});
      }
      (void)protocol::SendAll(worker->socket.get(), frame);
    }
  }
  out.exited = WaitExited(worker->id, std::chrono::seconds(10));
  out.stored = ReadAll(stored.get());
  out.stream = ReadAll(stream.get());
  out.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return out;
}

std::vector<Outcome> WorkerClient::RunTogether(std::vector<protocol::Job> jobs,
                                               const std::string& path, milliseconds timeout) {
  std::vector<Outcome> outs(jobs.size());
  const auto deadline = Clock::now() + timeout;
  UniqueFd real(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::optional<Worker> worker = Spawn();
  if (!real || !worker) return outs;
  struct stat info {};
  fstat(real.get(), &info);
  std::vector<UniqueFd> files;
  jobs[0].more = static_cast<uint32_t>(jobs.size() - 1);
  for (size_t i = 0; i < jobs.size(); ++i) {
    jobs[i].source_size = static_cast<uint64_t>(info.st_size);
    jobs[i].stream = false;
    files.push_back(TemporaryFile());
    std::vector<int> fds;
    if (i == 0) fds.push_back(real.get());
    fds.push_back(files[i].get());
    if (!protocol::SendAll(worker->socket.get(), protocol::Encode(jobs[i]), fds).ok()) return outs;
  }
  for (size_t ended = 0; ended < jobs.size() && !outs[0].failed;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    auto message = left.count() > 0 ? Receive(*worker, left) : std::nullopt;
    if (!message) {
      outs[0].timed_out = Clock::now() >= deadline;
      if (outs[0].timed_out) Kill(worker->id);
      break;
    }
    if (const auto* p = std::get_if<protocol::Progress>(&*message)) outs[0].progress.push_back(*p);
    if (const auto* d = std::get_if<protocol::Done>(&*message)) outs[ended++].done = *d;
    if (const auto* f = std::get_if<protocol::Failed>(&*message)) outs[0].failed = *f;
  }
  outs[0].exited = WaitExited(worker->id, std::chrono::seconds(10));
  for (size_t i = 0; i < jobs.size(); ++i) outs[i].stored = ReadAll(files[i].get());
  return outs;
}

}  // namespace vr::worker
