// The steps of a hit, one by one, in the order a request takes them. `make bench-micro`.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "analytics/recorder.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cache/edge.h"
#include "cache/use_log.h"
#include "delivery/head.h"
#include "delivery/request_log.h"
#include "http/parser.h"
#include "http/range.h"
#include "http/respond.h"
#include "kv/memory_index.h"
#include "observe/log.h"
#include "variant/key.h"
#include "variant/parse.h"

namespace vr {
namespace {

constexpr std::string_view kTarget =
    "/videos/shows/2024/episode-07.mp4?width=640&height=360&fit=contain&quality=high";
constexpr std::string_view kHead =
    "GET /videos/shows/2024/episode-07.mp4?width=640&height=360&fit=contain&quality=high "
    "HTTP/1.1\r\n"
    "Host: media.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: identity;q=1, *;q=0\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Range: bytes=1048576-2097151\r\n"
    "Referer: https://www.example.com/watch/episode-07\r\n"
    "\r\n";

std::string_view PathOf(std::string_view target) {
  return target.substr(0, target.find('?'));
}
std::string_view QueryOf(std::string_view target) {
  return target.substr(target.find('?') + 1);
}

variant::Parsed ParsedTarget() {
  return *variant::Parse(PathOf(kTarget), QueryOf(kTarget), variant::Options());
}

http::Request RequestOf(std::string_view head) {
  http::RequestParser parser{http::ParseLimits()};
  const std::span<char> space = parser.Prepare();
  parser.Commit(head.copy(space.data(), space.size()));
  http::Request request;
  if (parser.Next() == http::RequestParser::Step::kReady) parser.TakeInto(request);
  return request;
}

std::shared_ptr<cache::Entity> EntityOf(std::string key) {
  auto entity = std::make_shared<cache::Entity>();
  entity->key = std::move(key);
  entity->kv_backed = true;
  cache::Metadata& meta = entity->meta;
  meta.format = "mp4";
  meta.content_type = "video/mp4";
  meta.etag = "\"0123456789abcdef0123456789abcdef\"";
  meta.cache_tags = {"video-videos/shows/2024/episode-07.mp4", "video-format-mp4",
                     "video-mode-video"};
  meta.created_at_ms = 1'700'000'000'000;
  meta.expires_at_ms = meta.created_at_ms + 86'400'000;
  meta.resolved_width = 640;
  meta.resolved_height = 360;
  meta.origin = "videos";
  meta.source_type = "file";
  entity->memory = std::make_shared<const std::string>(64 << 10, 'v');
  entity->head = std::make_shared<const std::string>(delivery::RenderEntityHead(*entity));
  return entity;
}

std::string KeyNumber(int64_t n) {
  return "video:videos/shows/2024/episode-" + std::to_string(n) + ".mp4:w=640:h=360:q=high";
}

// ---- the request

void RequestHead(benchmark::State& state) {
  http::RequestParser parser{http::ParseLimits()};
  http::Request request;
  for (auto _ : state) {
    const std::span<char> space = parser.Prepare();
    parser.Commit(kHead.copy(space.data(), space.size()));
    if (parser.Next() != http::RequestParser::Step::kReady) state.SkipWithError("not accepted");
    parser.TakeInto(request);
    benchmark::DoNotOptimize(request);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kHead.size()));
}
BENCHMARK(RequestHead);

void UrlToVariant(benchmark::State& state) {
  const variant::Options options;
  for (auto _ : state) {
    auto parsed = variant::Parse(PathOf(kTarget), QueryOf(kTarget), options);
    benchmark::DoNotOptimize(parsed);
  }
}
BENCHMARK(UrlToVariant);

void UrlOfADerivative(benchmark::State& state) {
  variant::Options options;
  options.derivatives = variant::ShippedDerivatives();
  for (auto _ : state) {
    auto parsed = variant::Parse("/videos/shows/2024/episode-07.mp4", "derivative=mobile", options);
    benchmark::DoNotOptimize(parsed);
  }
}
BENCHMARK(UrlOfADerivative);

void Key(benchmark::State& state) {
  const variant::Parsed parsed = ParsedTarget();
  for (auto _ : state) benchmark::DoNotOptimize(variant::KeyOf(parsed.request));
}
BENCHMARK(Key);

void PlanDigest(benchmark::State& state) {
  const variant::Parsed parsed = ParsedTarget();
  const std::string recipe(300, 'r');
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        variant::DigestOf(parsed.request, "videos:/videos/shows/2024/episode-07.mp4", recipe));
  }
}
BENCHMARK(PlanDigest);

void RangeOfOne(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(http::ParseRange("bytes=1048576-2097151", 20 << 20));
}
BENCHMARK(RangeOfOne);

void RangeOfFour(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(http::ParseRange("bytes=0-99, 1000-1999,4096-8191, -1024", 20 << 20));
  }
}
BENCHMARK(RangeOfFour);

// ---- the layers; the argument is how many entries there are

void EdgeLookup(benchmark::State& state) {
  cache::EdgeOptions options;
  options.max_bytes = uint64_t{64} << 30;
  cache::Edge edge(options);
  const int64_t entries = state.range(0);
  const auto body = std::make_shared<const std::string>("v");
  for (int64_t i = 0; i < entries; ++i) {
    auto entity = std::make_shared<cache::Entity>();
    entity->key = KeyNumber(i);
    entity->memory = body;
    edge.Insert(std::move(entity));
  }
  std::vector<std::string> keys;
  for (int64_t i = 0; i < 1024; ++i) keys.push_back(KeyNumber(i * 7919 % entries));
  size_t next = 0;
  for (auto _ : state) {
    auto found = edge.Find(keys[next++ & 1023]);
    if (!found) state.SkipWithError("lost");
    benchmark::DoNotOptimize(found);
  }
}
BENCHMARK(EdgeLookup)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

