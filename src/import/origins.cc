// origins[] of v1 (also as {items: []}) and v2, their sources, and the buckets that these name.
#include <algorithm>

#include "config/units.h"
#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

constexpr std::string_view kR2Account = "R2_ACCOUNT_ID";
constexpr std::string_view kR2AccessKey = "R2_ACCESS_KEY_ID";
constexpr std::string_view kR2SecretKey = "R2_SECRET_ACCESS_KEY";

/// v1 calls the bucket VIDEOS_BUCKET, v2 VIDEOS.
std::string BucketName(const std::string& binding) {
  return binding == "VIDEOS_BUCKET" ? "VIDEOS" : AsName(binding);
}

bool IsCatchAll(const std::string& matcher) {
  static constexpr std::string_view kAll[] = {".*", ".+",    "^.*",   "^.*$",   "^/",     "/",
                                              "/.*", "^/.*", "^/.*$", "(.*)",   "^(.*)$", "^/(.*)",
                                              "^/(.*)$", "^/(.+)", "^/(.+)$", "^/.+$", "^/.+"};
  return std::find(std::begin(kAll), std::end(kAll), matcher) != std::end(kAll);
}

/// What the parts of one origin need of the whole.
struct OriginState {
  std::string pointer;   ///< in the result
  std::string owner;     ///< its name as part of a variable's
  bool is_transformed = true;
  std::vector<std::string> groups;
  int64_t last_priority = 0;
  int64_t largest = -1'000'000;  ///< priority of the sources that are no fallback
};

std::string SourcePointer(const OriginState& state, const Draft& origin) {
  const config::Member* sources = origin.node().Find("sources");
  return state.pointer + "/sources/" +
         std::to_string(sources == nullptr ? 0 : sources->value.items.size());
}

void SourceHeaders(Run& run, const Node& headers, Draft& source, const std::string& to,
                   const std::string& owner) {
  static constexpr std::string_view kRefused[] = {
      "range",         "host",       "accept-encoding",     "if-range",
      "if-match",      "via",        "if-none-match",       "if-modified-since",
      "connection",    "te",         "if-unmodified-since", "transfer-encoding",
      "content-length"};
  static constexpr std::string_view kSecret[] = {"auth", "token", "key", "secret", "cookie"};
  if (!run.NeedObject(headers)) return;
  for (const config::Member& member : headers.members) {
    const Node& node = member.value;
    if (node.is(Kind::kNull)) continue;
    const std::optional<std::string> value = run.Text(node);
    if (!value) continue;
    const std::string name = Lower(member.name);
    if (std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused)) {
      run.ledger.Dropped(node, "this field is our own business when we ask an origin");
      continue;
    }
    const bool is_secret =
        std::any_of(std::begin(kSecret), std::end(kSecret), [&](std::string_view word) {
          return name.find(word) != std::string::npos;
        });
    const Draft::Path path{"headers", member.name};
    if (is_secret && value->find("${") == std::string::npos) {
      const std::string variable = "ORIGIN_" + owner + "_" + AsVariable(member.name);
      source.Set(path, Node::String("${" + variable + "}"), &node);
      run.ledger.Changed(node, to + "/headers/" + member.name,
                         "a secret belongs into the environment: set " + variable);
      continue;
    }
    source.Set(path, Node::String(*value), &node);
    run.ledger.Changed(node, to + "/headers/" + member.name, "sent now; v1 forgot to");
  }
}

