// Kills a store's process in the middle of its work and looks at what is left. The child is this
// program again (RocksDB's threads do not survive fork), running one disabled test that works until
// it is killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "io/files.h"
#include "kv/embedded_store.h"
#include "kv/testing/put_body.h"

namespace vr::kv::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDirVariable = "VR_KV_CRASH_DIR";
constexpr const char* kDurabilityVariable = "VR_KV_CRASH_DURABILITY";
constexpr const char* kSeedVariable = "VR_KV_CRASH_SEED";

struct Rig {
  explicit Rig(const std::string& dir, Durability durability) {
    Options options;
    options.data_dir = dir;
    options.durability = durability;
    auto made = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
    if (!made.ok()) ADD_FAILURE() << made.error().ToLogString();
    if (made.ok()) store = std::move(*made);
  }
  Metrics metrics;
  io::Blocking blocking;
  std::unique_ptr<EmbeddedStore> store;
};

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

uint64_t SizeFor(uint64_t n) {
  return n % 3 == 0 ? 2'000 : n % 3 == 1 ? 90'000 : 600'000;
}
std::string BodyFor(const std::string& key, uint64_t n) {
  return BytesFor(SizeFor(n), HashOf(key).low ^ n);
}

/// One line of the child to its parent, in one write: after "+" the entry is stored, after "?" it
/// may be.
void Say(char what, const std::string& key, uint64_t n) {
  const std::string line = what + key + " " + std::to_string(n) + "\n";
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::abort();
}

