// The exchange without a network: what a client would call is called by hand.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/testing/manual_clock.h"
#include "delivery/exchange.h"
#include "http/date.h"
#include "http/testing/make_request.h"

namespace vr::delivery {
namespace {

using http::testing::MakeGet;
using http::testing::MakeRequest;
using Phase = Exchange::Phase;

constexpr char kKey[] = "passthrough:http://a/";

class FakeTransfer final : public http::Transfer {
 public:
  void Start() override {}
  void Cancel() override { ++cancels; }
  void Resume() override { ++resumes; }
  int cancels = 0;
  int resumes = 0;
};

class ExchangeTest : public ::testing::Test {
 protected:
  ExchangeTest() : store_(cache::EdgeOptions{.max_bytes = 64 << 20}) {
    folder_ = std::filesystem::temp_directory_path() /
              ("vr-exchange-" + std::to_string(::getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    staging_ = std::move(*cache::Staging::Create(folder_.string()));
  }
  ~ExchangeTest() override { std::filesystem::remove_all(folder_); }

  ExchangeSpec SpecOf(http::Request request) {
    ExchangeSpec spec;
    spec.key = kKey;
    spec.request = std::move(request);
    spec.max_object_bytes = 64 << 20;
    spec.disconnected_ms = 100'000;
    return spec;
  }
  std::shared_ptr<Exchange> Start(ExchangeSpec spec) {
    auto exchange =
        std::make_shared<Exchange>(ExchangeDeps{store_, *staging_, clock_}, std::move(spec));
    exchange->Bind(transfer_);
    return exchange;
  }
  static http::ResponseHead Head(int status, http::FieldList fields,
                                 std::optional<uint64_t> length = std::nullopt) {
    http::ResponseHead head;
    head.status = status;
    head.fields = std::move(fields);
    head.content_length = length;
    return head;
  }
  /// GETs a body into the store. @return what is stored
  cache::StoredRef Store(const std::string& body, http::FieldList fields) {
    auto exchange = Start(SpecOf(MakeGet()));
    EXPECT_TRUE(exchange->OnHead(Head(200, std::move(fields), body.size())).ok());
    EXPECT_TRUE(exchange->OnData(body).ok());
    exchange->OnDone(Result<void>());
    return Stored();
  }
  /// GETs bytes 0-3 of "0123456789".
  void StorePart() {
    auto first = Start(SpecOf(MakeGet("Range: bytes=0-3")));
    ASSERT_TRUE(first
                    ->OnHead(Head(206,
                                  {{"Cache-Control", "max-age=60"},
                                   {"ETag", "\"a\""},
                                   {"Content-Range", "bytes 0-3/10"}},
                                  4))
                    .ok());
    ASSERT_TRUE(first->OnData("0123").ok());
  }
  cache::StoredRef Stored() {
    const cache::UrlEntryRef entry = store_.Find(kKey);
    return entry && !entry->responses.empty() ? entry->responses[0] : nullptr;
  }

  vr::testing::ManualClock clock_;
  cache::HttpStore store_;
  std::filesystem::path folder_;
  std::unique_ptr<cache::Staging> staging_;
  std::shared_ptr<FakeTransfer> transfer_ = std::make_shared<FakeTransfer>();
};

TEST_F(ExchangeTest, IsStoredBeforeItsLastByteCanBeRead) {
  auto exchange = Start(SpecOf(MakeGet()));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}}, 4)).ok());
  ASSERT_TRUE(exchange->OnData("ab").ok());
  EXPECT_EQ(exchange->Look().watermark, 2u);
  EXPECT_EQ(Stored(), nullptr);
  ASSERT_TRUE(exchange->OnData("cd").ok());
  ASSERT_NE(Stored(), nullptr);
  EXPECT_EQ(*Stored()->memory, "abcd");
  exchange->OnDone(Result<void>());
  EXPECT_EQ(exchange->Look().phase, Phase::kDone);
  EXPECT_EQ(store_.entries(), 1u);
}

TEST_F(ExchangeTest, WhatBreaksOffIsNotStored) {
  auto exchange = Start(SpecOf(MakeGet()));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}})).ok());
  ASSERT_TRUE(exchange->OnData("ab").ok());
  exchange->OnDone(Error(Code::kUnavailable, "broke off"));
  EXPECT_EQ(exchange->Look().phase, Phase::kFailed);
  EXPECT_EQ(Stored(), nullptr);
}

