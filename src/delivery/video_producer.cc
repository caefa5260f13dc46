#include "delivery/video_producer.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "base/hash.h"
#include "delivery/redirect.h"
#include "delivery/request_log.h"
#include "delivery/status.h"
#include "observe/log.h"
#include "variant/key.h"

namespace vr::delivery {

namespace {

constexpr uint64_t kCopyStep = 4 << 20;

/// Copies [offset, offset+length) between files. Blocking. @return bytes copied; fewer only at the
/// end.
Result<uint64_t> CopyRange(int from, int to, uint64_t offset, uint64_t length) {
  uint64_t done = 0;
  std::string buffer;
  bool by_kernel = true;
  while (done < length) {
    off_t in = static_cast<off_t>(offset + done);
    off_t out = in;
    ssize_t n;
    if (by_kernel) {
      n = ::copy_file_range(from, &in, to, &out, length - done, 0);
      if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
        by_kernel = false;
        buffer.resize(1 << 20);
        continue;
      }
    } else {
      n = ::pread(from, buffer.data(), std::min<uint64_t>(buffer.size(), length - done), in);
      for (ssize_t put = 0; n > 0 && put < n;) {
        const ssize_t w =
            ::pwrite(to, buffer.data() + put, static_cast<size_t>(n - put), out + put);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) {
          n = -1;
          break;
        }
        put += w;
      }
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "copying a source");
    if (n == 0) break;
    done += static_cast<uint64_t>(n);
  }
  return done;
}

/// A source that remembers how many of its bytes somebody wanted.
class MeteredSource final : public origin::Source {
 public:
  explicit MeteredSource(origin::SourceRef source) : source_(std::move(source)) {}
  const origin::SourceInfo& info() const override { return source_->info(); }
  const SharedFd& file() const override { return source_->file(); }
  bool is_complete() const override { return source_->is_complete(); }
  Task<Result<uint64_t>> Ensure(Context ctx, uint64_t offset, uint64_t length) override {
    wanted_ += length;
    return source_->Ensure(std::move(ctx), offset, length);
  }
  uint64_t wanted() const { return wanted_; }

 private:
  const origin::SourceRef source_;
  std::atomic<uint64_t> wanted_{0};
};

/// What a still takes of a file that is read where it lies: index, a group of pictures.
constexpr uint64_t kStillBytes = 1 << 20;

/// How much of its source a transform has read, as far as that is known here: of a remote one what
/// the worker asked for, of a file all of it.
uint64_t BytesRead(const MeteredSource& source, variant::Mode mode) {
  const uint64_t size = source.info().size.value_or(source.wanted());
  if (!source.is_complete() || source.wanted() > 0) return std::min(size, source.wanted());
  return mode == variant::Mode::kFrame ? std::min(size, kStillBytes) : size;
}

/// The original's validator names the source's version, so it is known before the last byte is.
std::string EtagOfOriginal(const origin::Resolved& resolved, const origin::SourceInfo& info) {
  if (info.validator.empty()) return {};
  std::string named = resolved.identity;
  named += '\0';
  named += info.validator;
  return '"' + HashOf(named).ToHex() + '"';
}

transform::Priority PriorityOf(cache::Interest interest) {
  switch (interest) {
    case cache::Interest::kWaiting:
      return transform::Priority::kWaiting;
    case cache::Interest::kUnattended:
      return transform::Priority::kUnattended;
    case cache::Interest::kPrewarm:
      return transform::Priority::kPrewarm;
  }
  return transform::Priority::kWaiting;
}

std::string QualityName(const variant::Quality& quality) {
  return quality.number != 0 ? std::to_string(quality.number)
                             : std::string(variant::ToString(quality.level));
}

}  // namespace

Task<Result<origin::SourceRef>> OpenSource(Context ctx, const ProductionSpec& spec) {
  origin::Resolved resolved = spec.resolved;
  Result<origin::SourceRef> opened =
      co_await spec.snapshot->opener->Open(std::move(ctx), std::move(resolved));
  if (opened.ok()) co_return opened;
  co_return ForOurClients(std::move(opened).error(), spec.request.source_path);
}