/// s3 on a URL: "https://<bucket>.s3.<region>.amazonaws.com", or the bucket as first segment.
/// Either way the request that is signed is the one that was.
bool ConvertSigned(Run& run, const Node& source, const Node& auth, const std::string& url,
                   std::string& prefix, std::string& path, Draft& made) {
  const size_t host_begin = url.find("://") + 3;
  const size_t host_end = std::min(url.find('/', host_begin), url.size());
  std::string host = url.substr(host_begin, host_end - host_begin);
  std::string rest = host_end < url.size() ? url.substr(host_end + 1) : "";
  if (!rest.empty() && !prefix.empty()) rest += '/';
  rest += prefix;
  std::string bucket;
  bool is_virtual = false;
  const size_t s3 = host.find(".s3");
  if (s3 != std::string::npos && host.find("amazonaws.com") != std::string::npos) {
    bucket = host.substr(0, s3);
    host.erase(0, s3 + 1);
    is_virtual = true;
  } else {
    std::string& first = rest.empty() ? path : rest;
    first.erase(0, first.find_first_not_of('/'));
    const size_t slash = std::min(first.find('/'), first.size());
    bucket = first.substr(0, slash);
    first.erase(0, std::min(slash + 1, first.size()));
  }
  if (bucket.empty() || bucket.find('$') != std::string::npos) {
    run.Warn(source, "which bucket this is cannot be seen from the URL; write it as an entry of "
                     "buckets and a source of type s3");
    return false;
  }
  std::string name = AsName(bucket);
  const auto reference = [&](const char* key, const char* fallback) -> std::string {
    const Node* node = run.Get(auth, key);
    if (node == nullptr) return "${" + std::string(fallback) + "}";
    return run.Reference(*node).value_or("");
  };
  const std::string at = "/buckets/" + name;
  Draft entry;
  entry.Set({"endpoint"}, Node::String(url.substr(0, host_begin) + host), &source);
  entry.Set({"bucket"}, Node::String(bucket), &source);
  if (const Node* region = run.Get(auth, "region")) {
    if (const auto text = run.Text(*region)) {
      entry.Set({"region"}, Node::String(Escaped(*text)), region);
      run.ledger.Converted(*region, at + "/region");
    }
  }
  entry.Set({"accessKey"}, Node::String(reference("accessKeyVar", "AWS_ACCESS_KEY_ID")), &auth);
  entry.Set({"secretKey"}, Node::String(reference("secretKeyVar", "AWS_SECRET_ACCESS_KEY")),
            &auth);
  for (const char* key : {"accessKeyVar", "secretKeyVar"}) {
    const Node* node = run.Get(auth, key);
    if (node != nullptr) {
      run.ledger.Converted(*node, at + (key[0] == 'a' ? "/accessKey" : "/secretKey"));
    }
  }
  if (is_virtual) entry.Set({"addressing"}, Node::String("virtual"), &source);
  const Node* expires = run.Get(auth, "expiresInSeconds");
  const Node* type = run.Get(auth, "type");
  if (type->text == "aws-s3-presigned-url") {
    entry.Set({"signing"}, Node::String("presigned"), type);
    int64_t seconds = 3600;
    if (expires != nullptr) {
      seconds = run.Whole(*expires, 1, 604800).value_or(3600);
      run.ledger.Converted(*expires, at + "/presignExpires");
    }
    entry.Set({"presignExpires"}, Node::Number(std::to_string(seconds)), expires);
  } else if (expires != nullptr) {
    run.ledger.Dropped(*expires, "requests are signed one by one");
  }
  run.ledger.Changed(*type, at, "a bucket of its own, signed by us (SigV4)");
  if (const Node* token = run.Get(auth, "sessionTokenVar")) {
    if (const auto text = run.Reference(*token)) {
      entry.Set({"sessionToken"}, Node::String(*text), token);
      run.ledger.Converted(*token, at + "/sessionToken");
    }
  }
  run.DropKnown(auth, {{"service", "it is S3"},
                       {"headers", "not part of SigV4"},
                       {"params", "not part of SigV4"}});
  if (!run.out.Has({"buckets", name})) run.out.Put({"buckets", name}, std::move(entry));
  made.Set({"type"}, Node::String("s3"), &source);
  made.Set({"bucket"}, Node::String(name), &source);
  prefix = rest;
  return true;
}

bool IsSigned(Run& run, const Node& source) {
  const Node* auth = run.Get(source, "auth");
  if (auth == nullptr || !auth->is(Kind::kObject)) return false;
  const Node* enabled = run.Get(*auth, "enabled");
  if (enabled != nullptr && enabled->is(Kind::kBool) && !enabled->boolean) return false;
  const Node* type = run.Get(*auth, "type");
  return type != nullptr && (type->text == "aws-s3" || type->text == "aws-s3-presigned-url");
}

