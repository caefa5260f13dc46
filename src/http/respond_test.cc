#include "http/respond.h"

#include <gtest/gtest.h>

#include "http/testing/make_request.h"

namespace vr::http {
namespace {

using testing::MakeGet;
using testing::MakeRequest;

const std::string kText = "0123456789";

Representation Digits() {
  Representation r;
  r.body = std::make_shared<const std::string>(kText);
  r.content_type = "text/plain";
  r.etag = "\"d\"";
  auto shared = std::make_shared<std::string>();
  AppendValidatorFields(*shared, r.etag, WallTime(std::chrono::seconds(784111777)));
  r.shared_fields = shared;
  r.last_modified = WallTime(std::chrono::seconds(784111777));
  r.fields = "Age: 5\r\n";
  return r;
}

std::string BodyOf(const Response& response) {
  std::string body;
  if (const auto* pieces = std::get_if<std::vector<Piece>>(&response.body)) {
    for (const Piece& piece : *pieces) {
      const auto& m = std::get<MemoryPiece>(piece);
      body += m.data->substr(m.offset, m.length);
    }
  }
  return body;
}

TEST(Respond, WhatRefusesIsNoStoreAndNothingElse) {
  for (const char* condition : {"Range: bytes=99-", "If-Match: \"other\""}) {
    Representation digits = Digits();
    digits.cache_control = "public, max-age=60";
    const Response r = RespondWith(std::move(digits), MakeGet(condition));
    EXPECT_GE(r.status, 400) << condition;
    EXPECT_EQ(r.fields.find("max-age"), std::string::npos) << r.fields;
    EXPECT_NE(r.fields.find("Cache-Control: no-store\r\n"), std::string::npos) << r.fields;
  }
  for (const char* condition : {"Range: bytes=0-1", "If-None-Match: \"d\"", "X: y"}) {
    Representation digits = Digits();
    digits.cache_control = "public, max-age=60";
    const Response r = RespondWith(std::move(digits), MakeGet(condition));
    EXPECT_NE(r.fields.find("Cache-Control: public, max-age=60\r\n"), std::string::npos)
        << r.fields;
  }
}

TEST(Respond, GivesEverythingToAPlainGet) {
  const Response r = RespondWith(Digits(), MakeGet());
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields, "Age: 5\r\nContent-Type: text/plain\r\n");
  EXPECT_EQ(
      *r.shared_fields,
      "ETag: \"d\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n");
  EXPECT_EQ(BodyOf(r), kText);
}

TEST(Respond, HeadGetsWhatGetWithoutRangeGets) {
  for (const char* condition : {"X: y", "If-None-Match: \"d\"", "If-Match: \"x\""}) {
    const Response get = RespondWith(Digits(), MakeGet(condition));
    const Response head =
        RespondWith(Digits(), MakeRequest(std::string("HEAD / HTTP/1.1\nHost: a\n") + condition));
    EXPECT_EQ(head.status, get.status);
    EXPECT_EQ(head.fields, get.fields);
    EXPECT_EQ(BodyOf(head), BodyOf(get));
  }
  for (const char* range : {"bytes=2-4", "bytes=99-"}) {
    const Response head = RespondWith(
        Digits(), MakeRequest(std::string("HEAD / HTTP/1.1\nHost: a\nRange: ") + range));
    EXPECT_EQ(head.status, 200) << "RFC 9110 section 14.2";
    EXPECT_EQ(BodyOf(head), kText);
  }
}

/// What a growing body was asked for.
Representation GrowingDigits(std::vector<std::pair<uint64_t, uint64_t>>* asked) {
  Representation r = Digits();
  GrowingBody body;
  body.size = kText.size();
  body.open = [asked](uint64_t first, uint64_t length) -> std::shared_ptr<BodyStream> {
    asked->emplace_back(first, length);
    return nullptr;
  };
  r.body = std::move(body);
  return r;
}

TEST(Respond, AGrowingBodyObeysTheSameRules) {
  std::vector<std::pair<uint64_t, uint64_t>> asked;
  Response r = RespondWith(GrowingDigits(&asked), MakeGet());
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(std::get<StreamBody>(r.body).length, 10u);
  r = RespondWith(GrowingDigits(&asked), MakeGet("Range: bytes=2-4"));
  EXPECT_EQ(r.status, 206);
  EXPECT_NE(r.fields.find("Content-Range: bytes 2-4/10\r\n"), std::string::npos);
  EXPECT_EQ(std::get<StreamBody>(r.body).length, 3u);
  EXPECT_EQ(asked, (std::vector<std::pair<uint64_t, uint64_t>>{{0, 10}, {2, 3}}));
  EXPECT_EQ(RespondWith(GrowingDigits(&asked), MakeGet("If-None-Match: \"d\"")).status, 304);
  EXPECT_EQ(RespondWith(GrowingDigits(&asked), MakeGet("If-Match: \"x\"")).status, 412);
  EXPECT_EQ(RespondWith(GrowingDigits(&asked), MakeGet("Range: bytes=10-")).status, 416);
  EXPECT_EQ(asked.size(), 2u) << "what refuses opens nothing";
  r = RespondWith(GrowingDigits(&asked), MakeGet("Range: bytes=0-1,-2"));
  EXPECT_EQ(r.status, 200) << "no parts of what is not there yet";
}

TEST(Respond, ARefusalCarriesTheSharedFieldsWhenTheyAreMeantForIt) {
  for (const char* condition : {"Range: bytes=10-", "If-Match: \"x\""}) {
    Representation digits = Digits();
    digits.refuses_with_shared_fields = true;
    const auto shared = digits.shared_fields;
    const Response r = RespondWith(std::move(digits), MakeGet(condition));
    EXPECT_EQ(r.shared_fields, shared) << condition;
    EXPECT_EQ(r.fields.find("X-Content-Type-Options"), std::string::npos) << r.fields;
  }
}

TEST(Respond, CutsOneRange) {
  const Response r = RespondWith(Digits(), MakeGet("Range: bytes=2-4"));
  EXPECT_EQ(r.status, 206);
  EXPECT_EQ(r.fields, "Age: 5\r\nContent-Type: text/plain\r\nContent-Range: bytes 2-4/10\r\n");
  EXPECT_EQ(BodyOf(r), "234");
}

TEST(Respond, CutsAFileAtItsOffset) {
  Representation r = Digits();
  FileBody file;
  file.file = std::make_shared<const UniqueFd>();
  file.offset = 100;
  file.size = 10;
  r.body = file;
  const Response response = RespondWith(std::move(r), MakeGet("Range: bytes=-3"));
  const auto& piece = std::get<FilePiece>(std::get<std::vector<Piece>>(response.body).at(0));
  EXPECT_EQ(piece.offset, 107u);
  EXPECT_EQ(piece.length, 3u);
}

TEST(Respond, MakesMultipartOfSeveralRanges) {
  const Response r = RespondWith(Digits(), MakeGet("Range: bytes=0-1,-2"));
  EXPECT_EQ(r.status, 206);
  const std::string marker = "multipart/byteranges; boundary=";
  const size_t at = r.fields.find(marker);
  ASSERT_NE(at, std::string::npos) << r.fields;
  const std::string boundary =
      r.fields.substr(at + marker.size(), r.fields.find("\r\n", at) - at - marker.size());
  EXPECT_EQ(r.fields.find("text/plain"), std::string::npos);
  EXPECT_EQ(r.fields.find("Content-Range"), std::string::npos);
  EXPECT_EQ(BodyOf(r),
            "--" + boundary +
                "\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--" +
                boundary +
                "\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--" +
                boundary + "--\r\n");
}

TEST(Respond, EqualMultipartAnswersAreEquallyLong) {
  const auto ask = [] { return BodyOf(RespondWith(Digits(), MakeGet("Range: bytes=0-1,-2"))); };
  const std::string first = ask();
  for (int i = 0; i < 500; ++i) {
    const std::string next = ask();
    EXPECT_EQ(next.size(), first.size());
    EXPECT_NE(next, first) << "a boundary of its own";
  }
}

TEST(Respond, SaysHowLongItIsWhenNoByteOfTheRangeExists) {
  const Response r = RespondWith(Digits(), MakeGet("Range: bytes=10-"));
  EXPECT_EQ(r.status, 416);
  EXPECT_NE(r.fields.find("Content-Range: bytes */10\r\n"), std::string::npos);
  EXPECT_NE(r.fields.find("Age: 5\r\n"), std::string::npos);
  EXPECT_EQ(r.shared_fields, nullptr);
  EXPECT_EQ(BodyOf(r),
            "{\"error\":{\"code\":\"RANGE_NOT_SATISFIABLE\",\"message\":\"no byte of the range "
            "exists\"}}");
}

TEST(Respond, AppliesConditionsBeforeRanges) {
  Response r = RespondWith(Digits(), MakeGet("Range: bytes=10-\nIf-None-Match: \"d\""));
  EXPECT_EQ(r.status, 304);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(r.body));
  ASSERT_NE(r.shared_fields, nullptr);
  EXPECT_EQ(r.fields, "Age: 5\r\n");
  r = RespondWith(Digits(), MakeGet("Range: bytes=0-1\nIf-Match: \"x\""));
  EXPECT_EQ(r.status, 412);
  r = RespondWith(Digits(), MakeGet("Range: bytes=0-1\nIf-Range: \"x\""));
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(BodyOf(r), kText);
}

TEST(Respond, LeavesOtherStatusesAlone) {
  Representation r = Digits();
  r.status = 404;
  const Response response =
      RespondWith(std::move(r), MakeGet("Range: bytes=0-1\nIf-None-Match: *"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(BodyOf(response), kText);
}

TEST(Respond, IgnoresMalformedRanges) {
  EXPECT_EQ(RespondWith(Digits(), MakeGet("Range: bytes=4-2")).status, 200);
  EXPECT_EQ(RespondWith(Digits(), MakeGet("Range: lines=1-2")).status, 200);
}

TEST(Respond, ErrorsAreJson) {
  const std::vector<std::pair<std::string, std::string>> facts = {{"limit", "by\"tes"}};
  const Response r = ErrorResponse(413, "SOURCE_TOO_LARGE", "too \"large\"", facts);
  EXPECT_EQ(r.status, 413);
  EXPECT_EQ(BodyOf(r),
            "{\"error\":{\"code\":\"SOURCE_TOO_LARGE\",\"message\":\"too \\\"large\\\"\","
            "\"details\":{\"limit\":\"by\\\"tes\"}}}");
}

}  // namespace
}  // namespace vr::http