cache::Metadata DescribeVariant(const ProductionSpec& spec, const origin::SourceInfo& source) {
  const variant::MediaOptions& asked = spec.request.resolved;
  cache::Metadata meta;
  meta.source_path = spec.request.source_path;
  meta.width = asked.width;
  meta.height = asked.height;
  if (!spec.plan.original) meta.format = variant::ToString(spec.request.format());
  if (asked.quality) meta.quality = QualityName(*asked.quality);
  if (asked.compression) meta.compression = variant::ToString(*asked.compression);
  meta.derivative = spec.request.derivative;
  meta.cache_tags = spec.tags;
  meta.content_type = spec.plan.content_type;
  meta.origin = source.origin_name;
  meta.source_type = source.type;
  meta.source_etag = source.etag;
  meta.source_validator = source.validator;
  meta.source_last_modified_ms = source.last_modified_ms;
  if (spec.plan.original) meta.etag = EtagOfOriginal(spec.resolved, source);
  return meta;
}

void VideoProducer::Count(std::string_view result) {
  const std::string format =
      spec_.plan.original ? "original" : std::string(variant::ToString(spec_.request.format()));
  deps_.metrics
      .GetCounter("video_resizer_transforms_total", "Variants made, by mode, format and result",
                  {{"mode", std::string(variant::ToString(spec_.request.mode))},
                   {"format", format},
                   {"result", std::string(result)}})
      .Add();
}

void VideoProducer::Tell(const Result<cache::Metadata>& made) {
  if (deps_.recorder == nullptr) return;
  const RequestLabels names = LabelsOf(spec_.request, spec_.resolved.origin_name);
  const std::string key = variant::KeyOf(spec_.request);
  analytics::Production production;
  production.is_good = made.ok();
  if (made.ok()) {
    production.encode_micros = static_cast<uint64_t>(std::max(0.0, made->encode_seconds) * 1e6);
    production.origin_bytes = made->source_bytes;
  }
  production.labels.key = key;
  production.labels.source = names.source;
  production.labels.origin = names.origin;
  production.labels.derivative = names.derivative;
  production.labels.format = names.format;
  production.labels.mode = names.mode;
  deps_.recorder->Record(production);
}

Task<Result<cache::Metadata>> VideoProducer::Produce(Context ctx, cache::ProductionRef production,
                                                     SharedFd stored) {
  std::optional<Result<cache::Metadata>> derived;
  if (spec_.find_base && !seat_ && !has_changed_) {
    derived = co_await Derive(ctx, production, stored);
  }
  Result<cache::Metadata> made = Error(Code::kInternal, "internal error");
  if (derived) {
    made = std::move(*derived);
  } else {
    Result<origin::SourceRef> opened = co_await OpenSource(ctx, spec_);
    if (!opened.ok()) co_return std::move(opened).error();
    const origin::SourceRef source = std::move(*opened);
    if (source->info().size && *source->info().size == 0) {
      co_return Error(Code::kCorruption, "the source is empty").WithReason("SOURCE_CORRUPT");
    }
    if (spec_.plan.original) {
      made = co_await CopyOriginal(ctx, production, stored, source);
    } else {
      Base itself;
      itself.source = source;
      made = co_await Transform(ctx, production, stored, std::move(itself));
    }
  }
  Tell(made);
  if (made.ok()) {
    Count("ok");
  } else if (made.error().code == Code::kCancelled) {
    Count("cancelled");  // nobody's failure
  } else {
    Count(ReasonOf(made.error()));
    LogWarn("production_failed",
            {{"source", spec_.request.source_path}, {"error", made.error().ToLogString()}});
  }
  co_return made;
}

