#include "kv/memory_store.h"

#include <algorithm>
#include <utility>

#include "io/files.h"
#include "kv/entry_codec.h"

namespace vr::kv {
namespace {

class MemoryBody final : public NewBody {
 public:
  MemoryBody(SharedFd file, std::shared_ptr<std::atomic<int>> open)
      : file_(std::move(file)), open_(std::move(open)) {
    open_->fetch_add(1);
  }
  ~MemoryBody() override { open_->fetch_sub(1); }
  const SharedFd& file() const override { return file_; }

 private:
  const SharedFd file_;
  const std::shared_ptr<std::atomic<int>> open_;
};

}  // namespace

MemoryStore::Calls MemoryStore::calls() const {
  return calls_.With([](const Calls& c) { return c; });
}

io::Task<Result<std::unique_ptr<NewBody>>> MemoryStore::Create(Context, uint64_t) {
  calls_.With([](Calls& c) { ++c.creates; });
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_create; });
  if (failure) co_return std::move(*failure);
  if (usage().bytes >= options_.max_bytes) {
    co_return Error(Code::kResourceExhausted, "the store is full", "max_bytes reached");
  }
  CO_TRY(UniqueFd fd, io::MemoryFile("vr-body"));
  auto file = std::make_shared<const UniqueFd>(std::move(fd));
  std::unique_ptr<NewBody> body = std::make_unique<MemoryBody>(std::move(file), open_bodies_);
  co_return body;
}

io::Task<Result<void>> MemoryStore::Commit(Context, std::string key, Record record,
                                           std::unique_ptr<NewBody> body) {
  calls_.With([](Calls& c) { ++c.commits; });
  const std::function<io::Task<void>()> gate =
      failures_.With([](Failures& f) { return f.before_commit; });
  if (gate) co_await gate();
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  CO_CHECK(CheckAcceptable(key, record));
  CO_TRY(const uint64_t size, io::SizeOf(body->file()->get()));
  if (size != record.body_size) {
    co_return Error(Code::kCorruption, "the body has another size than announced");
  }
  CO_TRY(std::string bytes, io::ReadAt(body->file()->get(), 0, size));
  if (HashOf(bytes) != record.body_hash) {
    co_return Error(Code::kCorruption, "the body has another checksum than announced");
  }
  Found found;
  found.record = std::move(record);
  found.body.size = size;
  if (size <= options_.inline_threshold) {
    found.body.memory = std::make_shared<const std::string>(std::move(bytes));
  } else {
    found.body.file = body->file();
  }
  const bool is_new = entries_.With([&](Map& map) {
    newest_ms_ = std::max(newest_ms_.load(), found.record.created_ms);
    return map.insert_or_assign(key, std::move(found)).second;
  });
  Changed(key, is_new);
  co_return Result<void>();
}

io::Task<Result<std::optional<Found>>> MemoryStore::Get(Context, std::string key) {
  calls_.With([](Calls& c) { ++c.gets; });
  const std::function<io::Task<void>()> gate =
      failures_.With([](Failures& f) { return f.before_get; });
  if (gate) co_await gate();
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_get; });
  if (failure) co_return std::move(*failure);
  std::optional<Found> found = entries_.With([&](const Map& map) {
    const auto it = map.find(key);
    return it == map.end() ? std::optional<Found>() : std::optional<Found>(it->second);
  });
  const std::function<io::Task<void>()> after =
      failures_.With([](Failures& f) { return f.after_get; });
  if (after) co_await after();
  co_return found;
}

io::Task<Result<bool>> MemoryStore::Touch(Context, std::string key, Hash128 body_hash,
                                          std::string metadata, int64_t expires_ms) {
  calls_.With([](Calls& c) { ++c.touches; });
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  Result<bool> touched = entries_.With([&](Map& map) -> Result<bool> {
    const auto it = map.find(key);
    if (it == map.end() || it->second.record.body_hash != body_hash) return false;
    Record changed = it->second.record;
    changed.metadata = std::move(metadata);
    changed.expires_ms = expires_ms;
    CHECK_OK(CheckAcceptable(key, changed));
    it->second.record = std::move(changed);
    return true;
  });
  if (touched.ok() && *touched) Changed(key, false);
  co_return touched;
}

io::Task<Result<bool>> MemoryStore::Erase(Context, std::string key) {
  calls_.With([](Calls& c) { ++c.erases; });
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  const bool was_there = entries_.With([&](Map& map) { return map.erase(key) != 0; });
  Changed(key, false);
  co_return was_there;
}

io::Task<Result<size_t>> MemoryStore::EraseMany(Context, std::vector<std::string> keys) {
  calls_.With([](Calls& c) { ++c.erases; });
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  const size_t erased = entries_.With([&](Map& map) {
    size_t n = 0;
    for (const std::string& key : keys) n += map.erase(key);
    return n;
  });
  for (const std::string& key : keys) Changed(key, false);
  co_return erased;
}

