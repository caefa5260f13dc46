#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "http/testing/scripted_server.h"
#include "io/loop.h"
#include "io/testing/run_sync.h"
#include "origin/opener.h"
#include "origin/origin_table.h"

namespace vr::origin {
namespace {

namespace fs = std::filesystem;
using http::testing::Exchange;
using http::testing::Gate;
using http::testing::ScriptedServer;
using io::testing::RunSync;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kBlock = 64 << 10;

/// Bytes that say where they belong.
std::string Video(size_t size, char version = 'a') {
  std::string out(size, 0);
  for (size_t i = 0; i < size; ++i)
    out[i] = static_cast<char>((i * 2654435761u >> 13) + static_cast<size_t>(version));
  return out;
}

/// A well-behaved server of one body: ranges, conditions, ETag.
void Serve(Exchange& x, const std::string& body, const std::string& etag = "\"v1\"",
           const std::string& extra = "") {
  const std::string fields = (etag.empty() ? "" : "ETag: " + etag + "\r\n") + extra;
  if (!etag.empty() && x.Get("if-none-match") == etag) {
    x.Send("HTTP/1.1 304 Not Modified\r\n" + fields + "\r\n");
    return;
  }
  uint64_t first = 0, last = 0;
  const std::string condition = x.Get("if-range");
  if (!x.Range(first, last) || (!condition.empty() && condition != etag)) {
    return x.Respond("200 OK", fields, body);
  }
  const std::string size = std::to_string(body.size());
  if (first >= body.size()) {
    return x.Respond("416 Range Not Satisfiable", "Content-Range: bytes */" + size + "\r\n", "");
  }
  last = std::min<uint64_t>(last, body.size() - 1);
  x.Respond("206 Partial Content",
            fields + "Content-Range: bytes " + std::to_string(first) + "-" + std::to_string(last) +
                "/" + size + "\r\n",
            std::string_view(body).substr(first, last - first + 1));
}

/// Equal bytes; says where they differ instead of printing them.
::testing::AssertionResult Same(const std::string& got, const std::string& wanted) {
  if (got == wanted) return ::testing::AssertionSuccess();
  if (got.starts_with("error: ")) return ::testing::AssertionFailure() << got;
  const size_t at = static_cast<size_t>(
      std::mismatch(got.begin(),
                    got.begin() + static_cast<ptrdiff_t>(std::min(got.size(), wanted.size())),
                    wanted.begin())
          .first -
      got.begin());
  return ::testing::AssertionFailure()
         << got.size() << " bytes for " << wanted.size() << ", differ at " << at;
}

/// Steady time stands still until a test moves it.
class FakeClock final : public Clock {
 public:
  WallTime Now() const override { return SystemClock::Get().Now(); }
  SteadyTime SteadyNow() const override { return SteadyTime(1000s) + passed.load(); }
  std::atomic<std::chrono::seconds> passed{0s};
};

class OpenerTest : public ::testing::Test {
 protected:
  OpenerTest() {
    std::string name = (fs::temp_directory_path() / "vr-opener-XXXXXX").string();
    top_ = ::mkdtemp(name.data());
    client_ = std::move(*http::Client::Create(http::ClientOptions()));
    fetch_.spool_dir = top_ / "spool";
    fetch_.block_bytes = kBlock;
    fetch_.read_ahead_bytes = 8 * kBlock;
    fetch_.first_byte_timeout = 10s;
  }
  ~OpenerTest() override {
    opener_.reset();
    spools_.reset();
    client_.reset();
    fs::remove_all(top_);
  }
  static SourceOptions Http(const std::string& url) {
    SourceOptions s;
    s.type = SourceType::kHttp;
    s.url = url;
    return s;
  }
  SourceOptions File(const std::string& dir) {
    SourceOptions s;
    s.root = (top_ / dir).string();
    return s;
  }
  void Use(std::vector<SourceOptions> sources) {
    OriginOptions origin;
    origin.name = "o";
    origin.matcher = ".*";
    origin.sources = std::move(sources);
    auto table = OriginTable::Create({origin});
    ASSERT_TRUE(table.ok());
    table_ = std::move(*table);
    if (!spools_) {
      auto made = SpoolCache::Create(fetch_, *client_, metrics_, clock_);
      ASSERT_TRUE(made.ok()) << made.error().ToLogString();
      spools_ = std::move(*made);
    }
    auto pause = [this](std::chrono::milliseconds wait) -> Task<void> {
      pauses_.push_back(wait);
      if (on_pause_) on_pause_();
      co_return;
    };
    opener_ = MakeOpener(fetch_, {origin}, blocking_, *client_, metrics_, spools_, pause);
  }
  Result<SourceRef> Open(const std::string& path = "/v.mp4",
                         Context ctx = Context::WithTimeout(20s)) {
    return RunSync(opener_->Open(std::move(ctx), *table_->Match(path)));
  }
  SourceRef MustOpen(const std::string& path = "/v.mp4") {
    auto opened = Open(path);
    if (opened.ok()) return *opened;
    ADD_FAILURE() << opened.error().ToLogString();
    return nullptr;
  }
  static Result<uint64_t> Ensure(const SourceRef& source, uint64_t offset, uint64_t length) {
    return RunSync(source->Ensure(Context::WithTimeout(20s), offset, length));
  }
  /// Ensures and reads; fails the test when that is not possible.
  static std::string Read(const SourceRef& source, uint64_t offset, uint64_t length) {
    auto available = Ensure(source, offset, length);
    if (!available.ok()) return "error: " + available.error().ToLogString();
    std::string out(std::min(*available, length), 0);
    const ssize_t n =
        ::pread(source->file()->get(), out.data(), out.size(), static_cast<off_t>(offset));
    out.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return out;
  }
  double Requests(const std::string& result) {
    return metrics_
        .GetCounter("video_resizer_origin_requests_total", "",
                    {{"origin", "o"}, {"result", result}})
        .value();
  }
  static std::string Fact(const Error& error, const std::string& name) {
    for (const auto& [key, value] : error.facts) {
      if (key == name) return value;
    }
    return "";
  }

