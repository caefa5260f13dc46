#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "http/client.h"
#include "http/testing/scripted_server.h"
#include "io/notifier.h"
#include "io/testing/run_sync.h"

namespace vr::http {
namespace {

using io::testing::RunSync;
using testing::Exchange;
using testing::Gate;
using testing::ScriptedServer;
using namespace std::chrono_literals;

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    ClientOptions options;
    options.max_connections_per_host = 4;
    client_ = std::move(*Client::Create(options));
  }
  ClientRequest Ask(std::string url) {
    ClientRequest request;
    request.url = std::move(url);
    request.max_body_bytes = 64 << 20;
    return request;
  }
  Result<WholeResponse> Get(ClientRequest request) {
    return RunSync(client_->Fetch(Context::WithTimeout(20s), std::move(request)));
  }
  Result<WholeResponse> Get(std::string url) { return Get(Ask(std::move(url))); }

  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, SendsAPlainRequestAndKeepsTheConnection) {
  ScriptedServer server(
      [](Exchange& x) { x.Respond("200 OK", "ETag: \"a\"\r\nX-Empty:\r\n", "hello " + x.target); });
  ClientRequest request = Ask(server.url("/v/a%20b.mp4?x=1"));
  request.range = ByteRange{0, 524287};
  request.credentials = {{"Authorization", "Bearer t"}};
  auto first = Get(request);
  ASSERT_TRUE(first.ok()) << first.error().ToLogString();
  EXPECT_EQ(first->head.status, 200);
  EXPECT_EQ(first->body, "hello /v/a%20b.mp4?x=1");
  EXPECT_EQ(first->head.Get("etag"), "\"a\"");
  EXPECT_EQ(first->head.content_length, first->body.size());
  ASSERT_TRUE(Get(server.url("/again")).ok());
  EXPECT_EQ(server.connections(), 1);
  auto fields = server.seen().at(0);
  EXPECT_EQ(fields["accept-encoding"], "identity");
  EXPECT_EQ(fields["user-agent"], "video-resizer");
  EXPECT_EQ(fields["via"], "1.1 video-resizer");
  EXPECT_EQ(fields["range"], "bytes=0-524287");
  EXPECT_EQ(fields["authorization"], "Bearer t");
}

TEST_F(ClientTest, ChunkedAndInterimAnswersAreUnderstood) {
  ScriptedServer server([](Exchange& x) {
    x.Send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    x.Send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n");
  });
  auto got = Get(server.url());
  ASSERT_TRUE(got.ok()) << got.error().ToLogString();
  EXPECT_EQ(got->body, "abcde");
  EXPECT_FALSE(got->head.content_length);
  EXPECT_FALSE(got->head.Get("Link"));
  EXPECT_FALSE(got->head.Get("X-Trailer"));
}

TEST_F(ClientTest, ABodyThatBreaksOffIsAnError) {
  const std::vector<std::string> answers = {
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      "HTTP/1.1 200 OK\r\nContent-Le",
      "SSH-2.0-OpenSSH_9\r\n",
      "",
  };
  for (const std::string& answer : answers) {
    ScriptedServer server([&](Exchange& x) {
      x.Send(answer);
      x.Close();
    });
    auto got = Get(server.url());
    ASSERT_FALSE(got.ok()) << answer;
    EXPECT_EQ(got.error().code, Code::kUnavailable) << answer << got.error().ToLogString();
  }
}

TEST_F(ClientTest, FollowsRedirectsAndCountsThem) {
  ScriptedServer server([](Exchange& x) {
    if (x.target == "/loop") return x.Respond("302 Found", "Location: /loop\r\n", "again");
    if (x.target == "/a") return x.Respond("301 Moved Permanently", "Location: b?x=1\r\n", "gone");
    x.Respond("200 OK", "", x.target + x.Get("authorization"));
  });
  ClientRequest request = Ask(server.url("/a"));
  request.credentials = {{"Authorization", "secret"}};
  auto got = Get(request);
  ASSERT_TRUE(got.ok()) << got.error().ToLogString();
  EXPECT_EQ(got->body, "/b?x=1secret");
  EXPECT_EQ(got->head.redirects, 1);
  const int before = server.requests();
  auto loop = Get(server.url("/loop"));
  ASSERT_FALSE(loop.ok());
  EXPECT_EQ(loop.error().code, Code::kUnavailable);
  EXPECT_EQ(server.requests() - before, 6);
  ClientRequest raw = Ask(server.url("/a"));
  raw.max_redirects = 0;
  auto as_is = Get(raw);
  ASSERT_TRUE(as_is.ok());
  EXPECT_EQ(as_is->head.status, 301);
}