/// A source of type remote or fallback. @return false: it cannot be used
bool ConvertRemote(Run& run, const Node& source, Draft& made, std::string& path_prefix,
                   std::string& path, bool& is_complete, const OriginState& state, const std::string& to) {
  const Node* url = run.Get(source, "url");
  if (url == nullptr) {
    run.problems.push_back({source.place, At(run.ledger.PointerOf(source), "url"), "nothing",
                            "a URL (types \"remote\" and \"fallback\" need one)"});
    return false;
  }
  Draft http;
  if (!ConvertUrl(run, *url, {http, to, state.owner}, path_prefix, is_complete)) {
    run.ledger.Dropped(source, "see the warning about its URL");
    return false;
  }
  const Node* auth = run.Get(source, "auth");
  if (IsSigned(run, source)) {
    const std::string base = http.node().Find("url")->value.text;
    if (!ConvertSigned(run, source, *auth, base, path_prefix, path, made)) {
      run.ledger.Dropped(source, "see the warning about its bucket");
      return false;
    }
    run.ledger.Changed(*url, to, "the bucket's endpoint and name, and the path below it");
    if (const Node* headers = run.Get(source, "headers")) {
      run.ledger.Dropped(*headers, "requests to a bucket are signed as they are");
    }
    return true;
  }
  for (const config::Member& member : http.node().members) {
    made.Set({member.name}, member.value, url);
  }
  if (!run.ledger.HasVerdict(*url)) {
    if (is_complete) {
      run.ledger.Changed(*url, to + "/url", "its path has placeholders and went to \"path\"");
    } else {
      run.ledger.Converted(*url, to + "/url");
    }
  }
  if (const Node* headers = run.Get(source, "headers")) {
    SourceHeaders(run, *headers, made, to, state.owner);
  }
  if (auth != nullptr && !ConvertAuth(run, *auth, {made, to, state.owner})) {
    run.Warn(source, "left out: its auth cannot be said in our terms");
    run.ledger.Dropped(source, "see the warning about its auth");
    return false;
  }
  return true;
}

void ConvertSource(Run& run, const Node& source, Draft& origin, OriginState& state) {
  if (!run.NeedObject(source)) return;
  const Node* type = run.Get(source, "type");
  if (type == nullptr) {
    run.problems.push_back({source.place, At(run.ledger.PointerOf(source), "type"), "nothing",
                            "\"r2\", \"remote\" or \"fallback\""});
    return;
  }
  const std::optional<std::string> kind = run.OneOf(*type, {"r2", "remote", "fallback"});
  if (!kind) return;
  const std::string to = SourcePointer(state, origin);
  Draft made;
  std::string prefix;        // of the path, from the URL
  std::string path_text;     // the template
  const Node* path = run.Get(source, "path");
  if (path != nullptr) {
    const std::optional<std::string> text = run.Text(*path);
    if (!text) return;
    path_text = *text;
  }
  bool is_complete = false;  // the URL has placeholders: nothing is appended
  if (*kind == "r2") {
    if (!state.is_transformed) {
      run.Warn(source, "left out: with processPath false this origin only passes through, and that "
                       "speaks HTTP; what lies in the bucket needs an origin that transforms");
      run.ledger.Dropped(source, "an origin that passes through has HTTP sources only");
      return;
    }
    std::string binding = "VIDEOS";
    if (const Node* node = run.Get(source, "bucketBinding")) {
      const std::optional<std::string> text = run.Text(*node);
      if (!text) return;
      binding = *text;
    }
    made = BucketSource(run, binding, &source);
    if (const Node* node = run.Get(source, "bucketBinding")) {
      if (BucketName(binding) == binding) {
        run.ledger.Converted(*node, to + "/bucket");
      } else {
        run.ledger.Changed(*node, to + "/bucket", "called " + BucketName(binding) + " here");
      }
    }
    run.ledger.Changed(*type, to + "/type",
                       FolderOf(run, BucketName(binding)) != nullptr ? "a bucket that is a directory"
                                                                     : "read by the S3 protocol");
    if (const Node* auth = run.Get(source, "auth")) {
      run.ledger.Dropped(*auth, "a bucket has its own keys: see buckets");
    }
    run.DropKnown(source, {{"url", "an R2 source has none"},
                           {"headers", "an R2 source sends none"}});
  } else {
    if (!ConvertRemote(run, source, made, prefix, path_text, is_complete, state, to)) return;
    if (!run.ledger.HasVerdict(*type)) {
      if (*kind == "fallback") {
        run.ledger.Changed(*type, to + "/type", "an http source that is asked last");
      } else {
        run.ledger.Converted(*type, to + "/type");
      }
    }
  }

  if (path != nullptr) {
    if (is_complete) {
      run.ledger.Dropped(*path, "the URL has placeholders and says the whole path");
      made.Set({"path"}, Node::String(prefix), path);
    } else {
      if (path_text.empty()) path_text = "${request_path}";
      const bool needs_glue = !prefix.empty() && path_text.front() != '/';
      const std::string whole = prefix + (needs_glue ? "/" : "") + path_text;
      made.Set({"path"}, Node::String(whole), path);
      if (whole == path->text) {
        run.ledger.Converted(*path, to + "/path");
      } else {
        run.ledger.Changed(*path, to + "/path", "what the URL or the bucket's name says is elsewhere");
      }
      WarnAboutTemplate(run, *path, whole, state.groups);
    }
  } else if (is_complete) {
    made.Set({"path"}, Node::String(prefix), &source);
  } else if (!prefix.empty()) {
    made.Set({"path"}, Node::String(prefix + "/${request_path}"), &source);
  }

  int64_t priority = state.last_priority;
  const Node* number = run.Get(source, "priority");
  if (number != nullptr) {
    const std::optional<int64_t> wanted = run.Whole(*number, -1'000'000, 1'000'000);
    if (!wanted) return;
    priority = *wanted;
  }
  const bool is_early = *kind == "fallback" && priority <= state.largest;
  if (is_early) priority = state.largest + 1;
  if (number != nullptr && is_early) {
    run.ledger.Changed(*number, to + "/priority", "a fallback is asked when all else failed");
  } else if (number != nullptr) {
    run.ledger.Converted(*number, to + "/priority");
  }
  made.Set({"priority"}, Node::Number(std::to_string(priority)), run.Get(source, "priority"));
  state.last_priority = std::max(state.last_priority, priority);
  run.DropKnown(source, {{"cacheTtl", "lifetimes are the origin's: ttl"},
                         {"name", "sources have no names"},
                         {"description", "a remark"}});
  origin.Append({"sources"}, std::move(made));
}