  fs::path top_;
  FakeClock clock_;
  std::vector<std::chrono::milliseconds> pauses_;  ///< between the tries of an open; none is waited
  std::function<void()> on_pause_;
  Metrics metrics_;
  io::Blocking blocking_;
  std::unique_ptr<http::Client> client_;
  FetchOptions fetch_;
  std::shared_ptr<SpoolCache> spools_;
  std::unique_ptr<const OriginTable> table_;
  std::unique_ptr<Opener> opener_;
};

// --- ranges ---

TEST_F(OpenerTest, ReadsARangeCapableSourceBlockByBlock) {
  const std::string body = Video(40 * kBlock + 17);
  ScriptedServer server([&](Exchange& x) {
    Serve(x, body, "\"v1\"",
          "Content-Type: video/mp4\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  });
  Use({Http(server.url("/base/"))});
  SourceRef source = MustOpen("/dir/a b+%.mp4");
  ASSERT_TRUE(source);
  EXPECT_EQ(server.seen()[0][":target"], "/base/dir/a%20b%2B%25.mp4");
  EXPECT_EQ(server.seen()[0]["range"], "bytes=0-65535");
  const SourceInfo& info = source->info();
  EXPECT_EQ(info.size, body.size());
  EXPECT_EQ(info.type, "http");
  EXPECT_EQ(info.etag, "\"v1\"");
  EXPECT_EQ(info.validator, "\"v1\"");
  EXPECT_EQ(info.content_type, "video/mp4");
  EXPECT_EQ(info.last_modified_ms, 784111777000);
  EXPECT_FALSE(source->is_complete());
  EXPECT_TRUE(Same(Read(source, 0, 100), body.substr(0, 100)));
  EXPECT_EQ(server.requests(), 1);
  EXPECT_TRUE(Same(Read(source, 20 * kBlock + 5, 100), body.substr(20 * kBlock + 5, 100)));
  EXPECT_EQ(server.requests(), 2);
  EXPECT_EQ(server.seen()[1]["range"], "bytes=1310720-1376255");
  EXPECT_EQ(server.seen()[1]["if-range"], "\"v1\"");
  EXPECT_TRUE(Same(Read(source, 40 * kBlock, 100), body.substr(40 * kBlock)));
  EXPECT_EQ(*Ensure(source, body.size(), 1), 0u);
  EXPECT_EQ(*Ensure(source, UINT64_MAX, UINT64_MAX), 0u);
  EXPECT_EQ(server.requests(), 3);
  EXPECT_EQ(Requests("ok"), 3);
  EXPECT_EQ(spools_->bytes(), 2 * kBlock + 17);
  EXPECT_TRUE(Same(Read(source, 0, body.size()), body));
  EXPECT_TRUE(source->is_complete());
  EXPECT_EQ(spools_->bytes(), body.size());
  // Nothing is left in the directory, whatever happens now.
  EXPECT_TRUE(fs::is_empty(fetch_.spool_dir));
}

TEST_F(OpenerTest, ASequentialReaderIsReadAheadOf) {
  const std::string body = Video(256 * kBlock);
  ScriptedServer server([&](Exchange& x) { Serve(x, body); });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  for (uint64_t at = 0; at < body.size(); at += 32 << 10) {
    ASSERT_TRUE(Same(Read(source, at, 32 << 10), body.substr(at, 32 << 10))) << at;
  }
  EXPECT_LT(server.requests(), 45);  // 256 blocks, one by one, would be 256
  // Two readers that take turns are told apart.
  Use({Http(server.url("/two"))});
  SourceRef two = MustOpen();
  const int before = server.requests();
  for (uint64_t at = 0; at < body.size() / 2; at += 32 << 10) {
    ASSERT_TRUE(Same(Read(two, at, 32 << 10), body.substr(at, 32 << 10)));
    const uint64_t there = body.size() / 2 + at;
    ASSERT_TRUE(Same(Read(two, there, 32 << 10), body.substr(there, 32 << 10)));
  }
  EXPECT_LT(server.requests() - before, 45);
}

TEST_F(OpenerTest, PartiesThatWantTheSameBlockShareOneRequest) {
  const std::string body = Video(64 * kBlock);
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    if (x.Range(first, last) && first > 0) gate.Wait();
    Serve(x, body);
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  ASSERT_TRUE(Ensure(source, 0, kBlock).ok());
  io::LoopPool loops(2);
  std::atomic<int> answered{0}, right{0};
  std::promise<void> all;
  const auto ask = [&](uint64_t offset, uint64_t length) {
    auto task = [&, offset, length]() -> Task<void> {
      Result<uint64_t> got = co_await source->Ensure(Context::WithTimeout(20s), offset, length);
      if (got.ok() && *got >= length) ++right;
      if (++answered == 21) all.set_value();
    };
    return task;
  };
  std::vector<std::function<Task<void>()>> tasks;
  for (int i = 0; i < 20; ++i)
    tasks.push_back(ask(30 * kBlock + static_cast<uint64_t>(i) * 1000, 5000));
  tasks.push_back(ask(30 * kBlock + 10, 2 * kBlock));  // reaches into the next block
  for (auto& task : tasks)
    boost::asio::co_spawn(loops.Any().executor(), task(),
                          boost::asio::detached);  // NOLINT(detached): test
  loops.Start();
  gate.AwaitArrivals(1);
  gate.Open();
  all.get_future().wait();
  loops.Stop();
  EXPECT_EQ(right, 21);
  EXPECT_LE(server.requests(), 4);
  EXPECT_GE(server.requests(), 2);
  EXPECT_LE(spools_->bytes(), 6 * kBlock);
}

TEST_F(OpenerTest, ConcurrentOpensOfOneSourceAreOneRequest) {
  const std::string body = Video(3 * kBlock);
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    gate.Wait();
    Serve(x, body);
  });
  Use({Http(server.url())});
  io::LoopPool loops(2);
  constexpr int kOpens = 50;
  std::mutex mutex;
  std::vector<SourceRef> sources;
  std::promise<void> all;
  auto open = [&]() -> Task<void> {
    Resolved resolved = *table_->Match("/v.mp4");
    Result<SourceRef> opened =
        co_await opener_->Open(Context::WithTimeout(20s), std::move(resolved));
    std::lock_guard lock(mutex);
    sources.push_back(opened.ok() ? *opened : nullptr);
    if (sources.size() == kOpens) all.set_value();
  };
  for (int i = 0; i < kOpens; ++i)
    boost::asio::co_spawn(loops.Any().executor(), open(),
                          boost::asio::detached);  // NOLINT(detached): test
  std::promise<void> queued[2];
  for (int i = 0; i < 2; ++i)
    loops[static_cast<size_t>(i)].Post([&queued, i] { queued[i].set_value(); });
  loops.Start();
  for (auto& q : queued) q.get_future().wait();  // every open has been asked by now
  gate.AwaitArrivals(1);
  gate.Open();
  all.get_future().wait();
  loops.Stop();
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(Requests("ok"), 1);
  for (const SourceRef& source : sources) {
    ASSERT_TRUE(source);
    EXPECT_EQ(source->file(), sources[0]->file());
  }
  EXPECT_TRUE(Same(Read(sources[7], 0, body.size()), body));
}

TEST_F(OpenerTest, AnOpenOrLatelyUsedSourceIsRevalidatedAndShared) {
  std::string body = Video(10 * kBlock), etag = "\"v1\"";
  ScriptedServer server([&](Exchange& x) { Serve(x, body, etag); });
  Use({Http(server.url())});
  SourceRef first = MustOpen();
  ASSERT_TRUE(Same(Read(first, 0, body.size()), body));
  SourceRef second = MustOpen();
  EXPECT_EQ(server.seen().back()["if-none-match"], "\"v1\"");
  EXPECT_EQ(second->file(), first->file());
  EXPECT_TRUE(second->is_complete());
  const SharedFd file = first->file();
  first.reset();
  second.reset();
  int before = server.requests();
  SourceRef third = MustOpen();  // nobody used it meanwhile
  EXPECT_EQ(third->file(), file);
  EXPECT_EQ(server.requests() - before, 1);
  EXPECT_TRUE(Same(Read(third, 0, body.size()), body));
  EXPECT_EQ(server.requests() - before, 1);
  // Another version: a spool of its own, while the old one stays what it was for those who have it.
  const std::string old = body;
  body = Video(10 * kBlock, 'b');
  etag = "\"v2\"";
  SourceRef fourth = MustOpen();
  EXPECT_NE(fourth->file(), file);
  EXPECT_TRUE(Same(Read(fourth, 0, body.size()), body));
  EXPECT_TRUE(Same(Read(third, 0, old.size()), old));
  // And a reload of the configuration keeps it.
  Use({Http(server.url())});
  EXPECT_EQ(MustOpen()->file(), fourth->file());
  // Other credentials may see other bytes.
  SourceOptions secret = Http(server.url());
  secret.auth.type = AuthType::kBearer;
  secret.auth.token = "t";
  Use({secret});
  EXPECT_NE(MustOpen()->file(), fourth->file());
  EXPECT_EQ(server.seen().back()["authorization"], "Bearer t");
}

TEST_F(OpenerTest, AServerWithoutConditionsStillSharesByValidator) {
  const std::string body = Video(4 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    x.fields.erase("if-none-match");
    Serve(x, body);
  });
  Use({Http(server.url())});
  SourceRef first = MustOpen();
  EXPECT_EQ(MustOpen()->file(), first->file());
}

TEST_F(OpenerTest, WithoutAnyValidatorVersionsAreNotShared) {
  const std::string body = Video(4 * kBlock);
  ScriptedServer server([&](Exchange& x) { Serve(x, body, ""); });
  Use({Http(server.url())});
  SourceRef first = MustOpen();
  EXPECT_EQ(first->info().validator, "");
  EXPECT_NE(MustOpen()->file(), first->file());
  EXPECT_TRUE(Same(Read(first, 0, body.size()), body));
}

TEST_F(OpenerTest, SpoolsTogetherStayUnderTheirLimit) {
  const std::string body = Video(10 * kBlock);
  ScriptedServer server([&](Exchange& x) { Serve(x, body); });
  fetch_.spool_max_bytes = 25 * kBlock;
  Use({Http(server.url())});
  for (const char* path : {"/a", "/b", "/c", "/d"}) {
    SourceRef source = MustOpen(path);
    ASSERT_TRUE(Same(Read(source, 0, body.size()), body));
    EXPECT_LE(spools_->bytes(), fetch_.spool_max_bytes);
  }
  // What is in use cannot be thrown away: then there is no room.
  SourceRef e = MustOpen("/e"), f = MustOpen("/f"), g = MustOpen("/g");
  ASSERT_TRUE(Same(Read(e, 0, body.size()), body));
  ASSERT_TRUE(Same(Read(f, 0, body.size()), body));
  auto full = Ensure(g, 0, body.size());
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, Code::kResourceExhausted);
  EXPECT_EQ(full.error().reason, "OVERLOADED");
  EXPECT_LE(spools_->bytes(), fetch_.spool_max_bytes);
  e.reset();
  EXPECT_TRUE(Same(Read(g, 0, body.size()), body));
}

// --- sources that come whole ---

TEST_F(OpenerTest, AServerThatIgnoresRangesIsReadFromFrontToBack) {
  const std::string body = Video(50 * kBlock);
  ScriptedServer server([&](Exchange& x) { x.Respond("200 OK", "ETag: \"w\"\r\n", body); });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  EXPECT_EQ(source->info().size, body.size());
  EXPECT_TRUE(Same(Read(source, 49 * kBlock, kBlock), body.substr(49 * kBlock)));
  EXPECT_TRUE(Same(Read(source, 0, body.size()), body));
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(MustOpen()->file(), source->file());
}

TEST_F(OpenerTest, UnknownLengthIsKnownAtTheEnd) {
  const std::string body = Video(5 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nETag: \"c\"\r\nTransfer-Encoding: chunked\r\n\r\n50000\r\n");
    x.Send(body);
    x.Send("\r\n0\r\n\r\n");
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  EXPECT_FALSE(source->info().size);
  EXPECT_EQ(*Ensure(source, 0, 6ull << 30), body.size());
  EXPECT_TRUE(Same(Read(source, 0, body.size()), body));
  EXPECT_EQ(*Ensure(source, body.size(), 1), 0u);
  EXPECT_FALSE(source->is_complete());  // its info knows no size, so nobody may rely on it
  SourceRef again = MustOpen();
  EXPECT_EQ(again->file(), source->file());
  EXPECT_EQ(again->info().size, body.size());
  EXPECT_TRUE(again->is_complete());
}

TEST_F(OpenerTest, AWholeAnswerDoesNotRunFarAheadOfItsReaders) {
  const std::string piece = Video(1 << 20);
  constexpr uint64_t kPieces = 160;
  std::atomic<uint64_t> sent{0};
  Gate finished;
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nETag: \"w\"\r\nContent-Length: " + std::to_string(kPieces << 20) +
           "\r\n\r\n");
    for (uint64_t i = 0; i < kPieces; ++i) {
      if (!x.Send(piece)) break;
      ++sent;
    }
    x.Close();
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  ASSERT_TRUE(Ensure(source, 70 << 20, 1).ok());
  // Other traffic of the same client shows that it has come to rest: it would have taken all by
  // now.
  ScriptedServer other([&](Exchange& x) { Serve(x, piece); });
  Use({Http(other.url())});
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(Same(Read(MustOpen("/" + std::to_string(i)), 0, piece.size()), piece));
  EXPECT_LT(spools_->bytes(), (140ull << 20) + (20ull << 20));
  EXPECT_TRUE(Same(Read(source, (kPieces - 1) << 20, 1 << 20), piece));
}