TEST_F(ExchangeTest, FieldsThatMayNotBeStoredArePassedOnOnly) {
  auto exchange = Start(SpecOf(MakeGet()));
  const http::FieldList fields{{"Cache-Control", "max-age=60, no-cache=\"a\", private=b"},
                               {"A", "1"},
                               {"B", "2"},
                               {"C", "3"}};
  ASSERT_TRUE(exchange->OnHead(Head(200, fields, 1)).ok());
  ASSERT_TRUE(exchange->OnData("x").ok());
  EXPECT_TRUE(http::HasField(exchange->answer()->fields, "A"));
  EXPECT_FALSE(http::HasField(Stored()->fields, "A"));
  EXPECT_FALSE(http::HasField(Stored()->fields, "B"));
  EXPECT_TRUE(http::HasField(Stored()->fields, "C"));
  EXPECT_TRUE(http::HasField(Stored()->fields, "Date")) << "added: the origin sent none";
}

TEST_F(ExchangeTest, AValidationThatTheOriginConfirmsIsTheStoredResponseAgain) {
  const cache::StoredRef old =
      Store("body", {{"Cache-Control", "max-age=10"}, {"ETag", "\"a\""}, {"X", "old"}});
  ASSERT_NE(old, nullptr);
  clock_.Advance(std::chrono::seconds(20));
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = old;
  spec.is_validation = true;
  auto exchange = Start(std::move(spec));
  ASSERT_TRUE(exchange->OnHead(Head(304, {{"X", "new"}, {"ETag", "\"a\""}})).ok());
  EXPECT_EQ(exchange->Look().phase, Phase::kStored);
  EXPECT_TRUE(exchange->is_validated());
  EXPECT_EQ(exchange->stored()->status, 200);
  EXPECT_EQ(http::FirstValue(Stored()->fields, "X"), "new");
  EXPECT_GT(Stored()->policy.FreshForMs(ToUnixMillis(clock_.Now())), 9'000);
}

TEST_F(ExchangeTest, AnAnswerThatMayNotBeStoredTakesTheOldOneAway) {
  const cache::StoredRef old = Store("body", {{"Cache-Control", "max-age=10"}, {"ETag", "\"a\""}});
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = old;
  spec.is_validation = true;
  auto exchange = Start(std::move(spec));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "no-store"}}, 3)).ok());
  EXPECT_EQ(Stored(), nullptr);
}

TEST_F(ExchangeTest, WhatOneClientIsToldTakesNothingFromTheOthers) {
  const cache::StoredRef old =
      Store("body", {{"Cache-Control", "max-age=60"}, {"ETag", "\"a\""}, {"X", "old"}});
  for (const char* own : {"Authorization: Bearer x", "Cache-Control: no-store"}) {
    for (const int status : {200, 304, 404}) {
      ExchangeSpec spec = SpecOf(MakeGet(own));
      spec.held = old;
      spec.is_validation = true;
      auto exchange = Start(std::move(spec));
      ASSERT_TRUE(
          exchange->OnHead(Head(status, {{"Cache-Control", "max-age=60"}, {"X", "mine"}}, 0)).ok());
      EXPECT_EQ(Stored(), old) << own << " " << status;
    }
  }
}

TEST_F(ExchangeTest, WhatTheOriginSaysIsGoneIsForgotten) {
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = Store("body", {{"Cache-Control", "max-age=10"}, {"ETag", "\"a\""}});
  spec.is_validation = true;
  auto exchange = Start(std::move(spec));
  ASSERT_TRUE(exchange->OnHead(Head(404, {}, 0)).ok());
  EXPECT_EQ(Stored(), nullptr);
}

TEST_F(ExchangeTest, AFailingOriginIsStoodInForWithinTheLimits) {
  const cache::StoredRef old = Store("body", {{"Cache-Control", "max-age=10, stale-if-error=5"}});
  ASSERT_NE(old, nullptr);
  const auto ask = [&](int seconds_stale, bool is_disconnected) {
    const int64_t then_ms = old->policy.response_ms + (10 + seconds_stale) * 1000;
    clock_.Advance(std::chrono::milliseconds(then_ms - ToUnixMillis(clock_.Now())));
    ExchangeSpec spec = SpecOf(MakeGet());
    spec.held = old;
    auto exchange = Start(std::move(spec));
    if (is_disconnected) {
      exchange->OnDone(Error(Code::kUnavailable, "no"));
    } else if (exchange->OnHead(Head(503, {}, 0)).ok()) {
      exchange->OnDone(Result<void>());
    }
    return exchange->Look().phase;
  };
  EXPECT_EQ(ask(4, false), Phase::kStored);
  EXPECT_EQ(ask(6, false), Phase::kDone) << "the 503 itself";
  EXPECT_EQ(ask(99, true), Phase::kStored);
  EXPECT_EQ(ask(101, true), Phase::kFailed);
}

