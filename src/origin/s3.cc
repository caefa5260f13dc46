#include "origin/s3.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "http/ascii.h"
#include "http/aws_sigv4.h"
#include "http/location.h"

namespace vr::origin {

namespace {

/// A bucket's endpoint taken apart, and where the bucket is in it.
struct Place {
  std::string scheme;
  std::string host;    ///< lower case, without port
  std::string port;    ///< empty: the scheme's own
  std::string prefix;  ///< "/a/b" or empty
  /// As the Host field says it.
  std::string authority() const { return port.empty() ? host : host + ":" + port; }
};

std::optional<Place> ReadEndpoint(const std::string& endpoint) {
  const auto parts = http::ResolveUrl("", endpoint);
  if (!parts) return std::nullopt;
  Place place;
  place.scheme = parts->scheme;
  place.host = parts->host;
  if (parts->port != (parts->scheme == "https" ? "443" : "80")) place.port = parts->port;
  const size_t path = endpoint.find('/', endpoint.find("://") + 3);
  if (path != std::string::npos) {
    auto decoded = http::PercentDecode(std::string_view(endpoint).substr(path));
    if (!decoded.ok()) return std::nullopt;
    place.prefix = std::move(*decoded);
    while (place.prefix.ends_with('/')) place.prefix.pop_back();
  }
  return place;
}

bool IsAddress(std::string_view host) {
  return host.starts_with('[') ||
         std::all_of(host.begin(), host.end(), [](char c) { return http::IsDigit(c) || c == '.'; });
}

/// What can stand in front of a host name (RFC 1123): lower case, as S3 wants bucket names.
bool IsDnsName(std::string_view name) {
  if (name.size() < 3 || name.size() > 63 || name.front() == '.' || name.back() == '.')
    return false;
  if (name.front() == '-' || name.back() == '-' || name.find("..") != name.npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || http::IsDigit(c) || c == '-' || c == '.';
  });
}

class S3Signer final : public http::RequestSigner {
 public:
  S3Signer(const BucketOptions& bucket, std::string host, std::string path, const Clock& clock)
      : signer_({bucket.access_key, bucket.secret_key, bucket.session_token}, S3Region(bucket)),
        is_presigned_(bucket.signing == S3Signing::kPresigned),
        expires_(bucket.presign_expires),
        host_(std::move(host)),
        path_(std::move(path)),
        clock_(clock) {}
  Proof Sign(http::Method method) const override {
    http::AwsRequest request;
    request.method = method == http::Method::kHead ? "HEAD" : "GET";
    request.host = host_;
    request.path = path_;
    Proof proof;
    if (is_presigned_)
      proof.query = signer_.Presign(request, clock_.Now(), expires_);
    else
      proof.fields = signer_.SignFields(request, clock_.Now());
    return proof;
  }

 private:
  const http::AwsSigner signer_;
  const bool is_presigned_;
  const std::chrono::seconds expires_;
  const std::string host_, path_;
  const Clock& clock_;
};

/// The text of the first element of that name; empty when there is none. Enough for S3's errors,
/// which are one flat element, and nothing that a body could be made to mislead with.
std::string_view Element(std::string_view body, std::string_view name) {
  const std::string open = "<" + std::string(name) + ">";
  const size_t begin = body.find(open);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = body.substr(begin + open.size());
  const size_t end = rest.find('<');
  return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
}

/// An error code of S3: letters only. Whatever else an answer says there is not repeated.
std::string ErrorCode(std::string_view body) {
  const std::string_view code = Element(body, "Code");
  const bool is_word =
      !code.empty() && code.size() <= 48 && std::all_of(code.begin(), code.end(), [](char c) {
        const char lower = http::ToLower(c);
        return lower >= 'a' && lower <= 'z';
      });
  return is_word ? std::string(code) : std::string();
}

/// The region that the server says the bucket is in.
std::string RegionIn(const http::ResponseHead& head, std::string_view body) {
  std::string_view region = head.Get("x-amz-bucket-region").value_or("");
  if (region.empty()) region = Element(body, "Region");
  const bool is_name = !region.empty() && region.size() <= 32 &&
                       std::all_of(region.begin(), region.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || http::IsDigit(c) || c == '-';
                       });
  return is_name ? std::string(region) : std::string();
}

constexpr std::string_view kCredentialCodes[] = {
    "AccessDenied",         "AllAccessDisabled", "SignatureDoesNotMatch", "InvalidAccessKeyId",
    "ExpiredToken",         "InvalidToken",      "RequestTimeTooSkewed",  "RequestExpired",
    "InvalidSecurity",      "NotSignedUp",       "AccountProblem",        "InvalidObjectState",
    "MissingSecurityHeader"};

std::string_view Hint(std::string_view code) {
  if (code == "AccessDenied")
    return "no permission to read; or no such key and no permission to list; or, from Ceph with "
           "STS, "
           "wrong keys";
  if (code == "SignatureDoesNotMatch")
    return "secretKey or region are wrong, or something on the way changes the request";
  if (code == "InvalidAccessKeyId") return "accessKey is not known there";
  if (code == "ExpiredToken" || code == "InvalidToken")
    return "sessionToken is over or does not belong to the keys";
  if (code == "RequestTimeTooSkewed") return "this machine's clock and the server's differ";
  if (code == "NoSuchBucket") return "bucket, addressing or endpoint are wrong";
  if (code == "InvalidObjectState") return "the object is archived";
  return {};
}

}  // namespace