TEST_F(ClientTest, EachRedirectIsAskedAbout) {
  std::vector<std::string> asked;
  ScriptedServer server([](Exchange& x) {
    if (x.target == "/a") return x.Respond("302 Found", "Location: /b\r\n", "");
    if (x.target == "/b") return x.Respond("302 Found", "Location: /c\r\n", "");
    x.Respond("200 OK", "", x.target);
  });
  ClientRequest request = Ask(server.url("/a"));
  request.may_follow = [&](const std::string& url) {
    asked.push_back(url);
    return !url.ends_with("/c");
  };
  const auto refused = Get(request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kPermissionDenied);
  EXPECT_EQ(asked, (std::vector<std::string>{server.url("/b"), server.url("/c")}));
  EXPECT_EQ(server.requests(), 2);
  request.may_follow = [](const std::string&) { return true; };
  const auto allowed = Get(request);
  ASSERT_TRUE(allowed.ok());
  EXPECT_EQ(allowed->body, "/c");
}

TEST_F(ClientTest, ARedirectElsewhereMustNotReachOurOwnNetwork) {
  ScriptedServer inner(
      [](Exchange& x) { x.Respond("200 OK", "", "secret inside" + x.Get("authorization")); });
  // A pooled connection to the very place must not be a way round the check.
  ASSERT_TRUE(Get(inner.url()).ok());
  ASSERT_EQ(inner.requests(), 1);
  std::string location;
  ScriptedServer outer(
      [&](Exchange& x) { x.Respond("302 Found", "Location: " + location + "\r\n", ""); });
  for (std::string to : {inner.url("/x"), "http://localhost:" + std::to_string(inner.port()) + "/",
                         "http://0x7f.1:" + std::to_string(inner.port()) + "/",
                         "http://2130706433:" + std::to_string(inner.port()) + "/",
                         std::string("file:///etc/passwd"), std::string("gopher://127.0.0.1/"),
                         std::string("ftp://127.0.0.1/x")}) {
    location = to;
    auto got = Get(outer.url());
    ASSERT_FALSE(got.ok()) << to;
    EXPECT_EQ(got.error().code, Code::kPermissionDenied) << to << got.error().ToLogString();
  }
  EXPECT_EQ(inner.requests(), 1);
  location = inner.url("/x");
  ClientRequest request = Ask(outer.url());
  request.allow_private_redirects = true;
  request.credentials = {{"Authorization", "token"}};
  auto allowed = Get(request);
  ASSERT_TRUE(allowed.ok()) << allowed.error().ToLogString();
  EXPECT_EQ(allowed->body, "secret inside");  // and without the credentials
}

TEST_F(ClientTest, AUrlOfAStrangerMustNotReachOurOwnNetworkEither) {
  ScriptedServer inner([](Exchange& x) { x.Respond("200 OK", "", "secret inside"); });
  ASSERT_TRUE(Get(inner.url()).ok());  // leaves a connection in the pool
  const std::string port = std::to_string(inner.port());
  // "localhost" stands for every name whose address is only known once it was looked up: what is
  // checked is the very address that would be connected to.
  for (const std::string& url :
       {inner.url(), "http://localhost:" + port + "/", "http://0x7f.1:" + port + "/",
        "http://017700000001:" + port + "/", "http://2130706433:" + port + "/",
        "http://127.1:" + port + "/", "http://0:" + port + "/",
        "http://[::ffff:127.0.0.1]:" + port + "/", "http://[::1]:" + port + "/",
        "http://%6cocalhost:" + port + "/", "http://1.1.1.1@127.0.0.1:" + port + "/"}) {
    for (const bool redirects_allowed : {false, true}) {
      ClientRequest request = Ask(url);
      request.refuse_private_addresses = true;
      request.allow_private_redirects = redirects_allowed;
      auto got = Get(request);
      ASSERT_FALSE(got.ok()) << url;
      EXPECT_EQ(got.error().code, Code::kPermissionDenied) << url << got.error().ToLogString();
      EXPECT_EQ(got.error().public_message.find("redirect"), std::string::npos) << url;
    }
  }
  EXPECT_EQ(inner.requests(), 1);
  EXPECT_TRUE(Get(inner.url()).ok()) << "who is configured still may";
}

