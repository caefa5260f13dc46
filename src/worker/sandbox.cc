#include "worker/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vr::worker {
namespace {

// Threads a decoder may start, with room for its helpers; encoders of segments keep within them.
constexpr rlim_t kMaxThreads = 64;
constexpr rlim_t kMaxDescriptors = 64;
/// No network, nothing of System V, mounts and names of our own.
constexpr int kApart = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS;

uint64_t memory_limit = 0;

Error Refused(const char* what, int e) {
  return Error(Code::kInternal, "the worker could not be isolated",
               std::string(what) + ": " + std::strerror(e));
}

Result<void> Limit(__rlimit_resource resource, rlim_t value, const char* what) {
  rlimit now{};
  if (getrlimit(resource, &now) == 0 && now.rlim_max != RLIM_INFINITY && now.rlim_max < value) {
    value = now.rlim_max;  // already stricter
  }
  const rlimit limit{value, value};
  if (setrlimit(resource, &limit) != 0) return Refused(what, errno);
  return {};
}

Result<void> SetLimits(const transform::protocol::WorkerLimits& limits) {
#ifndef VR_SANITIZED  // AddressSanitizer reserves terabytes
  CHECK_OK(Limit(RLIMIT_AS, limits.memory_bytes, "RLIMIT_AS"));
#endif
  CHECK_OK(Limit(RLIMIT_CPU, limits.cpu_seconds, "RLIMIT_CPU"));
  CHECK_OK(Limit(RLIMIT_FSIZE, limits.max_output_bytes, "RLIMIT_FSIZE"));
  CHECK_OK(Limit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  CHECK_OK(Limit(RLIMIT_NOFILE, kMaxDescriptors, "RLIMIT_NOFILE"));
  return {};
}

Result<void> BecomeUser(uint32_t uid) {
  if (setgroups(0, nullptr) != 0) return Refused("setgroups", errno);
  if (setresgid(uid, uid, uid) != 0) return Refused("setresgid", errno);
  if (setresuid(uid, uid, uid) != 0) return Refused("setresuid", errno);
  return {};
}

Result<void> DieWith(int32_t parent_pid) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Refused("PR_SET_PDEATHSIG", errno);
  if (getppid() != parent_pid) _exit(3);  // it died before we asked
  return {};
}

void DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  (void)syscall(SYS_capset, &header, data);
}

/// A ruleset that handles everything the kernel knows and allows nothing.
void DenyFilesystemAndPorts() {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return;
  struct {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
  } attr{};
  attr.handled_access_fs = (1ull << 13) - 1;           // ABI 1
  if (abi >= 2) attr.handled_access_fs |= 1ull << 13;  // REFER
  if (abi >= 3) attr.handled_access_fs |= 1ull << 14;  // TRUNCATE
  if (abi >= 4) attr.handled_access_net = 3;           // BIND_TCP, CONNECT_TCP
  if (abi >= 5) attr.handled_access_fs |= 1ull << 15;  // IOCTL_DEV
  const size_t size = abi >= 4 ? sizeof attr : sizeof attr.handled_access_fs;
  const long ruleset = syscall(SYS_landlock_create_ruleset, &attr, size, 0);
  if (ruleset < 0) return;
  (void)syscall(SYS_landlock_restrict_self, ruleset, 0);
  close(static_cast<int>(ruleset));
}

#ifndef VR_SANITIZED
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_KILL_PROCESS)) {}
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void Allow(std::initializer_list<int> calls) {
    for (const int call : calls)
      Keep(seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call, 0, nullptr));
  }
  void AllowIf(int call, std::initializer_list<scmp_arg_cmp> conditions) {
    Keep(seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call,
                                static_cast<unsigned>(conditions.size()), conditions.begin()));
  }
  void Fail(int error, std::initializer_list<int> calls) {
    for (const int call : calls) {
      Keep(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), call, 0,
                                  nullptr));
    }
  }
  int Load() {
    if (result_ != 0) return result_;
    (void)seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return seccomp_load(context_);
  }

 private:
  void Keep(int r) {
    if (r != 0 && result_ == 0) result_ = r;
  }
  scmp_filter_ctx context_;
  int result_ = 0;
};

scmp_arg_cmp Masked(unsigned arg, uint64_t mask, uint64_t value) {
  return scmp_arg_cmp{arg, SCMP_CMP_MASKED_EQ, mask, value};
}
scmp_arg_cmp Equal(unsigned arg, uint64_t value) {
  return scmp_arg_cmp{arg, SCMP_CMP_EQ, value, 0};
}

