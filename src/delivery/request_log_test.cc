#include "delivery/request_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/manual_clock.h"

namespace vr::delivery {
namespace {

using analytics::Outcome;
using cache::Freshness;
using cache::Layer;

std::shared_ptr<cache::Entity> Stored() {
  auto entity = std::make_shared<cache::Entity>();
  entity->key = "video:videos/a.mp4:derivative=mobile";
  entity->meta.source_path = "videos/a.mp4";
  entity->meta.origin = "videos";
  entity->meta.derivative = "mobile";
  entity->meta.format = "mp4";
  entity->meta.encode_seconds = 2.5;
  entity->meta.source_bytes = 1000;
  return entity;
}

std::shared_ptr<RequestNote> NoteFor(Layer layer, std::shared_ptr<cache::Entity> entity = Stored(),
                                     Freshness freshness = Freshness::kFresh) {
  auto note = std::make_shared<RequestNote>();
  note->layer = layer;
  note->has_layer = true;
  note->freshness = freshness;
  note->entity = std::move(entity);
  return note;
}

class RequestLogTest : public ::testing::Test {
 protected:
  void Finish(std::shared_ptr<RequestNote> note, int status = 200, std::string_view range = {},
              http::Method method = http::Method::kGet, bool is_complete = true,
              std::string_view error = {}) {
    http::Request request;
    request.method = method;
    request.method_name = method == http::Method::kGet ? "GET" : "HEAD";
    request.target = "/videos/a.mp4?width=640&token=s3cret&w=1";
    request.path = request.target.substr(0, 13);
    request.query = request.target.substr(14);
    request.id = "id1";
    if (!range.empty()) request.fields.push_back({"Range", range});
    http::Response response;
    response.status = status;
    response.note = std::move(note);
    http::Sent sent;
    sent.body_bytes = 10;
    sent.complete = is_complete;
    sent.error = error;
    log_.Finished(request, response, sent);
  }
  analytics::Bucket Drain() {
    analytics::Bucket bucket(1000);
    failures_.clear();
    recorder_.Drain(bucket, failures_);
    return bucket;
  }
  double Metric(const std::string& name) { return metrics_.GetCounter(name, "").value(); }

