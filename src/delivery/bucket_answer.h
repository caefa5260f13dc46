// What an S3 server answers, as an origin of mode "passthrough" passes it on: objects as they are,
// without what is between the server and us; refusals not at all, since their XML names buckets,
// keys and accounts. Pure functions.
#pragma once

#include <string_view>

#include "base/error.h"
#include "http/client.h"
#include "origin/source.h"

namespace vr::delivery {

bool IsBucket(const origin::Location& location);
/// One of the sources is a bucket: then all of them are only read.
bool HasBucket(const origin::Resolved& resolved);

/// Neither an object, nor that it is as it was, nor what the client's own conditions and ranges
/// lead to: its body says why, to us alone.
bool IsBucketRefusal(const http::ResponseHead& head);

/// What those who asked are told instead: NOT_FOUND or ALL_SOURCES_FAILED. Fact "upstream" as of
/// origin::S3Refusal.
/// @param body as much of it as was read
Error BucketRefusal(const http::ResponseHead& head, std::string_view body);

/// Whether the answer goes on without its body: 412 and 416.
bool HasBucketBody(const http::ResponseHead& head);

/// Without the fields of the server's own business, cookies, and the name of an upload's framing;
/// one that goes on without its body has length 0.
http::ResponseHead CleanBucketHead(http::ResponseHead head);

/// Whether a 206 is a part of what If-Range of the request names (RFC 9110 §13.1.5); true for every
/// other answer, and when the request has none. Not every S3 server knows that field.
bool FitsIfRange(const http::ResponseHead& head, std::string_view if_range);

}  // namespace vr::delivery