TEST_F(ClientTest, ALocationIsFollowedToTheWebOnlyAndWithoutItsUser) {
  std::string location;
  ScriptedServer server([&](Exchange& x) {
    if (x.target == "/a") return x.Respond("302 Found", "Location: " + location + "\r\n", "");
    x.Respond("200 OK", "", x.Get("authorization"));
  });
  const std::string host = "127.0.0.1:" + std::to_string(server.port());
  location = "http://user:password@" + host + "/b";
  auto got = Get(server.url("/a"));
  ASSERT_TRUE(got.ok()) << got.error().ToLogString();
  EXPECT_EQ(got->body, "");
  const int before = server.requests();
  for (const std::string& bad :
       {"http://" + host + "/" + std::string(9000, 'x'), "dict://" + host + "/",
        "gopher://" + host + "/_x", std::string("file:///etc/passwd"), "ftp://" + host + "/x",
        "ldap://" + host + "/x", std::string("http://"), "http:\\\\" + host + "\\x y"}) {
    location = bad;
    auto refused = Get(server.url("/a"));
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(refused.error().code, Code::kPermissionDenied)
        << bad << refused.error().ToLogString();
  }
  EXPECT_EQ(server.requests() - before, 8);
}

TEST_F(ClientTest, NoProxyOfTheEnvironmentIsUsed) {
  ScriptedServer proxy([](Exchange& x) { x.Respond("200 OK", "", "by proxy"); });
  ScriptedServer server([](Exchange& x) { x.Respond("200 OK", "", "directly"); });
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"}) {
    ::setenv(name, proxy.url("").c_str(), 1);
  }
  auto got = Get(server.url("/x"));
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"}) {
    ::unsetenv(name);
  }
  ASSERT_TRUE(got.ok()) << got.error().ToLogString();
  EXPECT_EQ(got->body, "directly");
  EXPECT_EQ(proxy.requests(), 0);
}

TEST_F(ClientTest, EachTimeoutEndsTheTransfer) {
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    if (x.target == "/head") {
      x.Send("HTTP/1.1 200 OK\r\n");
      gate.Wait();
    } else {
      x.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
      gate.Wait();
    }
    x.Close();
  });
  ClientRequest head = Ask(server.url("/head"));
  head.first_byte_timeout = 30ms;
  auto got = Get(head);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(got.error().detail, "first byte timeout");
  ClientRequest idle = Ask(server.url("/body"));
  idle.idle_timeout = 30ms;
  got = Get(idle);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().detail, "idle timeout");
  ClientRequest total = Ask(server.url("/body"));
  total.total_timeout = 30ms;
  got = Get(total);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().detail, "total timeout");
  Context soon = Context::WithTimeout(30ms);
  got = RunSync(client_->Fetch(soon, Ask(server.url("/body"))));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kDeadlineExceeded);
  gate.Open();
}

TEST_F(ClientTest, RefusedConnectionsAndBadUrlsAreErrors) {
  int port = 0;
  {
    ScriptedServer gone([](Exchange&) {});
    port = gone.port();
  }
  auto got = Get("http://127.0.0.1:" + std::to_string(port) + "/");
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  for (const char* url : {"", "nonsense", "file:///etc/passwd", "http://", "http://a b/"}) {
    auto bad = Get(std::string(url));
    ASSERT_FALSE(bad.ok()) << url;
    EXPECT_EQ(bad.error().code, Code::kInvalidArgument) << url;
  }
  ScriptedServer server([](Exchange& x) { x.Respond("200 OK", "", ""); });
  ClientRequest request = Ask(server.url());
  request.fields = {{"X-A", "b\r\nX-Injected: 1"}};
  auto injected = Get(request);
  ASSERT_FALSE(injected.ok());
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(ClientTest, TooLongABodyIsCutOff) {
  ScriptedServer server([](Exchange& x) { x.Respond("200 OK", "", std::string(1 << 20, 'x')); });
  ClientRequest request = Ask(server.url());
  request.max_body_bytes = 1000;
  auto got = Get(request);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::kResourceExhausted);
}