TEST_F(ExchangeTest, AnUnsafeRequestInvalidatesAndWhatItSaysItselfCounts) {
  Store("body", {{"Cache-Control", "max-age=60"}});
  auto exchange = Start(SpecOf(MakeRequest("POST / HTTP/1.1\nHost: a\nContent-Length: 0")));
  ASSERT_TRUE(
      exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}, {"Content-Location", "/"}}, 3))
          .ok());
  EXPECT_EQ(Stored(), nullptr);
  ASSERT_TRUE(exchange->OnData("new").ok());
  ASSERT_NE(Stored(), nullptr);
  EXPECT_EQ(*Stored()->memory, "new");
}

TEST_F(ExchangeTest, LocationsOfOtherHostsAreNotInvalidated) {
  auto put = SpecOf(MakeGet());
  put.key = "passthrough:http://b/y";
  auto other = Start(std::move(put));
  ASSERT_TRUE(other->OnHead(Head(200, {{"Cache-Control", "max-age=60"}}, 1)).ok());
  ASSERT_TRUE(other->OnData("x").ok());
  auto exchange = Start(SpecOf(MakeRequest("DELETE / HTTP/1.1\nHost: a")));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Location", "http://b/y"}}, 0)).ok());
  EXPECT_NE(store_.Find("passthrough:http://b/y"), nullptr);
}

TEST_F(ExchangeTest, APartIsCompletedByTheRest) {
  StorePart();
  const cache::StoredRef part = Stored();
  ASSERT_TRUE(part && part->part);
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = part;
  spec.is_completion = true;
  auto exchange = Start(std::move(spec));
  ASSERT_TRUE(exchange
                  ->OnHead(Head(206,
                                {{"Cache-Control", "max-age=60"},
                                 {"ETag", "\"a\""},
                                 {"Content-Range", "bytes 4-9/10"}},
                                6))
                  .ok());
  EXPECT_EQ(exchange->answer()->status, 200);
  EXPECT_EQ(exchange->answer()->length, 10u);
  EXPECT_EQ(exchange->Look().watermark, 4u) << "what is there can be read at once";
  ASSERT_TRUE(exchange->OnData("456789").ok());
  ASSERT_TRUE(Stored() && Stored()->is_complete());
  EXPECT_EQ(*Stored()->memory, "0123456789");
}

TEST_F(ExchangeTest, ARestThatDoesNotFitFailsAndForgetsThePart) {
  StorePart();
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = Stored();
  spec.is_completion = true;
  auto exchange = Start(std::move(spec));
  EXPECT_FALSE(
      exchange->OnHead(Head(206, {{"ETag", "\"b\""}, {"Content-Range", "bytes 4-9/10"}}, 6)).ok());
  EXPECT_EQ(Stored(), nullptr);
}

/// Dismisses what is busy, and follows every failure by another try as long as it has some.
class FakeCourse final : public Course {
 public:
  void Answered(const http::ResponseHead& head) override { answered.push_back(head.status); }
  bool Dismisses(const http::ResponseHead& head) override { return head.is_busy() && tries > 0; }
  bool Ended(Result<void>& result, bool has_answer) override {
    if (result.ok() || has_answer || tries-- <= 0) return false;
    if (auto waiting = exchange.lock()) waiting->Bind({}, is_bucket);
    return true;
  }
  std::vector<int> answered;
  int tries = 1;
  bool is_bucket = false;
  std::weak_ptr<Exchange> exchange;
};

TEST_F(ExchangeTest, AnotherTryAnswersThoseWhoWaitedThroughTheFirst) {
  auto course = std::make_shared<FakeCourse>();
  auto exchange = Start(SpecOf(MakeGet()));
  exchange->Follow(course);
  course->exchange = exchange;
  exchange->OnConnected();
  exchange->OnDone(exchange->OnHead(Head(503, {{"Retry-After", "0"}})));
  EXPECT_EQ(exchange->Look().phase, Phase::kWaiting) << "nobody was told of the first answer";
  EXPECT_FALSE(exchange->was_sent()) << "the next source has seen nothing yet";
  ASSERT_TRUE(exchange->OnHead(Head(503, {}, 4)).ok()) << "no try is left: it is passed on";
  EXPECT_EQ(exchange->answer()->status, 503);
  exchange->OnDone(Error(Code::kUnavailable, "broke off"));
  EXPECT_EQ(exchange->Look().phase, Phase::kFailed);
  EXPECT_EQ(course->answered, (std::vector<int>{503, 503}));
}

TEST_F(ExchangeTest, AgeCountsFromTheTryThatWasAnswered) {
  auto course = std::make_shared<FakeCourse>();
  auto exchange = Start(SpecOf(MakeGet()));
  exchange->Follow(course);
  course->exchange = exchange;
  clock_.Advance(std::chrono::seconds(50));
  exchange->OnDone(Error(Code::kUnavailable, "no connection"));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}}, 0)).ok());
  EXPECT_EQ(exchange->answer()->policy.AgeMs(ToUnixMillis(clock_.Now())), 0);
}