Task<std::optional<Result<cache::Metadata>>> VideoProducer::Derive(Context ctx,
                                                                   cache::ProductionRef production,
                                                                   SharedFd stored) {
  std::optional<Base> base = co_await spec_.find_base(ctx);
  if (!base) co_return std::nullopt;
  Base taken = *base;
  Result<cache::Metadata> made = co_await Transform(ctx, production, stored, std::move(taken));
  std::string_view result = "ok";
  const bool has_begun = production->Look().phase != cache::Production::Phase::kWorking;
  const bool may_begin_anew =
      !has_begun && !production->is_abandoned() && ctx.deadline > std::chrono::steady_clock::now();
  if (made.ok()) {
    made->derived_from = base->key;
    made->source_bytes = 0;
  } else {
    result = "failed";
    LogWarn("derivation_failed", {{"source", spec_.request.source_path},
                                  {"base", base->key},
                                  {"error", made.error().ToLogString()}});
  }
  deps_.metrics
      .GetCounter("video_resizer_derivations_total",
                  "Variants made of what was held instead of their source, by result",
                  {{"result", std::string(result)}})
      .Add();
  // Its source may be better than what was made of it.
  if (!made.ok() && may_begin_anew && ::ftruncate(stored->get(), 0) == 0) co_return std::nullopt;
  co_return made;
}

Task<Result<bool>> VideoProducer::IsUnchanged(Context ctx, cache::Metadata known) {
  CO_TRY(const origin::SourceRef source, co_await OpenSource(ctx, spec_));
  // A source without validators cannot be told apart from a changed one.
  const std::string& now = source->info().validator;
  const bool is_unchanged = !now.empty() && now == known.source_validator;
  if (!is_unchanged) has_changed_ = true;
  co_return is_unchanged;
}

Task<Result<cache::Metadata>> VideoProducer::CopyOriginal(Context ctx,
                                                          cache::ProductionRef production,
                                                          SharedFd stored,
                                                          origin::SourceRef source) {
  production->MarkStarted();
  cache::Metadata meta = DescribeVariant(spec_, source->info());
  bool has_started = false;
  uint64_t copied = 0;
  for (;;) {
    uint64_t available = 0;
    if (source->is_complete()) {
      available = *source->info().size - copied;
    } else {
      CO_TRY(available, co_await source->Ensure(ctx, copied, kCopyStep));
    }
    if (available == 0) break;
    const uint64_t step = std::min(available, kCopyStep);
    auto copy = [source, stored, copied, step] {
      return CopyRange(source->file()->get(), stored->get(), copied, step);
    };
    CO_TRY(const uint64_t n, co_await deps_.blocking.Run(io::Lane::kRead, std::move(copy)));
    if (n == 0) {
      co_return Error(Code::kCorruption, "the source changed while it was read",
                      "source file shrank")
          .WithReason("SOURCE_CORRUPT");
    }
    copied += n;
    if (!has_started) {
      has_started = true;
      cache::StreamHead head;
      head.file = stored;
      head.length = source->info().size;
      head.meta = meta;
      head.is_whole_form = true;
      production->Advance(copied);
      production->StartStream(std::move(head));
    } else {
      production->Advance(copied);
    }
    if (source->info().size) {
      production->SetPercent(static_cast<uint32_t>(100 * copied / *source->info().size));
    }
    if (production->is_abandoned()) co_return Error(Code::kCancelled, "nobody waits for it");
    if (ctx.deadline < std::chrono::steady_clock::now()) {
      co_return Error(Code::kDeadlineExceeded, "the source could not be read in time")
          .WithReason("ORIGIN_TIMEOUT");
    }
  }
  if (source->info().size && copied != *source->info().size) {
    co_return Error(Code::kCorruption, "the source changed while it was read",
                    "source length differs")
        .WithReason("SOURCE_CORRUPT");
  }
  meta.source_bytes = copied;
  co_return meta;
}