std::string S3Identity(const BucketOptions& bucket) {
  const auto place = ReadEndpoint(bucket.endpoint);
  const std::string endpoint =
      place ? place->scheme + "://" + place->authority() + place->prefix : bucket.endpoint;
  return endpoint + "/" + bucket.bucket;
}

std::string S3Region(const BucketOptions& bucket) {
  if (bucket.region != "auto") return bucket.region;
  const auto place = ReadEndpoint(bucket.endpoint);
  const std::string_view host = place ? std::string_view(place->host) : std::string_view();
  if (host.ends_with(".r2.cloudflarestorage.com") || host == "storage.googleapis.com")
    return "auto";
  for (const std::string_view zone :
       {".amazonaws.com", ".amazonaws.com.cn", ".backblazeb2.com", ".wasabisys.com"}) {
    if (!host.ends_with(zone)) continue;
    // "s3.REGION", "s3.dualstack.REGION", "s3-REGION", or just "s3".
    const std::string_view name = host.substr(0, host.size() - zone.size());
    const size_t dot = name.rfind('.');
    if (dot != std::string_view::npos) return std::string(name.substr(dot + 1));
    if (name.starts_with("s3-")) return std::string(name.substr(3));
  }
  return "us-east-1";
}

HttpTarget MakeS3Target(const BucketOptions& bucket, std::string_view key, const Clock& clock) {
  Place place = ReadEndpoint(bucket.endpoint).value_or(Place());
  std::string path = place.prefix + "/";
  if (bucket.addressing == S3Addressing::kVirtual)
    place.host = bucket.bucket + "." + place.host;
  else
    path += bucket.bucket + "/";
  path += key;
  HttpTarget target;
  target.type = "s3";
  target.url = place.scheme + "://" + place.authority() + http::AwsSigner::EncodePath(path);
  // Objects come with whatever type somebody once uploaded them with; their bytes decide.
  target.refuse_documents = false;
  target.explain = S3Refusal;
  target.key = "s3\n" + target.url + "\n";
  if (bucket.signing != S3Signing::kNone) {
    Hasher digest;
    for (const std::string* part :
         {&bucket.access_key, &bucket.secret_key, &bucket.session_token}) {
      digest.Update(std::to_string(part->size()) + ":" + *part);
    }
    target.key += digest.Finish().ToHex();
    target.signer = std::make_shared<S3Signer>(bucket, place.authority(), std::move(path), clock);
  }
  return target;
}

Error S3Refusal(const http::ResponseHead& head, std::string_view body) {
  const std::string code = ErrorCode(body);
  std::string upstream = std::to_string(head.status);
  if (!code.empty()) upstream += " " + code;
  Error error(Code::kUnavailable, "the origin failed", "upstream: " + upstream);
  if (code == "NoSuchBucket") {
    // The operator's mistake, not a missing source.
  } else if (head.is_gone()) {
    error.code = Code::kNotFound;
    error.public_message = "the source was not found";
  } else if (std::find(std::begin(kCredentialCodes), std::end(kCredentialCodes), code) !=
             std::end(kCredentialCodes)) {
    error.code = Code::kPermissionDenied;
  } else if (head.is_range_not_satisfiable()) {
    // Even the first byte is not there. Not every server says so in Content-Range.
    error.code = Code::kUnsupported;
    error.reason = "SOURCE_UNSUPPORTED";
    error.public_message = "the source is empty";
  }
  std::string hint(Hint(code));
  const bool is_elsewhere = head.is_redirect() || code == "PermanentRedirect" ||
                            code == "TemporaryRedirect" || code == "Redirect" ||
                            code == "AuthorizationHeaderMalformed";
  if (is_elsewhere) {
    const std::string region = RegionIn(head, body);
    hint = "the bucket belongs to another endpoint or region";
    if (!region.empty()) hint += ", the server says region " + region;
  }
  if (!hint.empty()) error.detail += "; " + hint;
  error.facts.emplace_back("upstream", std::move(upstream));
  return error;
}

std::optional<BucketFault> BadBucket(const BucketOptions& bucket) {
  const auto place = ReadEndpoint(bucket.endpoint);
  if (!place)
    return BucketFault{"endpoint", "a URL that cannot be read", "http(s)://host[:port][/path]"};
  if (bucket.bucket.empty()) return std::nullopt;
  const bool has_it = place->host.starts_with(bucket.bucket + ".") && !IsAddress(place->host);
  if (has_it || place->prefix.ends_with("/" + bucket.bucket)) {
    return BucketFault{"endpoint", "a URL that holds the bucket's name",
                       "the server's URL: the name is put in by us, see \"addressing\""};
  }
  if (bucket.addressing == S3Addressing::kPath) return std::nullopt;
  if (IsAddress(place->host)) {
    return BucketFault{"addressing", "\"virtual\" with an address for an endpoint",
                       "\"path\", or an endpoint with a host name"};
  }
  if (!IsDnsName(bucket.bucket)) {
    return BucketFault{"addressing", "\"virtual\" with a bucket's name that no host can have",
                       "\"path\", or a bucket named with 3..63 of a-z 0-9 - ."};
  }
  return std::nullopt;
}

}  // namespace vr::origin
