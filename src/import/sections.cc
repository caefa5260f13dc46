// cache, debug and logging of a worker configuration.
#include <arpa/inet.h>

#include <algorithm>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

constexpr std::string_view kByDigest =
    "what a preset or an origin means is part of every stored entry: a change makes it a miss";
constexpr std::string_view kByTtl =
    "max-age is what is left of the entry's lifetime (kvTtl); origins[].cacheControl says another";

bool IsAddress(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

}  // namespace

void ImportBypass(Run& run, const Node& node, bool loose) {
  const auto names = run.Texts(node, loose);
  if (!names) return;
  Node list = Node::Array();
  std::string left_out;
  for (const std::string& name : *names) {
    if (name == "debug") {
      left_out = "without \"debug\": that is a switch of its own, and bypasses too";
    } else {
      list.items.push_back(Node::String(name));
    }
  }
  run.Set(node, {"cache", "bypassQueryParameters"}, std::move(list), left_out);
}

void ImportAddresses(Run& run, const Node& node, bool loose) {
  const auto addresses = run.Texts(node, loose);
  if (!addresses) return;
  Node list = Node::Array();
  std::string refused;
  for (const std::string& address : *addresses) {
    if (IsAddress(address)) {
      list.items.push_back(Node::String(address));
    } else {
      refused += (refused.empty() ? "" : ", ") + address;
    }
  }
  if (addresses->empty()) {
    run.ledger.Changed(node, "/debug/allowedAddresses",
                       "an empty list meant everybody; ours stays at this machine");
    return;
  }
  if (!refused.empty()) run.Warn(node, "left out, no single addresses: " + refused);
  run.Set(node, {"debug", "allowedAddresses"}, std::move(list),
          refused.empty() ? "" : "single addresses only, without " + refused);
}

void ImportDebugEnabled(Run& run, const Node& node, bool loose) {
  const auto on = run.Bool(node, loose);
  if (!on) return;
  if (!*on) {
    run.Set(node, {"debug", "enabled"}, Node::Bool(false));
    return;
  }
  run.ledger.Changed(node, "/debug/allowedAddresses",
                     "stays off: debug.enabled here makes every request bypass the caches; debug "
                     "headers work from allowedAddresses");
}

void ImportLogLevel(Run& run, const Node& node, bool loose) {
  const auto level = run.OneOf(node,
                               {"trace", "debug", "verbose", "info", "log", "warn", "warning",
                                "error", "fatal", "silent", "none", "off"},
                               loose);
  if (!level) return;
  std::string ours = *level;
  if (ours == "trace" || ours == "verbose") ours = "debug";
  if (ours == "log") ours = "info";
  if (ours == "warning") ours = "warn";
  if (ours == "fatal") ours = "error";
  if (ours == "silent" || ours == "none") ours = "off";
  run.Set(node, {"log", "level"}, Node::String(ours),
          ours == node.text ? "" : "the nearest of ours: " + ours);
}

void ImportLogFormat(Run& run, const Node& node, bool loose) {
  const auto format = run.OneOf(node, {"json", "text", "pretty"}, loose);
  if (!format) return;
  const std::string ours = *format == "json" ? "json" : "text";
  run.Set(node, {"log", "format"}, Node::String(ours), ours == node.text ? "" : "text");
}