/// Of the sources that are no fallback.
int64_t LargestPriority(Run& run, const Node& sources) {
  int64_t largest = -1;
  for (const Node& source : sources.items) {
    const Node* type = run.Get(source, "type");
    const Node* priority = run.Get(source, "priority");
    if (type == nullptr || type->text == "fallback" || priority == nullptr) continue;
    const std::optional<int64_t> number =
        priority->is(Kind::kNumber) ? config::ParseInteger(priority->text) : std::nullopt;
    if (number && *number < 1'000'000) largest = std::max(largest, *number);
  }
  return largest;
}

void OriginTtl(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  const Node* ttl = run.Get(item, "ttl");
  if (ttl == nullptr) ttl = run.Get(item, "kvTtl");
  const Node* cache_ttl = run.Get(item, "cacheTtl");
  if (!state.is_transformed) {
    for (const Node* node : {ttl, cache_ttl}) {
      if (node != nullptr)
        run.ledger.Dropped(*node, "passed-through answers bring their own lifetimes (RFC 9111)");
    }
  } else {
    if (ttl != nullptr) run.Ttl(*ttl, origin, {"ttl"}, state.pointer);
    if (cache_ttl != nullptr) {
      if (const auto seconds = run.Whole(*cache_ttl, 0, 31536000)) {
        if (ttl != nullptr && run.Get(*ttl, "ok") != nullptr) {
          run.ledger.Dropped(*cache_ttl, "ttl.ok is there and is stronger");
        } else {
          origin.Set({"ttl", "ok"}, Node::Number(std::to_string(*seconds)), cache_ttl);
          run.ledger.Converted(*cache_ttl, state.pointer + "/ttl/ok");
        }
      }
    }
  }
  if (const Node* by_status = run.Get(item, "useTtlByStatus")) {
    if (const auto on = run.Bool(*by_status)) {
      if (*on) {
        run.ledger.Converted(*by_status, state.pointer + "/ttl");
      } else {
        run.ledger.Changed(*by_status, state.pointer + "/ttl", "lifetimes always go by status");
      }
    }
  }
  if (const Node* cacheable = run.Get(item, "cacheability")) {
    const auto on = run.Bool(*cacheable);
    if (on && *on) run.ledger.Converted(*cacheable, state.pointer);
    if (on && !*on && !state.is_transformed) {
      run.ledger.Dropped(*cacheable, "passed-through answers say themselves what may be stored");
    } else if (on && !*on) {
      for (const char* key : {"ok", "redirects", "clientError", "serverError"})
        origin.Set({"ttl", key}, Node::Number("0"), cacheable);
      origin.Comment({"ttl"}, "cacheability was false: nothing of this origin is stored.");
      run.ledger.Changed(*cacheable, state.pointer + "/ttl", "lifetimes of 0: not stored");
    }
  }
}

