// A worker that speaks the protocol and does on demand whatever a worker may do wrong: the pool's
// tests need no libav. What it does is chosen by job.width (the numbers are in fake_worker.h).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "transform/protocol/fd_passing.h"
#include "transform/protocol/launch.h"
#include "transform/protocol/messages.h"
#include "transform/testing/fake_worker.h"

namespace {

using namespace vr::transform::protocol;  // NOLINT: the whole file speaks it
using vr::UniqueFd;
using vr::transform::testing::Behave;

int self_socket = -1;

void Say(const Message& message) {
  if (!SendAll(self_socket, Encode(message)).ok()) _exit(1);
}

Message Hear(std::string& bytes, std::vector<UniqueFd>& fds) {
  for (;;) {
    auto message = TakeFrame(bytes);
    if (!message.ok()) _exit(2);
    if (message->has_value()) return **message;
    auto received = Receive(self_socket, bytes, fds);
    if (!received.ok() || *received == Received::kClosed) _exit(0);
  }
}

void WriteAll(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(3);
}

void Succeed(const Job& job, const std::vector<UniqueFd>& fds, const std::string& text) {
  WriteAll(fds[1].get(), text);
  Progress progress{.stored_bytes = text.size(), .percent = 50};
  if (job.stream) {
    WriteAll(fds[2].get(), text);
    progress.stream_bytes = text.size();
  }
  Say(progress);
  Done done{.stored_bytes = text.size(),
            .stream_bytes = progress.stream_bytes,
            .width = 16,
            .height = 8,
            .duration_seconds = 1,
            .fps = 30,
            .frames = 30,
            .cpu_seconds = 0.01,
            .video_codec = "h264"};
  done.warnings.push_back("decoder_threads=" + std::to_string(job.decoder_threads));
  done.warnings.push_back("encoder_threads=" + std::to_string(job.encoder_threads));
  Say(done);
}

[[noreturn]] void Hang() {
  for (;;) pause();
}

/// Reads the whole source in steps through Need, and gives it as the result.
void CopySource(const Job& job, const std::vector<UniqueFd>& fds, std::string& bytes) {
  std::string text;
  std::vector<UniqueFd> none;
  while (text.size() < job.source_size) {
    uint64_t available = job.source_size;
    if (!job.source_complete) {
      Say(Need{.offset = text.size(), .length = 4});
      const Message answer = Hear(bytes, none);
      if (std::get_if<SourceFailed>(&answer) != nullptr) {
        Say(Failed{.reason = "SOURCE_FAILED", .message = "read", .detail = "fake"});
        return;
      }
      available = std::get<SourceReady>(answer).available;
      if (available == 0) break;
    }
    std::string part(available, '\0');
    const ssize_t got =
        pread(fds[0].get(), part.data(), part.size(), static_cast<off_t>(text.size()));
    if (got <= 0) _exit(4);
    text.append(part.data(), static_cast<size_t>(got));
  }
  Succeed(job, fds, text);
}

void Do(const Job& job, const std::vector<UniqueFd>& fds, std::string& bytes) {
  switch (static_cast<Behave>(job.width.value_or(0))) {
    case Behave::kSucceed:
      return Succeed(job, fds, "result");
    case Behave::kCrash:
      raise(SIGSEGV);
      return;
    case Behave::kHang:
      Hang();
    case Behave::kExitEarly:
      _exit(0);
    case Behave::kGarbage:
      if (!SendAll(self_socket, std::string(64, '\xee')).ok()) _exit(1);
      Hang();
    case Behave::kCopySource:
      return CopySource(job, fds, bytes);
    case Behave::kFail:
      Say(Failed{.reason = "SOURCE_CORRUPT", .message = "undecodable", .detail = "x"});
      return;
    case Behave::kFailAndStay:
      Say(Failed{.reason = "SOURCE_CORRUPT", .message = "undecodable", .detail = "x"});
      Hang();
    case Behave::kSucceedAndStay:
      Succeed(job, fds, "result");
      Hang();
    case Behave::kProgressForEver:
      for (uint32_t i = 0;; ++i) {
        Say(Progress{.percent = i % 100});
        poll(nullptr, 0, 10);
      }
    case Behave::kLyingWatermark:
      Say(Progress{.stream_bytes = 1000});
      Hang();
    case Behave::kLyingResult:
      Say(Done{.stored_bytes = 1000});
      Hang();
    case Behave::kTooMuchOutput:
      Say(Progress{.stored_bytes = 1ull << 60});
      Hang();
    case Behave::kSandbox:
      raise(SIGSYS);
      return;
    case Behave::kCpu:
      raise(SIGXCPU);
      return;
    case Behave::kFileSize:
      raise(SIGXFSZ);
      return;
    case Behave::kKillParent:
      kill(getppid(), SIGKILL);
      Hang();
    case Behave::kStopParent:
      kill(getppid(), SIGSTOP);
      Hang();
    case Behave::kFloodNeeds:
      for (int i = 0; i < 100; ++i) Say(Need{.offset = 0, .length = 1});
      Hang();
    case Behave::kEstimate:
      Say(Progress{.estimated_seconds = 90});
      for (uint32_t i = 0; i < 100; ++i) Say(Progress{.percent = i / 2});
      return Succeed(job, fds, "result");
    case Behave::kDescribe: {
      // What the launch gave it: open descriptors, limits.
      std::string text;
      for (int fd = 0; fd < 256; ++fd) {
        if (fcntl(fd, F_GETFD) >= 0) text += std::to_string(fd) + " ";
      }
      const WorkerLimits limits = WorkerLimits::FromEnvironment();
      text += "memory=" + std::to_string(limits.memory_bytes);
      text += " cpu=" + std::to_string(limits.cpu_seconds);
      for (char** entry = environ; *entry != nullptr; ++entry) text += std::string(" ") + *entry;
      return Succeed(job, fds, text);
    }
  }
  _exit(9);
}

[[noreturn]] void Work(UniqueFd socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  self_socket = socket.get();
  Say(Hello{.version = kVersion, .recipe = "fake recipe 1"});
  std::string bytes;
  std::vector<UniqueFd> fds;
  const Message message = Hear(bytes, fds);
  const Job* job = std::get_if<Job>(&message);
  if (job == nullptr || fds.size() != (job->stream ? 3u : 2u)) _exit(5);
  Do(*job, fds, bytes);
  _exit(0);
}

struct Zygote {
  std::string bytes;
  std::vector<UniqueFd> fds;
  std::map<uint64_t, pid_t> children;

