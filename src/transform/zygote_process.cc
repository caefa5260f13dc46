#include "transform/zygote_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "transform/protocol/fd_passing.h"

namespace vr::transform {

std::string DefaultWorkerPath() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  std::string own = size > 0 ? std::string(path, static_cast<size_t>(size)) : std::string("./");
  const size_t slash = own.rfind('/');
  return own.substr(0, slash == std::string::npos ? 0 : slash + 1) + "video-resizer-worker";
}

namespace {

void StandBehind(pid_t pid, int niceness) {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), niceness);
  // A session of its own has, on a kernel with automatic groups, a share of the CPU of its own,
  // whatever its processes' nice values are.
  const std::string path = "/proc/" + std::to_string(pid) + "/autogroup";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(niceness);
  if (file) [[maybe_unused]]
    const ssize_t n = ::write(file.get(), text.data(), text.size());
}

}  // namespace

Result<ZygoteProcess> ZygoteProcess::Start(const std::string& program,
                                           const protocol::WorkerLimits& limits, int niceness) {
  TRY(auto pair, protocol::MakeSocketPair());
  auto& [ours, theirs] = pair;

  std::vector<std::string> environment = limits.ToEnvironment();
  environment.push_back("SVT_LOG=0");  // SVT-AV1 writes to standard error by itself otherwise
  std::vector<char*> envp;
  for (std::string& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);
  std::string name = program;
  std::string flag = protocol::kZygoteFlag;
  char* argv[] = {name.data(), flag.data(), nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), protocol::kControlFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, protocol::kControlFd + 1);
  // A session of its own: Ctrl-C in the server's terminal must not end it before the server has
  // drained.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&attributes, &all);

  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoError(error, "starting " + program);
  // What it forks inherits this. Refused is no reason not to work.
  if (niceness > 0) StandBehind(pid, niceness);
  return ZygoteProcess(pid, std::move(ours));
}

ZygoteProcess::ZygoteProcess(ZygoteProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)) {}

ZygoteProcess& ZygoteProcess::operator=(ZygoteProcess&& other) noexcept {
  if (this != &other) {
    WaitOrKill(std::chrono::milliseconds(0));
    pid_ = std::exchange(other.pid_, -1);
    socket_ = std::move(other.socket_);
  }
  return *this;
}

ZygoteProcess::~ZygoteProcess() {
  WaitOrKill(std::chrono::milliseconds(0));
}

void ZygoteProcess::Kill() {
  // Not collected yet, so the number is still this process's.
  if (pid_ > 0) kill(pid_, SIGKILL);
}

bool ZygoteProcess::TryReap() {
  if (pid_ <= 0) return true;
  int status = 0;
  const pid_t got = waitpid(pid_, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return false;
  pid_ = -1;
  return true;
}

void ZygoteProcess::WaitOrKill(std::chrono::milliseconds patience) {
  if (TryReap()) return;
  if (patience.count() > 0) {
    const UniqueFd handle(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{handle.get(), POLLIN, 0};
    if (handle) poll(&ended, 1, static_cast<int>(patience.count()));
    if (TryReap()) return;
  }
  Kill();
  int status = 0;
  while (pid_ > 0 && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace vr::transform
