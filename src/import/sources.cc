#include "import/sources.h"

#include <algorithm>

namespace vr::import {
namespace {

using Kind = Node::Kind;

std::string SourcePointer(const OriginState& state, const Draft& origin) {
  const config::Member* sources = origin.node().Find("sources");
  return state.pointer + "/sources/" +
         std::to_string(sources == nullptr ? 0 : sources->value.items.size());
}

void SourceHeaders(Run& run, const Node& headers, Draft& source, const std::string& to,
                   const std::string& owner) {
  static constexpr std::string_view kRefused[] = {
      "range",         "host", "accept-encoding",     "if-range",
      "if-match",      "via",  "if-none-match",       "if-modified-since",
      "connection",    "te",   "if-unmodified-since", "transfer-encoding",
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
      run.ledger.Dropped(node, "the server writes this field itself when it asks a source");
      continue;
    }
    const bool is_secret =
        std::any_of(std::begin(kSecret), std::end(kSecret),
                    [&](std::string_view word) { return name.find(word) != std::string::npos; });
    const Draft::Path path{"headers", member.name};
    if (is_secret && value->find("${") == std::string::npos) {
      const std::string variable =
          run.SecretVariable("ORIGIN_" + owner + "_" + AsVariable(member.name), *value);
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
    const size_t dot = host.find('.');
    const bool can_split = dot != std::string::npos && dot != host.rfind('.') &&
                           host.find_first_not_of("0123456789.:") != std::string::npos;
    const bool is_segment = !bucket.empty() && bucket.find('$') == std::string::npos &&
                            host.compare(0, bucket.size() + 1, bucket + ".") != 0;
    if (is_segment) {
      first.erase(0, std::min(slash + 1, first.size()));
    } else if (can_split) {
      bucket = host.substr(0, dot);
      host.erase(0, dot + 1);
      is_virtual = true;
    } else {
      bucket.clear();
    }
  }
  if (bucket.empty()) {
    run.Warn(source,
             "which bucket this is cannot be seen from the URL; write it as an entry of "
             "buckets and a source of type s3");
    return false;
  }
  std::string name = "s3-" + AsName(bucket);  // no binding is called so
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
  entry.Set({"secretKey"}, Node::String(reference("secretKeyVar", "AWS_SECRET_ACCESS_KEY")), &auth);
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
  if (const Node* enabled = run.Get(auth, "enabled")) run.ledger.Converted(*enabled, at);
  if (const Node* token = run.Get(auth, "sessionTokenVar")) {
    if (const auto text = run.Reference(*token)) {
      entry.Set({"sessionToken"}, Node::String(*text), token);
      run.ledger.Converted(*token, at + "/sessionToken");
    }
  }
  run.DropKnown(auth, {{"service", "a bucket is S3"},
                       {"headers", "what is signed is the bucket's request and nothing else"},
                       {"params", "what is signed is the bucket's request and nothing else"}});
  // Another server's bucket of this name, or another key: a bucket of its own.
  const std::string wanted = name;
  for (int i = 2;; ++i) {
    const config::Member* buckets = run.out.node().Find("buckets");
    const config::Member* same = buckets == nullptr ? nullptr : buckets->value.Find(name);
    if (same == nullptr) {
      run.out.Put({"buckets", name}, std::move(entry));
      break;
    }
    if (config::WriteJsonLine(same->value) == config::WriteJsonLine(entry.node())) break;
    name = wanted + "-" + std::to_string(i);
  }
  made.Set({"type"}, Node::String("s3"), &source);
  made.Set({"bucket"}, Node::String(name), &source);
  prefix = rest;
  return true;
}

/// A source of type remote or fallback. @return false: it cannot be used
bool ConvertRemote(Run& run, const Node& source, Draft& made, std::string& path_prefix,
                   std::string& path, bool& is_complete, const OriginState& state,
                   const std::string& to) {
  const Node* url = run.Get(source, "url");
  if (url == nullptr) {
    run.problems.push_back({source.place, At(run.ledger.PointerOf(source), "url"), "nothing",
                            "a URL (types \"remote\" and \"fallback\" need one)"});
    return false;
  }
  Draft http;
  const bool is_signed = IsSigned(run, source);
  if (!ConvertUrl(run, *url, {http, to, state.owner, !is_signed}, path_prefix, is_complete)) {
    run.ledger.Dropped(source, "see the warning about its URL");
    return false;
  }
  const Node* auth = run.Get(source, "auth");
  if (is_signed) {
    const std::string base = http.node().Find("url")->value.text;
    if (!ConvertSigned(run, source, *auth, base, path_prefix, path, made)) {
      run.ledger.Dropped(source, "see the warning about its bucket");
      return false;
    }
    run.ledger.Changed(*url, to, "the bucket's endpoint and name, and the path below it");
    if (const Node* headers = run.Get(source, "headers")) {
      run.ledger.Dropped(*headers, "what is signed is the bucket's request and nothing else");
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

}  // namespace

bool IsSigned(Run& run, const Node& source) {
  const Node* auth = run.Get(source, "auth");
  if (auth == nullptr || !auth->is(Kind::kObject)) return false;
  const Node* enabled = run.Get(*auth, "enabled");
  if (enabled != nullptr && enabled->is(Kind::kBool) && !enabled->boolean) return false;
  const Node* type = run.Get(*auth, "type");
  return type != nullptr && (type->text == "aws-s3" || type->text == "aws-s3-presigned-url");
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
  std::string prefix;     // of the path, from the URL
  std::string path_text;  // the template
  const Node* path = run.Get(source, "path");
  if (path != nullptr) {
    const std::optional<std::string> text = run.Text(*path);
    if (!text) return;
    path_text = *text;
  }
  bool is_complete = false;  // the URL has placeholders: nothing is appended
  if (*kind == "r2") {
    if (!state.is_transformed) {
      run.Warn(source,
               "left out: with processPath false this origin only passes through, and that "
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
                       FolderOf(run, BucketName(binding)) != nullptr
                           ? "a bucket that is a directory"
                           : "read by the S3 protocol");
    if (const Node* auth = run.Get(source, "auth")) {
      run.ledger.Dropped(*auth, "a bucket has its own keys: see buckets");
    }
    run.DropKnown(source,
                  {{"url", "an R2 source has none"}, {"headers", "an R2 source sends none"}});
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
        run.ledger.Changed(*path, to + "/path",
                           "what the URL or the bucket's name says is elsewhere");
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
  run.DropKnown(source, {{"cacheTtl", "lifetimes are the origin's: origins[].ttl"},
                         {"name", "sources have no names; write a comment"},
                         {"description", "a remark; write a comment"}});
  origin.Append({"sources"}, std::move(made));
}

}  // namespace vr::import
