#include "delivery/status.h"

#include <gtest/gtest.h>

namespace vr::delivery {
namespace {

std::string BodyOf(const http::Response& response) {
  const auto& pieces = std::get<std::vector<http::Piece>>(response.body);
  return *std::get<http::MemoryPiece>(pieces.at(0)).data;
}

struct Row {
  const char* reason;
  int status;
};
class ErrorTable : public ::testing::TestWithParam<Row> {};

// docs/http.md, "Errors".
TEST_P(ErrorTable, EachCodeHasItsStatus) {
  const Error error = Error(Code::kInternal, "why").WithReason(GetParam().reason);
  EXPECT_EQ(ErrorResponse(error, {}).status, GetParam().status);
}

INSTANTIATE_TEST_SUITE_P(
    Codes, ErrorTable,
    ::testing::Values(
        Row{"INVALID_PARAMETER", 400}, Row{"TIME_OUT_OF_RANGE", 400}, Row{"INVALID_URL", 400},
        Row{"SIGNATURE_REQUIRED", 403}, Row{"SOURCE_NOT_ALLOWED", 403},
        Row{"NO_MATCHING_ORIGIN", 404}, Row{"NOT_FOUND", 404}, Row{"METHOD_NOT_ALLOWED", 405},
        Row{"SOURCE_TOO_LARGE", 413}, Row{"SOURCE_UNSUPPORTED", 415}, Row{"SOURCE_CORRUPT", 422},
        Row{"RANGE_NOT_SATISFIABLE", 416}, Row{"OVERLOADED", 503}, Row{"ALL_SOURCES_FAILED", 502},
        Row{"ORIGIN_TIMEOUT", 504}, Row{"TRANSFORM_TIMEOUT", 504}, Row{"TRANSFORM_FAILED", 500},
        Row{"LOOP_DETECTED", 508}, Row{"INTERNAL", 500}, Row{"no such code", 500}));

TEST(ErrorResponse, HasTheContractsShape) {
  const Error error = Error(Code::kNotFound, "no \"such\" video")
                          .WithReason("NOT_FOUND")
                          .WithFact("attempts", "file: not found");
  EXPECT_EQ(BodyOf(ErrorResponse(error, {})),
            "{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"no \\\"such\\\" video\","
            "\"details\":{\"attempts\":\"file: not found\"}}}\n");
  const Error bare = Error(Code::kNotFound, "gone");
  EXPECT_EQ(BodyOf(ErrorResponse(bare, {})).find("details"), std::string::npos);
}

TEST(ErrorResponse, NeverTellsTheDetailNorAnInternalMessage) {
  const Error error(Code::kInternal, "assertion x failed", "/secret/path");
  const std::string body = BodyOf(ErrorResponse(error, {}));
  EXPECT_EQ(body, "{\"error\":{\"code\":\"INTERNAL\",\"message\":\"internal error\"}}\n");
}

TEST(ErrorResponse, WhatTheSourceIsToBlameForMayBeCachedTheRestNot) {
  cache::TtlOptions ttl;
  const auto fields = [&](const char* reason) {
    return ErrorResponse(Error(Code::kInternal, "x").WithReason(reason), ttl).fields;
  };
  EXPECT_NE(fields("NOT_FOUND").find("Cache-Control: public, max-age=60\r\n"), std::string::npos);
  EXPECT_NE(fields("ALL_SOURCES_FAILED").find("Cache-Control: public, max-age=10\r\n"),
            std::string::npos);
  EXPECT_NE(fields("OVERLOADED").find("Cache-Control: no-store\r\n"), std::string::npos);
  EXPECT_NE(fields("OVERLOADED").find("Retry-After: 2\r\n"), std::string::npos);
  EXPECT_NE(fields("TRANSFORM_FAILED").find("Cache-Control: no-store\r\n"), std::string::npos);
  ttl.client_error = std::chrono::seconds(0);
  EXPECT_NE(fields("NOT_FOUND").find("Cache-Control: no-store\r\n"), std::string::npos);
}

}  // namespace
}  // namespace vr::delivery