io::Task<Result<size_t>> MemoryStore::ExpireMany(Context, std::vector<std::string> keys,
                                                 int64_t at_ms) {
  calls_.With([](Calls& c) { ++c.touches; });
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  const size_t changed = entries_.With([&](Map& map) {
    size_t n = 0;
    for (const std::string& key : keys) {
      const auto it = map.find(key);
      if (it == map.end()) continue;
      int64_t& expires_ms = it->second.record.expires_ms;
      if (expires_ms != 0 && expires_ms <= at_ms) continue;
      expires_ms = at_ms;
      ++n;
    }
    return n;
  });
  for (const std::string& key : keys) Changed(key, false);
  co_return changed;
}

void MemoryStore::Changed(std::string_view key, bool is_new) {
  const bool is_there =
      entries_.With([&](const Map& map) { return map.contains(std::string(key)); });
  const uint64_t version = last_version_.fetch_add(1) + 1;
  versions_.With([&](auto& versions) {
    if (is_there) {
      versions.insert_or_assign(std::string(key), version);
    } else {
      versions.erase(std::string(key));
    }
  });
  if (listen_ && !is_new) listen_(key);
}

std::optional<uint64_t> MemoryStore::Version(std::string_view key) const {
  return versions_.With([&](const auto& versions) {
    const auto it = versions.find(key);
    return it == versions.end() ? std::nullopt : std::optional<uint64_t>(it->second);
  });
}

void MemoryStore::OnChange(std::function<void(std::string_view key)> listen) {
  listen_ = std::move(listen);
}

io::Task<Result<uint64_t>> MemoryStore::Begin(Context, std::string bytes) {
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  if (bytes.size() > Journal::kMaxBytes) {
    co_return Error(Code::kInvalidArgument, "the store cannot note this down", "length of the row");
  }
  const uint64_t id = next_intent_.fetch_add(1);
  intents_.With([&](auto& rows) { rows[id] = std::move(bytes); });
  co_return id;
}

io::Task<Result<void>> MemoryStore::End(Context, uint64_t id) {
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_commit; });
  if (failure) co_return std::move(*failure);
  intents_.With([&](auto& rows) { rows.erase(id); });
  co_return Result<void>();
}

io::Task<Result<std::vector<Journal::Row>>> MemoryStore::Pending(Context) {
  std::optional<Error> failure = failures_.With([](Failures& f) { return f.fail_get; });
  if (failure) co_return std::move(*failure);
  std::vector<Row> pending;
  intents_.With([&](const auto& rows) {
    for (const auto& [id, bytes] : rows) pending.push_back(Row{id, bytes});
  });
  co_return pending;
}

Result<Page> MemoryStore::List(const std::string& from, const std::string& cursor, size_t limit,
                               const std::function<bool(const Map::value_type&)>& wanted) const {
  std::optional<Error> failure = failures_.With([](const Failures& f) { return f.fail_get; });
  if (failure) return std::move(*failure);
  limit = std::max<size_t>(limit, 1);
  return entries_.With([&](const Map& map) {
    Page page;
    for (auto it = map.lower_bound(std::max(from, cursor)); it != map.end(); ++it) {
      if (it->first == cursor || !wanted(*it)) continue;
      if (page.rows.size() == limit) {
        page.cursor = page.rows.back().key;
        break;
      }
      page.rows.push_back(Listed{it->first, it->second.record, true});
    }
    return page;
  });
}

io::Task<Result<Page>> MemoryStore::ListByPrefix(Context, std::string prefix, std::string cursor,
                                                 size_t limit) {
  const std::function<bool(const Map::value_type&)> wanted = [&](const Map::value_type& e) {
    return e.first.starts_with(prefix);
  };
  co_return List(prefix, cursor, limit, wanted);
}

io::Task<Result<Page>> MemoryStore::ListByTag(Context, std::string tag, std::string cursor,
                                              size_t limit) {
  const std::function<bool(const Map::value_type&)> wanted = [&](const Map::value_type& e) {
    const std::vector<std::string>& tags = e.second.record.tags;
    return std::find(tags.begin(), tags.end(), tag) != tags.end();
  };
  co_return List({}, cursor, limit, wanted);
}

io::Task<Result<Page>> MemoryStore::ListBySource(Context, std::string source, std::string cursor,
                                                 size_t limit) {
  const std::function<bool(const Map::value_type&)> wanted = [&](const Map::value_type& e) {
    return !source.empty() && e.second.record.source == source;
  };
  co_return List({}, cursor, limit, wanted);
}

Usage MemoryStore::usage() const {
  return entries_.With([this](const Map& map) {
    Usage usage;
    usage.newest_ms = newest_ms_;
    usage.entries = map.size();
    for (const auto& [key, found] : map) {
      usage.bytes += found.record.body_size + found.record.metadata.size();
    }
    return usage;
  });
}

}  // namespace vr::kv