Result<void> AllowOnlyWhatWeNeed() {
  Filter f;
  f.Allow({SCMP_SYS(read),
           SCMP_SYS(write),
           SCMP_SYS(writev),
           SCMP_SYS(pread64),
           SCMP_SYS(pwrite64),
           SCMP_SYS(lseek),
           SCMP_SYS(recvmsg),
           SCMP_SYS(recvfrom),
           SCMP_SYS(sendmsg),
           SCMP_SYS(sendto),
           SCMP_SYS(poll),
           SCMP_SYS(ppoll),
           SCMP_SYS(futex),
           SCMP_SYS(munmap),
           SCMP_SYS(mremap),
           SCMP_SYS(madvise),
           SCMP_SYS(brk),
           SCMP_SYS(set_robust_list),
           SCMP_SYS(rseq),
           SCMP_SYS(exit),
           SCMP_SYS(exit_group),
           SCMP_SYS(rt_sigprocmask),
           SCMP_SYS(rt_sigreturn),
           SCMP_SYS(rt_sigaction),
           SCMP_SYS(sigaltstack),
           SCMP_SYS(clock_gettime),
           SCMP_SYS(clock_nanosleep),
           SCMP_SYS(clock_getres),
           SCMP_SYS(nanosleep),
           SCMP_SYS(gettimeofday),
           SCMP_SYS(getpid),
           SCMP_SYS(gettid),
           SCMP_SYS(getuid),
           SCMP_SYS(geteuid),
           SCMP_SYS(sched_getaffinity),
           SCMP_SYS(sched_yield),
           SCMP_SYS(getrusage),
           SCMP_SYS(getrandom),
           SCMP_SYS(close),
           SCMP_SYS(fstat),
           SCMP_SYS(restart_syscall),
           SCMP_SYS(sysinfo),
           SCMP_SYS(uname)});
  // Memory never becomes code.
  f.AllowIf(SCMP_SYS(mmap), {Masked(2, PROT_EXEC, 0)});
  f.AllowIf(SCMP_SYS(mprotect), {Masked(2, PROT_EXEC, 0)});
  // Threads, never processes or namespaces.
  constexpr uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  f.AllowIf(SCMP_SYS(clone),
            {Masked(0, CLONE_THREAD | CLONE_VM | kNamespaces, CLONE_THREAD | CLONE_VM)});
  f.AllowIf(SCMP_SYS(prctl), {Equal(0, PR_SET_NAME)});
  f.AllowIf(SCMP_SYS(tgkill), {Equal(0, static_cast<uint64_t>(getpid()))});  // abort()
  // clone3's flags are behind a pointer, out of a filter's sight; glibc then falls back to clone.
  f.Fail(ENOSYS, {SCMP_SYS(clone3)});
  f.Fail(ENOENT, {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(faccessat),
                  SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
                  SCMP_SYS(readlink)});
  f.Fail(EPERM,
         {SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam),
          SCMP_SYS(sched_getscheduler), SCMP_SYS(setpriority), SCMP_SYS(getpriority),
          SCMP_SYS(mlock), SCMP_SYS(set_mempolicy), SCMP_SYS(get_mempolicy), SCMP_SYS(mbind),
          SCMP_SYS(prlimit64), SCMP_SYS(fcntl), SCMP_SYS(ioctl), SCMP_SYS(socket)});
  if (const int r = f.Load(); r != 0) return Refused("seccomp", -r);
  return {};
}
#endif

}  // namespace

bool EnterNamespaces() {
  return unshare(kApart) == 0 || unshare(CLONE_NEWUSER | kApart) == 0;
}

uint64_t MemoryLimit() {
  return memory_limit;
}

Result<void> EnterSandbox(const SandboxOptions& options) {
  memory_limit = options.limits.memory_bytes;
  CHECK_OK(SetLimits(options.limits));
  if (options.uid) {
    CHECK_OK(BecomeUser(*options.uid));
    // Counts only users other than root, hence after the change; without it the user's other
    // processes count.
    CHECK_OK(Limit(RLIMIT_NPROC, kMaxThreads, "RLIMIT_NPROC"));
  }
  CHECK_OK(DieWith(options.parent_pid));  // a change of user clears it
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Refused("PR_SET_DUMPABLE", errno);
  (void)unshare(options.is_apart ? CLONE_NEWUSER : CLONE_NEWUSER | kApart);
  DropCapabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Refused("PR_SET_NO_NEW_PRIVS", errno);
  DenyFilesystemAndPorts();
#ifdef VR_SANITIZED
  return {};  // sanitizers make calls of their own
#else
  return AllowOnlyWhatWeNeed();
#endif
}

}  // namespace vr::worker