void OriginEncoding(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  static constexpr std::pair<const char*, const char*> kKeys[] = {
      {"quality", "quality"}, {"videoCompression", "compression"}, {"compression", "compression"}};
  const auto take = [&](const Node& object) {
    for (const auto& [theirs, ours] : kKeys) {
      const Node* node = run.Get(object, theirs);
      if (node == nullptr) continue;
      const auto value = run.OneOf(*node, {"low", "medium", "high", "auto"});
      if (!value) continue;
      if (!state.is_transformed) {
        run.ledger.Dropped(*node, "this origin passes through");
      } else if (origin.Has({ours})) {
        run.ledger.Dropped(*node, "said before");
      } else {
        origin.Set({ours}, Node::String(*value), node);
        run.ledger.Converted(*node, At(state.pointer, ours));
      }
    }
  };
  take(item);
  for (const char* key : {"transformOptions", "transformationOverrides"}) {
    const Node* options = run.Get(item, key);
    if (options == nullptr || !run.NeedObject(*options)) continue;
    take(*options);
    for (const config::Member& member : options->members) {
      if (member.value.is(Kind::kNull) || run.ledger.HasVerdict(member.value)) continue;
      run.ledger.Dropped(member.value,
                         "an origin has defaults for quality and compression only; a derivative "
                         "can say the rest");
    }
  }
}

void OriginCacheControl(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  const Node* control = run.Get(item, "cacheControl");
  if (control == nullptr) return;
  if (control->is(Kind::kString)) {
    origin.Set({"cacheControl"}, Node::String(Escaped(control->text)), control);
    run.ledger.Converted(*control, state.pointer + "/cacheControl");
    return;
  }
  if (!run.NeedObject(*control)) return;
  if (const Node* ok = run.Get(*control, "ok")) {
    if (const auto text = run.Text(*ok)) {
      origin.Set({"cacheControl"}, Node::String(Escaped(*text)), ok);
      run.ledger.Converted(*ok, state.pointer + "/cacheControl");
    }
  }
  constexpr std::string_view kWhy = "what is no good answer gets its Cache-Control from its ttl";
  run.DropKnown(*control, {{"redirects", kWhy}, {"clientError", kWhy}, {"serverError", kWhy}});
}

