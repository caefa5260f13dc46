#include "delivery/job_events.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>

#include "base/testing/manual_clock.h"
#include "http/testing/make_request.h"
#include "io/testing/run_sync.h"

namespace vr::delivery {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

http::Request Ask(const std::string& path, const std::string& method = "GET") {
  return http::testing::MakeRequest(method + " " + path + " HTTP/1.1\nHost: a");
}

class JobEventsTest : public ::testing::Test {
 protected:
  JobEventsTest() { MakeEvents(seconds(60)); }
  void MakeEvents(milliseconds heartbeat, int max_streams = 10) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->delivery.max_event_streams = max_streams;
    snapshots_ = std::make_unique<SnapshotHolder>(std::move(snapshot));
    events_ = std::make_unique<JobEvents>(*snapshots_, jobs_, metrics_, heartbeat);
  }
  cache::JobRef Open() {
    cache::Job::Names names;
    names.key = "video:a.mp4:w=16";
    names.target = "/a.mp4?width=16";
    production_ = std::make_shared<cache::Production>();
    const cache::JobRef job = jobs_.Open(std::move(names), production_);
    production_->BeginMaking(job);
    return job;
  }
  static std::shared_ptr<http::BodyStream> StreamOf(const http::Response& response) {
    return std::get<http::StreamBody>(response.body).stream;
  }
  static std::string TextOf(const http::Response& response) {
    return *std::get<http::MemoryPiece>(std::get<std::vector<http::Piece>>(response.body).at(0))
                .data;
  }
  /// "" at the end.
  static std::string NextOf(const std::shared_ptr<http::BodyStream>& stream) {
    const auto next = io::testing::RunSync(stream->Next(Context()));
    if (!next.ok()) return "failed";
    return next->has_value() ? *std::get<http::MemoryPiece>(**next).data : "";
  }
  /// The same of a stream that waits until `act` has been done.
  static std::string NextAfter(const std::shared_ptr<http::BodyStream>& stream,
                               const std::function<void()>& act) {
    boost::asio::io_context context(1);
    std::string text = "nothing came";
    auto read = [&]() -> Task<void> {
      const auto next = co_await stream->Next(Context());
      text = next->has_value() ? *std::get<http::MemoryPiece>(**next).data : "";
      context.stop();
    };
    boost::asio::co_spawn(context, read, boost::asio::detached);
    const auto guard = boost::asio::make_work_guard(context);
    context.poll();
    EXPECT_EQ(text, "nothing came") << "it did not wait";
    act();
    context.run();
    return text;
  }

  vr::testing::ManualClock clock_;
  Metrics metrics_;
  cache::JobRegistry jobs_{cache::JobOptions(), clock_};
  cache::ProductionRef production_;
  std::unique_ptr<SnapshotHolder> snapshots_;
  std::unique_ptr<JobEvents> events_;
};

TEST_F(JobEventsTest, TellsEachChangeAndEnds) {
  const cache::JobRef job = Open();
  const http::Response response = events_->Answer(Ask("/sse/job/" + job->id()));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.close);
  EXPECT_NE(response.fields.find("Content-Type: text/event-stream\r\n"), std::string::npos);
  EXPECT_NE(response.fields.find("Cache-Control: no-store\r\n"), std::string::npos);
  const auto stream = StreamOf(response);
  EXPECT_EQ(NextOf(stream), "retry: 2000\ndata: {\"status\":\"queued\",\"percent\":0}\n\n");
  EXPECT_EQ(NextAfter(stream, [&] { job->Start(); }),
            "data: {\"status\":\"transcoding\",\"percent\":0}\n\n");
  EXPECT_EQ(NextAfter(stream, [&] { job->SetPercent(45); }),
            "data: {\"status\":\"transcoding\",\"percent\":45}\n\n");
  EXPECT_EQ(NextAfter(stream, [&] { job->Store(); }),
            "data: {\"status\":\"storing\",\"percent\":45}\n\n");
  EXPECT_EQ(NextAfter(stream, [&] { job->Complete(); }),
            "data: {\"status\":\"complete\",\"percent\":100,\"path\":\"/a.mp4?width=16\"}\n\n");
  EXPECT_EQ(NextOf(stream), "");
  EXPECT_EQ(NextOf(stream), "");
}

TEST_F(JobEventsTest, WhoIsSlowIsToldTheLatestOnly) {
  const cache::JobRef job = Open();
  const auto stream = StreamOf(events_->Answer(Ask("/sse/job/" + job->id())));
  NextOf(stream);
  job->Start();
  for (uint32_t percent = 1; percent < 50; ++percent) job->SetPercent(percent);
  EXPECT_EQ(NextOf(stream), "data: {\"status\":\"transcoding\",\"percent\":49}\n\n");
}