TEST_F(ExchangeTest, ABucketsRefusalIsToldInOurWords) {
  auto exchange = Start(SpecOf(MakeGet()));
  exchange->Bind(transfer_, true);
  ASSERT_TRUE(exchange->OnHead(Head(403, {{"Content-Type", "application/xml"}})).ok());
  ASSERT_TRUE(exchange->OnData("<Error><Code>Access").ok());
  ASSERT_TRUE(exchange->OnData("Denied</Code><Message>secret</Message></Error>").ok());
  EXPECT_EQ(exchange->Look().phase, Phase::kWaiting);
  exchange->OnDone(Result<void>());
  ASSERT_EQ(exchange->Look().phase, Phase::kFailed);
  EXPECT_EQ(exchange->answer(), nullptr);
  EXPECT_EQ(exchange->error()->reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(exchange->error()->ToLogString().find("secret"), std::string::npos);
}

TEST_F(ExchangeTest, OfAnEndlessRefusalTheBeginningIsEnough) {
  auto exchange = Start(SpecOf(MakeGet()));
  exchange->Bind(transfer_, true);
  ASSERT_TRUE(exchange->OnHead(Head(404, {})).ok());
  Result<http::BodySink::Flow> flow = http::BodySink::Flow::kMore;
  int pieces = 0;
  while (flow.ok() && pieces < 1000) {
    flow = exchange->OnData(std::string(1000, 'x'));
    ++pieces;
  }
  ASSERT_FALSE(flow.ok());
  EXPECT_LT(pieces, 20);
  exchange->OnDone(flow.error());
  EXPECT_EQ(exchange->error()->reason, "NOT_FOUND");
}

TEST_F(ExchangeTest, WhatABucketHasNoMoreIsForgottenAndStandsInForNothing) {
  const cache::StoredRef held = Store("abcd", {{"Cache-Control", "max-age=0"}, {"ETag", "\"a\""}});
  ASSERT_NE(held, nullptr);
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.held = held;
  spec.is_validation = true;
  auto exchange = Start(std::move(spec));
  exchange->Bind(transfer_, true);
  ASSERT_TRUE(exchange->OnHead(Head(404, {})).ok());
  exchange->OnDone(Result<void>());
  EXPECT_EQ(exchange->Look().phase, Phase::kFailed);
  EXPECT_EQ(Stored(), nullptr);
}

TEST_F(ExchangeTest, WhatIsNotKeptPausesForItsSlowestReaderAndEndsWithTheLast) {
  auto exchange = Start(SpecOf(MakeGet()));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "no-store"}})).ok());
  const int slow = exchange->AddReader();
  const int fast = exchange->AddReader();
  const std::string piece(1 << 20, 'x');
  http::BodySink::Flow flow = http::BodySink::Flow::kMore;
  uint64_t sent = 0;
  while (flow == http::BodySink::Flow::kMore && sent < 64 << 20) {
    sent += piece.size();
    exchange->Consumed(fast, sent - piece.size());
    flow = *exchange->OnData(piece);
  }
  EXPECT_EQ(sent, uint64_t{9} << 20);
  exchange->Consumed(fast, sent);
  EXPECT_EQ(transfer_->resumes, 0) << "the slow one still needs it";
  exchange->Consumed(slow, 5 << 20);
  EXPECT_EQ(transfer_->resumes, 1);
  exchange->RemoveReader(slow);
  EXPECT_EQ(transfer_->cancels, 0);
  exchange->RemoveReader(fast);
  EXPECT_EQ(transfer_->cancels, 1);
}

TEST_F(ExchangeTest, WhatIsKeptGoesOnWithoutReaders) {
  auto exchange = Start(SpecOf(MakeGet()));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}}, 4)).ok());
  const int reader = exchange->AddReader();
  exchange->RemoveReader(reader);
  exchange->Abandon();
  EXPECT_EQ(transfer_->cancels, 0);
}

TEST_F(ExchangeTest, ABodyThatGrowsTooLargeIsNotKeptAfterAll) {
  ExchangeSpec spec = SpecOf(MakeGet());
  spec.max_object_bytes = 10;
  auto exchange = Start(std::move(spec));
  ASSERT_TRUE(exchange->OnHead(Head(200, {{"Cache-Control", "max-age=60"}})).ok());
  ASSERT_TRUE(exchange->OnData("0123456789").ok());
  ASSERT_TRUE(exchange->OnData("x").ok());
  exchange->OnDone(Result<void>());
  EXPECT_EQ(exchange->Look().phase, Phase::kDone);
  EXPECT_EQ(Stored(), nullptr);
}

}  // namespace
}  // namespace vr::delivery