void ConvertOrigin(Run& run, const Node& item) {
  if (!run.NeedObject(item)) return;
  OriginState state;
  const config::Member* list = run.out.node().Find("origins");
  state.pointer =
      "/origins/" + std::to_string(list == nullptr ? 0 : list->value.items.size());
  const Node* name = run.Get(item, "name");
  const Node* matcher = run.Get(item, "matcher");
  const std::string pointer = run.ledger.PointerOf(item);
  for (const auto& [node, key] : {std::pair(name, "name"), std::pair(matcher, "matcher")}) {
    if (node == nullptr)
      run.problems.push_back({item.place, At(pointer, key), "nothing", "a string (required)"});
  }
  if (name == nullptr || matcher == nullptr) return;
  const std::optional<std::string> called = run.Text(*name);
  if (!called || !run.Text(*matcher)) return;
  state.owner = AsVariable(*called);

  Draft origin;
  origin.Set({"name"}, Node::String(""), name);
  origin.Set({"matcher"}, Node::String(ConvertMatcher(run, *matcher)), matcher);
  if (origin.node().Find("matcher")->value.text == matcher->text) {
    run.ledger.Converted(*matcher, state.pointer + "/matcher");
  } else {
    run.ledger.Changed(*matcher, state.pointer + "/matcher",
                       "named groups are written (?P<name>...) in RE2");
  }
  WarnAboutMatcher(run, *matcher, matcher->text);
  if (const Node* groups = run.Get(item, "captureGroups")) {
    const auto names = run.Texts(*groups);
    if (!names) return;
    state.groups = *names;
    if (!names->empty()) origin.Set({"captureGroups"}, *groups, groups);
    run.ledger.Converted(*groups, state.pointer + "/captureGroups");
  }
  const Node* sources = run.Get(item, "sources");
  if (sources == nullptr || (sources->is(Kind::kArray) && sources->items.empty())) {
    run.problems.push_back({sources == nullptr ? item.place : sources->place,
                            At(pointer, "sources"), "no sources", "a list of at least one"});
    return;
  }
  if (!run.NeedArray(*sources)) return;

  if (const Node* process = run.Get(item, "processPath")) {
    const std::optional<bool> on = run.Bool(*process);
    if (!on) return;
    const bool has_http =
        std::any_of(sources->items.begin(), sources->items.end(), [&](const Node& source) {
          const Node* type = run.Get(source, "type");
          return type != nullptr && type->text != "r2" && !IsSigned(run, source);
        });
    if (*on) {
      run.ledger.Converted(*process, state.pointer + "/mode");
    } else if (has_http) {
      state.is_transformed = false;
      origin.Set({"mode"}, Node::String("passthrough"), process);
      origin.Comment({"mode"}, "processPath was false: answers pass through as they are, by the "
                               "rules of a shared cache (docs/passthrough.md).");
      run.ledger.Changed(*process, state.pointer + "/mode",
                         "passes through, as a shared cache of RFC 9111");
    } else {
      run.ledger.Dropped(*process, "only HTTP sources can be passed through: this origin transforms");
      run.Warn(*process, "false, but its sources are buckets: this origin transforms what it is "
                         "asked to transform");
    }
  }
  state.largest = LargestPriority(run, *sources);
  for (const Node& source : sources->items) ConvertSource(run, source, origin, state);
  const bool has_sources = origin.node().Find("sources") != nullptr;
  if (!has_sources && run.problems.empty()) {
    run.problems.push_back({sources->place, At(pointer, "sources"), "no source that can be used",
                            "at least one (see the warnings)"});
  }
  OriginTtl(run, item, origin, state);
  OriginEncoding(run, item, origin, state);
  OriginCacheControl(run, item, origin, state);
  for (const char* key : {"cacheTags", "tags"}) {
    const Node* tags = run.Get(item, key);
    if (tags == nullptr) continue;
    if (!run.Texts(*tags)) continue;
    origin.Set({"cacheTags"}, *tags, tags);
    run.ledger.Converted(*tags, state.pointer + "/cacheTags");
  }
  if (const Node* description = run.Get(item, "description")) {
    if (const auto text = run.Text(*description)) {
      origin.Comment({"name"}, *text);
      run.ledger.Changed(*description, state.pointer, "kept as a comment");
    }
  }
  run.DropKnown(item, {{"priority", "origins are asked in the order of the file"},
                       {"enabled", "every origin of the file is in use"}});
  if (!has_sources) return;  // a problem, and what else is wrong has been said
  const bool has_twin = state.is_transformed && run.passes_others && IsCatchAll(matcher->text);
  Draft twin;
  if (has_twin) {
    for (const Node& source : origin.node().Find("sources")->value.items) {
      if (source.Find("type")->value.text != "http") continue;
      Draft copy;
      for (const config::Member& member : source.members) copy.Set({member.name}, member.value);
      twin.Append({"sources"}, std::move(copy));
    }
  }
  if (state.is_transformed) SetDefaults(run, origin);
  AppendOrigin(run, std::move(origin), *called, name);
  if (has_twin && twin.node().Find("sources") != nullptr) {
    Draft pages;
    pages.Set({"name"}, Node::String(""));
    pages.Set({"matcher"}, Node::String(matcher->text), matcher);
    pages.Set({"mode"}, Node::String("passthrough"));
    const Node list_of_sources = twin.node().Find("sources")->value;
    if (!state.groups.empty()) pages.Set({"captureGroups"}, *run.Get(item, "captureGroups"));
    pages.Set({"sources"}, list_of_sources, sources);
    pages.Comment({"name"}, "What is no video goes to the same place and passes through "
                            "(passthrough.enabled was true).");
    AppendOrigin(run, std::move(pages), *called + "-pages", nullptr);
  }
}

}  // namespace

