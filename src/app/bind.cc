#include "app/bind.h"

#include <arpa/inet.h>

#include <algorithm>

#include "config/units.h"
#include "delivery/cors.h"
#include "origin/allowed_sources.h"

namespace vr::app {
namespace {

using config::Object;
using config::Text;
using namespace std::chrono_literals;

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kTiB = 1ull << 40;
constexpr std::chrono::seconds kYear{31536000};

bool IsPrintableAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool OnlyAlnumAnd(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return IsAlnum(c) || more.find(c) != more.npos;
  });
}

void BindHttp(Object& o, Settings& s) {
  o.Field("congestionControl", s.server.congestion_control,
          {.min_length = 1,
           .max_length = 15,
           .allowed = "\"system\" or a name of the kernel's (\"cubic\", \"bbr\")",
           .check = [](const std::string& name) { return OnlyAlnumAnd(name, "_-"); }});
  o.Bytes("maxHeadBytes", s.server.max_head_bytes, {.min = 1024, .max = kMiB});
  o.Bytes("maxTargetBytes", s.server.max_target_bytes, {.min = 256, .max = kMiB});
  o.Bytes("maxBodyBytes", s.server.max_body_bytes, {.min = 0, .max = kGiB});
  o.Field("maxConnections", s.server.max_connections, {1, 1'000'000});
  o.Duration("headerTimeout", s.server.header_timeout, {1s, 600s});
  o.Duration("bodyTimeout", s.server.body_timeout, {1s, 3600s});
  o.Duration("idleTimeout", s.server.idle_timeout, {1s, 3600s});
  o.Duration("writeTimeout", s.server.write_timeout, {1s, 3600s});
  o.Duration("drainTimeout", s.drain_timeout, {0s, 3600s});
}

void BindAdmin(Object& o, AdminOptions& admin) {
  o.Field("listen", admin.listen, ListenAddress());
  o.Field("token", admin.token,
          {.secret = true,
           .max_length = 1024,
           .allowed = "printable ASCII without spaces, at most 1024 bytes",
           .check = IsPrintableAscii});
  o.Field("onMainListener", admin.on_main_listener);
}

void BindTls(Object& o, TlsOptions& tls) {
  o.Field("certificate", tls.files.certificate,
          {.required = true, .min_length = 1, .allowed = "the path of a PEM file"});
  o.Field("key", tls.files.key,
          {.required = true, .min_length = 1, .allowed = "the path of a PEM file"});
  o.Duration("handshakeTimeout", tls.handshake_timeout, {100ms, 600s});
}

