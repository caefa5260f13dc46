// Crash torture: a scenario of commits, replacements, touches, erasures, expiries and a purge, cut
// off at every single change it makes to the disk; each time the store is opened again on what is
// left, and has to keep what docs/formats/store.md §6 promises.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "kv/fsck.h"
#include "kv/testing/cut_disk.h"
#include "kv/testing/embedded_rig.h"
#include "observe/log.h"

namespace vr::kv::testing {
namespace {

using Lost = CutDisk::Lost;

/// What is found under a key. Metadata is different for each version, so it tells which one it is.
struct Version {
  std::string metadata;
  int64_t expires_ms = 0;
  std::string body;
  bool is_file() const { return body.size() > Options().inline_threshold; }
};
using State = std::optional<Version>;

/// One step of the scenario, what it does to which keys, and whether its success means that all
/// steps up to it are on disk.
struct Step {
  std::string name;
  std::function<Result<void>(EmbeddedStore&)> run;
  std::map<std::string, State> effects;
  bool is_synced = false;
};

template <class T>
Result<void> Done(Result<T> result) {
  if (!result.ok()) return std::move(result).error();
  return {};
}

Record RecordOf(const Version& v) {
  Record record = RecordFor(v.body, v.metadata);
  record.expires_ms = v.expires_ms;
  return record;
}

Step Put(const std::string& key, uint64_t size, bool wrong_hint = false) {
  static int n = 0;
  Version v{key + "#" + std::to_string(++n), 1'700'000'600'000,
            BytesFor(size, static_cast<uint64_t>(n))};
  Step step;
  step.name = "put " + key;
  step.effects[key] = v;
  step.run = [=](EmbeddedStore& store) {
    return PutBody(store, key, v.body, RecordOf(v), wrong_hint ? 1 : v.body.size());
  };
  return step;
}

Step EraseOne(const std::string& key) {
  Step step;
  step.name = "erase " + key;
  step.effects[key] = std::nullopt;
  step.run = [=](EmbeddedStore& store) {
    return Done(io::testing::RunSync(store.Erase(Context(), key)));
  };
  return step;
}

/// Touch when there is new metadata, else an expiry.
Step Change(const std::string& key, const Version& before, int64_t expires_ms,
            const std::string& metadata) {
  Version after = before;
  after.expires_ms = expires_ms;
  if (!metadata.empty()) after.metadata = metadata;
  Step step;
  step.name = "change " + key;
  step.effects[key] = after;
  step.run = [=](EmbeddedStore& store) {
    if (metadata.empty()) {
      return Done(io::testing::RunSync(store.ExpireMany(Context(), {key}, expires_ms)));
    }
    return Done(io::testing::RunSync(
        store.Touch(Context(), key, HashOf(after.body), metadata, expires_ms)));
  };
  return step;
}

constexpr uint64_t kSmall = 2'000, kLarge = 70'000;

struct Scenario {
  std::vector<Step> steps;
  size_t begin = 0, end = 0;  ///< of the purge: the steps of its journal
  std::vector<std::string> purged;
};

/// @param is_long  everything a store does, else only what shows that it is at work
Scenario MakeScenario(bool is_long) {
  Scenario s;
  const auto add = [&](Step step) { s.steps.push_back(std::move(step)); };
  const auto last_of = [&](const std::string& key) {
    for (auto step = s.steps.rbegin();; ++step) {
      if (step->effects.contains(key)) return *step->effects.at(key);
    }
  };
  add(Put("a", kSmall));
  add(Put("b", kLarge));
  if (is_long) {
    add(Put("a", kLarge));
    add(Put("b", kSmall));
    add(Put("c", kLarge, /*wrong_hint=*/true));
    add(Change("c", last_of("c"), 1'800'000'000'000, "c#touched"));
    add(EraseOne("b"));
    add(Put("d", kSmall));
    add(Put("e", kLarge));
  }

  s.purged = {"a", "d", "e"};
  auto id = std::make_shared<uint64_t>(0);
  s.begin = s.steps.size();
  Step begin;
  begin.name = "begin the purge";
  begin.is_synced = true;
  begin.run = [id](EmbeddedStore& store) -> Result<void> {
    TRY(*id, io::testing::RunSync(store.journal().Begin(Context(), "purge")));
    return {};
  };
  add(begin);
  Step erase;
  erase.name = "erase what is purged";
  for (const std::string& key : s.purged) erase.effects[key] = std::nullopt;
  erase.run = [keys = s.purged](EmbeddedStore& store) {
    return Done(io::testing::RunSync(store.EraseMany(Context(), keys)));
  };
  add(erase);
  s.end = s.steps.size();
  Step end;
  end.name = "end the purge";
  end.is_synced = true;
  end.run = [id](EmbeddedStore& store) {
    return io::testing::RunSync(store.journal().End(Context(), *id));
  };
  add(end);

  if (!is_long) return s;
  add(Put("a", kSmall));
  add(Put("b", kLarge));
  add(Change("c", last_of("c"), 5'000, ""));
  return s;
}

struct Case {
  const char* name;
  Durability durability;
  std::optional<Lost> power_cut;  ///< nullopt: the process is killed
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class Cut : public ::testing::TestWithParam<Case> {
 protected:
  Cut() {
    InitLog(LogOptions{.level = LogLevel::kOff});
    const char* memory = "/dev/shm";  // nothing has to reach a real disk
    std::string name =
        std::string(::access(memory, W_OK) == 0 ? memory : "/tmp") + "/vr-cut-XXXXXX";
    root_ = ::mkdtemp(name.data());
    options_.data_dir = root_ + "/data";
    options_.durability = GetParam().durability;
    options_.verify_on_read = 0;
  }
  ~Cut() override {
    InitLog(LogOptions());
    fs::remove_all(root_);
  }

  Result<std::unique_ptr<EmbeddedStore>> Open(io::Files& files, rocksdb::Env* env) {
    return EmbeddedStore::Create(options_, blocking_, SystemClock::Get(), metrics_, files, env);
  }
  Result<std::unique_ptr<EmbeddedStore>> Open() { return Open(io::Files::System(), nullptr); }

  /// Runs until the cut. @return how many steps were confirmed
  size_t Run(CutDisk& disk, const Scenario& scenario) {
    Result<std::unique_ptr<EmbeddedStore>> store = Open(disk, disk.env());
    if (!store.ok()) {
      EXPECT_TRUE(disk.is_cut()) << store.error().ToLogString();
      return 0;
    }
    size_t confirmed = 0;
    for (const Step& step : scenario.steps) {
      Result<void> done = step.run(**store);
      EXPECT_TRUE(done.ok() || disk.is_cut()) << done.error().ToLogString();
      if (!done.ok()) break;
      ++confirmed;
    }
    return confirmed;
  }

  void Check(const Scenario& scenario, size_t confirmed);
  void CutEverywhere(const Scenario& scenario, const std::string& from);

  std::string root_;
  Options options_;
  Metrics metrics_;
  io::Blocking blocking_{io::Blocking::Options{1, 1, 64}};
};

void Cut::Check(const Scenario& scenario, size_t confirmed) {
  const bool keeps_all = !GetParam().power_cut || GetParam().durability == Durability::kFull;
  Result<std::unique_ptr<EmbeddedStore>> opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
  EmbeddedStore& store = **opened;

  // The journal: what was begun is still to be done, unless its end was under way.
  auto pending = io::testing::RunSync(store.journal().Pending(Context()));
  ASSERT_TRUE(pending.ok());
  if (pending->empty()) {
    EXPECT_FALSE(confirmed > scenario.begin && confirmed < scenario.end) << "a forgotten purge";
  } else {
    EXPECT_TRUE(confirmed >= scenario.begin && confirmed <= scenario.end);
    EXPECT_EQ((*pending)[0].bytes, "purge");
    ASSERT_TRUE(io::testing::RunSync(store.EraseMany(Context(), scenario.purged)).ok());
    ASSERT_TRUE(io::testing::RunSync(store.journal().End(Context(), (*pending)[0].id)).ok());
  }

  // Which states a key may be in: those after the last step that is sure to be on disk, up to and
  // including the one that was under way.
  size_t floor = keeps_all || GetParam().power_cut == Lost::kBodies ? confirmed : 0;
  for (size_t i = 0; i < confirmed; ++i) {
    if (scenario.steps[i].is_synced) floor = std::max(floor, i + 1);
  }
  std::set<std::string> visible;
  for (const std::string key : {"a", "b", "c", "d", "e"}) {
    std::vector<State> allowed;
    State state;
    for (size_t i = 0; i <= scenario.steps.size(); ++i) {
      if (i >= floor && i <= confirmed + 1) allowed.push_back(state);
      if (i == scenario.steps.size()) break;
      const auto effect = scenario.steps[i].effects.find(key);
      if (effect != scenario.steps[i].effects.end()) state = effect->second;
    }
    const bool is_purged = std::count(scenario.purged.begin(), scenario.purged.end(), key) > 0;
    if (is_purged && !pending->empty()) allowed = {State()};
    // Without full durability a power cut may have taken the file, or its name.
    const bool may_lose_file =
        !keeps_all && std::any_of(allowed.begin(), allowed.end(),
                                  [](const State& s) { return s && s->is_file(); });
    Result<std::optional<Found>> found = io::testing::RunSync(store.Get(Context(), key));
    ASSERT_TRUE(found.ok()) << found.error().ToLogString();
    if (!*found) {
      const bool may_be_absent =
          may_lose_file || std::any_of(allowed.begin(), allowed.end(),
                                       [](const State& s) { return !s.has_value(); });
      EXPECT_TRUE(may_be_absent) << key << " is lost";
      continue;
    }
    visible.insert(key);
    const Found& f = **found;
    const auto same = [&](const State& s) {
      return s && s->metadata == f.record.metadata && s->expires_ms == f.record.expires_ms;
    };
    const auto version = std::find_if(allowed.begin(), allowed.end(), same);
    ASSERT_TRUE(version != allowed.end()) << key << " is " << f.record.metadata;
    EXPECT_TRUE(ReadBody(f.body) == (*version)->body) << key << " is not whole";
  }
  EXPECT_EQ(store.usage().entries, visible.size());
  for (const auto list : {&KvStore::ListByTag, &KvStore::ListBySource, &KvStore::ListByPrefix}) {
    const std::string what = list == &KvStore::ListByTag      ? "video-mode-video"
                             : list == &KvStore::ListBySource ? "videos/a.mp4"
                                                              : "";
    Result<Page> page = io::testing::RunSync((store.*list)(Context(), what, "", 100));
    ASSERT_TRUE(page.ok());
    std::set<std::string> listed;
    for (const Listed& row : page->rows) listed.insert(row.key);
    EXPECT_EQ(listed, visible);
  }
  store.Settle();
  opened->reset();
  FsckOptions look;
  look.data_dir = options_.data_dir;
  Result<FsckReport> report = Fsck(look);
  ASSERT_TRUE(report.ok()) << report.error().ToLogString();
  EXPECT_EQ(report->flaws(), 0u);
  for (const Finding& f : report->findings) {
    ADD_FAILURE() << NameOf(f.flaw) << " " << f.where << " " << f.detail;
  }
}

void Cut::CutEverywhere(const Scenario& scenario, const std::string& from) {
  uint64_t cuts = 0;
  for (bool is_over = false; !is_over && !HasFailure(); ++cuts) {
    fs::remove_all(options_.data_dir);
    fs::copy(from, options_.data_dir, fs::copy_options::recursive);
    size_t confirmed = 0;
    {
      CutDisk disk(options_.data_dir);
      disk.CutAfter(cuts + 1);
      confirmed = Run(disk, scenario);
      is_over = !disk.is_cut();
      if (GetParam().power_cut) disk.LosePower(*GetParam().power_cut);
    }
    SCOPED_TRACE(
        "cut at change " + std::to_string(cuts + 1) + ", confirmed: " + std::to_string(confirmed) +
        (confirmed < scenario.steps.size() ? ", then: " + scenario.steps[confirmed].name : ""));
    Check(scenario, confirmed);
  }
  std::printf("cut at %d places\n", static_cast<int>(cuts));
  EXPECT_GT(cuts, scenario.steps.size());
}

TEST_P(Cut, AStoreInUseKeepsItsPromises) {
  ASSERT_TRUE(Open().ok());
  const std::string from = root_ + "/from";
  fs::rename(options_.data_dir, from);
  CutEverywhere(MakeScenario(true), from);
}

class CutWhileMade : public Cut {};

TEST_P(CutWhileMade, AStoreThatIsBeingMadeKeepsItsPromises) {
  const std::string from = root_ + "/empty";
  fs::create_directory(from);
  CutEverywhere(MakeScenario(false), from);
}

const Case kKilledNone{"killed_none", Durability::kNone, std::nullopt};
const Case kKilledFull{"killed_full", Durability::kFull, std::nullopt};
const Case kPowerNone{"power_none", Durability::kNone, Lost::kAll};
const Case kPowerNoneBodies{"power_none_bodies", Durability::kNone, Lost::kBodies};
const Case kPowerBody{"power_body", Durability::kBody, Lost::kAll};
const Case kPowerBodyBodies{"power_body_bodies", Durability::kBody, Lost::kBodies};
const Case kPowerBodyIndex{"power_body_index", Durability::kBody, Lost::kIndex};
const Case kPowerFull{"power_full", Durability::kFull, Lost::kAll};
const Case kPowerFullBodies{"power_full_bodies", Durability::kFull, Lost::kBodies};
const Case kPowerFullIndex{"power_full_index", Durability::kFull, Lost::kIndex};

std::string NameOfCase(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Cut,
                         ::testing::Values(kKilledNone, kKilledFull, kPowerNone, kPowerNoneBodies,
                                           kPowerBody, kPowerBodyBodies, kPowerBodyIndex,
                                           kPowerFull, kPowerFullBodies, kPowerFullIndex),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(Everywhere, CutWhileMade,
                         ::testing::Values(kKilledFull, kPowerNone, kPowerFull, kPowerFullBodies),
                         NameOfCase);

}  // namespace
}  // namespace vr::kv::testing