void SetDefaults(Run& run, Draft& origin) {
  for (const auto& [key, value] : {std::pair("quality", &run.quality),
                                   std::pair("compression", &run.compression)}) {
    if (value->node == nullptr || origin.Has({key})) continue;
    origin.Set({key}, Node::String(value->value), value->node);
    value->is_used = true;
  }
}

void AppendOrigin(Run& run, Draft origin, std::string name, const Node* name_from) {
  std::string good = AsName(name);
  if (good.empty()) good = "origin";
  std::string unique = good;
  for (int i = 2; !run.origin_names.insert(unique).second; ++i)
    unique = good + "-" + std::to_string(i);
  origin.Set({"name"}, Node::String(unique), name_from);
  const std::string pointer = run.out.Append({"origins"}, std::move(origin));
  if (name_from == nullptr || !run.ledger.Knows(*name_from)) return;
  if (unique == name) {
    run.ledger.Converted(*name_from, pointer + "/name");
  } else {
    run.ledger.Changed(*name_from, pointer + "/name",
                       "names are unique, of A-Z a-z 0-9 - _ .: " + unique);
  }
}

const std::string* FolderOf(const Run& run, const std::string& name) {
  for (const std::string& key : {name, std::string(name == "VIDEOS" ? "VIDEOS_BUCKET" : "")}) {
    const auto root = run.request.bucket_roots.find(key);
    if (root != run.request.bucket_roots.end()) return &root->second;
  }
  return nullptr;
}

Draft BucketSource(Run& run, const std::string& binding, const Node* from) {
  const std::string name = BucketName(binding);
  Draft source;
  source.Set({"type"}, Node::String("s3"), from);
  source.Set({"bucket"}, Node::String(name), from);
  Run::Bucket& bucket = run.buckets[name];
  bucket.is_used = true;
  if (bucket.binding == nullptr) bucket.binding = from;
  return source;
}

void WriteBuckets(Run& run) {
  for (auto& [name, bucket] : run.buckets) {
    const Draft::Path path{"buckets", name};
    if (run.out.Has(path)) continue;
    Draft entry;
    if (const std::string* root = FolderOf(run, name)) {
      entry.Set({"root"}, Node::String(Escaped(*root)), bucket.binding);
      run.out.Put(path, std::move(entry));
      run.out.Comment(path, "--bucket-root: its objects are files below this directory.");
      if (bucket.name != nullptr)
        run.ledger.Changed(*bucket.name, "/buckets/" + name + "/root", "--bucket-root: a directory");
      continue;
    }
    std::string account = "${" + std::string(kR2Account) + "}";
    if (run.account != nullptr) account = run.account->text;
    const std::string zone = bucket.jurisdiction.empty() ? "" : "." + bucket.jurisdiction;
    entry.Set({"endpoint"},
              Node::String("https://" + account + zone + ".r2.cloudflarestorage.com"),
              bucket.binding);
    if (bucket.name != nullptr) {
      entry.Set({"bucket"}, Node::String(Escaped(bucket.name->text)), bucket.name);
    } else {
      const std::string variable = AsVariable(name) + "_BUCKET_NAME";
      entry.Set({"bucket"}, Node::String("${" + variable + "}"), bucket.binding);
      run.Warn(*bucket.binding, "the name of the bucket stands in the wrangler file: import it too "
                                "(--wrangler), or set " + variable);
    }
    entry.Set({"region"}, Node::String("auto"));
    entry.Set({"accessKey"}, Node::String("${" + std::string(kR2AccessKey) + "}"));
    entry.Set({"secretKey"}, Node::String("${" + std::string(kR2SecretKey) + "}"));
    run.out.Put(path, std::move(entry));
    run.out.Comment(path, "R2 by its S3 protocol. The keys are those of an R2 API token with read "
                          "access.");
    if (bucket.name != nullptr) run.ledger.Converted(*bucket.name, "/buckets/" + name + "/bucket");
  }
}

void ImportOrigins(Run& run, const Node& items) {
  if (!run.NeedArray(items)) return;
  if (items.items.empty()) {
    run.problems.push_back({items.place, run.ledger.PointerOf(items), "an empty list",
                            "at least one origin: there is no default one"});
    return;
  }
  for (const Node& item : items.items) ConvertOrigin(run, item);
}

}  // namespace vr::import