void BindHttp2(Object& o, Settings& s) {
  o.Field("enabled", s.enable_http2);
  o.Field("maxConcurrentStreams", s.server.max_concurrent_streams, {1, 10'000});
}

void BindTtl(Object& o, cache::TtlOptions& ttl) {
  o.Duration("ok", ttl.ok, {0s, kYear});
  o.Duration("redirects", ttl.redirects, {0s, kYear});
  o.Duration("clientError", ttl.client_error, {0s, kYear});
  o.Duration("serverError", ttl.server_error, {0s, kYear});
}

void BindEdge(Object& o, cache::EdgeOptions& edge) {
  o.Bytes("maxBytes", edge.max_bytes, {.min = 0, .max = kTiB});
  o.Bytes("maxObjectInMemory", edge.max_object_in_memory, {.min = 0, .max = kGiB});
  o.Field("maxOpenFiles", edge.max_open_files, {0, 1'000'000});
}

void BindEviction(Object& o, std::string& eviction) {
  enum class Policy { kCostAware, kS3Fifo, kLru, kNone };
  const config::Choices<Policy> choices{{"cost-aware", Policy::kCostAware},
                                        {"s3-fifo", Policy::kS3Fifo},
                                        {"lru", Policy::kLru},
                                        {"none", Policy::kNone}};
  Policy policy = Policy::kCostAware;
  for (const auto& [name, value] : choices) {
    if (eviction == name) policy = value;
  }
  o.Enum("eviction", policy, choices);
  for (const auto& [name, value] : choices) {
    if (policy == value) eviction = name;
  }
}

void BindKv(Object& o, kv::Options& kv, cache::KeeperOptions& keeper) {
  enum class Backend { kEmbedded } backend = Backend::kEmbedded;
  o.Enum("backend", backend, {{"embedded", Backend::kEmbedded}});
  o.Bytes("maxBytes", kv.max_bytes, {.min = kMiB, .max = 1024 * kTiB});
  o.Enum("durability", kv.durability,
         {{"none", kv::Durability::kNone},
          {"body", kv::Durability::kBody},
          {"full", kv::Durability::kFull}});
  o.Bytes("inlineThreshold", kv.inline_threshold, {.min = 0, .max = kMiB});
  o.Bytes("minFreeBytes", kv.min_free_bytes, {.min = 0, .max = 1024 * kTiB});
  o.Bytes("indexCacheBytes", kv.index_cache_bytes, {.min = kMiB, .max = kTiB});
  o.Field("openBodies", kv.open_bodies, {0, 100'000});
  o.Field("verifyOnRead", kv.verify_on_read, {0, 100});
  o.Field("maxEntries", keeper.max_entries, {0, 1'000'000'000});
  o.Field("highWatermark", keeper.high_watermark, {2, 100});
  o.Field("lowWatermark", keeper.low_watermark, {1, 99});
  BindEviction(o, keeper.eviction);
  o.Field("minUses", keeper.min_uses, {1, 100});
  o.Duration("maxUnused", keeper.max_unused, {0s, 10 * kYear});
}

void BindAdaptiveTtl(Object& o, cache::AdaptiveTtlOptions& adaptive) {
  o.Field("enabled", adaptive.enabled);
  o.Field("minFactor", adaptive.min_factor, {0.01, 1});
  o.Field("maxFactor", adaptive.max_factor, {1, 100});
  o.Field("popularUses", adaptive.popular_uses, {2, 1'000'000});
}

void BindPurgeRule(Object& o, cache::PurgeRule& rule) {
  o.Duration("olderThan", rule.older_than, {1s, 10 * kYear});
  if (o.reading() && !o.Has("olderThan")) o.Complain("olderThan", "nothing", "an age, \"90d\"");
  Text tag = CacheTag();
  tag.omit_empty = true;
  tag.min_length = 0;
  o.Field("tag", rule.tag, tag);
  const Text some{.omit_empty = true, .max_length = 4096, .allowed = "a string"};
  o.Field("origin", rule.origin, some);
  o.Field("source", rule.source, some);
  o.Field("prefix", rule.prefix, some);
  const int scopes = (rule.tag.empty() ? 0 : 1) + (rule.origin.empty() ? 0 : 1) +
                     (rule.source.empty() ? 0 : 1) + (rule.prefix.empty() ? 0 : 1);
  if (o.reading() && scopes > 1) {
    o.Complain("olderThan", "several scopes", "at most one of tag, origin, source and prefix");
  }
}

/// Both can become the name of a directory.
void BindNamespace(Object& o, KvNamespace& name) {
  const auto is_name = [](const std::string& text) {
    return text.empty() || OnlyAlnumAnd(text, "-_");
  };
  constexpr const char* kAllowed = "at most 64 characters A-Z a-z 0-9 - _";
  o.Field("binding", name.binding, {.max_length = 64, .allowed = kAllowed, .check = is_name});
  o.Field("id", name.id, {.max_length = 64, .allowed = kAllowed, .check = is_name});
}

void BindCache(Object& o, Settings& s) {
  o.Field("enableKVCache", s.cache.enable_kv);
  o.Nested("kvTtl", [&](Object& n) { BindTtl(n, s.cache.ttl); });
  o.Optional("kvNamespace", s.kv_namespace, BindNamespace);
  o.Nested("edge", [&](Object& n) { BindEdge(n, s.cache.edge); });
  o.Nested("kv", [&](Object& n) {
    BindKv(n, s.kv, s.cache.keeper);
    n.Bytes("recentReads", s.cache.recent_reads_max_bytes, {.min = 0, .max = kTiB});
  });
  o.Nested("adaptiveTtl", [&](Object& n) { BindAdaptiveTtl(n, s.cache.keeper.adaptive_ttl); });
  o.List("purgeRules", s.cache.keeper.purge_rules, BindPurgeRule, 100);
  o.Duration("purgeInterval", s.cache.keeper.purge_interval, {60s, 168h});
  o.Duration("staleWhileRevalidate", s.freshness.stale_while_revalidate, {0s, kYear});
  o.Duration("staleIfError", s.freshness.stale_if_error, {0s, kYear});
  o.Duration("sourceCheckInterval", s.freshness.source_check_interval, {0s, kYear});
  o.Strings("bypassQueryParameters", s.variant.bypass_parameters,
            {.max_length = 64,
             .allowed = "a query parameter's name: A-Z a-z 0-9 - _ .",
             .check = [](const std::string& name) { return OnlyAlnumAnd(name, "-_."); }},
            100);
  Text prefix = CacheTag();
  prefix.max_length = 100;
  prefix.allowed = "1..100 printable ASCII characters without comma and space";
  o.Field("tagPrefix", s.variant.tag_prefix, prefix);
  o.Field("allowPublicBypass", s.delivery.allow_public_bypass);
  o.Duration("productionTimeout", s.cache.production_timeout, {1s, 86400s});
  o.Duration("coldRangeWait", s.cache.cold_range_wait, {0s, 3600s});
  o.Duration("abandonAfter", s.cache.abandon_after, {1s, 3600s});
  o.Field("keepFromPercent", s.cache.keep_from_percent, {0, 100});
  o.Field("maxBackgroundStores", s.cache.max_background_stores, {0, 100'000});
}

void BindPrewarm(Object& o, cache::PrewarmOptions& prewarm) {
  Text name = Name();
  name.allowed = "a name of \"derivatives\"";
  o.Strings("derivatives", prewarm.derivatives, name, 100);
  o.Strings("onUpload", prewarm.on_upload, name, 100);
  o.Field("uploadPath", prewarm.upload_path,
          {.raw = true,
           .min_length = 1,
           .max_length = 1000,
           .allowed = "a path that begins with / and has ${key}, perhaps ${bucket}",
           .check = [](const std::string& path) {
             return path.starts_with('/') && path.find("${key}") != path.npos &&
                    path.find_first_of("?#") == path.npos && IsPrintableAscii(path);
           }});
  o.Field("hotRequests", prewarm.hot_requests, {0u, 1'000'000'000u});
  o.Duration("hotWindow", prewarm.hot_window, {1s, 86400s});
  o.Field("queue", prewarm.queue, {1, 1'000'000});
  o.Field("concurrency", prewarm.concurrency, {1u, 64u});
  o.Field("together", prewarm.together, {1u, 6u});
}

void BindTransform(Object& o, Settings& s) {
  transform::Options& t = s.transform;
  o.Field("workers", t.workers, {0, 1024});
  o.Field("niceness", t.niceness, {0, 19});
  o.Field("queue", t.queue, {0, 1'000'000});
  o.Bytes("maxSourceBytes", t.max_source_bytes, {.min = 1, .max = 1024 * kTiB});
  o.Field("maxPixels", t.max_pixels, {256, 1'000'000'000});
  o.Duration("maxDuration", t.max_duration, {1s, 168h});
  o.Duration("timeout", t.timeout, {1s, 24h});
  o.Duration("noProgressTimeout", t.no_progress_timeout, {1s, 1h});
  o.Duration("asyncThreshold", s.delivery.async_threshold, {0s, 86400s});
  o.Field("deriveFromCached", s.delivery.derive_from_cached);
  o.Field("maxEventStreams", s.delivery.max_event_streams, {0, 100'000});
  o.Field("maxDimension", t.max_dimension, {16, 16384});
  o.Field("maxStreams", t.max_streams, {1, 10'000});
  o.Field("maxFrames", t.max_frames, {1, 1'000'000'000});
  o.Field("maxAnimationPixels", t.max_animation_pixels, {10'000, 1'000'000'000'000});
  o.Enum("frameAccuracy", t.frame_accuracy,
         {{"exact", transform::protocol::Accuracy::kExact},
          {"keyframe", transform::protocol::Accuracy::kKeyframe}});
  o.Enum("segments", t.segments, {{"auto", true}, {"off", false}});
  o.Field("targetSsim", t.target_ssim, {0, 0.999});
  o.Bytes("maxOutputBytes", t.max_output_bytes, {.min = kMiB, .max = kTiB});
  o.Duration("maxCpu", t.max_cpu, {1s, 86400s});
  o.Bytes("workerMemory", t.worker_memory, {.min = 512 * kMiB, .max = kTiB});
  o.Duration("drainTimeout", t.drain_timeout, {0s, 1h});
  o.Duration("restartBackoff", t.restart_backoff, {1ms, 60s});
  o.Field("workerPath", t.worker_path,
          {.allowed = "the path of video-resizer-worker; empty: beside our own program"});
}

void BindFetch(Object& o, origin::FetchOptions& fetch) {
  o.Duration("connectTimeout", fetch.connect_timeout, {1ms, 600s});
  o.Duration("firstByteTimeout", fetch.first_byte_timeout, {1ms, 600s});
  o.Duration("idleTimeout", fetch.idle_timeout, {1ms, 3600s});
  o.Duration("totalTimeout", fetch.total_timeout, {1ms, 24h});
  o.Field("maxRedirects", fetch.max_redirects, {0, 20});
  o.Field("retries", fetch.retries, {0, 10});
  o.Duration("retryBackoff", fetch.retry_backoff, {0s, 60s});
  o.Field("breakerFailures", fetch.breaker_failures, {0, 1000});
  o.Duration("breakerCooldown", fetch.breaker_cooldown, {1ms, 3600s});
  o.Enum("followSymlinks", fetch.follow_symlinks,
         {{"within_root", origin::SymlinkPolicy::kWithinRoot},
          {"never", origin::SymlinkPolicy::kNever},
          {"always", origin::SymlinkPolicy::kAlways}});
  o.Bytes("spoolMaxBytes", fetch.spool_max_bytes, {.min = kMiB, .max = 1024 * kTiB});
  o.Duration("spoolKeep", fetch.spool_keep, {0s, 604800s});
  uint64_t block = fetch.block_bytes;
  o.Bytes("blockBytes", block, {.min = 4096, .max = 64 * kMiB});
  fetch.block_bytes = static_cast<uint32_t>(block);
  uint64_t ahead = fetch.read_ahead_bytes;
  o.Bytes("readAheadBytes", ahead, {.min = 0, .max = kGiB});
  fetch.read_ahead_bytes = static_cast<uint32_t>(ahead);
}

void BindAccess(Object& o, Settings& s) {
  AccessOptions& access = s.access;
  o.Nested("signing", [&](Object& n) {
    n.Field("required", access.signing_required);
    n.Texts("keys", access.signing_keys,
            {.secret = true,
             .min_length = 1,
             .max_length = 1024,
             .allowed = "a secret of 1..1024 bytes"});
  });
  o.Field("presetsOnly", s.variant.presets_only);
  o.Field("allowOriginal", s.variant.allow_original);
  o.Strings("allowedParameters", s.variant.allowed_parameters,
            {.allowed = "a parameter's canonical name (\"width\", not \"w\")",
             .check = variant::IsParameterName},
            100);
  o.Field("maxParameters", s.variant.limits.max_parameters, {1, 10'000});
  o.Strings("trustedProxies", access.trusted_proxies,
            {.allowed = "an IPv4 or IPv6 address, or a block of them (\"10.0.0.0/8\")",
             .check = [](const std::string& block) {
               return http::ParseAddressBlock(block).has_value();
             }});
  o.Enum("proxyHeader", access.proxy_header,
         {{"X-Forwarded-For", http::ProxyHeader::kXForwardedFor},
          {"Forwarded", http::ProxyHeader::kForwarded}});
  o.Nested("productionLimit", [&](Object& n) {
    n.Field("perMinute", access.productions.per_minute, {0u, 1'000'000u});
    n.Field("burst", access.productions.burst, {1u, 1'000'000u});
    n.Field("maxClients", access.productions.max_clients, {1u, 1'000'000u});
  });
  o.Strings("allowedSources", access.allowed_sources,
            {.max_length = 1024,
             .allowed = std::string(origin::AllowedSources::kGrammar),
             .check = [](const std::string& e) { return origin::AllowedSources::IsEntry(e); }});
  o.Field("allowPrivateAddresses", access.allow_private_addresses);
}

void BindCors(Object& o, delivery::CorsOptions& cors) {
  const auto is_token = [](const std::string& name) {
    return OnlyAlnumAnd(name, "!#$%&'*+-.^_`|~");
  };
  o.Strings("allowOrigins", cors.allow_origins,
            {.max_length = 300,
             .allowed = "\"*\", \"https://example.com\" or \"https://*.example.com\"",
             .check = [](const std::string& text) { return delivery::IsOriginPattern(text); }});
  o.Strings("exposeHeaders", cors.expose_headers,
            {.max_length = 100, .allowed = "a header field's name", .check = is_token}, 100);
  o.Duration("maxAge", cors.max_age, {0s, 86400s});
  enum class Policy { kNone, kSameOrigin, kSameSite, kCrossOrigin };
  const config::Choices<Policy> choices{{"", Policy::kNone},
                                        {"same-origin", Policy::kSameOrigin},
                                        {"same-site", Policy::kSameSite},
                                        {"cross-origin", Policy::kCrossOrigin}};
  Policy policy = Policy::kNone;
  for (const auto& [name, value] : choices) {
    if (cors.resource_policy == name) policy = value;
  }
  o.Enum("resourcePolicy", policy, choices);
  for (const auto& [name, value] : choices) {
    if (policy == value) cors.resource_policy = name;
  }
  o.Strings("timingAllowOrigins", cors.timing_allow_origins,
            {.max_length = 300,
             .allowed = "\"*\" or an origin, \"https://example.com\"",
             .check = [](const std::string& text) {
               return delivery::IsOriginPattern(text) && text.find("://*") == text.npos;
             }});
}

void BindMediaUrls(Object& o, delivery::MediaUrlOptions& media) {
  o.Field("enabled", media.enabled);
  o.Field("maxDimension", media.max_dimension, {0, 16384});
  o.Duration("maxTime", media.max_time, {0s, 168h});
  o.Duration("maxDuration", media.max_duration, {0s, 168h});
}

void BindResponsive(Object& o, variant::Responsive& responsive) {
  o.List(
      "breakpoints", responsive.breakpoints,
      [](Object& n, variant::Breakpoint& breakpoint) {
        n.Field("maxWidth", breakpoint.max_width, {1u, 1'000'000u, true});
        Text name = Name();
        name.required = true;
        n.Field("derivative", breakpoint.derivative, name);
      },
      100);
  Text name = Name();
  name.min_length = 0;
  name.allowed += "; empty: none";
  name.check = [](const std::string& text) { return text.empty() || OnlyAlnumAnd(text, "-_."); };
  o.Field("defaultDerivative", responsive.default_derivative, name);
  using Headers = variant::ResponsiveHeaders;
  o.Enum("headers", responsive.headers,
         {{"off", Headers::kOff}, {"hints", Headers::kHints}, {"all", Headers::kAll}});
  o.Field("saveData", responsive.save_data);
}

void BindDebug(Object& o, delivery::Options& delivery) {
  o.Field("enabled", delivery.debug_enabled);
  o.Strings("allowedAddresses", delivery.debug_addresses, IpAddress());
}

void BindAnalytics(Object& o, analytics::Options& analytics) {
  o.Field("enabled", analytics.enabled);
  o.Duration("interval", analytics.interval, {1s, 3600s});
  o.Field("keepHours", analytics.keep_hours, {24u, 2160u});
  o.Field("keepDays", analytics.keep_days, {7u, 3660u});
}

void BindLog(Object& o, LogOptions& log) {
  o.Enum("level", log.level,
         {{"debug", LogLevel::kDebug},
          {"info", LogLevel::kInfo},
          {"warn", LogLevel::kWarn},
          {"error", LogLevel::kError},
          {"off", LogLevel::kOff}});
  enum class Format { kJson, kText } format = log.json ? Format::kJson : Format::kText;
  o.Enum("format", format, {{"json", Format::kJson}, {"text", Format::kText}});
  log.json = format == Format::kJson;
}

/// A preset of the file replaces the shipped one of its name as a whole, null removes it, the
/// others stay.
void BindDerivatives(Object& o, Settings& s) {
  const auto bind = [&](Object& n, variant::Derivative& derivative) {
    BindDerivative(n, derivative, s.variant.limits);
  };
  std::vector<std::string> removed;
  for (const auto& [name, derivative] : variant::ShippedDerivatives()) {
    if (!s.variant.derivatives.contains(name)) removed.push_back(name);
  }
  o.Map("derivatives", s.variant.derivatives, bind, config::Merge{.removed = removed});
}

}  // namespace

Text ListenAddress() {
  Text text;
  text.min_length = 1;
  text.allowed = R"("address:port", "[IPv6]:port")";
  text.check = [](const std::string& value) {
    const size_t colon = value.rfind(':');
    if (colon == std::string::npos || colon == 0) return false;
    const std::optional<int64_t> port = config::ParseInteger(value.substr(colon + 1));
    if (!port || *port < 0 || *port > 65535 || !OnlyAlnumAnd(value.substr(colon + 1), ""))
      return false;
    const std::string host = value.substr(0, colon);
    if (host.front() != '[') return OnlyAlnumAnd(host, ".-");
    if (host.size() < 4 || host.back() != ']') return false;
    in6_addr address;
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address) == 1;
  };
  return text;
}

Text HttpUrl() {
  Text text;
  text.raw = true;
  text.min_length = 1;
  text.allowed = R"("http://host[:port][/path]" or https, without user, query and fragment)";
  text.check = [](const std::string& value) {
    size_t start = 0;
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (value.compare(0, scheme.size(), scheme) == 0) start = scheme.size();
    }
    if (start == 0 || value.size() == start || value[start] == '/') return false;
    return IsPrintableAscii(value) && value.find_first_of("@?#", start) == std::string::npos;
  };
  return text;
}

Text IpAddress() {
  Text text;
  text.allowed = "an IPv4 or IPv6 address";
  text.check = [](const std::string& value) {
    in6_addr address;
    return inet_pton(AF_INET, value.c_str(), &address) == 1 ||
           inet_pton(AF_INET6, value.c_str(), &address) == 1;
  };
  return text;
}

Text Name() {
  Text text;
  text.min_length = 1;
  text.max_length = 100;
  text.allowed = "a name of 1..100 characters A-Z a-z 0-9 - _ .";
  text.check = [](const std::string& value) { return OnlyAlnumAnd(value, "-_."); };
  return text;
}

Text CacheTag() {
  Text text;
  text.min_length = 1;
  text.max_length = 200;
  text.allowed = "a tag of 1..200 printable ASCII characters without comma and space";
  text.check = [](const std::string& value) {
    return IsPrintableAscii(value) && value.find(',') == std::string::npos;
  };
  return text;
}

void BindSettings(Object& o, Settings& s) {
  o.Field("listen", s.server.listen, ListenAddress());
  Text public_url = HttpUrl();
  public_url.raw = false;
  public_url.min_length = 0;
  public_url.allowed += "; empty: from the request";
  public_url.check = [check = HttpUrl().check](const std::string& url) {
    return url.empty() || check(url);
  };
  o.Field("publicUrl", s.delivery.public_url, public_url);
  o.Optional("tls", s.tls, BindTls);
  o.Nested("http2", [&](Object& n) { BindHttp2(n, s); });
  o.Nested("http", [&](Object& n) { BindHttp(n, s); });
  o.Nested("admin", [&](Object& n) { BindAdmin(n, s.admin); });
  std::string data = s.data.string();
  o.Field("data", data, {.min_length = 1, .allowed = "a directory's path"});
  s.data = data;
  // Before the presets, whose sizes it limits.
  o.Nested("transform", [&](Object& n) { BindTransform(n, s); });
  s.variant.limits.max_size = s.transform.max_dimension;
  o.List("origins", s.origins, BindOrigin);
  o.Map("buckets", s.buckets, BindBucket);
  o.Nested("fetch", [&](Object& n) { BindFetch(n, s.fetch); });
  BindDerivatives(o, s);
  o.Nested("responsive", [&](Object& n) { BindResponsive(n, s.variant.responsive); });
  o.Nested("passthrough", [&](Object& n) {
    n.Strings("formats", s.variant.video_formats,
              {.min_length = 1,
               .max_length = 16,
               .allowed = "a file name's extension: lower-case letters and digits, without dot",
               .check = [](const std::string& e) {
                 return std::all_of(e.begin(), e.end(), [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                 });
               }});
    n.Bytes("maxBytes", s.passthrough_edge.max_bytes, {.min = 0, .max = kTiB});
    n.Bytes("maxObjectBytes", s.passthrough.max_object_bytes, {.min = 0, .max = kTiB});
  });
  o.Enum("validation", s.variant.validation,
         {{"lenient", variant::Validation::kLenient}, {"strict", variant::Validation::kStrict}});
  o.Nested("cache", [&](Object& n) { BindCache(n, s); });
  o.Nested("prewarm", [&](Object& n) { BindPrewarm(n, s.prewarm); });
  o.Nested("cdnCgi", [&](Object& n) { BindMediaUrls(n, s.delivery.media_urls); });
  o.Nested("access", [&](Object& n) { BindAccess(n, s); });
  o.Nested("cors", [&](Object& n) { BindCors(n, s.cors); });
  o.Nested("debug", [&](Object& n) { BindDebug(n, s.delivery); });
  o.Nested("analytics", [&](Object& n) { BindAnalytics(n, s.analytics); });
  o.Nested("log", [&](Object& n) { BindLog(n, s.log); });
}

}  // namespace vr::app