TEST(KvCrashChild, DISABLED_CommitsUntilItIsKilled) {
  const std::string dir = Variable(kDirVariable);
  if (dir.empty()) GTEST_SKIP() << "only as the child of KvCrash";
  const uint64_t seed = std::stoull(Variable(kSeedVariable));
  Rig rig(dir, static_cast<Durability>(std::stoi(Variable(kDurabilityVariable))));
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0;; ++i) {
        // Twenty keys per thread: fresh ones, replacements, and now and then an erased one.
        const std::string key = "t" + std::to_string(t) + "-" + std::to_string(i % 20);
        const uint64_t n = seed * 1'000'000 + i;
        if (i % 7 == 6) {
          Say('?', key, 0);
          if (io::testing::RunSync(rig.store->Erase(Context(), key)).ok()) Say('-', key, 0);
          continue;
        }
        const std::string body = BodyFor(key, n);
        Record record = RecordFor(body, std::to_string(n));
        Say('?', key, n);
        if (PutBody(*rig.store, key, body, record, i % 2 == 0 ? body.size() : 0).ok())
          Say('+', key, n);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

/// What is known of a key when the child died: its last confirmed state, and one that was under
/// way.
struct State {
  uint64_t confirmed = 0;  ///< 0 = absent
  std::optional<uint64_t> pending;
};

class Child {
 public:
  Child(const std::string& dir, Durability durability, uint64_t seed) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::vector<std::string> environment = {
        kDirVariable + ("=" + dir), kSeedVariable + ("=" + std::to_string(seed)),
        kDurabilityVariable + ("=" + std::to_string(static_cast<int>(durability)))};
    std::vector<char*> env;
    for (std::string& e : environment) env.push_back(e.data());
    env.push_back(nullptr);
    std::string program = fs::read_symlink("/proc/self/exe");
    std::string filter = "--gtest_filter=KvCrashChild.*",
                disabled = "--gtest_also_run_disabled_tests";
    char* argv[] = {program.data(), filter.data(), disabled.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv, env.data()) != 0)
      std::abort();
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    out_.Reset(ends[0]);
  }
  /// Reads until `acks` confirmations, kills at once, reads the rest.
  void KillAfter(int acks, std::map<std::string, State>& states) {
    std::string line;
    bool is_killed = false;
    char buffer[4096];
    for (;;) {
      const ssize_t n = ::read(out_.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      for (const char c : std::string_view(buffer, static_cast<size_t>(n))) {
        if (c != '\n') {
          line.push_back(c);
          continue;
        }
        if (Apply(line, states)) --acks;
        line.clear();
      }
      if (acks <= 0 && !is_killed) {
        ::kill(pid_, SIGKILL);
        is_killed = true;
      }
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_TRUE(is_killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "the child ended by itself, status " << status;
  }

 private:
  static bool Apply(const std::string& line, std::map<std::string, State>& states) {
    const size_t space = line.find(' ');
    // gtest's own lines are not ours.
    if (space == std::string::npos || line.size() < 3 || line[1] != 't') return false;
    State& state = states[line.substr(1, space - 1)];
    if (line[0] == '?') {
      state.pending = std::stoull(line.substr(space));
      return false;
    }
    state.confirmed = line[0] == '+' ? std::stoull(line.substr(space)) : 0;
    state.pending.reset();
    return true;
  }
  pid_t pid_ = -1;
  UniqueFd out_;
};

class KvCrash : public ::testing::TestWithParam<Durability> {
 protected:
  KvCrash() {
    std::string name = fs::temp_directory_path() / "vr-kv-XXXXXX";
    dir_ = ::mkdtemp(name.data());
  }
  ~KvCrash() override {
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }
  std::string dir_;
};

TEST_P(KvCrash, EverythingConfirmedIsWholeAndNothingElseIsLeft) {
  const uint64_t seed = std::random_device()();
  std::mt19937_64 random(seed);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::map<std::string, State> states;
  uint64_t confirmed = 0;
  for (uint64_t round = 1; round <= 6; ++round) {
    Child child(dir_, GetParam(), round);
    child.KillAfter(static_cast<int>(random() % 120) + 1, states);

    Rig rig(dir_, GetParam());
    ASSERT_TRUE(rig.store);
    uint64_t entries = 0, bytes = 0, files = 0;
    for (auto& [key, state] : states) {
      auto found = io::testing::RunSync(rig.store->Get(Context(), key));
      ASSERT_TRUE(found.ok()) << found.error().ToLogString();
      const uint64_t n = *found ? std::stoull((*found)->record.metadata) : 0;
      EXPECT_TRUE(n == state.confirmed || n == state.pending)
          << key << " is " << n << ", confirmed " << state.confirmed << ", round " << round;
      if (*found) {
        EXPECT_TRUE(ReadBody((*found)->body) == BodyFor(key, n)) << key;
        ++entries;
        bytes += (*found)->body.size + (*found)->record.metadata.size();
        if (!rig.store->Peek(key)->is_inline) ++files;
      }
      confirmed += state.confirmed != 0;
      state = State{n, {}};
    }
    EXPECT_EQ(rig.store->usage().entries, entries);
    EXPECT_EQ(rig.store->usage().bytes, bytes);
    auto tagged =
        io::testing::RunSync(rig.store->ListByTag(Context(), "video-mode-video", "", 1000));
    ASSERT_TRUE(tagged.ok());
    EXPECT_EQ(tagged->rows.size(), entries);
    rig.store->Settle();
    uint64_t on_disk = 0;
    for (const auto& e : fs::recursive_directory_iterator(dir_ + "/bodies"))
      on_disk += e.is_regular_file();
    EXPECT_EQ(on_disk, files) << "orphans after round " << round;
  }
  EXPECT_GT(confirmed, 0u);
}

INSTANTIATE_TEST_SUITE_P(Durabilities, KvCrash,
                         ::testing::Values(Durability::kNone, Durability::kBody,
                                           Durability::kFull));

// A disk that really is full. Needs leave to mount (root, or user namespaces), in a process of its
// own.
bool MountSmallDisk(const std::string& dir) {
  if (::unshare(CLONE_NEWNS) == 0 &&
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      ::mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=12m") == 0) {
    return true;
  }
  std::printf("NOT PERMITTED\n");
  return false;
}

/// RocksDB looks by a clock of its own whether there is room again: we can only ask.
Result<void> PutSoon(KvStore& store, const std::string& key, const std::string& body) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    Result<void> put = PutBody(store, key, body, RecordFor(body), body.size());
    if (put.ok() || std::chrono::steady_clock::now() >= give_up) return put;
    std::this_thread::yield();
  }
}