TEST_F(OpenerTest, AnEmptySourceHasSizeZero) {
  for (const char* answer : {"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes "
                             "*/0\r\nContent-Length: 0\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}) {
    ScriptedServer server([&](Exchange& x) { x.Send(answer); });
    Use({Http(server.url())});
    SourceRef source = MustOpen();
    ASSERT_TRUE(source);
    EXPECT_EQ(source->info().size, 0u);
    EXPECT_TRUE(source->is_complete());
    EXPECT_EQ(*Ensure(source, 0, 10), 0u);
  }
}

// --- what origins do wrong ---

TEST_F(OpenerTest, AnswersThatAreNoSourceFailTheOpen) {
  struct Case {
    std::string answer;
    Code code;
    std::string reason, attempts;
  };
  const std::string kNoBody = "Content-Length: 0\r\n\r\n";
  const std::vector<Case> cases = {
      {"404 Not Found\r\n" + kNoBody, Code::kNotFound, "NOT_FOUND", "http: 404"},
      {"410 Gone\r\n" + kNoBody, Code::kNotFound, "NOT_FOUND", "http: 410"},
      {"500 Oops\r\n" + kNoBody, Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 500"},
      {"503 Busy\r\n" + kNoBody, Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 503 (3 tries)"},
      {"403 No\r\n" + kNoBody, Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 403"},
      {"204 Nothing\r\n\r\n", Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 204"},
      {"304 What\r\n\r\n", Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 304"},
      {"416 No\r\nContent-Range: bytes */99\r\n" + kNoBody, Code::kUnavailable,
       "ALL_SOURCES_FAILED", "http: 416"},
      {"200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 6\r\n\r\n<html>",
       Code::kUnsupported, "SOURCE_UNSUPPORTED", "http: text/html"},
      {"200 OK\r\nContent-Type: Application/JSON\r\nContent-Length: 2\r\n\r\n{}",
       Code::kUnsupported, "SOURCE_UNSUPPORTED", "http: application/json"},
      {"206 Partial\r\nContent-Range: bytes 1-3/9\r\nContent-Length: 3\r\n\r\nabc",
       Code::kUnavailable, "ALL_SOURCES_FAILED", "http: another range than asked for"},
      {"206 Partial\r\nContent-Range: bytes 0-65536/99999\r\nContent-Length: 65537\r\n\r\n",
       Code::kUnavailable, "ALL_SOURCES_FAILED", "http: another range than asked for"},
      {"206 Partial\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 3\r\n\r\nabc",
       Code::kUnavailable, "ALL_SOURCES_FAILED", "http: another range than asked for"},
      {"206 Partial\r\nContent-Range: bytes 0-2/*\r\nContent-Length: 3\r\n\r\nabc",
       Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 206 without a usable Content-Range"},
      {"206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: "
       "1\r\n\r\nx",
       Code::kUnavailable, "ALL_SOURCES_FAILED", "http: 206 without a usable Content-Range"},
      {"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", Code::kUnavailable,
       "ALL_SOURCES_FAILED", "http: content coding nobody asked for"},
      {"200 OK\r\nContent-Length: 1000001\r\n\r\n", Code::kResourceExhausted, "SOURCE_TOO_LARGE",
       "http: unavailable"},
      {"206 Partial\r\nContent-Range: bytes 0-2/1000001\r\nContent-Length: 3\r\n\r\nabc",
       Code::kResourceExhausted, "SOURCE_TOO_LARGE", "http: unavailable"},
      {"302 Found\r\nLocation: /again\r\n" + kNoBody, Code::kUnavailable, "ALL_SOURCES_FAILED",
       "http: redirect limit"},
  };
  fetch_.max_source_bytes = 1'000'000;
  for (const Case& c : cases) {
    ScriptedServer server([&](Exchange& x) { x.Send("HTTP/1.1 " + c.answer); });
    Use({Http(server.url())});
    auto opened = Open();
    ASSERT_FALSE(opened.ok()) << c.answer;
    EXPECT_EQ(opened.error().code, c.code) << c.answer << opened.error().ToLogString();
    EXPECT_EQ(opened.error().reason, c.reason) << c.answer;
    EXPECT_EQ(Fact(opened.error(), "attempts"), c.attempts) << c.answer;
  }
  EXPECT_EQ(spools_->bytes(), 0u);
  EXPECT_EQ(Requests("not_found"), 2);
  EXPECT_EQ(Requests("ok"), 0);
}

TEST_F(OpenerTest, ASourceThatGrowsOverTheLimitIsCutOff) {
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "10000\r\n" + Video(kBlock) + "\r\n";
    while (x.Send(chunk)) {
    }
    x.Close();
  });
  fetch_.max_source_bytes = 20 * kBlock;
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  auto got = Ensure(source, 0, 1ull << 40);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().reason, "SOURCE_TOO_LARGE");
  EXPECT_EQ(Fact(got.error(), "limit"), "bytes");
  EXPECT_EQ(Fact(got.error(), "allowed"), std::to_string(fetch_.max_source_bytes));
  EXPECT_LE(spools_->bytes(), fetch_.max_source_bytes);
}

TEST_F(OpenerTest, ATruncatedWholeAnswerIsAnErrorForWhatIsMissing) {
  const std::string body = Video(3 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nETag: \"t\"\r\nContent-Length: " + std::to_string(body.size() + 1) +
           "\r\n\r\n");
    x.Send(body);
    x.Close();
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  auto got = Ensure(source, 0, body.size() + 1);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  SourceRef again = MustOpen();  // a broken spool is not shared
  EXPECT_NE(again->file(), source->file());
}

TEST_F(OpenerTest, ATruncatedRangeIsTriedAgain) {
  const std::string body = Video(8 * kBlock);
  std::atomic<int> cuts{0};
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    if (first == 0 || cuts++ > 0) return Serve(x, body);
    x.Send(
        "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: 65536\r\nContent-Range: "
        "bytes " +
        std::to_string(first) + "-" + std::to_string(last) + "/" + std::to_string(body.size()) +
        "\r\n\r\n");
    x.Send(std::string_view(body).substr(first, 1000));
    x.Close();
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  EXPECT_TRUE(Same(Read(source, 4 * kBlock, kBlock), body.substr(4 * kBlock, kBlock)));
  EXPECT_EQ(server.seen().back()["range"], "bytes=263144-327679");  // goes on where it broke off
}

TEST_F(OpenerTest, AFailingOriginIsTriedThriceForARangeThenReported) {
  const std::string body = Video(8 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    if (first == 0) return Serve(x, body);
    x.Respond("503 Busy", "", "");
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  auto got = Ensure(source, 4 * kBlock, 1);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  EXPECT_EQ(got.error().reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(server.requests(), 4);
  EXPECT_TRUE(Ensure(source, 0, 1).ok());  // what is there stays good
}

TEST_F(OpenerTest, AShorterRangeThanAskedIsTakenAndTheRestAskedFor) {
  const std::string body = Video(4 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    x.fields["range"] =
        "bytes=" + std::to_string(first) + "-" + std::to_string(std::min(last, first + 49'999));
    Serve(x, body);
  });
  Use({Http(server.url())});
  EXPECT_TRUE(Same(Read(MustOpen(), 0, body.size()), body));
}

TEST_F(OpenerTest, ASourceThatChangesMidwayFailsInsteadOfMixing) {
  const std::string one = Video(8 * kBlock, 'a'), two = Video(8 * kBlock, 'b');
  const std::string kEarly = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  const std::string kLate = "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n";
  const auto ignoring = [&](Exchange& x, const std::string& body, const std::string& etag,
                            const std::string& extra) {
    x.fields.erase("if-range");
    Serve(x, body, etag, extra);
  };
  const std::vector<std::pair<const char*, std::function<void(Exchange&, bool)>>> ways = {
      {"If-Range honoured",
       [&](Exchange& x, bool later) { Serve(x, later ? two : one, later ? "\"2\"" : "\"1\""); }},
      {"If-Range ignored",
       [&](Exchange& x, bool later) {
         ignoring(x, later ? two : one, later ? "\"2\"" : "\"1\"", "");
       }},
      {"time only",
       [&](Exchange& x, bool later) {
         ignoring(x, later ? two : one, "", later ? kLate : kEarly);
       }},
      {"size only", [&](Exchange& x, bool later) { ignoring(x, later ? two + "x" : one, "", ""); }},
      {"gone", [&](Exchange& x,
                   bool later) { later ? x.Respond("404 Not Found", "", "") : Serve(x, one); }},
      {"shrunk",
       [&](Exchange& x, bool later) { later ? Serve(x, "tiny", "\"2\"") : Serve(x, one, ""); }},
  };
  for (const auto& [name, serve] : ways) {
    std::atomic<bool> later{false};
    ScriptedServer server([&](Exchange& x) { serve(x, later); });
    Use({Http(server.url())});
    SourceRef source = MustOpen();
    ASSERT_TRUE(Same(Read(source, 0, kBlock), one.substr(0, kBlock))) << name;
    later = true;
    auto got = Ensure(source, 6 * kBlock, 1);
    ASSERT_FALSE(got.ok()) << name;
    EXPECT_EQ(got.error().code, Code::kCorruption) << name << got.error().ToLogString();
    // For good: what was read before belongs to a version that is no more.
    later = false;
    EXPECT_FALSE(Ensure(source, 0, 1).ok()) << name;
    EXPECT_FALSE(Ensure(source, 6 * kBlock, 1).ok()) << name;
    EXPECT_TRUE(Same(Read(MustOpen(), 0, one.size()), one)) << name;
  }
}

TEST_F(OpenerTest, ALyingRangeIsRefused) {
  const std::string body = Video(8 * kBlock);
  std::string lie;
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    if (first == 0) return Serve(x, body);
    x.Send("HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\n" + lie);
    x.Send(std::string_view(body).substr(0, kBlock + 10));
    x.Close();
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  for (const char* text :
       {"Content-Range: bytes 0-65535/524288\r\nContent-Length: 65536\r\n\r\n",
        "Content-Range: bytes 262144-524287/524288\r\nContent-Length: 262144\r\n\r\n",
        "Content-Range: bytes 262144-327679/524288\r\nContent-Length: 65546\r\n\r\n",
        "Content-Range: bytes 262144-327679/524288\r\n\r\n", "Content-Length: 65536\r\n\r\n",
        "Content-Range: lines 1-2/3\r\nContent-Length: 65536\r\n\r\n"}) {
    lie = text;
    auto got = Ensure(source, 4 * kBlock + 1, kBlock);  // reaches into block 5
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.error().code, Code::kUnavailable) << text << got.error().ToLogString();
  }
  EXPECT_TRUE(Same(Read(source, 0, 10), body.substr(0, 10)));
}

// --- failover ---

TEST_F(OpenerTest, TheNextLocationIsTriedOnceWhenOneHasNothingOrFails) {
  fs::create_directories(top_ / "files");
  const std::string body = Video(1000);
  ScriptedServer missing([](Exchange& x) { x.Respond("404 Not Found", "", ""); });
  ScriptedServer broken([](Exchange& x) { x.Respond("500 Oops", "", ""); });
  ScriptedServer cut([](Exchange& x) { x.Reset(); });
  ScriptedServer good([&](Exchange& x) { Serve(x, body); });
  Use({File("files"), Http(missing.url()), Http(broken.url()), Http(good.url())});
  SourceRef source = MustOpen();
  EXPECT_TRUE(Same(Read(source, 0, 1000), body));
  EXPECT_EQ(missing.requests(), 1);
  EXPECT_EQ(broken.requests(), 1);
  EXPECT_EQ(Requests("not_found"), 2);
  EXPECT_EQ(Requests("error"), 1);
  EXPECT_EQ(Requests("ok"), 1);

  SourceOptions s3;
  s3.type = SourceType::kS3;
  s3.bucket = "B";
  ScriptedServer denying([](Exchange& x) {
    x.Respond("403 Forbidden", "", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
  });
  s3.place = BucketOptions{.endpoint = denying.url(), .bucket = "b", .secret_key = "s"};
  Use({File("files"), Http(missing.url()), Http(broken.url()), Http(cut.url()), s3,
       File("no-such-root")});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  EXPECT_EQ(opened.error().reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(Fact(opened.error(), "attempts"),
            "file: not found, http: 404, http: 500, http: unreachable (3 tries), s3: 403 "
            "AccessDenied, file: unavailable");
  for (const auto& [name, value] : opened.error().facts) {
    EXPECT_THAT(value, Not(HasSubstr(top_.string())));
    EXPECT_THAT(value, Not(HasSubstr("127.0.0.1")));
  }
  Use({File("files"), Http(missing.url())});
  opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kNotFound);
  EXPECT_EQ(opened.error().reason, "NOT_FOUND");

  std::ofstream(top_ / "files/v.mp4") << "local";
  SourceRef local = MustOpen();
  EXPECT_EQ(local->info().type, "file");
  EXPECT_TRUE(local->is_complete());
}

TEST_F(OpenerTest, WhatIsAwayOrBusyIsAskedAgainWhenNobodyElseHasIt) {
  const std::string body = Video(1000);
  std::string status = "503 Busy", fields;
  std::atomic<int> failures{1};
  ScriptedServer flaky([&](Exchange& x) {
    // libcurl itself sends once more what a kept connection gives no answer to.
    const std::string last = "Connection: close\r\n";
    if (failures-- <= 0) return Serve(x, body, "\"v1\"", last);
    if (status.empty()) return x.Reset();
    x.Respond(status, fields + last, "");
  });
  fetch_.breaker_failures = 0;
  for (const char* passing : {"503 Busy", "502 Bad", "504 Late", "429 Too Many", ""}) {
    status = passing;
    failures = 2;
    pauses_.clear();
    const int before = flaky.requests();
    Use({Http(flaky.url())});
    EXPECT_TRUE(Same(Read(MustOpen(), 0, 1000), body)) << status;
    EXPECT_EQ(flaky.requests() - before, 3) << status;
    ASSERT_EQ(pauses_.size(), 2u) << status;
    // 100 ms and 200 ms, each by half more or less.
    EXPECT_GE(pauses_[0], 50ms);
    EXPECT_LT(pauses_[0], 150ms);
    EXPECT_GE(pauses_[1], 100ms);
    EXPECT_LT(pauses_[1], 300ms);
  }
  pauses_.clear();
  for (const char* final : {"500 Oops", "403 No", "404 Not Found", "410 Gone", "400 Bad", "501 Not",
                            "508 Loop", "408 Late"}) {
    status = final;
    failures = 1000;
    const int before = flaky.requests();
    Use({Http(flaky.url())});
    EXPECT_FALSE(Open().ok());
    EXPECT_EQ(flaky.requests() - before, 1) << status;
  }
  EXPECT_TRUE(pauses_.empty());

  // Its wish is respected; who wants to be left alone for long is.
  status = "503 Busy";
  fields = "Retry-After: 1\r\n";
  failures = 1;
  Use({Http(flaky.url())});
  MustOpen();
  EXPECT_THAT(pauses_, ::testing::ElementsAre(1000ms));
  for (const char* long_wait : {"30", "Fri, 31 Dec 2100 23:59:59 GMT"}) {
    fields = std::string("Retry-After: ") + long_wait + "\r\n";
    failures = 1;
    pauses_.clear();
    auto opened = Open();
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(Fact(opened.error(), "attempts"), "http: 503");
    EXPECT_TRUE(pauses_.empty()) << long_wait;
  }
  fields.clear();

  // How often is a setting, and the request's own time comes first.
  fetch_.retries = 0;
  failures = 1;
  Use({Http(flaky.url())});
  EXPECT_FALSE(Open().ok());
  fetch_.retries = 5;
  fetch_.retry_backoff = 60s;
  failures = 1;
  Use({Http(flaky.url())});
  EXPECT_FALSE(Open().ok());
  EXPECT_TRUE(pauses_.empty());
}

TEST_F(OpenerTest, OthersAreAskedBeforeOneIsAskedAgain) {
  const std::string body = Video(1000);
  std::vector<char> order;
  std::mutex mutex;
  const auto note = [&](char who) {
    std::lock_guard lock(mutex);
    order.push_back(who);
    return static_cast<int>(std::count(order.begin(), order.end(), who));
  };
  ScriptedServer first([&](Exchange& x) {
    note('1');
    x.Respond("503 Busy", "", "");
  });
  ScriptedServer second([&](Exchange& x) {
    if (note('2') > 1) return Serve(x, body);
    x.Respond("502 Bad", "", "");
  });
  ScriptedServer third([&](Exchange& x) {
    note('3');
    x.Respond("404 Not Found", "", "");
  });
  Use({Http(first.url()), Http(second.url()), Http(third.url())});
  EXPECT_TRUE(Same(Read(MustOpen(), 0, 1000), body));
  EXPECT_THAT(order, ::testing::ElementsAre('1', '2', '3', '1', '2'));
  // Where another one has it, nobody is asked twice.
  order.clear();
  ScriptedServer good([&](Exchange& x) { Serve(x, body); });
  Use({Http(first.url()), Http(third.url()), Http(good.url())});
  MustOpen();
  EXPECT_THAT(order, ::testing::ElementsAre('1', '3'));
}

TEST_F(OpenerTest, EveryTryIsTold) {
  std::atomic<int> asked{0};
  ScriptedServer server([&](Exchange& x) {
    const int n = ++asked;
    if (n == 1) return x.Respond("503 Busy", "Connection: close\r\n", "");
    if (n == 2) return x.Reset();
    x.Respond("500 Oops", "", "");
  });
  ScriptedServer gone([](Exchange& x) { x.Respond("410 Gone", "", ""); });
  Use({Http(server.url()), Http(gone.url())});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(Fact(opened.error(), "attempts"), "http: 503 then unreachable then 500, http: 410");
  EXPECT_EQ(Fact(opened.error(), "retry"), "");
  EXPECT_EQ(Fact(opened.error(), "upstream"), "");
  ScriptedServer missing([](Exchange& x) { x.Respond("404 Not Found", "", ""); });
  Use({Http(missing.url()), Http(gone.url())});
  opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason, "NOT_FOUND");
  EXPECT_EQ(Fact(opened.error(), "attempts"), "http: 404, http: 410");
}

TEST_F(OpenerTest, ASourceThatKeepsFailingIsPassedOverForAWhile) {
  const std::string body = Video(1000);
  std::atomic<bool> is_ill{true};
  ScriptedServer primary([&](Exchange& x) {
    if (is_ill) return x.Respond("500 Oops", "", "");
    Serve(x, body);
  });
  ScriptedServer backup([&](Exchange& x) { Serve(x, body); });
  fetch_.breaker_failures = 3;
  fetch_.breaker_cooldown = 30s;
  Use({Http(primary.url()), Http(backup.url())});
  for (int i = 0; i < 5; ++i) MustOpen("/" + std::to_string(i) + ".mp4");
  EXPECT_EQ(primary.requests(), 3);
  EXPECT_EQ(backup.requests(), 5);
  const MetricLabels labels{{"origin", "o"},
                            {"source", "127.0.0.1:" + std::to_string(primary.port())}};
  const auto state = [&] {
    return metrics_.GetGauge("video_resizer_origin_breaker_state", "", labels).value();
  };
  EXPECT_EQ(state(), 2);

  // A reload that keeps the source keeps what is known of it.
  Use({Http(backup.url()), Http(primary.url())});
  Use({Http(primary.url())});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason, "ALL_SOURCES_FAILED");
  EXPECT_EQ(Fact(opened.error(), "attempts"), "http: circuit open");
  EXPECT_EQ(primary.requests(), 3);
  EXPECT_TRUE(pauses_.empty()) << "there is nothing to wait for";

  clock_.passed = 30s;
  EXPECT_FALSE(Open().ok());
  EXPECT_EQ(primary.requests(), 4) << "one probe";
  EXPECT_EQ(state(), 2);
  EXPECT_FALSE(Open().ok());
  EXPECT_EQ(primary.requests(), 4);
  is_ill = false;
  clock_.passed = 60s;
  MustOpen("/a.mp4");
  EXPECT_EQ(state(), 0);
  MustOpen("/b.mp4");
  EXPECT_EQ(primary.requests(), 6);
  // Another source is another breaker.
  is_ill = true;
  SourceOptions elsewhere = Http(primary.url());
  elsewhere.path = "x/${request_path}";
  Use({Http(primary.url())});
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(Open("/" + std::to_string(i)).ok());
  EXPECT_EQ(primary.requests(), 9);
  Use({elsewhere});
  EXPECT_FALSE(Open().ok());
  EXPECT_EQ(primary.requests(), 10);
}

TEST_F(OpenerTest, WhatIsNotThereIsNoFailureOfItsSource) {
  ScriptedServer server([](Exchange& x) {
    x.Respond(x.target == "/forbidden" ? "403 No"
              : x.target == "/loop"    ? "508 Loop"
                                       : "404 No",
              "", "");
  });
  fetch_.breaker_failures = 2;
  Use({Http(server.url())});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Open("/" + std::to_string(i)).error().reason, "NOT_FOUND");
    EXPECT_EQ(Fact(Open("/forbidden").error(), "attempts"), "http: 403");
    EXPECT_EQ(Fact(Open("/loop").error(), "attempts"), "http: 508");
  }
  EXPECT_EQ(server.requests(), 12);
}

TEST_F(OpenerTest, TimeoutsAndDeadHostsOpenTheBreakerToo) {
  std::string nowhere;
  {
    ScriptedServer gone([](Exchange&) {});
    nowhere = gone.url();
  }
  fetch_.breaker_failures = 2;
  fetch_.retries = 5;
  Use({Http(nowhere)});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(Fact(opened.error(), "attempts"),
            "http: unreachable then unreachable then circuit open");
  Gate gate;
  ScriptedServer slow([&](Exchange& x) {
    gate.Wait();
    x.Close();
  });
  fetch_.first_byte_timeout = 30ms;
  Use({Http(slow.url())});
  EXPECT_EQ(Fact(Open("/a").error(), "attempts"), "http: timeout");
  EXPECT_EQ(Fact(Open("/b").error(), "attempts"), "http: timeout");
  EXPECT_EQ(Fact(Open("/c").error(), "attempts"), "http: circuit open");
  gate.Open();
}

TEST_F(OpenerTest, FailingPartsOfAnOpenSourceCount) {
  const std::string body = Video(8 * kBlock);
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    if (first > 0) return x.Respond("503 Busy", "", "");
    Serve(x, body);
  });
  fetch_.breaker_failures = 3;
  fetch_.retry_backoff = 0ms;
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  EXPECT_FALSE(Ensure(source, 4 * kBlock, 1).ok());
  EXPECT_EQ(Fact(Open("/other.mp4").error(), "attempts"), "http: circuit open");
}

TEST_F(OpenerTest, ViaOfTheClientIsPassedOnWithOurs) {
  const std::string body = Video(4 * kBlock);
  ScriptedServer server([&](Exchange& x) { Serve(x, body); });
  Use({Http(server.url())});
  Resolved resolved = *table_->Match("/v.mp4");
  resolved.via = "1.0 fred, 1.1 p.example.net";
  auto opened = RunSync(opener_->Open(Context::WithTimeout(20s), resolved));
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(Ensure(*opened, 2 * kBlock, 1).ok());
  resolved.via = "1.1 a\r\nX: y";
  resolved.locations[0].path = "w.mp4";
  ASSERT_TRUE(RunSync(opener_->Open(Context::WithTimeout(20s), resolved)).ok());
  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].at("via"), "1.0 fred, 1.1 p.example.net, 1.1 video-resizer");
  EXPECT_EQ(seen[1].at("via"), "1.0 fred, 1.1 p.example.net, 1.1 video-resizer");
  EXPECT_EQ(seen[2].at("via"), "1.1 video-resizer");
  EXPECT_EQ(seen[2].count("x"), 0u);
}