void ImportCache(Run& run, const Node& cache) {
  if (!run.NeedObject(cache)) return;
  if (const Node* node = run.Get(cache, "enableKVCache")) {
    if (const auto on = run.Bool(*node))
      run.Set(*node, {"cache", "enableKVCache"}, Node::Bool(*on));
  }
  if (const Node* node = run.Get(cache, "method")) {
    if (const auto method = run.Text(*node)) {
      if (*method == "kv") {
        run.ledger.Converted(*node, "/cache/enableKVCache");
      } else {
        run.ledger.Dropped(*node,
                           "both layers, edge and KV, are there; enableKVCache switches the "
                           "KV off");
      }
    }
  }
  const Node* ttl = run.Get(cache, "ttl");
  const Node* kv_ttl = run.Get(cache, "kvTtl");
  if (kv_ttl != nullptr) run.Ttl(*kv_ttl, run.out, {"cache", "kvTtl"}, "");
  if (ttl != nullptr) run.Ttl(*ttl, run.out, {"cache", "kvTtl"}, "");
  if (const Node* node = run.Get(cache, "bypassQueryParameters")) ImportBypass(run, *node, false);
  for (const char* key : {"staleIfError", "staleWhileRevalidate"}) {
    const Node* node = run.Get(cache, key);
    if (node == nullptr) continue;
    if (const auto seconds = run.Whole(*node, 0, 31536000))
      run.Set(*node, {"cache", key}, Node::Number(std::to_string(*seconds)));
  }
  if (const Node* node = run.Get(cache, "storeIndefinitely")) {
    const auto on = run.Bool(*node);
    if (on && *on && !run.out.Has({"cache", "staleIfError"})) {
      run.Set(
          *node, {"cache", "staleIfError"}, Node::String("365d"),
          "an entry past its lifetime is kept, but asks its origin first: unchanged sources are "
          "not transformed again, failing origins are bridged");
      run.out.Comment({"cache", "staleIfError"},
                      "storeIndefinitely was true: entries are kept this long past their lifetime, "
                      "revalidated before use, and served when the origin fails.");
    } else if (on && *on) {
      run.ledger.Dropped(*node, "staleIfError says how long an expired entry is kept");
    } else if (on) {
      run.ledger.Converted(*node, "/cache");
    }
  }
  if (const Node* node = run.Get(cache, "enableCacheTags")) {
    if (const auto on = run.Bool(*node)) {
      if (*on) {
        run.ledger.Converted(*node, "/cache");
      } else {
        run.ledger.Dropped(*node,
                           "answers always carry Cache-Tag; a proxy in front can take it off");
      }
    }
  }
  if (const Node* node = run.Get(cache, "cacheTagPrefix")) {
    if (const auto prefix = run.Text(*node)) {
      if (prefix->empty()) {
        run.ledger.Converted(*node, "our default too: video-");
      } else {
        run.Set(*node, {"cache", "tagPrefix"}, Node::String(Escaped(*prefix)),
                "tags of derivative-, format- and mode- are spelled as there; that of a path is " +
                    *prefix + "<path> (purge by \"source\" needs none)");
      }
    }
  }
  run.DropKnown(
      cache,
      {{"enableVersioning", kByDigest},
       {"purgeOnUpdate", kByDigest},
       {"refreshIndefiniteStorage",
        "entries in use are compared with their source: "
        "cache.sourceCheckInterval"},
       {"debug", "debug flags of a request say it: ?debug=view"},
       {"defaultMaxAge", kByTtl},
       {"respectOriginHeaders",
        "lifetimes of variants come from kvTtl; passthrough origins go by "
        "their headers"},
       {"cacheEverything", "every good variant is cached; a lifetime (ttl.ok) of 0 says not to"},
       {"bypassHeaderValue",
        "a client's Cache-Control does not bypass, every reload of a page would; the parameters of "
        "bypassQueryParameters do"},
       {"ttlRefresh",
        "an entry that was compared with its source and found unchanged gets its full "
        "lifetime again"},
       {"maxSizeBytes",
        "the store takes bodies of any size as one; transform.maxOutputBytes limits outputs, "
        "cache.kv.maxBytes all together"},
       {"fallback",
        "all sources of an origin are asked in turn; a source that cannot be transformed is an "
        "error and not its own answer"},
       {"mimeTypes", "the type is that of what was made; passthrough.formats says what is video"},
       {"varyHeaders", "Vary names what chose the variant, by itself"},
       {"kvReadCacheTtl", "the store is consistent: reads need no cache"},
       {"profiles", "lifetimes are set per origin: origins[].ttl"}});
}

void ImportDebug(Run& run, const Node& debug) {
  if (!run.NeedObject(debug)) return;
  if (const Node* node = run.Get(debug, "enabled")) ImportDebugEnabled(run, *node, false);
  if (const Node* node = run.Get(debug, "allowedIps")) ImportAddresses(run, *node, false);
  constexpr std::string_view kView = "?debug=view answers with JSON";
  constexpr std::string_view kHeaders = "the diagnostic headers are the same on every answer";
  // Names that are ours too.
  for (const auto& [key, ours] :
       {std::pair("debugQueryParam", "debug"), std::pair("debugViewParam", "view"),
        std::pair("debugHeaders", "")}) {
    const Node* node = run.Get(debug, key);
    if (node == nullptr) continue;
    bool is_ours = node->is(Kind::kString) && node->text == ours;
    if (node->is(Kind::kArray)) {
      is_ours = std::all_of(node->items.begin(), node->items.end(), [](const Node& name) {
        const std::string text = Lower(name.text);
        return text == "x-debug" || text == "x-debug-enabled" || text == "debug";
      });
    }
    if (is_ours) run.ledger.Converted(*node, "the same name here");
  }
  run.DropKnown(debug, {{"verbose", kHeaders},
                        {"includeHeaders", kHeaders},
                        {"includePerformance", "Server-Timing is always there"},
                        {"dashboardMode", kView},
                        {"viewMode", kView},
                        {"headerMode", kHeaders},
                        {"debugQueryParam", "the name is fixed: debug"},
                        {"debugViewParam", "the name is fixed: ?debug=view"},
                        {"preserveDebugParams", "debug flags are never part of a key"},
                        {"debugHeaders", "the names are fixed: X-Debug, X-Debug-Enabled, Debug"},
                        {"renderStaticHtml", kView},
                        {"includeStackTrace", "errors never hold one"},
                        {"maxContentLength", kView},
                        {"truncationMessage", kView},
                        {"excludedPaths", "only media paths have debug answers"}});
}

void ImportLogging(Run& run, const Node& logging) {
  if (!run.NeedObject(logging)) return;
  if (const Node* node = run.Get(logging, "level")) ImportLogLevel(run, *node, false);
  if (const Node* node = run.Get(logging, "format")) ImportLogFormat(run, *node, false);
  constexpr std::string_view kWhy = "log lines have one form: time, level, event and fields";
  run.DropKnown(logging, {{"includeTimestamps", kWhy},
                          {"includeComponentName", kWhy},
                          {"colorize", kWhy},
                          {"enabledComponents", kWhy},
                          {"disabledComponents", kWhy},
                          {"sampleRate", "every request has its line"},
                          {"enablePerformanceLogging", "the request's line has its times"},
                          {"performanceThresholdMs", "the request's line has its times"},
                          {"breadcrumbs", kWhy},
                          {"pino", kWhy}});
}

}  // namespace vr::import