  Metrics metrics_;
  vr::testing::ManualClock clock_;
  analytics::Recorder recorder_;
  RequestLog log_{metrics_, clock_, &recorder_};
  std::vector<analytics::Failure> failures_;
};

TEST(OutcomeOf, EveryNoteHasExactlyOne) {
  EXPECT_EQ(OutcomeOf(nullptr), Outcome::kOther);
  RequestNote plain;
  EXPECT_EQ(OutcomeOf(&plain), Outcome::kOther);
  plain.reason = "INVALID_URL";
  EXPECT_EQ(OutcomeOf(&plain), Outcome::kRefused);
  EXPECT_EQ(OutcomeOf(NoteFor(Layer::kEdge).get()), Outcome::kEdge);
  EXPECT_EQ(OutcomeOf(NoteFor(Layer::kKv).get()), Outcome::kKv);
  for (const Layer layer : {Layer::kEdge, Layer::kKv}) {
    EXPECT_EQ(OutcomeOf(NoteFor(layer, Stored(), Freshness::kStale).get()), Outcome::kStale);
  }
  // Its source was asked and had not changed: fresh again, so a hit.
  EXPECT_EQ(OutcomeOf(NoteFor(Layer::kKv, Stored(), Freshness::kRevalidated).get()), Outcome::kKv);
  for (const auto& entity : {Stored(), std::shared_ptr<cache::Entity>()}) {
    EXPECT_EQ(OutcomeOf(NoteFor(Layer::kJoined, entity).get()), Outcome::kJoined);
    EXPECT_EQ(OutcomeOf(NoteFor(Layer::kTransform, entity).get()), Outcome::kMiss);
    EXPECT_EQ(OutcomeOf(NoteFor(Layer::kBypass, entity).get()), Outcome::kBypass);
  }
  EXPECT_EQ(OutcomeOf(NoteFor(Layer::kEdge, nullptr).get()), Outcome::kPassthroughHit);
  RequestNote passed;
  passed.is_passthrough = true;
  EXPECT_EQ(OutcomeOf(&passed), Outcome::kPassthrough);
}

TEST_F(RequestLogTest, AHitSavesWhatMakingItCost) {
  Finish(NoteFor(Layer::kEdge));
  Finish(NoteFor(Layer::kKv), 304);
  Finish(NoteFor(Layer::kKv), 206, "bytes=0-99");
  EXPECT_EQ(Metric("video_resizer_encode_seconds_saved_total"), 7.5);
  EXPECT_EQ(Metric("video_resizer_origin_bytes_saved_total"), 3000);
  const analytics::Bucket bucket = Drain();
  EXPECT_EQ(bucket.at(0).tally.saved_micros + bucket.at(1).tally.saved_micros, 7'500'000u);
}

TEST_F(RequestLogTest, PartsOfOneViewingHeadErrorsAndWhatIsMadeSaveNothing) {
  Finish(NoteFor(Layer::kEdge), 206, "bytes=100-199");
  Finish(NoteFor(Layer::kEdge), 206, "bytes=-5");
  Finish(NoteFor(Layer::kEdge), 416, "bytes=99999-");
  Finish(NoteFor(Layer::kEdge), 412);
  Finish(NoteFor(Layer::kEdge), 200, {}, http::Method::kHead);
  Finish(NoteFor(Layer::kTransform));
  Finish(NoteFor(Layer::kJoined));
  Finish(NoteFor(Layer::kBypass));
  EXPECT_EQ(Metric("video_resizer_encode_seconds_saved_total"), 0);
  EXPECT_EQ(Metric("video_resizer_origin_bytes_saved_total"), 0);
  EXPECT_EQ(Drain().requests(), 8u);
}

TEST_F(RequestLogTest, AHitIsCountedUnderWhatItsEntitySays) {
  Finish(NoteFor(Layer::kEdge));
  const analytics::Bucket bucket = Drain();
  const auto label = [&](analytics::Dimension d) {
    return bucket.tables[static_cast<size_t>(d)].rows().at(0).label;
  };
  EXPECT_EQ(label(analytics::Dimension::kOrigin), "videos");
  EXPECT_EQ(label(analytics::Dimension::kDerivative), "mobile");
  EXPECT_EQ(label(analytics::Dimension::kFormat), "mp4");
  EXPECT_EQ(label(analytics::Dimension::kMode), "video");
  EXPECT_EQ(label(analytics::Dimension::kStatus), "200");
  EXPECT_EQ(bucket.variants.Sorted(1).at(0).name, "video:videos/a.mp4:derivative=mobile");
  EXPECT_EQ(bucket.sources.Sorted(1).at(0).name, "videos/a.mp4");
}

TEST_F(RequestLogTest, ARememberedFailureIsCountedByItsCodeAndShownOnce) {
  auto note = std::make_shared<RequestNote>();
  note->has_layer = true;
  note->layer = Layer::kTransform;
  note->reason = "NOT_FOUND";
  Finish(note, 404);
  std::shared_ptr<cache::Entity> remembered = Stored();
  remembered->reason = "NOT_FOUND";
  remembered->meta.status = 404;
  remembered->meta.derivative = remembered->meta.format = "";
  Finish(NoteFor(Layer::kEdge, remembered), 404);
  const analytics::Bucket bucket = Drain();
  const auto& codes = bucket.tables[static_cast<size_t>(analytics::Dimension::kCode)].rows();
  ASSERT_EQ(codes.size(), 1u);
  EXPECT_EQ(codes[0].label, "NOT_FOUND");
  EXPECT_EQ(codes[0].tally.requests, 2u);
  const auto& derivatives =
      bucket.tables[static_cast<size_t>(analytics::Dimension::kDerivative)].rows();
  ASSERT_EQ(derivatives.size(), 1u);
  EXPECT_EQ(derivatives[0].label, "mobile");  // from its key
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_EQ(failures_[0].code, "NOT_FOUND");
  EXPECT_EQ(failures_[0].request_id, "id1");
  EXPECT_FALSE(failures_[0].is_servers);
  EXPECT_EQ(failures_[0].target, "/videos/a.mp4?width=640&token=***&w=1");
}

TEST_F(RequestLogTest, ABodyThatBreaksOffIsShownAndAClientThatLeavesIsOnlyCounted) {
  Finish(NoteFor(Layer::kEdge), 200, {}, http::Method::kGet, false, "client_gone");
  Drain();
  EXPECT_TRUE(failures_.empty());
  Finish(NoteFor(Layer::kEdge), 200, {}, http::Method::kGet, false, "body_failed");
  const analytics::Bucket bucket = Drain();
  EXPECT_EQ(bucket.at(0).incomplete, 1u);
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_TRUE(failures_[0].is_servers);
}

TEST_F(RequestLogTest, HealthChecksAreNotCounted) {
  auto note = std::make_shared<RequestNote>();
  note->is_quiet = true;
  Finish(note);
  EXPECT_EQ(Drain().requests(), 0u);
}

std::string Shown(std::string_view path, std::string_view query = {}) {
  http::Request request;
  request.path = path;
  request.query = query;
  return ShownTarget(request);
}

TEST(ShownTarget, HidesWhatIsNotOurs) {
  EXPECT_EQ(Shown("/a.mp4", "w=640&X-Amz-Signature=abc&width"),
            "/a.mp4?w=640&X-Amz-Signature=***&width");
  EXPECT_EQ(Shown("/a.mp4", "exp=1&keyid=k&signature=zz"),
            "/a.mp4?exp=***&keyid=***&signature=***");
  EXPECT_EQ(Shown("/cdn-cgi/media/width=1/https://h.example/a.mp4"),
            "/cdn-cgi/media/width=1/https://h.example/a.mp4");
  for (const char* const source :
       {"https://user:pass@h.example/a.mp4", "https%3A%2F%2Fh.example%2Fa.mp4%3Ftoken%3Dabc"}) {
    EXPECT_EQ(Shown(std::string("/cdn-cgi/media/width=1/") + source), "/cdn-cgi/media/width=1/***");
  }
  EXPECT_EQ(Shown("/cdn-cgi/media"), "/cdn-cgi/media");
}

TEST(ShownTarget, IsBounded) {
  EXPECT_EQ(Shown("/" + std::string(10'000, 'a')).size(), kMaxShownTarget);
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "p" + std::to_string(i) + "=x&";
  EXPECT_EQ(Shown("/a", many).size(), kMaxShownTarget);
}

}  // namespace
}  // namespace vr::delivery
