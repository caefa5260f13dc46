#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "http/testing/scripted_server.h"
#include "io/testing/run_sync.h"
#include "origin/opener.h"
#include "origin/origin_table.h"

namespace vr::origin {
namespace {

namespace fs = std::filesystem;
using http::testing::Exchange;
using http::testing::ScriptedServer;
using io::testing::RunSync;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint64_t kBlock = 64 << 10;
constexpr const char* kSecret = "s3cr3t/Key";

void Refuse(Exchange& x, const std::string& status, const std::string& code,
            const std::string& fields = "") {
  x.Respond(status, "Content-Type: application/xml\r\n" + fields,
            "<Error><Code>" + code + "</Code><Message>" + kSecret + "</Message></Error>");
}

/// One object by ranges.
void Serve(Exchange& x, const std::string& body, const std::string& fields = "") {
  uint64_t first = 0, last = 0;
  if (!x.Range(first, last)) return x.Respond("200 OK", "ETag: \"v1\"\r\n" + fields, body);
  last = std::min<uint64_t>(last, body.size() - 1);
  x.Respond("206 Partial Content",
            "ETag: \"v1\"\r\n" + fields + "Content-Range: bytes " + std::to_string(first) + "-" +
                std::to_string(last) + "/" + std::to_string(body.size()) + "\r\n",
            std::string_view(body).substr(first, last - first + 1));
}

class S3OpenerTest : public ::testing::Test {
 protected:
  S3OpenerTest() {
    std::string name = (fs::temp_directory_path() / "vr-s3-XXXXXX").string();
    top_ = ::mkdtemp(name.data());
    client_ = std::move(*http::Client::Create(http::ClientOptions()));
    fetch_.spool_dir = top_ / "spool";
    fetch_.block_bytes = kBlock;
    fetch_.read_ahead_bytes = 0;
    fetch_.allow_private_addresses = true;
    for (size_t i = 0; i < body_.size(); ++i) body_[i] = static_cast<char>(i * 31 >> 8);
  }
  ~S3OpenerTest() override {
    opener_.reset();
    spools_.reset();
    client_.reset();
    fs::remove_all(top_);
  }
  static SourceOptions Bucket(const ScriptedServer& server) {
    SourceOptions source;
    source.type = SourceType::kS3;
    source.bucket = "B";
    source.place = BucketOptions{.endpoint = server.url(), .bucket = "videos"};
    source.place->access_key = "AKIDTEST";
    source.place->secret_key = kSecret;
    return source;
  }
  Result<SourceRef> Open(std::vector<SourceOptions> sources, const std::string& path = "/v.mp4") {
    OriginOptions origin;
    origin.name = "o";
    origin.matcher = ".*";
    origin.sources = std::move(sources);
    table_ = std::move(*OriginTable::Create({origin}));
    if (!spools_) spools_ = std::move(*SpoolCache::Create(fetch_, *client_, metrics_));
    opener_ = MakeOpener(fetch_, {origin}, blocking_, *client_, metrics_, spools_);
    return RunSync(opener_->Open(Context::WithTimeout(20s), *table_->Match(path)));
  }
  static std::string Attempts(const Result<SourceRef>& opened) {
    if (opened.ok()) return "opened";
    EXPECT_THAT(opened.error().ToLogString(), Not(HasSubstr(kSecret)));
    for (const auto& [name, value] : opened.error().facts) {
      EXPECT_THAT(value, Not(HasSubstr(kSecret)));
      if (name == "attempts") return value;
    }
    return "(none)";
  }
  static Result<uint64_t> Ensure(const SourceRef& source, uint64_t offset, uint64_t length) {
    return RunSync(source->Ensure(Context::WithTimeout(20s), offset, length));
  }

