// AWS Signature Version 4 as S3 wants it: one signer for header and presigned form.
//
// A request comes in decoded bytes and leaves encoded, so what is signed is what is sent. Encoding
// is RFC 3986's strict one: every byte but unreserved ones becomes %XX with upper-case digits,
// once; a path's '/' stays, dot segments and empty ones too (other AWS services normalise and
// encode twice: not for them). Specification: "Authenticating Requests (AWS Signature Version 4)",
// Amazon S3 API Reference. Why not libcurl's CURLOPT_AWS_SIGV4: 7.88 signs paths verbatim, sorts
// header lines wrongly and has no presigned form.
//
// Immutable, thread-safe, no I/O; the time comes from the caller.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/fields.h"
#include "http/url.h"

namespace vr::http {

struct AwsCredentials {
  std::string access_key;
  std::string secret_key;     ///< secret
  std::string session_token;  ///< secret; empty: none
};

/// What is to be signed.
struct AwsRequest {
  std::string method = "GET";
  std::string host;        ///< as the Host field will say it: with its port unless the scheme's own
  std::string path = "/";  ///< decoded, begins with '/'
  QueryPairs query;        ///< decoded, in any order
  /// To be signed besides Host and the signer's own: all "x-amz-*" of the request and Content-Type.
  FieldList fields;
};

class AwsSigner {
 public:
  /// x-amz-content-sha256 of a request without a body, and of one whose body is not signed.
  static constexpr std::string_view kNoBody =
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  static constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

  AwsSigner(AwsCredentials credentials, std::string region, std::string service = "s3")
      : credentials_(std::move(credentials)),
        region_(std::move(region)),
        service_(std::move(service)) {}

  /// The fields to send beside those of `request`: x-amz-date, x-amz-content-sha256,
  /// x-amz-security-token, Authorization.
  /// @param payload_hash SHA-256 of the body in lower-case hex, or one of the constants
  FieldList SignFields(const AwsRequest& request, WallTime now,
                       std::string_view payload_hash = kNoBody) const;
  /// The whole query to send, encoded: the request's own and the X-Amz-* of a presigned URL.
  /// @param expires how long the signature is good, from `now` on; S3 takes up to 7 days
  std::string Presign(const AwsRequest& request, WallTime now, std::chrono::seconds expires) const;

  /// "/bucket/a b" → "/bucket/a%20b".
  static std::string EncodePath(std::string_view path);
  /// Sorted by encoded name, then value.
  static std::string EncodeQuery(const QueryPairs& query);
  /// The text whose hash is signed. @param fields all signed ones, Host among them
  static std::string CanonicalRequest(std::string_view method, std::string_view path,
                                      std::string_view encoded_query, const FieldList& fields,
                                      std::string_view payload_hash);

 private:
  /// Lower-case hex. @param date "20130524T000000Z"
  std::string Signature(std::string_view canonical_request, const std::string& date) const;
  std::string Scope(const std::string& date) const;

  const AwsCredentials credentials_;
  const std::string region_;
  const std::string service_;
};

}  // namespace vr::http