TEST_F(OpenerTest, ASlowOriginTimesOutAndTheNextOneAnswers) {
  const std::string body = Video(1000);
  Gate gate;
  ScriptedServer slow([&](Exchange& x) {
    gate.Wait();
    x.Close();
  });
  ScriptedServer good([&](Exchange& x) { Serve(x, body); });
  fetch_.first_byte_timeout = 50ms;
  Use({Http(slow.url()), Http(good.url())});
  EXPECT_TRUE(Same(Read(MustOpen(), 0, 1000), body));
  Use({Http(slow.url())});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(opened.error().reason, "ORIGIN_TIMEOUT");
  EXPECT_EQ(Fact(opened.error(), "attempts"), "http: timeout");
  EXPECT_EQ(Requests("timeout"), 2);
  fetch_.first_byte_timeout = 20s;
  Use({Http(slow.url()), Http(good.url())});
  opened = Open("/v.mp4", Context::WithTimeout(50ms));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason, "ORIGIN_TIMEOUT");
  gate.Open();
}

TEST_F(OpenerTest, ARangeThatNeverComesEndsAtTheCallersDeadline) {
  const std::string body = Video(8 * kBlock);
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    uint64_t first = 0, last = 0;
    x.Range(first, last);
    if (first > 0) gate.Wait();
    Serve(x, body);
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  auto got = RunSync(source->Ensure(Context::WithTimeout(30ms), 4 * kBlock, 1));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().reason, "ORIGIN_TIMEOUT");
  gate.Open();
  EXPECT_TRUE(Same(Read(source, 4 * kBlock, 5), body.substr(4 * kBlock, 5)));
  EXPECT_EQ(server.requests(), 2);  // the same request answered both
}