  void Tell(const Message& message) {
    if (!SendAll(kControlFd, Encode(message)).ok()) _exit(0);
  }
  void Obey(const Message& message) {
    if (const auto* spawn = std::get_if<Spawn>(&message)) {
      if (fds.empty()) _exit(6);
      UniqueFd socket = std::move(fds.front());
      fds.erase(fds.begin());
      const pid_t pid = fork();
      if (pid == 0) {
        fds.clear();
        close(kControlFd);
        Work(std::move(socket));
      }
      children[spawn->id] = pid;
      Tell(Spawned{.id = spawn->id, .pid = pid});
    } else if (const auto* end = std::get_if<Kill>(&message)) {
      const auto at = children.find(end->id);
      if (at != children.end()) kill(at->second, SIGKILL);
    }
  }
  void Reap() {
    for (;;) {
      int status = 0;
      rusage usage{};
      const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
      if (pid <= 0) return;
      for (auto at = children.begin(); at != children.end(); ++at) {
        if (at->second != pid) continue;
        Tell(Exited{.id = at->first,
                    .wait_status = status,
                    .cpu_seconds = 0.25,
                    .max_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024});
        children.erase(at);
        break;
      }
    }
  }
  [[noreturn]] void Serve() {
    for (;;) {
      pollfd control{kControlFd, POLLIN, 0};
      poll(&control, 1, 2);
      Reap();
      auto received = TryReceive(kControlFd, bytes, fds);
      if (!received.ok() || *received == Received::kClosed) {
        for (const auto& [id, pid] : children) kill(pid, SIGKILL);
        _exit(0);
      }
      for (;;) {
        auto message = TakeFrame(bytes);
        if (!message.ok()) _exit(7);
        if (!message->has_value()) break;
        Obey(**message);
      }
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || std::strcmp(argv[1], kZygoteFlag) != 0) return 64;
  Zygote().Serve();
}