TEST_F(JobEventsTest, AFailureNamesItsCode) {
  const cache::JobRef job = Open();
  production_->SetPercent(7);
  production_->Fail(
      Error(Code::kCorruption, "a \"broken\" file", "secret").WithReason("SOURCE_CORRUPT"));
  const auto stream = StreamOf(events_->Answer(Ask("/sse/job/" + job->id() + "/")));
  EXPECT_EQ(NextOf(stream),
            "retry: 2000\ndata: "
            "{\"status\":\"failed\",\"percent\":7,\"error\":{\"code\":\"SOURCE_CORRUPT\","
            "\"message\":\"a \\\"broken\\\" file\"}}\n\n");
  EXPECT_EQ(NextOf(stream), "");
}

TEST_F(JobEventsTest, OurOwnFailuresAndCancelsSayNoMoreThanTheirErrors) {
  cache::Job::View view;
  view.state = cache::JobState::kFailed;
  view.error = std::make_shared<const Error>(Code::kInternal, "what nobody may see");
  EXPECT_EQ(RenderJobEvent(view, "/x"),
            "data: {\"status\":\"failed\",\"percent\":0,\"error\":{\"code\":\"INTERNAL\","
            "\"message\":\"internal error\"}}\n\n");
  view.state = cache::JobState::kCancelled;
  view.error = std::make_shared<const Error>(Code::kCancelled, "by hand");
  EXPECT_EQ(RenderJobEvent(view, "/x"),
            "data: {\"status\":\"cancelled\",\"percent\":0,\"error\":{\"code\":\"CANCELLED\","
            "\"message\":\"by hand\"}}\n\n");
}

TEST_F(JobEventsTest, AnUnknownIdIsAnsweredAndOver) {
  Open();
  for (const char* path : {"/sse/job/", "/sse/job/0", "/sse/job/%00", "/sse/job/a/b"}) {
    const http::Response response = events_->Answer(Ask(path));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(TextOf(response), "data: {\"status\":\"not_found\"}\n\n");
  }
}

TEST_F(JobEventsTest, SilenceIsFilledWithComments) {
  MakeEvents(milliseconds(1));
  const cache::JobRef job = Open();
  const auto stream = StreamOf(events_->Answer(Ask("/sse/job/" + job->id())));
  NextOf(stream);
  EXPECT_EQ(NextOf(stream), ":\n\n");
  EXPECT_EQ(NextOf(stream), ":\n\n");
}

TEST_F(JobEventsTest, OnlySoManyAtATimeAndWhoLeavesMakesRoom) {
  MakeEvents(seconds(60), 2);
  const cache::JobRef job = Open();
  const http::Request request = Ask("/sse/job/" + job->id());
  std::vector<http::Response> open;
  open.push_back(events_->Answer(request));
  open.push_back(events_->Answer(request));
  EXPECT_EQ(open.back().status, 200);
  const http::Response refused = events_->Answer(request);
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.fields.find("Retry-After: "), std::string::npos);
  EXPECT_EQ(events_->open_streams(), 2);
  open.pop_back();
  EXPECT_EQ(events_->open_streams(), 1);
  EXPECT_EQ(events_->Answer(request).status, 200);
  EXPECT_EQ(events_->Answer(Ask("/sse/job/" + job->id(), "HEAD")).status, 200);
  EXPECT_EQ(events_->open_streams(), 1) << "a HEAD follows nothing";
}

TEST_F(JobEventsTest, ADrainEndsThem) {
  const cache::JobRef job = Open();
  const http::Request request = Ask("/sse/job/" + job->id());
  const auto stream = StreamOf(events_->Answer(request));
  NextOf(stream);
  EXPECT_EQ(NextAfter(stream, [&] { events_->Drain(); }), "");
  const auto late = StreamOf(events_->Answer(request));
  EXPECT_NE(NextOf(late), "");
  EXPECT_EQ(NextOf(late), "");
}

TEST_F(JobEventsTest, OtherMethodsAreRefused) {
  const http::Response response = events_->Answer(Ask("/sse/job/1", "POST"));
  EXPECT_EQ(response.status, 405);
  EXPECT_NE(response.fields.find("Allow: GET, HEAD\r\n"), std::string::npos);
}

}  // namespace
}  // namespace vr::delivery