TEST_F(OpenerTest, RedirectsIntoOurOwnNetworkAreRefused) {
  ScriptedServer inner([](Exchange& x) { x.Respond("200 OK", "", "inside"); });
  ScriptedServer outer(
      [&](Exchange& x) { x.Respond("302 Found", "Location: " + inner.url("/x") + "\r\n", ""); });
  Use({Http(outer.url())});
  auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  EXPECT_EQ(Fact(opened.error(), "attempts"), "http: redirect refused");
  EXPECT_EQ(inner.requests(), 0);
  fetch_.allow_private_addresses = true;
  Use({Http(outer.url())});
  EXPECT_TRUE(Same(Read(MustOpen(), 0, 6), "inside"));
}

TEST_F(OpenerTest, ARedirectCanBeTheAnswer) {
  std::string location = "/b.mp4";
  ScriptedServer server([&](Exchange& x) {
    x.Respond("307 Temporary Redirect", "Location: " + location + "\r\n", "elsewhere");
  });
  SourceOptions source = Http(server.url("/videos"));
  source.redirects = RedirectPolicy::kPass;
  const auto ask = [&] {
    Use({source, Http(server.url("/never-asked"))});
    auto opened = Open();
    EXPECT_FALSE(opened.ok());
    return std::move(opened).error();
  };
  const Error elsewhere = ask();
  EXPECT_EQ(elsewhere.reason, kRedirectReason);
  EXPECT_EQ(elsewhere.code, Code::kNotFound);
  EXPECT_EQ(Fact(elsewhere, "status"), "307");
  EXPECT_EQ(Fact(elsewhere, "asked"), "/videos/v.mp4");
  EXPECT_EQ(Fact(elsewhere, "path"), "/b.mp4");
  EXPECT_EQ(Fact(elsewhere, "location"), "") << "our origin's address is inside, and not told";
  EXPECT_EQ(server.requests(), 1) << "it ends the search";

  location = "https://cdn.example.com/b.mp4";
  EXPECT_EQ(Fact(ask(), "location"), location);
  source.auth = {.type = AuthType::kBearer, .token = "s3cr3t"};
  location = "https://cdn.example.com/b.mp4?key=s3cr3t";
  EXPECT_TRUE(Fact(ask(), "attempts").starts_with("http: redirect refused, ")) << "a failure";
  source.auth = {.type = AuthType::kQuery, .name = "sig", .value = "an0ther"};
  EXPECT_EQ(Fact(ask(), "location"), location);
  source.query = {{"key", "s3cr3t"}, {"more", "s3c0nd"}};
  for (const char* secret : {"s3cr3t", "s3c0nd", "an0ther"}) {
    location = "https://cdn.example.com/b.mp4?key=" + std::string(secret) + "&x=y";
    EXPECT_TRUE(Fact(ask(), "attempts").starts_with("http: redirect refused, ")) << secret;
  }
}

