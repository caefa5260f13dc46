#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>

namespace vr {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Error(Code::kInvalidArgument, "odd");
  return n / 2;
}
Result<void> MustBePositive(int n) {
  if (n <= 0) return Error(Code::kNotFound, "not positive");
  return {};
}
Result<std::string> Quarter(int n, int* steps) {
  CHECK_OK(MustBePositive(n));
  ++*steps;
  TRY(const int half, Half(n));
  ++*steps;
  int quarter = 0;
  TRY(quarter, Half(half));
  ++*steps;
  return std::to_string(quarter);
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = Half(4);
  EXPECT_TRUE(good.ok());
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, 2);
  const Result<int> bad = Half(3);
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, Code::kInvalidArgument);
  EXPECT_EQ(bad.error().public_message, "odd");
}

TEST(Result, TryStopsAtTheFirstError) {
  int steps = 0;
  EXPECT_EQ(*Quarter(8, &steps), "2");
  EXPECT_EQ(steps, 3);
  steps = 0;
  EXPECT_EQ(Quarter(6, &steps).error().public_message, "odd");
  EXPECT_EQ(steps, 2);
  steps = 0;
  EXPECT_EQ(Quarter(0, &steps).error().code, Code::kNotFound);
  EXPECT_EQ(steps, 0);
}

TEST(Result, CarriesWhatCanOnlyMove) {
  const auto make = [](bool ok) -> Result<std::unique_ptr<int>> {
    if (!ok) return Error(Code::kInternal, "no");
    return std::make_unique<int>(7);
  };
  const auto pass = [&](bool ok) -> Result<std::unique_ptr<int>> {
    TRY(auto p, make(ok));
    return p;
  };
  EXPECT_EQ(**pass(true), 7);
  const std::unique_ptr<int> out = *pass(true);
  EXPECT_EQ(*out, 7);
  EXPECT_FALSE(pass(false).ok());
}

TEST(Result, ConvertsToItsValueType) {
  const Result<std::string> text = "abc";
  EXPECT_EQ(*text, "abc");
  const Result<std::optional<int>> some = 5;
  EXPECT_EQ(**some, 5);
  const Result<std::optional<int>> none = std::nullopt;
  EXPECT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST(Result, OfVoidIsGoodUnlessToldOtherwise) {
  EXPECT_TRUE(Result<void>().ok());
  EXPECT_FALSE(MustBePositive(0).ok());
}

TEST(Error, GrowsItsDetailOnTheWayUp) {
  Error first =
      Error(Code::kUnavailable, "try later", "refused").In("connect").In("opening source");
  EXPECT_EQ(first.detail, "opening source: connect: refused");
  EXPECT_EQ(first.public_message, "try later");
  const Error error = std::move(first)
                          .WithReason("ORIGIN_TIMEOUT")
                          .WithFact("attempt", "1")
                          .WithFact("attempt", "2");
  EXPECT_EQ(error.reason, "ORIGIN_TIMEOUT");
  ASSERT_EQ(error.facts.size(), 2u);
  EXPECT_EQ(error.facts[1].second, "2");
  EXPECT_EQ(error.ToLogString(),
            "unavailable [ORIGIN_TIMEOUT]: try later (opening source: connect: refused)");
  EXPECT_EQ(Error(Code::kInternal, "").ToLogString(), "internal");
}

TEST(Error, FromErrnoSaysWhatTheCallerCanDoAndNothingToTheClient) {
  const std::pair<int, Code> table[] = {
      {ENOENT, Code::kNotFound},          {ENOTDIR, Code::kNotFound},
      {EACCES, Code::kPermissionDenied},  {ELOOP, Code::kPermissionDenied},
      {ENOSPC, Code::kResourceExhausted}, {EDQUOT, Code::kResourceExhausted},
      {EMFILE, Code::kResourceExhausted}, {ENAMETOOLONG, Code::kInvalidArgument},
      {EIO, Code::kUnavailable},          {12345, Code::kUnavailable}};
  for (const auto& [number, code] : table) {
    const Error error = ErrnoError(number, "open /srv/secret");
    EXPECT_EQ(error.code, code) << number;
    EXPECT_TRUE(error.detail.starts_with("open /srv/secret: "));
    EXPECT_EQ(error.public_message.find("secret"), std::string::npos);
  }
}

TEST(Code, EachHasItsOwnName) {
  EXPECT_EQ(ToString(Code::kInvalidArgument), "invalid_argument");
  EXPECT_EQ(ToString(Code::kDeadlineExceeded), "deadline_exceeded");
  EXPECT_EQ(ToString(Code::kInternal), "internal");
}

}  // namespace
}  // namespace vr
