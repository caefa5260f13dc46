#include "delivery/base_search.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace vr::delivery {

namespace {

/// Rows of the store's list of a source's variants that are looked at, per mode.
constexpr size_t kMostListed = 64;
/// A base that was chosen may be gone by the time it is read; then the next one is taken.
constexpr size_t kMostTries = 3;

/// One search, while it goes on. Lives in FindBase().
class Search {
 public:
  explicit Search(BaseSearch& in) : in_(in), named_(NamedKeys(in.wanted, *in.snapshot)) {}

  Task<std::optional<Base>> Run(Context ctx) {
    LookIntoEdge();
    if (in_.may_read_kv) {
      // In the store's order frames, of which there may be many, stand between both.
      if (in_.wanted.mode == variant::Mode::kAudio) co_await List(ctx, variant::Mode::kAudio);
      co_await List(ctx, variant::Mode::kVideo);
      if (is_cut_) co_await AskForNamed(ctx);
    }
    std::vector<HeldBase> held;
    for (auto& [key, base] : held_) held.push_back(std::move(base));
    const std::vector<BaseCandidate> ranked = Rank(std::move(held), in_.wanted);
    for (size_t i = 0; i < std::min(ranked.size(), kMostTries); ++i) {
      BaseCandidate candidate = ranked[i];
      const cache::EntityRef entity = co_await Read(ctx, std::move(candidate));
      if (!entity) continue;
      Result<origin::SourceRef> source = SourceOfEntity(entity);
      if (!source.ok()) continue;
      const variant::VariantRequest& request = ranked[i].request;
      Base base;
      base.source = std::move(*source);
      if (!request.is_original()) base.key = ranked[i].key;
      base.begin = request.resolved.time.value_or(variant::Time(0));
      co_return base;
    }
    co_return std::nullopt;
  }

 private:
  std::optional<BaseCandidate> CandidateOf(std::string_view key) const {
    return delivery::CandidateOf(key, in_.wanted, in_.resolved, *in_.snapshot, in_.recipe);
  }
  void Add(BaseCandidate candidate, const cache::Metadata& meta) {
    std::string key = candidate.key;
    held_.insert_or_assign(std::move(key), HeldBase{std::move(candidate), FactsOf(meta)});
  }

  void LookIntoEdge() {
    for (const std::string& key : named_) {
      std::optional<BaseCandidate> candidate = CandidateOf(key);
      if (!candidate) continue;
      const cache::EntityRef entity = in_.orchestrator.LookAt(key, candidate->digest);
      if (entity) Add(std::move(*candidate), entity->meta);
    }
  }

  /// Those of one mode and, up to the limit, of the modes after it.
  Task<void> List(Context ctx, variant::Mode mode) {
    std::string after(variant::ToString(mode));
    after += ':';
    std::map<std::string, BaseCandidate, std::less<>> candidates;
    std::function<bool(std::string_view, const Hash128&)> is_wanted = [&](std::string_view key,
                                                                          const Hash128& digest) {
      std::optional<BaseCandidate> candidate = CandidateOf(key);
      if (!candidate || candidate->digest != digest) return false;
      candidates.emplace(key, std::move(*candidate));
      return true;
    };
    const cache::Held found =
        co_await in_.orchestrator.ListHeld(std::move(ctx), in_.wanted.source_path, std::move(after),
                                           kMostListed, std::move(is_wanted));
    for (const cache::Held::Variant& variant : found.variants) {
      Add(std::move(candidates.find(variant.key)->second), variant.meta);
    }
    is_cut_ = is_cut_ || found.is_cut;
  }

  Task<void> AskForNamed(Context ctx) {
    for (const std::string& key : named_) {
      if (held_.contains(key)) continue;
      std::optional<BaseCandidate> candidate = CandidateOf(key);
      if (!candidate) continue;
      const cache::EntityRef entity = co_await in_.orchestrator.Borrow(ctx, key, candidate->digest);
      if (entity) Add(std::move(*candidate), entity->meta);
    }
  }

  /// What is there now need not be what was listed.
  Task<cache::EntityRef> Read(Context ctx, BaseCandidate candidate) {
    cache::EntityRef entity = in_.orchestrator.LookAt(candidate.key, candidate.digest);
    if (!entity && in_.may_read_kv) {
      entity = co_await in_.orchestrator.Borrow(std::move(ctx), candidate.key, candidate.digest);
    }
    if (!entity) co_return nullptr;
    std::vector<HeldBase> one;
    one.push_back({std::move(candidate), FactsOf(entity->meta)});
    if (Rank(std::move(one), in_.wanted).empty()) co_return nullptr;
    co_return entity;
  }

  BaseSearch& in_;
  const std::vector<std::string> named_;
  std::map<std::string, HeldBase> held_;  ///< by key
  bool is_cut_ = false;                   ///< the store has more than was listed
};

}  // namespace

Task<std::optional<Base>> FindBase(Context ctx, BaseSearch search) {
  Search running(search);
  co_return co_await running.Run(std::move(ctx));
}

}  // namespace vr::delivery