  fs::path top_;
  Metrics metrics_;
  io::Blocking blocking_;
  FetchOptions fetch_;
  std::unique_ptr<http::Client> client_;
  std::shared_ptr<SpoolCache> spools_;
  std::unique_ptr<const OriginTable> table_;
  std::unique_ptr<Opener> opener_;
  std::string body_ = std::string(4 * kBlock, 0);
};

TEST_F(S3OpenerTest, AnObjectIsReadByRangesEachWithItsOwnSignature) {
  ScriptedServer server([&](Exchange& x) { Serve(x, body_, "Content-Type: text/html\r\n"); });
  auto opened = Open({Bucket(server)}, "/a b/v+1.mp4");
  ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
  EXPECT_EQ((*opened)->info().type, "s3");
  EXPECT_EQ((*opened)->info().validator, "\"v1\"");
  ASSERT_TRUE(Ensure(*opened, 3 * kBlock, 100).ok());
  std::string got(100, 0);
  ASSERT_EQ(::pread((*opened)->file()->get(), got.data(), 100, 3 * kBlock), 100);
  EXPECT_EQ(got, body_.substr(3 * kBlock, 100));
  ASSERT_EQ(server.requests(), 2);
  for (auto& fields : server.seen()) {
    EXPECT_EQ(fields[":target"], "/videos/a%20b/v%2B1.mp4");
    EXPECT_EQ(fields["host"], "127.0.0.1:" + std::to_string(server.port()));
    EXPECT_THAT(fields["authorization"], StartsWith("AWS4-HMAC-SHA256 Credential=AKIDTEST/"));
    EXPECT_EQ(fields["x-amz-date"].size(), 16u);
    EXPECT_THAT(fields["range"], StartsWith("bytes="));
  }
  EXPECT_EQ(server.seen()[1]["if-range"], "\"v1\"");
}

TEST_F(S3OpenerTest, ABusyServerIsAskedAgainAndOneThatFailsIsNotAskedForAWhile) {
  int count = 0;
  ScriptedServer busy([&](Exchange& x) {
    if (++count == 1) return Refuse(x, "503 Slow Down", "SlowDown");
    Serve(x, body_);
  });
  fetch_.retry_backoff = 0ms;
  EXPECT_TRUE(Open({Bucket(busy)}).ok());
  EXPECT_EQ(busy.requests(), 2);
  EXPECT_THAT(busy.seen()[1]["via"], "1.1 video-resizer");

  ScriptedServer broken([](Exchange& x) { Refuse(x, "500 Oops", "InternalError"); });
  fetch_.breaker_failures = 2;
  EXPECT_EQ(Attempts(Open({Bucket(broken)})), "s3: 500 InternalError");
  EXPECT_EQ(Attempts(Open({Bucket(broken)})), "s3: 500 InternalError");
  EXPECT_EQ(Attempts(Open({Bucket(broken)})), "s3: circuit open");
  EXPECT_EQ(broken.requests(), 2);
}

TEST_F(S3OpenerTest, PresignedProofIsInTheQueryOnly) {
  ScriptedServer server([&](Exchange& x) { Serve(x, body_); });
  SourceOptions source = Bucket(server);
  source.place->signing = S3Signing::kPresigned;
  ASSERT_TRUE(Open({source}).ok());
  auto fields = server.seen().at(0);
  EXPECT_THAT(fields[":target"],
              StartsWith("/videos/v.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="));
  EXPECT_EQ(fields.count("authorization"), 0u);
  EXPECT_EQ(fields.count("x-amz-date"), 0u);
  source.place->signing = S3Signing::kNone;
  ASSERT_TRUE(Open({source}).ok());
  EXPECT_EQ(server.seen().back()[":target"], "/videos/v.mp4");
  EXPECT_EQ(server.seen().back().count("authorization"), 0u);
}

TEST_F(S3OpenerTest, VirtualHostsCarryTheBucket) {
  ScriptedServer server([&](Exchange& x) { Serve(x, body_); });
  SourceOptions source = Bucket(server);
  source.place->endpoint = "http://localhost:" + std::to_string(server.port());
  source.place->addressing = S3Addressing::kVirtual;
  auto opened = Open({source});
  ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
  EXPECT_EQ(server.seen().at(0)["host"], "videos.localhost:" + std::to_string(server.port()));
  EXPECT_EQ(server.seen().at(0)[":target"], "/v.mp4");
}

TEST_F(S3OpenerTest, RefusalsNameTheirCodeAndTheNextSourceIsAsked) {
  ScriptedServer missing([](Exchange& x) { Refuse(x, "404 Not Found", "NoSuchKey"); });
  ScriptedServer denied([](Exchange& x) { Refuse(x, "403 Forbidden", "AccessDenied"); });
  ScriptedServer no_bucket([](Exchange& x) { Refuse(x, "404 Not Found", "NoSuchBucket"); });
  ScriptedServer busy([](Exchange& x) { Refuse(x, "503 Slow Down", "SlowDown"); });
  ScriptedServer good([&](Exchange& x) { Serve(x, body_); });
  auto opened = Open({Bucket(missing), Bucket(denied), Bucket(no_bucket), Bucket(busy)});
  EXPECT_EQ(Attempts(opened),
            "s3: 404 NoSuchKey, s3: 403 AccessDenied, s3: 404 NoSuchBucket, s3: 503 SlowDown "
            "(3 tries)");
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  opened = Open({Bucket(missing)});
  EXPECT_EQ(Attempts(opened), "s3: 404 NoSuchKey");
  EXPECT_EQ(opened.error().code, Code::kNotFound);
  opened = Open({Bucket(no_bucket)});
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  EXPECT_TRUE(Open({Bucket(missing), Bucket(denied), Bucket(busy), Bucket(good)}).ok());
}

TEST_F(S3OpenerTest, ARefusalsBodyIsReadToALimitAndMayBreakOff) {
  ScriptedServer endless([](Exchange& x) {
    x.Send(
        "HTTP/1.1 500 Oops\r\nContent-Length: 1000000000\r\n\r\n<Error><Code>InternalError</Code>");
    const std::string more(64 << 10, 'x');
    while (x.Send(more)) {
    }
    x.Close();
  });
  EXPECT_EQ(Attempts(Open({Bucket(endless)})), "s3: 500 InternalError");
  ScriptedServer cut([](Exchange& x) {
    x.Send("HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n<Error><Code>InternalError</Code>");
    x.Close();
  });
  EXPECT_EQ(Attempts(Open({Bucket(cut)})), "s3: 500 InternalError");
  ScriptedServer page([](Exchange& x) { x.Respond("502 Bad Gateway", "", "<html>proxy</html>"); });
  EXPECT_EQ(Attempts(Open({Bucket(page)})), "s3: 502 (3 tries)");
}

TEST_F(S3OpenerTest, RedirectsAreReportedAndNeverFollowed) {
  ScriptedServer other([&](Exchange& x) { Serve(x, body_); });
  ScriptedServer server([&](Exchange& x) {
    Refuse(x, "307 Temporary Redirect", "TemporaryRedirect",
           "Location: " + other.url("/videos/v.mp4") + "\r\nx-amz-bucket-region: eu-west-1\r\n");
  });
  auto opened = Open({Bucket(server)});
  EXPECT_EQ(Attempts(opened), "s3: 307 TemporaryRedirect");
  EXPECT_THAT(opened.error().ToLogString(), HasSubstr("region eu-west-1"));
  EXPECT_EQ(other.requests(), 0);
  ScriptedServer home(
      [&](Exchange& x) { x.Respond("302 Found", "Location: /videos/other.mp4\r\n", ""); });
  EXPECT_EQ(Attempts(Open({Bucket(home)})), "s3: 302");
  EXPECT_EQ(home.requests(), 1);
}

TEST_F(S3OpenerTest, ABusyServersRangeIsAskedForAgainAndARefusedOneIsNot) {
  std::atomic<int> count{0};
  ScriptedServer busy([&](Exchange& x) {
    if (++count == 2) return Refuse(x, "503 Slow Down", "SlowDown");
    Serve(x, body_);
  });
  auto opened = Open({Bucket(busy)});
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(Ensure(*opened, 2 * kBlock, 10).ok());
  EXPECT_EQ(busy.requests(), 3);
  count = 0;
  ScriptedServer expired([&](Exchange& x) {
    if (++count > 1) return Refuse(x, "400 Bad Request", "ExpiredToken");
    Serve(x, body_);
  });
  opened = Open({Bucket(expired)});
  ASSERT_TRUE(opened.ok());
  const auto read = Ensure(*opened, 2 * kBlock, 10);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().reason, "ALL_SOURCES_FAILED");
  EXPECT_THAT(read.error().ToLogString(), HasSubstr("400 ExpiredToken"));
  EXPECT_THAT(read.error().ToLogString(), Not(HasSubstr(kSecret)));
  EXPECT_EQ(expired.requests(), 2);
}

TEST_F(S3OpenerTest, TheBucketItselfIsNoSource) {
  ScriptedServer server([&](Exchange& x) { Serve(x, body_); });
  SourceOptions source = Bucket(server);
  auto opened = Open({source}, "/");  // an empty request path
  EXPECT_EQ(opened.ok(), false);
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(S3OpenerTest, ABucketCanBeADirectory) {
  fs::create_directories(top_ / "dir");
  {
    std::FILE* f = std::fopen((top_ / "dir/v.mp4").c_str(), "w");
    std::fputs("local", f);
    std::fclose(f);
  }
  SourceOptions source;
  source.type = SourceType::kS3;
  source.bucket = "B";
  source.place = BucketOptions{.root = (top_ / "dir").string()};
  auto opened = Open({source});
  ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
  EXPECT_EQ((*opened)->info().type, "file");
  EXPECT_EQ(Attempts(Open({source}, "/w.mp4")), "file: not found");
}

}  // namespace
}  // namespace vr::origin
