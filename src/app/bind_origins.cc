#include <algorithm>

#include "app/bind.h"

namespace vr::app {
namespace {

using config::Object;
using config::Text;
using origin::AuthOptions;
using origin::AuthType;
using origin::OriginOptions;
using origin::SourceOptions;
using origin::SourceType;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kYear{31536000};

/// RFC 9110 §5.5, without obs-text: no control bytes, so no header can be forged.
bool IsFieldValue(const std::string& value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return (c >= ' ' && c < 0x7f) || c == '\t'; });
}

/// RFC 9110 §5.6.2.
bool IsToken(const std::string& name) {
  constexpr std::string_view kMore = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMore.find(c) != kMore.npos;
  });
}

Text Secret() {
  Text text;
  text.secret = true;
  text.omit_empty = true;
  text.max_length = 8192;
  text.allowed = "text without control characters";
  text.check = IsFieldValue;
  return text;
}

void Need(Object& o, std::string_view key, const std::string& value, std::string_view why) {
  if (o.reading() && value.empty() && !o.Has(key)) o.Complain(key, "nothing", std::string(why));
}

/// What belongs to another type would be ignored in silence: say so.
void Refuse(Object& o, std::string_view key, std::string_view what_for) {
  if (o.Has(key))
    o.Complain(key, "a value", std::string("none, it belongs to ") + std::string(what_for));
}

void BindAuth(Object& o, AuthOptions& auth) {
  o.Enum("type", auth.type,
         {{"none", AuthType::kNone},
          {"bearer", AuthType::kBearer},
          {"basic", AuthType::kBasic},
          {"header", AuthType::kHeader},
          {"query", AuthType::kQuery}},
         true);
  o.Field("token", auth.token, Secret());
  o.Field(
      "user", auth.user,
      {.max_length = 1024, .allowed = "text without control characters", .check = IsFieldValue});
  o.Field("password", auth.password, Secret());
  o.Field("name", auth.name,
          {.omit_empty = true,
           .max_length = 256,
           .allowed = "the name of a header field or query parameter",
           .check = IsToken});
  o.Field("value", auth.value, Secret());
  if (!o.reading()) return;
  const bool named = auth.type == AuthType::kHeader || auth.type == AuthType::kQuery;
  if (auth.type == AuthType::kBearer) {
    Need(o, "token", auth.token, "a token (type \"bearer\" needs one)");
  } else {
    Refuse(o, "token", "type \"bearer\"");
  }
  if (auth.type == AuthType::kBasic) {
    Need(o, "user", auth.user, "a user name (type \"basic\" needs one)");
    Need(o, "password", auth.password, "a password (type \"basic\" needs one)");
  } else {
    Refuse(o, "user", "type \"basic\"");
    Refuse(o, "password", "type \"basic\"");
  }
  if (named) {
    Need(o, "name", auth.name, "a name (types \"header\" and \"query\" need one)");
    Need(o, "value", auth.value, "a value (types \"header\" and \"query\" need one)");
  } else {
    Refuse(o, "name", "types \"header\" and \"query\"");
    Refuse(o, "value", "types \"header\" and \"query\"");
  }
}

void BindSource(Object& o, SourceOptions& source) {
  o.Enum("type", source.type,
         {{"file", SourceType::kFile}, {"http", SourceType::kHttp}, {"s3", SourceType::kS3}}, true);
  o.Field("root", source.root, {.omit_empty = true, .allowed = "a directory's path"});
  Text url = HttpUrl();
  url.omit_empty = true;
  o.Field("url", source.url, url);
  o.Field("bucket", source.bucket,
          {.omit_empty = true, .max_length = 255, .allowed = "a name of \"buckets\""});
  o.Field(
      "path", source.path,
      {.raw = true,
       .allowed = "a template: ${name}, $1, ${name:default}, ${request_path}, $$ for a dollar"});
  o.Field("priority", source.priority, {-1'000'000, 1'000'000});
  o.Enum("redirects", source.redirects,
         {{"follow", origin::RedirectPolicy::kFollow}, {"pass", origin::RedirectPolicy::kPass}});
  std::optional<AuthOptions> auth;
  if (source.auth.type != AuthType::kNone) auth = source.auth;
  o.Optional("auth", auth, BindAuth);
  if (auth) source.auth = *auth;
  std::map<std::string, std::string, std::less<>> headers(source.headers.begin(),
                                                          source.headers.end());
  Text value = Secret();
  value.warn_inline = false;
  o.Texts("headers", headers, value);
  source.headers.assign(headers.begin(), headers.end());
  std::map<std::string, std::string, std::less<>> query(source.query.begin(), source.query.end());
  o.Texts("query", query, value);
  source.query.assign(query.begin(), query.end());
  if (!o.reading()) return;
  for (const auto& [name, text] : headers) {
    if (!IsToken(name))
      o.Complain("headers", "the name " + config::Quote(name), "names of header fields (RFC 9110)");
  }
  const SourceType type = source.type;
  if (!o.Has("type")) return;
  if (type == SourceType::kFile)
    Need(o, "root", source.root, "a directory's path (type \"file\" needs one)");
  if (type == SourceType::kHttp) Need(o, "url", source.url, "a URL (type \"http\" needs one)");
  if (type == SourceType::kS3)
    Need(o, "bucket", source.bucket, "a name of \"buckets\" (type \"s3\" needs one)");
  if (type != SourceType::kFile) Refuse(o, "root", "type \"file\"");
  if (type != SourceType::kHttp) {
    Refuse(o, "url", "type \"http\"");
    if (source.redirects != origin::RedirectPolicy::kFollow)
      Refuse(o, "redirects", "type \"http\"");
    Refuse(o, "auth", "type \"http\"");
    Refuse(o, "headers", "type \"http\"");
    Refuse(o, "query", "type \"http\"");
  }
  if (type != SourceType::kS3) Refuse(o, "bucket", "type \"s3\"");
}