/// That it was used: what the hit itself pays. The ring is emptied where it is half full, as in the
/// server, but outside the count.
void NoteUse(benchmark::State& state) {
  bool is_full = false;
  cache::UseLog log([&is_full] { is_full = true; });
  uint64_t id = 1;
  for (auto _ : state) {
    log.Note(id += 0x9e3779b97f4a7c15, 1'700'000'000'000, false);
    if (!is_full) continue;
    state.PauseTiming();
    benchmark::DoNotOptimize(log.Take());
    is_full = false;
    state.ResumeTiming();
  }
}
BENCHMARK(NoteUse);

void IndexGet(benchmark::State& state) {
  kv::MemoryIndex index;
  const int64_t entries = state.range(0);
  for (int64_t i = 0; i < entries; ++i) {
    index.Put(KeyNumber(i), {.body_id = static_cast<uint64_t>(i), .body_size = 1});
  }
  std::vector<std::string> keys;
  for (int64_t i = 0; i < 1024; ++i) keys.push_back(KeyNumber(i * 7919 % entries));
  size_t next = 0;
  for (auto _ : state) {
    auto found = index.Find(keys[next++ & 1023]);
    if (!found) state.SkipWithError("lost");
    benchmark::DoNotOptimize(found);
  }
}
BENCHMARK(IndexGet)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

// ---- the answer

void AnswerFields(benchmark::State& state) {
  const auto entity = EntityOf(KeyNumber(7));
  const variant::Parsed parsed = ParsedTarget();
  delivery::AnswerFacts facts;
  facts.entity = entity.get();
  facts.now_ms = entity->meta.created_at_ms + 400'500;
  facts.request_id = "0123456789abcdef";
  facts.parsed = &parsed;
  for (auto _ : state) {
    std::string fields;
    fields.reserve(640);
    delivery::AppendAnswerFields(fields, facts);
    benchmark::DoNotOptimize(fields);
    benchmark::DoNotOptimize(delivery::CacheControlOf(facts));
  }
}
BENCHMARK(AnswerFields);

void EntityHead(benchmark::State& state) {
  const auto entity = EntityOf(KeyNumber(7));
  for (auto _ : state) benchmark::DoNotOptimize(delivery::RenderEntityHead(*entity));
}
BENCHMARK(EntityHead);

/// Conditions and ranges applied to an entity: 206 of one range.
void Respond(benchmark::State& state) {
  const auto entity = EntityOf(KeyNumber(7));
  const http::Request request = RequestOf(
      "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=100-4195\r\nIf-Range: "
      "\"0123456789abcdef0123456789abcdef\"\r\n\r\n");
  for (auto _ : state) {
    http::Representation whole;
    whole.shared_fields = entity->head;
    whole.content_type = entity->meta.content_type;
    whole.etag = entity->meta.etag;
    whole.body = entity->memory;
    benchmark::DoNotOptimize(http::RespondWith(std::move(whole), request));
  }
}
BENCHMARK(Respond);

/// The end of a hit, without the log line. Argument 0: without analytics, 1: with. The difference is
/// what recording costs; of 1,000 variants in turn, so that not everything is in the first cache.
void Finished(benchmark::State& state) {
  InitLog({.level = LogLevel::kOff});
  Metrics metrics;
  analytics::Recorder recorder;
  delivery::RequestLog log(metrics, SystemClock::Get(), state.range(0) != 0 ? &recorder : nullptr);
  const http::Request request = RequestOf(kHead);
  std::vector<http::Response> responses(1000);
  for (size_t i = 0; i < responses.size(); ++i) {
    auto note = std::make_shared<delivery::RequestNote>();
    note->has_layer = true;
    note->layer = cache::Layer::kEdge;
    note->entity = EntityOf(KeyNumber(i));
    responses[i].note = std::move(note);
  }
  http::Sent sent;
  sent.complete = true;
  sent.body_bytes = 1000;
  size_t at = 0;
  for (auto _ : state) {
    log.Finished(request, responses[at], sent);
    at = at + 1 == responses.size() ? 0 : at + 1;
  }
}
BENCHMARK(Finished)->Arg(0)->Arg(1);

/// What the thread of analytics does each second about a loop that served 1,000 variants.
void AnalyticsDrain(benchmark::State& state) {
  analytics::Recorder recorder;
  std::vector<std::string> keys;
  for (size_t i = 0; i < 1000; ++i) keys.push_back(KeyNumber(i));
  std::vector<analytics::Failure> failures;
  for (auto _ : state) {
    state.PauseTiming();
    analytics::Event event;
    event.outcome = analytics::Outcome::kEdge;
    event.labels.origin = "videos";
    event.labels.format = "mp4";
    for (const std::string& key : keys) {
      event.labels.key = event.labels.source = key;
      recorder.Record(event);
    }
    state.ResumeTiming();
    analytics::Bucket bucket(4096);
    recorder.Drain(bucket, failures);
    benchmark::DoNotOptimize(bucket.requests());
  }
}
BENCHMARK(AnalyticsDrain);

}  // namespace
}  // namespace vr