Task<Result<cache::Metadata>> VideoProducer::Transform(Context ctx, cache::ProductionRef production,
                                                       SharedFd stored, Base base) {
  const auto source = std::make_shared<MeteredSource>(std::move(base.source));
  transform::protocol::Job job = spec_.plan.job;
  job.start_seconds = std::max(0.0, job.start_seconds - variant::ToSeconds(base.begin));
  job.from_first_picture = !base.key.empty();
  job.source_complete = source->is_complete();
  if (source->info().size) {
    job.source_size = *source->info().size;
  } else {
    // A source of unknown length: the demuxer needs the end, so the whole of it comes first.
    CO_TRY(job.source_size,
           co_await source->Ensure(ctx, 0, spec_.snapshot->transform.max_source_bytes));
  }
  job.stream = spec_.plan.streams;
  std::string factor_key;
  if (job.target_ssim > 0) {
    // What was encoded before is another source to an encoder.
    const std::string identity =
        base.key.empty() ? spec_.resolved.identity : spec_.resolved.identity + '#' + base.key;
    factor_key = transform::RateFactorKey(identity, source->info().validator, job);
    job.known_rate_factor = deps_.rate_factors.Get(factor_key);
  }
  if (seat_) {
    TransformGroup::Order order;
    order.job = job;
    order.source = source;
    order.stored = stored;
    order.production = production;
    order.origin = spec_.resolved.origin_name;
    const std::optional<transform::protocol::Done> done =
        co_await seat_->Take(ctx, std::move(order));
    if (done) {
      cache::Metadata meta = DescribeVariant(spec_, source->info());
      Note(meta, *done, factor_key);
      meta.source_bytes = BytesRead(*source, spec_.request.mode);
      co_return meta;
    }
    if (production->is_abandoned()) co_return Error(Code::kCancelled, "nobody waits for it");
  }
  transform::Outputs outputs;
  outputs.stored = stored;
  if (job.stream) {
    auto make_file = [this] { return deps_.staging.NewFile(); };
    CO_TRY(outputs.stream, co_await deps_.blocking.Run(io::Lane::kWrite, std::move(make_file)));
  }
  cache::Metadata meta = DescribeVariant(spec_, source->info());
  const SharedFd streamed = outputs.stream;
  auto on_progress = [production, streamed, meta](const transform::protocol::Progress& progress) {
    // Before the first byte can be read: whoever would wait too long is not given any.
    production->SetEstimate(progress.estimated_seconds);
    production->SetPercent(progress.percent);
    if (!streamed || progress.stream_bytes == 0) return;
    production->Advance(progress.stream_bytes);
    if (production->Look().phase != cache::Production::Phase::kWorking) return;
    cache::StreamHead head;
    head.file = streamed;
    head.meta = meta;
    production->StartStream(std::move(head));
  };
  std::function<void(const transform::protocol::Progress&)> observer = std::move(on_progress);
  auto cancel = std::make_shared<transform::CancelToken>();
  production->OnAbandon([cancel] { cancel->Cancel(); });
  transform::Claim claim;
  claim.origin = spec_.resolved.origin_name;
  claim.client = spec_.client;
  claim.priority = [production] { return PriorityOf(production->interest()); };
  claim.on_start = [production] { production->MarkStarted(); };
  CO_TRY(const transform::protocol::Done done,
         co_await deps_.pool.Run(ctx, std::move(job), source, outputs, observer, cancel,
                                 std::move(claim)));
  if (streamed) production->Advance(done.stream_bytes);
  Note(meta, done, factor_key);
  meta.source_bytes = BytesRead(*source, spec_.request.mode);
  co_return meta;
}

void VideoProducer::Note(cache::Metadata& meta, const transform::protocol::Done& done,
                         const std::string& factor_key) const {
  if (done.width != 0) meta.resolved_width = done.width;
  if (done.height != 0) meta.resolved_height = done.height;
  if (done.duration_seconds > 0) meta.duration = done.duration_seconds;
  if (done.fps > 0) meta.fps = done.fps;
  meta.encode_seconds = done.cpu_seconds;
  meta.route = done.route;
  meta.rate_factor = done.rate_factor;
  if (done.rate_factor > 0) deps_.rate_factors.Put(factor_key, done.rate_factor);
  meta.warnings = done.warnings;
}

}  // namespace vr::delivery
