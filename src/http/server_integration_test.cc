// The server as a client sees it: real loops, real sockets on port 0, raw bytes.
// Everything is said twice: to the plain server and to one that speaks TLS.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "http/testing/files.h"
#include "http/testing/server_kit.h"

namespace vr::http {
namespace {

using namespace testing;

class PlainAndTls : public ServerTest, public ::testing::WithParamInterface<bool> {
 protected:
  PlainAndTls() { UseTls(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Server, PlainAndTls, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Tls" : "Plain"; });

std::string Chunked(std::string_view wire) {
  std::string body;
  for (;;) {
    const size_t line = wire.find("\r\n");
    if (line == std::string_view::npos) return "no chunk line";
    const size_t size = std::stoul(std::string(wire.substr(0, line)), nullptr, 16);
    wire.remove_prefix(line + 2);
    if (size == 0) return wire == "\r\n" ? body : "bad end";
    if (wire.size() < size + 2 || wire.substr(size, 2) != "\r\n") return "short chunk";
    body += wire.substr(0, size);
    wire.remove_prefix(size + 2);
  }
}

TEST_P(PlainAndTls, AnswersOnAConnectionThatStaysOpen) {
  Start();
  Client client(server_->address());
  for (int i = 0; i < 200; ++i) {
    const auto answer = client.Ask("/hello?" + std::to_string(i));
    ASSERT_EQ(answer.status, 200);
    ASSERT_EQ(answer.body, "hello " + std::to_string(i));
    ASSERT_NE(answer.head.find("\r\nDate: "), std::string::npos);
    ASSERT_EQ(answer.head.find("Connection:"), std::string::npos);
  }
  const auto ends = handler_.WaitEnds(200);
  EXPECT_EQ(ends.size(), 200u);
  EXPECT_TRUE(ends[0].sent.complete);
  EXPECT_EQ(ends[0].sent.body_bytes, 7u);
  EXPECT_EQ(server_->connections(), 1u);
  EXPECT_EQ(Metric("video_resizer_http_connections"), 1);
}

TEST_P(PlainAndTls, AnswersPipelinedRequestsInOrder) {
  Start();
  Client client(server_->address());
  std::string wire;
  for (int i = 0; i < 500; ++i) {
    wire += "GET " + std::string(i % 3 == 0 ? "/later" : "/hello?" + std::to_string(i)) +
            " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  client.Send(wire);
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(client.ReadAnswer().body, i % 3 == 0 ? "later" : "hello " + std::to_string(i)) << i;
  }
}

TEST_P(PlainAndTls, TakesARequestByteByByte) {
  Start();
  Client client(server_->address());
  for (char c : std::string("POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                            "chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")) {
    ASSERT_TRUE(client.Send(std::string(1, c)));
  }
  EXPECT_EQ(client.ReadAnswer().body, "hello hi");
}

TEST_P(PlainAndTls, SendsContinueWhenAsked) {
  Start();
  Client client(server_->address());
  client.Send(
      "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  EXPECT_EQ(client.ReadAnswer().body, "hello hi");
}

TEST_P(PlainAndTls, KeepsAnHttp10ConnectionOnlyWhenAsked) {
  Start();
  Client keeps(server_->address());
  keeps.Send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(keeps.ReadAnswer().Has("Connection: keep-alive"));
  EXPECT_EQ(keeps.Ask("/hello").status, 200);
  Client closes(server_->address());
  closes.Send("GET /hello HTTP/1.0\r\n\r\n");
  std::string all;
  EXPECT_EQ(closes.ReadAll(all), Client::End::kClosed);
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
}

TEST_P(PlainAndTls, ClosesWhenTheClientSaysClose) {
  Start();
  Client client(server_->address());
  client.Send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  std::string all;
  EXPECT_EQ(client.ReadAll(all), Client::End::kClosed);
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_P(PlainAndTls, RefusesInJsonAndCloses) {
  options_.max_head_bytes = 1000;
  options_.max_target_bytes = 300;
  options_.max_body_bytes = 100;
  Start();
  const std::map<std::string, int> cases = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET /" + std::string(2000, 'a') + " HTTP/1.1\r\n\r\n", 414},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(2000, 'a'), 431},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n" + std::string(101, 'b'), 413},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
  };
  size_t n = 0;
  for (const auto& [wire, status] : cases) {
    Client client(server_->address());
    client.Send(wire);
    std::string all;
    EXPECT_EQ(client.ReadAll(all), Client::End::kClosed) << status;
    EXPECT_EQ(all.substr(0, 13), "HTTP/1.1 " + std::to_string(status) + " ") << all;
    EXPECT_NE(all.find("{\"error\":{\"code\":\""), std::string::npos);
    EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
    EXPECT_EQ(handler_.WaitEnds(++n).back().status, status);
  }
  EXPECT_EQ(Metric("video_resizer_http_refused_total{reason=\"headers_too_large\"}"), 1);
}

TEST_P(PlainAndTls, TheRefusalArrivesAlthoughTheClientIsStillSending) {
  Start();
  Client client(server_->address());
  // More than is ever read: closing with unread bytes would reset the connection and lose the
  // answer.
  client.Send("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" +
              std::string(500000, 'x'));
  EXPECT_EQ(client.ReadAnswer().status, 413);
}

TEST_P(PlainAndTls, GivesUpOnASlowHead) {
  options_.header_timeout = milliseconds(50);
  Start();
  Client client(server_->address());
  client.Send("GET /hello HT");
  std::string all;
  EXPECT_EQ(client.ReadAll(all), Client::End::kClosed);
  EXPECT_EQ(all.substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(handler_.WaitEnds(1)[0].status, 408);
}

TEST_P(PlainAndTls, ADripOfBytesDoesNotExtendTheHeaderTimeout) {
  options_.header_timeout = milliseconds(100);
  Start();
  Client client(server_->address());
  std::string all;
  for (int i = 0; i < 2000 && client.ReadSome(all, milliseconds(5)) == Client::End::kTimeout; ++i)
    client.Send("G");
  EXPECT_EQ(all.substr(0, 12), "HTTP/1.1 408");
}

TEST_P(PlainAndTls, GivesUpOnASlowBody) {
  options_.body_timeout = milliseconds(50);
  Start();
  Client client(server_->address());
  client.Send("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_EQ(client.ReadAnswer().status, 408);
}

TEST_P(PlainAndTls, ClosesIdleConnectionsSilently) {
  options_.idle_timeout = milliseconds(50);
  Start();
  Client client(server_->address());
  EXPECT_EQ(client.Ask("/hello").status, 200);
  std::string all;
  EXPECT_EQ(client.ReadAll(all), Client::End::kClosed);
  EXPECT_EQ(all, "");
  EXPECT_EQ(handler_.WaitEnds(1).size(), 1u);
}

TEST_P(PlainAndTls, AClientThatSentItsLastRequestIsAnsweredAndLetGo) {
  if (GetParam()) GTEST_SKIP() << "TLS says goodbye in a record of its own";
  Start();
  for (int i = 0; i < 20; ++i) {
    Client client(server_->address());
    ASSERT_EQ(client.Ask("/hello").status, 200);
    ASSERT_TRUE(client.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    ASSERT_EQ(::shutdown(client.fd(), SHUT_WR), 0);
    std::string all;
    ASSERT_EQ(client.ReadAll(all), Client::End::kClosed);
    ASSERT_TRUE(all.starts_with("HTTP/1.1 200 OK\r\n")) << all;
  }
}

TEST_P(PlainAndTls, HeadHasTheSameHeadAndNoBody) {
  Start();
  Client client(server_->address());
  const auto head = client.Ask("/hello?x", "X-Request-ID: same\r\n", "HEAD");
  const auto get = client.Ask("/hello?x", "X-Request-ID: same\r\n");
  EXPECT_TRUE(head.Has("Content-Length: 7"));
  const auto without_date = [](std::string text) { return text.erase(text.find("Date: "), 37); };
  EXPECT_EQ(without_date(head.head), without_date(get.head));
  EXPECT_EQ(get.body, "hello x");
}

TEST_P(PlainAndTls, A304HasNoBodyAndNoLength) {
  handler_.now["/same"] = [](const Request&) {
    Response response;
    response.status = 304;
    response.Add("ETag", "\"a\"");
    return std::optional<Response>(std::move(response));
  };
  Start();
  Client client(server_->address());
  const auto answer = client.Ask("/same");
  EXPECT_EQ(answer.status, 304);
  EXPECT_EQ(answer.head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(answer.head.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(client.Ask("/hello").body, "hello ");
}

TEST_P(PlainAndTls, TakesTheClientsRequestIdWhenItIsSane) {
  Start();
  Client client(server_->address());
  EXPECT_TRUE(client.Ask("/hello", "X-Request-ID: my-id.1\r\n").Has("X-Request-ID: my-id.1"));
  EXPECT_FALSE(client.Ask("/hello", "X-Request-ID: a b\r\n").Has("X-Request-ID: a b"));
}

TEST_P(PlainAndTls, SendsALargeFileIntact) {
  const std::string bytes = Noise(9'000'001);
  handler_.now["/file"] = ServesFile(bytes);
  Start();
  Client client(server_->address());
  EXPECT_TRUE(client.Ask("/file").body == bytes);
  const auto part = client.Ask("/file", "Range: bytes=1000000-5999999\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_TRUE(part.Has("Content-Range: bytes 1000000-5999999/9000001"));
  EXPECT_TRUE(part.body == bytes.substr(1000000, 5000000));
  const auto parts = client.Ask("/file", "Range: bytes=0-1,4000000-6999999\r\n");
  EXPECT_EQ(parts.status, 206);
  EXPECT_NE(parts.body.find(bytes.substr(4000000, 3000000)), std::string::npos);
  EXPECT_EQ(client.Ask("/file", "Range: bytes=9000001-\r\n").status, 416);
  EXPECT_EQ(client.Ask("/file", "If-None-Match: \"e\"\r\n").status, 304);
}

TEST_P(PlainAndTls, AFileShorterThanAnnouncedEndsInAReset) {
  handler_.now["/short"] = ServesShortFile();
  Start();
  Client client(server_->address());
  client.Send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string all;
  EXPECT_EQ(client.ReadAll(all), Client::End::kReset);
  const auto ends = handler_.WaitEnds(1);
  EXPECT_FALSE(ends[0].sent.complete);
  EXPECT_EQ(ends[0].sent.error, "body_failed");
  EXPECT_EQ(ends[0].sent.body_bytes, 10u);
}

TEST_P(PlainAndTls, StreamsAGrowingFileInChunks) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  Client client(server_->address());
  client.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");  // before any byte of the body is there
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  growing->Append("first");
  EXPECT_EQ(client.ReadUntil("first"), "5\r\nfirst");  // at once, not at the end
  const std::string large(3'000'000, 'z');
  growing->Append(large);
  growing->End(true);
  const std::string rest = client.ReadUntil("\r\n0\r\n\r\n");
  EXPECT_TRUE(Chunked("5\r\nfirst" + rest) == "first" + large);
  EXPECT_EQ(client.Ask("/hello").body, "hello ");  // the connection goes on
  WaitFor([&] { return growing->streams == 0; });
  const auto ends = handler_.WaitEnds(2);
  EXPECT_TRUE(ends[0].sent.complete);
  EXPECT_EQ(ends[0].sent.body_bytes, 3'000'005u);
}

/// Texts one by one, each when it is asked for; a file in between where the text is empty.
class TextStream final : public BodyStream {
 public:
  TextStream(std::vector<std::string> texts, SharedFd file)
      : texts_(std::move(texts)), file_(std::move(file)) {}
  Task<Result<std::optional<Piece>>> Next(Context) override {
    if (next_ == texts_.size()) co_return std::optional<Piece>();
    const std::string& text = texts_[next_++];
    std::optional<Piece> piece;
    if (text.empty()) {
      piece = FilePiece{file_, 0, 5};
    } else {
      piece = MemoryPiece{std::make_shared<const std::string>("<" + text + ">"), 1, text.size()};
    }
    co_return piece;
  }

 private:
  const std::vector<std::string> texts_;
  const SharedFd file_;
  size_t next_ = 0;
};

TEST_P(PlainAndTls, StreamsPiecesOfMemoryAndFilesInAnyOrder) {
  auto growing = std::make_shared<Growing>();
  growing->Append("file!");
  handler_.later["/texts"] = [growing](const Request& request) -> Task<Response> {
    std::vector<std::string> texts{"one", "", "", "two", "three", ""};
    Response response;
    StreamBody body;
    body.stream = std::make_shared<TextStream>(std::move(texts), growing->file);
    if (request.query == "length") body.length = 26;
    response.body = std::move(body);
    co_return response;
  };
  Start();
  Client client(server_->address());
  client.Send("GET /texts HTTP/1.1\r\nHost: a\r\n\r\n");
  client.ReadUntil("\r\n\r\n");
  EXPECT_EQ(Chunked(client.ReadUntil("0\r\n\r\n")), "onefile!file!twothreefile!");
  EXPECT_EQ(client.Ask("/texts?length").body, "onefile!file!twothreefile!");
}

TEST_P(PlainAndTls, AnEmptyStreamIsAnEmptyBody) {
  auto growing = std::make_shared<Growing>();
  growing->End(true);
  ServeStream(growing);
  Start();
  Client client(server_->address());
  client.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  client.ReadUntil("\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "0\r\n\r\n");
}

TEST_P(PlainAndTls, HeadOfAStreamEndsAtOnce) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  Client client(server_->address());
  EXPECT_TRUE(client.Ask("/stream", "", "HEAD").Has("Transfer-Encoding: chunked"));
  EXPECT_EQ(client.Ask("/hello").body, "hello ");
  WaitFor([&] { return growing->streams == 0; });
}

TEST_P(PlainAndTls, StreamsToHttp10UntilClose) {
  auto growing = std::make_shared<Growing>();
  growing->Append("abc");
  growing->End(true);
  ServeStream(growing);
  Start();
  Client client(server_->address());
  client.Send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  std::string all;
  EXPECT_EQ(client.ReadAll(all), Client::End::kClosed);
  EXPECT_EQ(all.substr(all.find("\r\n\r\n")), "\r\n\r\nabc");
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(all.find("chunked"), std::string::npos);
}

TEST_P(PlainAndTls, StreamsWithALengthWhenItIsKnown) {
  auto growing = std::make_shared<Growing>();
  growing->Append("abcdef");
  growing->End(true);
  ServeStream(growing, 6);
  Start();
  Client client(server_->address());
  const auto answer = client.Ask("/stream");
  EXPECT_TRUE(answer.Has("Content-Length: 6"));
  EXPECT_EQ(answer.body, "abcdef");
  EXPECT_EQ(client.Ask("/hello").status, 200);
}

TEST_P(PlainAndTls, AStreamThatFailsEndsInAReset) {
  for (const char* version : {"HTTP/1.1", "HTTP/1.0"}) {
    auto growing = std::make_shared<Growing>();
    ServeStream(growing);
    if (!server_) Start();
    Client client(server_->address());
    client.Send(std::string("GET /stream ") + version + "\r\nHost: a\r\n\r\n");
    growing->Append("some");
    EXPECT_NE(client.ReadUntil("some"), "");
    growing->End(false);
    std::string rest;
    EXPECT_EQ(client.ReadAll(rest), Client::End::kReset) << version;
    EXPECT_EQ(rest.find("0\r\n\r\n"), std::string::npos);
    WaitFor([&] { return growing->streams == 0; });
  }
  const auto ends = handler_.WaitEnds(2);
  EXPECT_EQ(ends[0].sent.error, "body_failed");
}

TEST_P(PlainAndTls, AStreamOfTheWrongLengthEndsInAReset) {
  for (const uint64_t announced : {5u, 7u}) {
    auto growing = std::make_shared<Growing>();
    growing->Append("abcdef");
    growing->End(true);
    ServeStream(growing, announced);
    if (!server_) Start();
    Client client(server_->address());
    client.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string all;
    EXPECT_EQ(client.ReadAll(all), Client::End::kReset) << announced;
  }
}

TEST_P(PlainAndTls, AStreamIsDestroyedSoonAfterItsClientLeft) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  for (const bool is_polite : {true, false}) {
    for (const std::string further : {"", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"}) {
      Client client(server_->address());
      client.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_NE(client.ReadUntil("\r\n\r\n"), "");
      WaitFor([&] { return growing->streams == 1; });
      client.Send(further);  // unread bytes must not hide the end
      is_polite ? client.Close() : client.Reset();
      WaitFor([&] { return growing->streams == 0; });
    }
  }
  const auto ends = handler_.WaitEnds(4);
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_EQ(ends[0].sent.error, "client_gone");
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_P(PlainAndTls, AClientThatLeavesDuringHandleNeitherStopsItNorStartsTheStream) {
  auto growing = std::make_shared<Growing>();
  auto gate = std::make_shared<Growing>();
  std::atomic<bool> has_run{false};
  handler_.later["/slow"] = [&has_run, growing, gate](const Request&) -> Task<Response> {
    const uint64_t ticket = gate->notifier.ticket();
    ++gate->streams;
    if (!gate->ended) co_await gate->notifier.WaitChange(ticket);
    has_run = true;
    Response response;
    StreamBody body;
    body.stream = std::make_shared<GrowingStream>(growing);
    response.body = std::move(body);
    co_return response;
  };
  Start();
  Client client(server_->address());
  client.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  WaitFor([&] { return gate->streams == 1; });
  client.Close();
  // The loop has seen the end once it has answered somebody else on each loop.
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Client(server_->address()).Ask("/hello").status, 200);
  gate->End(true);
  const auto ends = handler_.WaitEnds(5);
  EXPECT_TRUE(has_run);
  // In whatever order the loops tell of it: the four others were answered, this one was not.
  EXPECT_EQ(std::count_if(ends.begin(), ends.end(), [](const auto& e) { return !e.sent.complete; }),
            1);
  WaitFor([&] { return growing->streams == 0; });
}

TEST_P(PlainAndTls, AClientThatStopsReadingIsCutAfterTheWriteTimeout) {
  options_.write_timeout = milliseconds(100);
  auto data = std::make_shared<const std::string>(32 * 1024 * 1024, 'x');
  handler_.now["/big"] = [data](const Request&) {
    Response response;
    std::vector<Piece> pieces;
    pieces.push_back(MemoryPiece{data, 0, data->size()});
    response.body = std::move(pieces);
    return std::optional<Response>(std::move(response));
  };
  Start();
  Client client(server_->address(), 4096);
  client.Send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto ends = handler_.WaitEnds(1);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].sent.error, "write_timeout");
  EXPECT_LT(ends[0].sent.body_bytes, data->size());
}

TEST_P(PlainAndTls, ASlowButSteadyClientOutlivesTheWriteTimeout) {
  options_.write_timeout = milliseconds(400);
  auto data = std::make_shared<const std::string>(16 * 1024 * 1024, 'x');
  handler_.now["/big"] = [data](const Request&) {
    Response response;
    std::vector<Piece> pieces;
    pieces.push_back(MemoryPiece{data, 0, data->size()});
    response.body = std::move(pieces);
    return std::optional<Response>(std::move(response));
  };
  Start();
  Client client(server_->address(), 32768);
  client.Send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
  // 8 KiB per 20 ms. The socket becomes writable again only after 256 KiB (half of the low-water
  // mark for unsent bytes), so after 640 ms: longer than the time-out.
  const auto end = std::chrono::steady_clock::now() + milliseconds(2500);
  char buffer[8192];
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_GT(::recv(client.fd(), buffer, sizeof buffer, 0), 0) << std::strerror(errno);
    std::this_thread::sleep_for(milliseconds(20));
  }
}

TEST_P(PlainAndTls, TurnsAnExceptionInto500) {
  handler_.now["/throws"] = [](const Request&) -> std::optional<Response> {
    throw std::runtime_error("secret");
  };
  handler_.later["/throws-later"] = [](const Request&) -> Task<Response> {
    co_await io::SleepUntil(std::chrono::steady_clock::now());
    throw std::runtime_error("secret");
  };
  Start();
  for (const char* path : {"/throws", "/throws-later"}) {
    Client client(server_->address());
    const auto answer = client.Ask(path);
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.body, "{\"error\":{\"code\":\"INTERNAL\",\"message\":\"internal error\"}}");
    EXPECT_TRUE(answer.Has("Connection: close"));
  }
  EXPECT_EQ(handler_.WaitEnds(2).size(), 2u);
}

TEST_P(PlainAndTls, ClosesWhatExceedsMaxConnections) {
  options_.max_connections = 2;
  Start();
  Client one(server_->address()), two(server_->address());
  EXPECT_EQ(one.Ask("/hello").status, 200);
  EXPECT_EQ(two.Ask("/hello").status, 200);
  Client three(server_->address());
  std::string all;
  EXPECT_NE(three.ReadAll(all), Client::End::kTimeout);
  EXPECT_EQ(all, "");
  EXPECT_EQ(Metric("video_resizer_http_refused_total{reason=\"max_connections\"}"), 1);
  one.Close();
  WaitFor([&] { return server_->connections() == 1; });
  Client four(server_->address());
  EXPECT_EQ(four.Ask("/hello").status, 200);
}

TEST_P(PlainAndTls, WithoutDescriptorsItPausesInsteadOfSpinning) {
  if (GetParam())
    GTEST_SKIP() << "the accept loop is the same, and the client waits in its handshake";
  Start();
  Client before(server_->address());
  EXPECT_EQ(before.Ask("/hello").status, 200);
  Client other(
      server_->address());  // now both loops have run: what a thread opens at first is over
  EXPECT_EQ(other.Ask("/hello").status, 200);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  UniqueFd last(::dup(before.fd()));
  rlimit low = old;
  low.rlim_cur = static_cast<rlim_t>(last.get()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<UniqueFd> taken;  // gaps below
  for (UniqueFd fd(::dup(before.fd())); fd; fd = UniqueFd(::dup(before.fd()))) {
    taken.push_back(std::move(fd));
  }
  last.Reset();  // for the client's socket
  const auto start = std::chrono::steady_clock::now();
  Client client(server_->address());
  EXPECT_TRUE(client.connected());
  client.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string metric = "video_resizer_http_refused_total{reason=\"no_descriptors\"}";
  WaitFor([&] { return Metric(metric) >= 3; });
  EXPECT_GT(std::chrono::steady_clock::now() - start, milliseconds(150));  // two pauses of 100 ms
  EXPECT_EQ(before.Ask("/hello").status, 200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_P(PlainAndTls, SpreadsConnectionsOverTheLoops) {
  std::mutex mutex;
  std::map<int, int> seen;
  handler_.now["/loop"] = [&](const Request&) {
    std::lock_guard lock(mutex);
    ++seen[io::Loop::Current()->index()];
    Response response;
    response.SetBody("x");
    return std::optional<Response>(std::move(response));
  };
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(server_->address());
    EXPECT_EQ(clients.back().Ask("/loop").status, 200);
  }
  EXPECT_EQ(seen[0], 5);
  EXPECT_EQ(seen[1], 5);
}

TEST_P(PlainAndTls, DrainLetsRunningAnswersEndAndClosesTheRest) {
  auto growing = std::make_shared<Growing>();
  auto gate = std::make_shared<Growing>();
  ServeStream(growing);
  handler_.later["/gated"] = [gate](const Request&) -> Task<Response> {
    const uint64_t ticket = gate->notifier.ticket();
    ++gate->streams;
    if (!gate->ended) co_await gate->notifier.WaitChange(ticket);
    Response response;
    response.SetBody("done");
    co_return response;
  };
  Start();
  Client idle(server_->address()), streaming(server_->address()), waiting(server_->address());
  EXPECT_EQ(idle.Ask("/hello").status, 200);
  streaming.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  streaming.ReadUntil("\r\n\r\n");
  waiting.Send("GET /gated HTTP/1.1\r\nHost: a\r\n\r\n");
  WaitFor([&] { return gate->streams == 1; });

  server_->Drain();
  std::string all;
  EXPECT_EQ(idle.ReadAll(all), Client::End::kClosed);
  WaitFor([&] { return !Client(server_->address()).connected(); });
  gate->End(true);
  const auto answer = waiting.ReadAnswer();
  EXPECT_EQ(answer.body, "done");
  EXPECT_TRUE(answer.Has("Connection: close"));
  growing->Append("abc");
  growing->End(true);
  EXPECT_NE(streaming.ReadUntil("\r\n0\r\n\r\n"), "");
  EXPECT_EQ(streaming.ReadAll(all), Client::End::kClosed);
  EXPECT_EQ(waiting.ReadAll(all), Client::End::kClosed);
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_P(PlainAndTls, CloseAllCutsStreamsAndIdleConnections) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  Client idle(server_->address()), streaming(server_->address());
  EXPECT_EQ(idle.Ask("/hello").status, 200);
  streaming.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  streaming.ReadUntil("\r\n\r\n");
  server_->CloseAll();
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(growing->streams, 0);
  std::string all;
  EXPECT_EQ(streaming.ReadAll(all), Client::End::kReset);
  EXPECT_NE(idle.ReadAll(all), Client::End::kTimeout);
  const auto ends = handler_.WaitEnds(2);
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[1].sent.error, "server_closing");
}

TEST_P(PlainAndTls, ManyClientsFollowOneStream) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back(server_->address());
    clients.back().Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  WaitFor([&] { return growing->streams == 100; });
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string part = std::string(1000, static_cast<char>('a' + i % 26));
    growing->Append(part);
    expected += part;
  }
  growing->End(true);
  for (Client& client : clients) {
    client.ReadUntil("\r\n\r\n");
    ASSERT_TRUE(Chunked(client.ReadUntil("\r\n0\r\n\r\n")) == expected);
  }
}

TEST(ServerOptionsTest, AddressesThatCannotBeUsedAreErrors) {
  io::LoopPool loops(1);
  Metrics metrics;
  TestHandler handler;
  const auto code = [&](std::string listen, std::string cc = "system") {
    ServerOptions options;
    options.listen = std::move(listen);
    options.congestion_control = std::move(cc);
    auto made = Server::Create(options, handler, loops, metrics);
    return made.ok() ? Code::kInternal : made.error().code;
  };
  for (const char* listen :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", "nohost:1", "::1:80"}) {
    EXPECT_EQ(code(listen), Code::kInvalidArgument) << listen;
  }
  EXPECT_EQ(code("127.0.0.1:0", "nosuch"), Code::kInvalidArgument);
  EXPECT_EQ(code("192.0.2.1:0"), Code::kUnavailable);
}

}  // namespace
}  // namespace vr::http
