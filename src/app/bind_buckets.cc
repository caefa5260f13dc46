#include <algorithm>

#include "app/bind.h"
#include "origin/s3.h"

namespace vr::app {
namespace {

using config::Object;
using config::Text;
using origin::BucketOptions;
using origin::S3Addressing;
using origin::S3Signing;
using namespace std::chrono_literals;

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// Empty values are refused by the fields themselves.
void Need(Object& o, std::string_view key, std::string_view what) {
  if (!o.Has(key)) o.Complain(key, "nothing", std::string(what));
}

/// What belongs to another form would be ignored in silence: say so.
void Refuse(Object& o, std::initializer_list<std::string_view> keys, std::string_view what_for) {
  for (const std::string_view key : keys) {
    if (o.Has(key)) o.Complain(key, "a value", "none, it belongs to " + std::string(what_for));
  }
}

void CheckDirectory(Object& o) {
  Refuse(o,
         {"endpoint", "bucket", "region", "accessKey", "secretKey", "sessionToken", "addressing",
          "signing", "presignExpires"},
         "a bucket of an S3 server; this one is a directory (\"root\")");
}

void CheckServer(Object& o, const BucketOptions& bucket) {
  if (!o.Has("endpoint")) {
    o.Complain("endpoint", "neither \"endpoint\" nor \"root\"",
               "an S3 server's URL, or in \"root\" a directory");
    return;
  }
  Need(o, "bucket", "the bucket's name on the server");
  if (!bucket.endpoint.empty()) {
    if (auto fault = origin::BadBucket(bucket))
      o.Complain(fault->field, std::move(fault->found), std::move(fault->allowed));
  }
  if (bucket.signing == S3Signing::kNone) {
    Refuse(o, {"region", "accessKey", "secretKey", "sessionToken"},
           "signed requests (signing \"header\" or \"presigned\")");
  } else {
    Need(o, "accessKey", "an access key id (or signing \"none\")");
    Need(o, "secretKey", "a secret access key (or signing \"none\")");
  }
  if (bucket.signing != S3Signing::kPresigned)
    Refuse(o, {"presignExpires"}, "signing \"presigned\"");
  const bool is_dotted = bucket.bucket.find('.') != std::string::npos;
  if (bucket.addressing == S3Addressing::kVirtual && is_dotted &&
      bucket.endpoint.starts_with("https:")) {
    o.Warn("addressing", "\"virtual\" with a dot in the bucket's name",
           "\"path\": certificates for \"*.host\" do not cover such names");
  }
}

}  // namespace

void BindBucket(Object& o, BucketOptions& bucket) {
  o.Field("root", bucket.root,
          {.omit_empty = true, .min_length = 1, .allowed = "a directory's path"});
  Text url = HttpUrl();
  url.raw = false;
  url.omit_empty = true;
  o.Field("endpoint", bucket.endpoint, url);
  o.Field("bucket", bucket.bucket,
          {.omit_empty = true,
           .min_length = 1,
           .max_length = 255,
           .allowed = "a bucket's name: visible ASCII without '/'",
           .check = [](const std::string& name) {
             return IsVisibleAscii(name) && name.find('/') == name.npos && name != "." &&
                    name != "..";
           }});
  // Printed is what the form has a use for: else it would not be accepted when read again. The
  // sample that is described has no form yet.
  const bool all = o.reading() || (bucket.root.empty() && bucket.endpoint.empty());
  const bool is_server = all || bucket.root.empty();
  const bool is_signed = all || (is_server && bucket.signing != S3Signing::kNone);
  if (is_signed) {
    o.Field("region", bucket.region,
            {.min_length = 1,
             .max_length = 64,
             .allowed = "a region's name, or \"auto\"",
             .check = [](const std::string& name) {
               return IsVisibleAscii(name) && name.find('/') == name.npos;
             }});
    o.Field("accessKey", bucket.access_key,
            {.omit_empty = true,
             .min_length = 1,
             .max_length = 256,
             .allowed = "an access key id: visible ASCII without '/' and ','",
             .check = [](const std::string& key) {
               return IsVisibleAscii(key) && key.find_first_of("/,") == key.npos;
             }});
    Text secret;
    secret.secret = true;
    secret.omit_empty = true;
    secret.min_length = 1;
    secret.max_length = 1024;
    secret.allowed = "a secret access key: visible ASCII";
    secret.check = IsVisibleAscii;
    o.Field("secretKey", bucket.secret_key, secret);
    secret.max_length = 8192;
    secret.allowed = "a session token: visible ASCII";
    o.Field("sessionToken", bucket.session_token, secret);
  }
  if (is_server) {
    o.Enum("addressing", bucket.addressing,
           {{"path", S3Addressing::kPath}, {"virtual", S3Addressing::kVirtual}});
    o.Enum("signing", bucket.signing,
           {{"header", S3Signing::kHeader},
            {"presigned", S3Signing::kPresigned},
            {"none", S3Signing::kNone}});
  }
  if (all || (is_server && bucket.signing == S3Signing::kPresigned))
    o.Duration("presignExpires", bucket.presign_expires, {1s, 604800s});
  if (!o.reading()) return;
  if (o.Has("root"))
    CheckDirectory(o);
  else
    CheckServer(o, bucket);
}

}  // namespace vr::app
