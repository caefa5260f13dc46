#include "cache/inspect.h"

#include "cache/orchestrator.h"
#include "observe/log.h"

namespace vr::cache {

namespace {

/// Of what was stored this very moment, or is not known yet, nothing but when it was made.
std::optional<EntryView::Use> UseOf(KvKeeper* keeper, const std::string& key, int64_t created_ms) {
  if (keeper == nullptr) return std::nullopt;
  const std::optional<KvKeeper::View> view = keeper->Look(key);
  EntryView::Use use;
  use.last_ms = created_ms;
  if (!view) return use;
  use.uses = view->uses;
  use.last_ms = view->used_ms;
  use.ttl_factor = view->ttl_factor;
  return use;
}

}  // namespace

Task<Result<VariantPage>> Orchestrator::ListVariants(Context ctx, std::string source,
                                                     std::string cursor, size_t limit) {
  VariantPage out;
  if (!kv_) co_return out;
  CO_TRY(kv::Page page,
         co_await kv_->ListBySource(ctx, std::move(source), std::move(cursor), limit));
  for (kv::Listed& row : page.rows) {
    EntryView view;
    view.in_kv = true;
    view.in_edge = edge_.Find(row.key) != nullptr;
    Result<Metadata> meta = Metadata::FromJson(row.record.metadata);
    if (!meta.ok()) continue;  // of a version we do not know: not ours to show
    meta->expires_at_ms = row.record.expires_ms;
    view.metadata_json = meta->ToJson();
    view.use = UseOf(keeper_, row.key, meta->created_at_ms);
    view.key = std::move(row.key);
    out.variants.push_back(std::move(view));
  }
  out.cursor = std::move(page.cursor);
  co_return out;
}

EntityRef Orchestrator::LookAt(std::string_view key, const Hash128& digest) {
  EntityRef held = edge_.Look(key);
  if (!held || held->meta.plan_digest != digest || held->meta.status != http::kOk) return nullptr;
  return held->is_fresh(NowMs()) ? held : nullptr;
}

Task<Held> Orchestrator::ListHeld(
    Context ctx, std::string source, std::string after, size_t limit,
    std::function<bool(std::string_view key, const Hash128& digest)> is_wanted) {
  Held held;
  if (!kv_) co_return held;
  Result<kv::Page> page =
      co_await kv_->ListBySource(std::move(ctx), std::move(source), std::move(after), limit);
  if (!page.ok()) {
    kv_read_failed_.Add();
    LogWarn("kv_read_failed", {{"error", page.error().ToLogString()}});
    co_return held;
  }
  held.is_cut = !page->cursor.empty();
  const int64_t now_ms = NowMs();
  for (kv::Listed& row : page->rows) {
    const kv::Record& record = row.record;
    const bool is_fresh = record.expires_ms == 0 || now_ms < record.expires_ms;
    if (!row.is_readable || !is_fresh || !is_wanted(row.key, record.digest)) continue;
    Result<Metadata> meta = Metadata::FromJson(record.metadata);
    if (!meta.ok() || meta->status != http::kOk) continue;
    meta->expires_at_ms = record.expires_ms;
    held.variants.push_back({std::move(row.key), std::move(*meta)});
  }
  co_return held;
}

Task<Result<std::optional<EntryView>>> Orchestrator::ReadEntry(Context ctx, std::string key) {
  EntryView view;
  view.key = key;
  if (const EntityRef entity = edge_.Find(key)) {
    view.in_edge = true;
    view.metadata_json = entity->meta.ToJson();
  }
  {
    MutexLock lock(mutex_);
    for (const auto& [flight, held] : flights_) view.in_production |= held.query.key == key;
  }
  if (kv_) {
    CO_TRY(std::optional<kv::Found> found, co_await kv_->Get(ctx, key));
    if (found) {
      Result<Metadata> meta = Metadata::FromJson(found->record.metadata);
      if (meta.ok()) {
        view.in_kv = true;
        meta->expires_at_ms = found->record.expires_ms;
        view.use = UseOf(keeper_, key, meta->created_at_ms);
        view.metadata_json = meta->ToJson();
      }
    }
  }
  std::optional<EntryView> out;
  if (view.in_edge || view.in_kv) out = std::move(view);
  co_return out;
}

}  // namespace vr::cache