TEST_F(ClientTest, WritesABodyIntoAFileAtItsOffset) {
  const std::string body(300'000, 'q');
  ScriptedServer server([&](Exchange& x) { x.Respond("200 OK", "", body); });
  auto file = std::make_shared<UniqueFd>(::memfd_create("body", MFD_CLOEXEC));
  auto got =
      RunSync(client_->FetchToFile(Context::WithTimeout(20s), Ask(server.url()), file, 1000));
  ASSERT_TRUE(got.ok()) << got.error().ToLogString();
  std::string read(body.size() + 1, 0);
  EXPECT_EQ(::pread(file->get(), read.data(), read.size(), 1000),
            static_cast<ssize_t>(body.size()));
  read.pop_back();
  EXPECT_EQ(read, body);
}

/// Pauses after every piece until told to go on; counts.
class LaggingSink final : public BodySink {
 public:
  Result<void> OnHead(const ResponseHead&) override { return {}; }
  Result<Flow> OnData(std::string_view bytes) override {
    taken += bytes.size();
    ++pieces;
    pieces.notify_all();
    return Flow::kPause;
  }
  void OnDone(Result<void> result) override { done.Set(std::move(result)); }
  std::atomic<uint64_t> taken{0};
  std::atomic<int> pieces{0};
  io::OneShot<Result<void>> done;
};

TEST_F(ClientTest, APausedTransferTakesNothingAndDoesNotTimeOut) {
  const std::string body(8 << 20, 'p');
  std::atomic<bool> sent{false};
  ScriptedServer server([&](Exchange& x) {
    x.Respond("200 OK", "", body);
    sent = true;
  });
  auto sink = std::make_shared<LaggingSink>();
  ClientRequest request = Ask(server.url());
  request.idle_timeout = 20ms;
  request.total_timeout = 5s;
  auto transfer = client_->Prepare(request, sink);
  transfer->Start();
  sink->pieces.wait(0);
  // Other requests with longer waits go by meanwhile: a timer that counted the pause would have
  // fired.
  Gate gate;
  ScriptedServer other([&](Exchange& x) {
    gate.Wait();
    x.Respond("200 OK", "", "");
  });
  ClientRequest slow = Ask(other.url());
  slow.first_byte_timeout = 100ms;
  auto late = Get(slow);
  EXPECT_FALSE(late.ok());
  gate.Open();
  EXPECT_EQ(sink->pieces, 1);
  EXPECT_LT(sink->taken, body.size());
  for (int seen = 1; sink->taken < body.size(); seen = sink->pieces) {
    transfer->Resume();
    sink->pieces.wait(seen);
  }
  transfer->Resume();
  auto done = RunSync(sink->done.Wait());
  ASSERT_TRUE(done && done->ok()) << (done ? done->error().ToLogString() : "");
  EXPECT_EQ(sink->taken, body.size());
}

TEST_F(ClientTest, CancelEndsATransferAndOnlyThatOne) {
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    x.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    gate.Wait();
    x.Send("def");
  });
  auto first = std::make_shared<LaggingSink>(), second = std::make_shared<LaggingSink>();
  auto a = client_->Prepare(Ask(server.url()), first),
       b = client_->Prepare(Ask(server.url()), second);
  a->Start();
  b->Start();
  gate.AwaitArrivals(2);
  a->Cancel();
  a->Cancel();
  auto done = RunSync(first->done.Wait());
  ASSERT_TRUE(done && !done->ok());
  EXPECT_EQ(done->error().code, Code::kCancelled);
  gate.Open();
  second->pieces.wait(0);
  b->Resume();
  done = RunSync(second->done.Wait());
  ASSERT_TRUE(done && done->ok());
}

TEST_F(ClientTest, NoMoreConnectionsPerHostThanAllowed) {
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    gate.Wait();
    x.Respond("200 OK", "", "x");
  });
  std::vector<std::shared_ptr<LaggingSink>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks.push_back(std::make_shared<LaggingSink>());
    client_->Prepare(Ask(server.url()), sinks.back())->Start();
  }
  gate.AwaitArrivals(4);
  EXPECT_EQ(server.connections(), 4);
  gate.Open();
  for (auto& sink : sinks) {
    sink->pieces.wait(0);
  }
  EXPECT_EQ(server.requests(), 12);
  EXPECT_EQ(server.connections(), 4);
}

TEST_F(ClientTest, WhatRunsIsCancelledWhenTheClientGoes) {
  Gate gate;
  ScriptedServer server([&](Exchange& x) {
    gate.Wait();
    x.Close();
  });
  auto sink = std::make_shared<LaggingSink>(), after = std::make_shared<LaggingSink>();
  auto transfer = client_->Prepare(Ask(server.url()), sink),
       late = client_->Prepare(Ask(server.url()), after);
  transfer->Start();
  gate.AwaitArrivals(1);
  client_.reset();
  auto done = RunSync(sink->done.Wait());
  ASSERT_TRUE(done && !done->ok());
  EXPECT_EQ(done->error().code, Code::kCancelled);
  late->Start();
  done = RunSync(after->done.Wait());
  ASSERT_TRUE(done && !done->ok());
  EXPECT_EQ(done->error().code, Code::kCancelled);
  gate.Open();
}

}  // namespace
}  // namespace vr::http