TEST(KvFullDiskChild, DISABLED_FillsItsDisk) {
  const std::string dir = Variable(kDirVariable);
  if (dir.empty()) GTEST_SKIP() << "only as the child of KvFullDisk";
  if (!MountSmallDisk(dir)) return;
  Options options;
  options.data_dir = dir;
  options.durability = Durability::kNone;
  options.min_free_bytes = 1;
  Metrics metrics;
  io::Blocking blocking;
  auto store = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
  ASSERT_TRUE(store.ok()) << store.error().ToLogString();
  const std::string body = BytesFor(60'000);
  int stored = 0;
  std::optional<Error> failure;
  for (; stored < 1000 && !failure; ++stored) {
    Result<void> put =
        PutBody(**store, "k" + std::to_string(stored), body, RecordFor(body), body.size());
    if (!put.ok()) failure = std::move(put).error();
  }
  --stored;
  ASSERT_TRUE(failure) << "the disk never filled";
  EXPECT_EQ(failure->code, Code::kResourceExhausted) << failure->ToLogString();
  EXPECT_EQ((*store)->usage().entries, static_cast<uint64_t>(stored));
  EXPECT_GT(stored, 50);
  for (int i = 0; i < stored; ++i) {
    auto found = io::testing::RunSync((*store)->Get(Context(), "k" + std::to_string(i)));
    ASSERT_TRUE(found.ok() && *found) << i;
    EXPECT_TRUE(ReadBody((*found)->body) == body);
  }
  // Somebody makes room: the store takes entries again without a restart.
  ASSERT_EQ(::mount("tmpfs", dir.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
  Result<void> put = PutSoon(**store, "again", body);
  EXPECT_TRUE(put.ok()) << put.error().ToLogString();
  store->reset();
  auto again = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
  ASSERT_TRUE(again.ok()) << again.error().ToLogString();
  EXPECT_EQ((*again)->usage().entries, static_cast<uint64_t>(stored) + 1);
}

// Writes, synced writes and purges at once when it happens, again and again.
TEST(KvFullDiskChild, DISABLED_FillsItsDiskFromManyThreads) {
  const std::string dir = Variable(kDirVariable);
  if (dir.empty()) GTEST_SKIP() << "only as the child of KvFullDisk";
  if (!MountSmallDisk(dir)) return;
  Options options;
  options.data_dir = dir;
  options.durability = Durability::kFull;
  options.min_free_bytes = 1;
  Metrics metrics;
  io::Blocking blocking;
  auto store = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
  ASSERT_TRUE(store.ok()) << store.error().ToLogString();
  const std::string body = BytesFor(40'000);
  constexpr size_t kThreads = 4;
  std::vector<std::vector<std::string>> stored(kThreads);
  // Each time more than recovering needs if the memory tables are full.
  for (int megabytes = 12; megabytes <= 132; megabytes += 60) {
    const std::string size = "size=" + std::to_string(megabytes) + "m";
    ASSERT_EQ(::mount("tmpfs", dir.c_str(), "tmpfs", MS_REMOUNT, size.c_str()), 0);
    // Or this round would be over before RocksDB has seen the room.
    Result<void> first = PutSoon(**store, "first", body);
    ASSERT_TRUE(first.ok()) << first.error().ToLogString();
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const auto put = [&](const std::string& key) {
          return PutBody(**store, key, body, RecordFor(body), body.size());
        };
        const std::string prefix = size + "-" + std::to_string(t) + "-";
        // Past the first refusal, so that all meet a disk that is full already.
        for (int i = 0, refused = 0; i < 2'000 && refused < 20; ++i) {
          const std::string key = prefix + std::to_string(i);
          Result<void> done = put(key);
          if (done.ok()) {
            stored[t].push_back(key);
          } else {
            EXPECT_EQ(done.error().code, Code::kResourceExhausted) << done.error().ToLogString();
            ++refused;
          }
          if (t == 0 && i % 5 == 0) {
            const std::string gone = "gone";
            if (put(gone).ok()) (void)io::testing::RunSync((*store)->EraseMany(Context(), {gone}));
          }
        }
      });
    }
    for (std::thread& t : threads) t.join();
  }
  ASSERT_EQ(::mount("tmpfs", dir.c_str(), "tmpfs", MS_REMOUNT, "size=200m"), 0);
  Result<void> put = PutSoon(**store, "again", body);
  EXPECT_TRUE(put.ok()) << put.error().ToLogString();
  store->reset();
  auto again = EmbeddedStore::Create(options, blocking, SystemClock::Get(), metrics);
  ASSERT_TRUE(again.ok()) << again.error().ToLogString();
  for (const auto& keys : stored) {
    for (const std::string& key : keys) {
      auto found = io::testing::RunSync((*again)->Get(Context(), key));
      ASSERT_TRUE(found.ok() && *found) << key;
      EXPECT_TRUE(ReadBody((*found)->body) == body) << key;
    }
  }
}

void RunFullDiskChild(const std::string& child) {
  std::string name = fs::temp_directory_path() / "vr-kv-XXXXXX";
  const std::string dir = ::mkdtemp(name.data());
  const std::string command = std::string(kDirVariable) + "=" + dir + " '" +
                              fs::read_symlink("/proc/self/exe").string() +
                              "' --gtest_filter='KvFullDiskChild.DISABLED_" + child +
                              "' --gtest_also_run_disabled_tests 2>&1";
  FILE* out = ::popen(command.c_str(), "r");
  ASSERT_NE(out, nullptr);
  std::string text;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, out)) > 0;) text.append(buffer, n);
  const int status = ::pclose(out);
  fs::remove_all(dir);
  if (text.find("NOT PERMITTED") != std::string::npos) GTEST_SKIP() << "may not mount a small disk";
  EXPECT_EQ(status, 0) << text;
}

TEST(KvFullDisk, ADiskThatIsReallyFullCostsOnlyTheCommitsThatDidNotFit) {
  RunFullDiskChild("FillsItsDisk");
}

TEST(KvFullDisk, ManyThreadsOnAFullDiskLoseNothingThatWasConfirmed) {
  RunFullDiskChild("FillsItsDiskFromManyThreads");
}

}  // namespace
}  // namespace vr::kv::testing