TEST_F(OpenerTest, CredentialsGoOutAsConfigured) {
  const std::string body = Video(10);
  ScriptedServer server([&](Exchange& x) { Serve(x, body); });
  SourceOptions basic = Http(server.url("/1")), header = Http(server.url("/2")),
                query = Http(server.url("/3"));
  basic.auth = {.type = AuthType::kBasic, .user = "Aladdin", .password = "open sesame"};
  header.auth = {.type = AuthType::kHeader, .name = "X-Key", .value = "k"};
  header.headers = {{"X-More", "m"}};
  query.auth = {.type = AuthType::kQuery, .name = "to ken", .value = "a&b"};
  Use({basic});
  MustOpen();
  EXPECT_EQ(server.seen().back()["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  Use({header});
  MustOpen();
  EXPECT_EQ(server.seen().back()["x-key"], "k");
  EXPECT_EQ(server.seen().back()["x-more"], "m");
  Use({query});
  MustOpen();
  EXPECT_EQ(server.seen().back()[":target"], "/3/v.mp4?to%20ken=a%26b");
  query.query = {{"account", "7"}, {"s=g", "x+y"}};
  Use({query});
  MustOpen();
  EXPECT_EQ(server.seen().back()[":target"], "/3/v.mp4?account=7&s%3Dg=x%2By&to%20ken=a%26b");
}

TEST_F(OpenerTest, LettingGoOfASourceEndsWhatIsUnderWay) {
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nETag: \"g\"\r\nContent-Length: 1000\r\n\r\nabc");
    gate.Wait();
    x.Close();
  });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  ASSERT_TRUE(Ensure(source, 0, 3).ok());
  source.reset();
  gate.AwaitArrivals(1);
  // Its connection is gone, and so is the spool: the next open begins anew.
  source = MustOpen();
  EXPECT_EQ(server.connections(), 2);
  EXPECT_EQ(server.seen().back()["if-none-match"], "");
  gate.Open();
}

