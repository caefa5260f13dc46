#include "cache/http_store.h"

#include <gtest/gtest.h>

#include "http/codes.h"
#include "http/testing/make_request.h"

namespace vr::cache {
namespace {

using http::testing::MakeGet;

constexpr int64_t kNow = 1'700'000'000'000;
constexpr char kKey[] = "passthrough:http://a/x";

EdgeOptions Options(uint64_t bytes = 64 << 20) {
  EdgeOptions options;
  options.max_bytes = bytes;
  return options;
}

std::shared_ptr<StoredResponse> Response(std::string body, http::FieldList fields = {}) {
  auto response = std::make_shared<StoredResponse>();
  response->status = http::kOk;
  response->fields = std::move(fields);
  response->policy.response_ms = response->policy.date_ms = kNow;
  response->policy.lifetime_ms = 60'000;
  response->size = body.size();
  response->memory = std::make_shared<const std::string>(std::move(body));
  response->source_path = "x";
  response->origin = "site";
  response->tags = {"t1"};
  return response;
}

StoredRef Part(std::string body, uint64_t first, uint64_t complete, const char* etag = "\"a\"") {
  auto part = Response(std::move(body), {{"ETag", etag}, {"Content-Range", "bytes"}});
  part->part = StoredPart{first, complete};
  return Seal(part);
}

std::vector<StoredRef> Stored(HttpStore& store, const http::Request& request = MakeGet()) {
  const UrlEntryRef entry = store.Find(kKey);
  return entry ? HttpStore::Select(*entry, request) : std::vector<StoredRef>();
}

TEST(HttpStore, KeepsVariantsApartAndReplacesTheOneThatWasSelected) {
  HttpStore store(Options());
  const auto put = [&](const char* foo, const char* body) {
    auto response = Response(body);
    response->selecting = {{"foo", std::string(foo)}};
    return store.Put(kKey, Seal(response), MakeGet(std::string("Foo: ") + foo), store.epoch());
  };
  EXPECT_TRUE(put("1", "a") && put("2", "b") && put("1", "c"));
  ASSERT_EQ(Stored(store, MakeGet("Foo: 1")).size(), 1u);
  EXPECT_EQ(*Stored(store, MakeGet("Foo: 1"))[0]->memory, "c");
  EXPECT_EQ(*Stored(store, MakeGet("Foo: 2"))[0]->memory, "b");
  EXPECT_TRUE(Stored(store).empty()) << "absent is not empty";
}

TEST(HttpStore, TheMostRecentByDateComesFirst) {
  HttpStore store(Options());
  auto newer = Response("new");
  newer->selecting = {{"foo", std::string("1")}};
  newer->policy.date_ms = kNow + 1000;
  auto older = Response("old");
  older->selecting = {{"bar", std::string("1")}};
  store.Put(kKey, Seal(newer), MakeGet("Foo: 1"), store.epoch());
  store.Put(kKey, Seal(older), MakeGet("Bar: 1"), store.epoch());
  const auto found = Stored(store, MakeGet("Foo: 1\nBar: 1"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(*found[0]->memory, "new");
}

TEST(HttpStore, PartsThatTouchAreJoinedAndTheWholeIsNoPart) {
  HttpStore store(Options());
  store.Put(kKey, Part("0123", 0, 10), MakeGet(), store.epoch());
  store.Put(kKey, Part("89", 8, 10), MakeGet(), store.epoch());
  EXPECT_EQ(Stored(store).size(), 2u) << "a gap between them";
  store.Put(kKey, Part("34567", 3, 10), MakeGet(), store.epoch());
  const auto found = Stored(store);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0]->is_complete());
  EXPECT_EQ(*found[0]->memory, "0123456789");
  EXPECT_EQ(found[0]->status, http::kOk);
  EXPECT_FALSE(http::HasField(found[0]->fields, "Content-Range"));
}

TEST(HttpStore, PartsOfAnotherRepresentationTakeTheOldOnesPlace) {
  for (const char* other : {"\"b\"", "W/\"a\"", ""}) {
    HttpStore store(Options());
    store.Put(kKey, Part("0123", 0, 10), MakeGet(), store.epoch());
    store.Put(kKey, Part("456789", 4, 10, other), MakeGet(), store.epoch());
    const auto found = Stored(store);
    ASSERT_EQ(found.size(), 1u) << other;
    EXPECT_EQ(*found[0]->memory, "456789");
  }
}

TEST(HttpStore, APartLeavesTheWholeOfItsRepresentationAlone) {
  HttpStore store(Options());
  store.Put(kKey, Seal(Response("0123456789", {{"ETag", "\"a\""}})), MakeGet(), store.epoch());
  store.Put(kKey, Part("0123", 0, 10), MakeGet(), store.epoch());
  bool has_whole = false;
  for (const StoredRef& stored : Stored(store)) has_whole |= stored->is_complete();
  EXPECT_TRUE(has_whole);
}

TEST(HttpStore, WhatBeganBeforeAnInvalidationIsNotStored) {
  HttpStore store(Options());
  const uint64_t before = store.epoch();
  store.Invalidate(kKey);
  EXPECT_FALSE(store.Put(kKey, Seal(Response("a")), MakeGet(), before));
  EXPECT_TRUE(store.Put("passthrough:http://a/y", Seal(Response("a")), MakeGet(), before))
      << "another URL";
  EXPECT_TRUE(store.Put(kKey, Seal(Response("a")), MakeGet(), store.epoch()));
}

TEST(HttpStore, WhatBeganBeforeMoreEventsThanAreKnownIsNotStored) {
  HttpStore store(Options());
  const uint64_t before = store.epoch();
  for (int i = 0; i < 1000; ++i) store.Invalidate("passthrough:http://a/" + std::to_string(i));
  EXPECT_TRUE(store.Put(kKey, Seal(Response("a")), MakeGet(), before)) << "others of other URLs";
  for (int i = 0; i < 60'000; ++i) store.Invalidate("passthrough:http://a/" + std::to_string(i));
  EXPECT_FALSE(store.Put(kKey, Seal(Response("a")), MakeGet(), before));
  EXPECT_TRUE(store.Put(kKey, Seal(Response("a")), MakeGet(), store.epoch()));
}

TEST(HttpStore, ReplaceOnlyPutsInThePlaceOfWhatIsStillThere) {
  HttpStore store(Options());
  const StoredRef old = Seal(Response("a"));
  store.Put(kKey, old, MakeGet(), store.epoch());
  EXPECT_TRUE(store.Replace(kKey, old, Seal(Response("b")), store.epoch()));
  EXPECT_FALSE(store.Replace(kKey, old, Seal(Response("c")), store.epoch()));
  EXPECT_EQ(*Stored(store)[0]->memory, "b");
}

TEST(HttpStore, PurgesOnlyTheVariantsInTheScope) {
  HttpStore store(Options());
  auto one = Response("1");
  one->selecting = {{"foo", std::string("1")}};
  auto two = Response("2");
  two->selecting = {{"foo", std::string("2")}};
  two->tags = {"t2"};
  store.Put(kKey, Seal(one), MakeGet("Foo: 1"), store.epoch());
  store.Put(kKey, Seal(two), MakeGet("Foo: 2"), store.epoch());
  PurgeScope scope;
  scope.tag = "t1";
  EXPECT_EQ(store.Purge(scope, PurgeMode::kDryRun, kNow), 1u);
  EXPECT_EQ(Stored(store, MakeGet("Foo: 1")).size(), 1u);
  EXPECT_EQ(store.Purge(scope, PurgeMode::kSoft, kNow + 10'000), 1u);
  EXPECT_EQ(Stored(store, MakeGet("Foo: 1"))[0]->policy.FreshForMs(kNow + 10'000), 0);
  EXPECT_EQ(Stored(store, MakeGet("Foo: 2"))[0]->policy.FreshForMs(kNow + 10'000), 50'000);
  EXPECT_EQ(store.Purge(scope, PurgeMode::kHard, kNow), 1u);
  EXPECT_TRUE(Stored(store, MakeGet("Foo: 1")).empty());
  EXPECT_EQ(Stored(store, MakeGet("Foo: 2")).size(), 1u);
}

TEST(HttpStore, StaysWithinItsBytes) {
  HttpStore store(Options(1 << 20));
  for (int i = 0; i < 1000; ++i) {
    store.Put("passthrough:http://a/" + std::to_string(i), Seal(Response(std::string(8000, 'x'))),
              MakeGet(), store.epoch());
  }
  EXPECT_LE(store.bytes(), uint64_t{1} << 20);
  EXPECT_GT(store.entries(), 20u);
  EXPECT_GT(store.evictions(), 0u);
}

TEST(HttpStore, AUrlWithTooManyVariantsKeepsTheNewest) {
  HttpStore store(Options(64 << 20));
  for (int i = 0; i < 60; ++i) {
    auto response = Response(std::string(40'000, 'x'));
    response->selecting = {{"foo", std::to_string(i)}};
    EXPECT_TRUE(
        store.Put(kKey, Seal(response), MakeGet("Foo: " + std::to_string(i)), store.epoch()));
  }
  EXPECT_EQ(Stored(store, MakeGet("Foo: 59")).size(), 1u);
  EXPECT_GT(store.Find(kKey)->responses.size(), 10u);
}

TEST(HttpStore, APartWithoutAValidatorLeavesTheWholeAlone) {
  HttpStore store(Options());
  store.Put(kKey, Seal(Response("0123456789")), MakeGet(), store.epoch());
  store.Put(kKey, Part("0123", 0, 10, ""), MakeGet(), store.epoch());
  bool has_whole = false;
  for (const StoredRef& stored : Stored(store)) has_whole |= stored->is_complete();
  EXPECT_TRUE(has_whole);
}

TEST(HttpStore, OneUrlKeepsABoundedNumberOfVariants) {
  HttpStore store(Options());
  for (int i = 0; i < 200; ++i) {
    auto response = Response("x");
    response->selecting = {{"foo", std::to_string(i)}};
    store.Put(kKey, Seal(response), MakeGet("Foo: " + std::to_string(i)), store.epoch());
  }
  EXPECT_LE(store.Find(kKey)->responses.size(), 64u);
  EXPECT_EQ(Stored(store, MakeGet("Foo: 199")).size(), 1u);
}

TEST(RenderFields, LeavesOutWhatIsWrittenPerAnswerAndWhatIsNoField) {
  EXPECT_EQ(RenderFields({{"A", "1"},
                          {"Age", "5"},
                          {"Content-Type", "x"},
                          {"X-Cache-Status", "HIT"},
                          {"Bad name", "x"},
                          {"B", "a\rb"},
                          {"A", "2"}}),
            "A: 1\r\nA: 2\r\n");
}

}  // namespace
}  // namespace vr::cache
