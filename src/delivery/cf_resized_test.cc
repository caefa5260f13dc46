#include "delivery/cf_resized.h"

#include <gtest/gtest.h>

#include "delivery/status.h"

namespace vr::delivery {
namespace {

TEST(CfResized, NumbersOfTheContract) {
  struct Row {
    const char *reason, *attempts, *code;
  };
  const Row rows[] = {
      {"INVALID_PARAMETER", "", "9401"},
      {"TIME_OUT_OF_RANGE", "", "9401"},
      {"SOURCE_TOO_LARGE", "", "9402"},
      {"NOT_FOUND", "http: 404", "9404"},
      {"NO_MATCHING_ORIGIN", "", "9404"},
      {"INVALID_URL", "", "9406"},
      {"SOURCE_NOT_ALLOWED", "", "9406"},
      {"ALL_SOURCES_FAILED", "http: unknown host", "9407"},
      {"ALL_SOURCES_FAILED", "http: 403", "9408"},
      {"ALL_SOURCES_FAILED", "http: 503, http: 403", "9408"},
      {"ALL_SOURCES_FAILED", "file: not found, http: 502", "9509"},
      {"ALL_SOURCES_FAILED", "http: unreachable", "9504"},
      {"ALL_SOURCES_FAILED", "http: redirect refused", "9504"},
      {"ORIGIN_TIMEOUT", "http: timeout", "9504"},
      {"SOURCE_UNSUPPORTED", "", "9412"},
      {"SOURCE_CORRUPT", "", "9412"},
      {"TRANSFORM_FAILED", "", "9517"},
      {"TRANSFORM_TIMEOUT", "", "9517"},
      {"OVERLOADED", "", "9517"},
      {"INTERNAL", "", "9517"},
      {"", "", "9517"},
      {"RANGE_NOT_SATISFIABLE", "", ""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(CfResizedCode(row.reason, row.attempts, false), row.code) << row.reason;
  }
  EXPECT_EQ(CfResizedCode("INVALID_URL", "", true), "9403");
}

TEST(CfResized, IsReadFromTheAnswer) {
  const Error error = Error(Code::kUnavailable, "no source could be read")
                          .WithReason("ALL_SOURCES_FAILED")
                          .WithFact("attempts", "http: 500");
  http::Response response = ErrorResponse(error, cache::TtlOptions());
  AddCfResized(response);
  EXPECT_NE(response.fields.find("Cf-Resized: err=9509\r\n"), std::string::npos) << response.fields;

  http::Response good;
  good.status = 206;
  AddCfResized(good);
  EXPECT_EQ(good.fields, "");

  http::Response strange;
  strange.status = 500;
  strange.SetBody("[not json");
  AddCfResized(strange);
  EXPECT_EQ(strange.fields, "Cf-Resized: err=9517\r\n");
}

}  // namespace
}  // namespace vr::delivery