TEST_F(OpenerTest, SourcesOutliveOpenerCacheAndClient) {
  const std::string body = Video(8 * kBlock);
  ScriptedServer server([&](Exchange& x) { Serve(x, body); });
  Use({Http(server.url())});
  SourceRef source = MustOpen();
  ASSERT_TRUE(Same(Read(source, 0, kBlock), body.substr(0, kBlock)));
  opener_.reset();
  spools_.reset();
  client_.reset();
  EXPECT_TRUE(Same(Read(source, 0, 10), body.substr(0, 10)));
  source.reset();
}

TEST_F(OpenerTest, AnUnusableSpoolDirectoryIsReportedAtCreation) {
  fs::create_directories(top_);
  std::ofstream(top_ / "occupied") << "x";
  FetchOptions bad = fetch_;
  bad.spool_dir = top_ / "occupied";
  auto made = SpoolCache::Create(bad, *client_, metrics_);
  ASSERT_FALSE(made.ok());
  // What a crash left behind is swept.
  fs::create_directories(fetch_.spool_dir);
  std::ofstream(fetch_.spool_dir / "vr-spool-1-1") << "x";
  std::ofstream(fetch_.spool_dir / "someone-elses") << "x";
  ASSERT_TRUE(SpoolCache::Create(fetch_, *client_, metrics_).ok());
  EXPECT_FALSE(fs::exists(fetch_.spool_dir / "vr-spool-1-1"));
  EXPECT_TRUE(fs::exists(fetch_.spool_dir / "someone-elses"));
}

}  // namespace
}  // namespace vr::origin
