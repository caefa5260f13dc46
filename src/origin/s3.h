// S3 objects as HTTP sources: where a bucket's object is, how its requests are signed, what an S3
// server's refusal means. The reading itself is the spool's.
//
// A bucket's secrets go to its endpoint only: redirects of an S3 server are not followed, they say
// that endpoint or region are wrong. Pure functions but for the signer, which reads a clock.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "http/client.h"
#include "origin/options.h"
#include "origin/spool.h"

namespace vr::origin {

/// What a bucket's sources are told apart by from others': endpoint and name, no credentials.
std::string S3Identity(const BucketOptions& bucket);

/// The region to sign for: the configured one; for "auto" the one in the endpoint's name where AWS,
/// Backblaze and Wasabi put it, "auto" for Cloudflare R2 and Google, "us-east-1" for others, which
/// mostly do not care.
std::string S3Region(const BucketOptions& bucket);

/// The request for an object, with signer, explanation and key; origin, counters and options are
/// the caller's to fill in.
/// @param bucket not a directory, and one that BadBucket() finds nothing wrong with
/// @param key decoded, not empty
/// @param clock outlives the target's use
HttpTarget MakeS3Target(const BucketOptions& bucket, std::string_view key, const Clock& clock);

/// Error of a refused request for an object from its first byte on. Fact "upstream": status and
/// S3's error code ("403 AccessDenied"). What helps the operator further is in the detail; neither
/// holds anything else of the answer.
/// @param body as much of it as was read
/// @errors kNotFound (no such object), kPermissionDenied (signature, credentials or permissions),
///         kUnsupported (SOURCE_UNSUPPORTED: the object is empty), kUnavailable (all else)
Error S3Refusal(const http::ResponseHead& head, std::string_view body);

/// Something in a bucket's settings that the S3 protocol does not allow.
struct BucketFault {
  std::string field;  ///< of `buckets.*`: "endpoint"
  std::string found, allowed;
};
std::optional<BucketFault> BadBucket(const BucketOptions& bucket);

}  // namespace vr::origin