/// What the other mode has a use for would be ignored in silence.
void CheckMode(Object& o, const OriginOptions& origin) {
  constexpr std::string_view kTransform = "nothing, it belongs to mode \"transform\"";
  if (origin.mode == origin::OriginMode::kTransform) {
    if (origin.store_set_cookie) {
      o.Complain("storeSetCookie", "true", "false: it belongs to mode \"passthrough\"");
    }
    return;
  }
  const origin::TtlOverride& ttl = origin.ttl;
  if (ttl.ok || ttl.redirects || ttl.client_error || ttl.server_error) {
    o.Complain("ttl", "lifetimes", "nothing: passed-through answers bring their own (RFC 9111)");
  }
  if (origin.kv_max_bytes != 0) {
    o.Complain("kvMaxBytes", "a size", "nothing: what is passed through is not in the store");
  }
  if (origin.quality) o.Complain("quality", "a value", std::string(kTransform));
  if (origin.compression) o.Complain("compression", "a value", std::string(kTransform));
  if (origin.cache_control) {
    o.Complain("cacheControl", "a value", "nothing: passed-through answers bring their own");
  }
}

}  // namespace

void BindOrigin(Object& o, OriginOptions& origin) {
  Text name = Name();
  name.required = true;
  o.Field("name", origin.name, name);
  o.Field("matcher", origin.matcher,
          {.raw = true,
           .required = true,
           .min_length = 1,
           .allowed = "a regular expression (RE2) for the decoded path"});
  Text group;
  group.min_length = 1;
  group.max_length = 64;
  group.allowed = "a name: A-Z a-z 0-9 _, not beginning with a digit";
  group.check = [](const std::string& text) {
    return (text[0] < '0' || text[0] > '9') && std::all_of(text.begin(), text.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_';
           });
  };
  o.Strings("captureGroups", origin.capture_groups, group, 64);
  o.Enum("mode", origin.mode,
         {{"transform", origin::OriginMode::kTransform},
          {"passthrough", origin::OriginMode::kPassthrough}});
  o.Field("storeSetCookie", origin.store_set_cookie);
  o.List("sources", origin.sources, BindSource, 32);
  if (o.reading() && origin.sources.empty())
    o.Complain("sources", "no sources", "a list of at least one");
  o.Nested("ttl", [&](Object& n) {
    n.Duration("ok", origin.ttl.ok, {0s, kYear});
    n.Duration("redirects", origin.ttl.redirects, {0s, kYear});
    n.Duration("clientError", origin.ttl.client_error, {0s, kYear});
    n.Duration("serverError", origin.ttl.server_error, {0s, kYear});
  });
  o.Strings("cacheTags", origin.cache_tags, CacheTag(), 50);
  BindEncodingDefault(o, "quality", origin.quality);
  BindEncodingDefault(o, "compression", origin.compression);
  o.Field("cacheControl", origin.cache_control,
          {.max_length = 1024, .allowed = "a value of Cache-Control", .check = IsFieldValue});
  o.Bytes("kvMaxBytes", origin.kv_max_bytes, {.min = 0, .max = uint64_t{1} << 50});
  if (o.reading()) CheckMode(o, origin);
}

}  // namespace vr::app
