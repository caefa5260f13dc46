#include "worker/zygote.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "worker/channel.h"
#include "worker/sandbox.h"
#include "worker/warm.h"
#include "worker/worker.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

// Users that own nothing; each living worker has one to itself.
constexpr uint32_t kFirstUid = 64000;

class Zygote {
 public:
  Zygote(UniqueFd control, UniqueFd signals, const protocol::WorkerLimits& limits, bool is_apart,
         std::string recipe)
      : control_(std::move(control)),
        signals_(std::move(signals)),
        limits_(limits),
        is_apart_(is_apart),
        recipe_(std::move(recipe)) {}

  int Serve() {
    for (;;) {
      pollfd waits[2] = {{control_.fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
      if (poll(waits, 2, -1) < 0 && errno != EINTR) return Stop(1);
      if (waits[1].revents != 0 && !Reap()) return Stop(0);
      if (waits[0].revents == 0) continue;
      auto more = control_.Fill();
      if (!more.ok() || !*more) return Stop(0);
      for (;;) {
        auto message = control_.Next();
        if (!message.ok()) return Stop(1);
        if (!message->has_value()) break;
        if (!Handle(**message)) return Stop(0);
      }
    }
  }

 private:
  struct Child {
    pid_t pid = -1;
    uint32_t slot = 0;
  };

  int Stop(int status) {
    for (const auto& [id, child] : children_) kill(child.pid, SIGKILL);
    return status;
  }

  /// @return false when the server cannot be told any more
  bool Handle(const protocol::Message& message) {
    if (const auto* spawn = std::get_if<protocol::Spawn>(&message)) {
      return control_.Send(protocol::Spawned{spawn->id, Fork(spawn->id)}).ok();
    }
    if (const auto* killed = std::get_if<protocol::Kill>(&message)) {
      // Only children that were not reaped are in the map: the pid is still theirs.
      const auto it = children_.find(killed->id);
      if (it != children_.end()) kill(it->second.pid, SIGKILL);
    }
    return true;
  }

  int32_t Fork(uint64_t id) {
    UniqueFd socket = control_.TakeDescriptor();
    if (!socket) return -EBADF;
    if (children_.contains(id)) return -EEXIST;
    uint32_t slot = 0;
    while (slots_.contains(slot)) ++slot;
    const pid_t zygote = getpid();
    const pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) {
      SandboxOptions sandbox;
      sandbox.limits = limits_;
      if (geteuid() == 0) sandbox.uid = kFirstUid + slot;
      sandbox.parent_pid = zygote;
      sandbox.is_apart = is_apart_;
      BecomeWorker(std::move(socket), sandbox);
    }
    slots_.insert(slot);
    children_.emplace(id, Child{pid, slot});
    return pid;
  }

  [[noreturn]] void BecomeWorker(UniqueFd socket, const SandboxOptions& sandbox) {
    // Of the zygote's descriptors only standard ones and the worker's own socket stay.
    constexpr int kSocket = protocol::kControlFd;
    if (socket.get() != kSocket) {
      if (dup2(socket.get(), kSocket) < 0) _exit(4);
    }
    (void)socket.Release();
    (void)syscall(SYS_close_range, kSocket + 1, ~0U, 0);
#ifndef VR_SANITIZED
    if (const int null = open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
      dup2(null, 2);  // a worker has no business in the server's log
      close(null);
    }
#endif
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    Channel channel{UniqueFd(kSocket)};
    if (!EnterSandbox(sandbox).ok()) _exit(4);
    _exit(RunWorker(channel, recipe_));
  }

  bool Reap() {
    signalfd_siginfo info[8];
    while (read(signals_.get(), info, sizeof info) > 0) {
    }
    for (;;) {
      int status = 0;
      rusage usage{};
      const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
      if (pid <= 0) return true;
      for (auto it = children_.begin(); it != children_.end(); ++it) {
        if (it->second.pid != pid) continue;
        const auto seconds = [](const timeval& t) {
          return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
        };
        const protocol::Exited exited{it->first, status,
                                      seconds(usage.ru_utime) + seconds(usage.ru_stime),
                                      static_cast<uint64_t>(usage.ru_maxrss) * 1024};
        slots_.erase(it->second.slot);
        children_.erase(it);
        if (!control_.Send(exited).ok()) return false;
        break;
      }
    }
  }

  Channel control_;
  const UniqueFd signals_;
  const protocol::WorkerLimits limits_;
  const bool is_apart_;  ///< in namespaces of our own, which our children share
  const std::string recipe_;
  std::map<uint64_t, Child> children_;
  std::set<uint32_t> slots_;
};

}  // namespace

int RunZygote(const protocol::WorkerLimits& limits) {
  (void)syscall(SYS_close_range, protocol::kControlFd + 1, ~0U, 0);
  signal(SIGPIPE, SIG_IGN);
  // A terminal's Ctrl-C is for the server, which then closes our socket.
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  UniqueFd signals(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals || fcntl(protocol::kControlFd, F_SETFD, FD_CLOEXEC) < 0) return 2;
  std::string recipe = WarmUp();
  const bool is_apart = EnterNamespaces();
  return Zygote(UniqueFd(protocol::kControlFd), std::move(signals), limits, is_apart,
                std::move(recipe))
      .Serve();
}

}  // namespace vr::worker
