// HTTP/2 as a client sees it: a well-behaved one, a slow one, a hostile one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "http/testing/files.h"
#include "http/testing/h2_client.h"
#include "http/testing/server_kit.h"

namespace vr::http {
namespace {

using namespace testing;
using ::testing::ElementsAre;

class H2Test : public ServerTest {
 protected:
  H2Test() {
    UseTls(true);
    Client::uses_tls = false;
    handler_.now["/echo"] = [](const Request& request) {
      Response response;
      std::string text = std::string(request.method_name) + " " + std::string(request.target);
      for (const Field& field : request.fields)
        text += "\n" + std::string(field.name) + ": " + std::string(field.value);
      response.SetBody(text + "\n\n" + request.body);
      return std::optional<Response>(std::move(response));
    };
  }
  void ServeMemory(const std::string& path, size_t size) {
    auto data = std::make_shared<const std::string>(size, 'x');
    handler_.now[path] = [data](const Request&) {
      Response response;
      std::vector<Piece> pieces;
      pieces.push_back(MemoryPiece{data, 0, data->size()});
      response.body = std::move(pieces);
      return std::optional<Response>(std::move(response));
    };
  }
  /// Answers after `gate` has ended.
  void ServeGated(const std::string& path, std::shared_ptr<Growing> gate) {
    handler_.later[path] = [gate](const Request&) -> Task<Response> {
      ++gate->streams;
      for (;;) {
        const uint64_t ticket = gate->notifier.ticket();
        if (gate->ended) break;
        co_await gate->notifier.WaitChange(ticket);
      }
      Response response;
      response.SetBody("done");
      co_return response;
    };
  }
  double Refused(const std::string& reason) {
    return Metric("video_resizer_http_refused_total{reason=\"" + reason + "\"}");
  }
};

TEST_F(H2Test, AnswersManyRequestsOnOneConnection) {
  Start();
  H2Client client(server_->address());
  ASSERT_TRUE(client.is_up());
  std::vector<int32_t> ids;
  for (int i = 0; i < 90; ++i)
    ids.push_back(client.Ask(i % 3 == 0 ? "/later" : "/hello?" + std::to_string(i)));
  for (int i = 0; i < 90; ++i) {
    const auto& answer = client.Get(ids[i]);
    ASSERT_EQ(answer.status, 200);
    ASSERT_TRUE(answer.is_complete);
    ASSERT_EQ(answer.body, i % 3 == 0 ? "later" : "hello " + std::to_string(i));
    ASSERT_TRUE(answer.fields.contains("date"));
    ASSERT_EQ(answer.fields.at("content-length"), std::to_string(answer.body.size()));
  }
  EXPECT_EQ(client.max_streams(), 100u);
  EXPECT_EQ(server_->connections(), 1u);
  const auto ends = handler_.WaitEnds(90);
  EXPECT_TRUE(ends[0].sent.complete);
  EXPECT_EQ(ends[0].sent.error, "");
}

TEST_F(H2Test, ARequestIsWhatItWouldBeInHttp11) {
  Start();
  H2Client client(server_->address());
  const std::string body = "some body";
  const auto id = client.Ask("/echo?a=%20b&c",
                             {{"cookie", "a=1"},
                              {"x-many", "1"},
                              {"cookie", "b=2"},
                              {"x-many", "2"},
                              {"te", "trailers"},
                              {"content-length", "9"}},
                             "POST", &body, "host.example:1");
  EXPECT_EQ(client.Get(id).body,
            "POST /echo?a=%20b&c\nhost: host.example:1\nx-many: 1\nx-many: 2\nte: trailers\n"
            "cookie: a=1; b=2\ncontent-length: 9\n\nsome body");
  // RFC 9113 §8.3.1: Host instead of :authority.
  EXPECT_THAT(client.Get(client.Ask("/echo", {{"host", "b"}}, "GET", nullptr, "")).body,
              ::testing::HasSubstr("host: b"));
}

TEST_F(H2Test, NamesAreLowerCaseAndFieldsOfAConnectionStayBehind) {
  handler_.now["/fields"] = [](const Request&) {
    Response response;
    response.fields =
        "X-Big: Case\r\nConnection: close\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n"
        "Upgrade: x\r\nContent-Length: 77\r\n";
    response.shared_fields = std::make_shared<const std::string>("ETag: \"a\"\r\n");
    response.SetBody("abc");
    response.close = true;
    return std::optional<Response>(std::move(response));
  };
  Start();
  H2Client client(server_->address());
  auto fields = client.Get(client.Ask("/fields")).fields;
  fields.erase("date");
  EXPECT_THAT(fields, ElementsAre(std::pair("content-length", "3"), std::pair("etag", "\"a\""),
                                  std::pair("x-big", "Case")));
}

TEST_F(H2Test, HeadAnd304HaveNoBody) {
  handler_.now["/same"] = [](const Request&) {
    Response response;
    response.status = 304;
    response.SetBody("not to be sent");
    return std::optional<Response>(std::move(response));
  };
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto& head = client.Get(client.Ask("/hello?x", {}, "HEAD"));
  EXPECT_EQ(head.fields.at("content-length"), "7");
  EXPECT_EQ(head.body, "");
  EXPECT_TRUE(head.is_complete);
  const auto& same = client.Get(client.Ask("/same"));
  EXPECT_EQ(same.status, 304);
  EXPECT_FALSE(same.fields.contains("content-length"));
  EXPECT_EQ(same.body, "");
  const auto& stream = client.Get(client.Ask("/stream", {}, "HEAD"));
  EXPECT_TRUE(stream.is_complete);
  WaitFor([&] { return growing->streams == 0; });
}

TEST_F(H2Test, SendsALargeFileAndItsRanges) {
  const std::string bytes = Noise(9'000'001);
  handler_.now["/file"] = ServesFile(bytes);
  Start();
  H2Client client(server_->address());
  const auto whole = client.Ask("/file");
  const auto part = client.Ask("/file", {{"range", "bytes=1000000-5999999"}});
  const auto parts = client.Ask("/file", {{"range", "bytes=0-1,4000000-6999999"}});
  EXPECT_TRUE(client.Get(whole).body == bytes);
  EXPECT_EQ(client.Get(part).status, 206);
  EXPECT_EQ(client.Get(part).fields.at("content-range"), "bytes 1000000-5999999/9000001");
  EXPECT_TRUE(client.Get(part).body == bytes.substr(1000000, 5000000));
  EXPECT_NE(client.Get(parts).body.find(bytes.substr(4000000, 3000000)), std::string::npos);
  EXPECT_EQ(client.Get(client.Ask("/file", {{"range", "bytes=9000001-"}})).status, 416);
  EXPECT_EQ(client.Get(client.Ask("/file", {{"if-none-match", "\"e\""}})).status, 304);
}

TEST_F(H2Test, StreamsAGrowingFile) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto id = client.Ask("/stream");
  auto& answer = client.at(id);
  EXPECT_TRUE(client.RunUntil([&] { return answer.status == 200; }));  // before the first byte
  EXPECT_FALSE(answer.fields.contains("content-length"));
  growing->Append("first");
  EXPECT_TRUE(client.RunUntil([&] { return answer.body == "first"; }));  // at once
  const std::string large(3'000'000, 'z');
  growing->Append(large);
  EXPECT_TRUE(client.RunUntil([&] { return answer.body.size() == 3'000'005; }));
  EXPECT_FALSE(answer.is_closed);
  growing->End(true);
  EXPECT_TRUE(client.Get(id).is_complete);
  EXPECT_TRUE(answer.body == "first" + large);
  WaitFor([&] { return growing->streams == 0; });
  const auto ends = handler_.WaitEnds(1);
  EXPECT_TRUE(ends[0].sent.complete);
  EXPECT_EQ(ends[0].sent.body_bytes, 3'000'005u);
}

TEST_F(H2Test, AnEmptyStreamAndOneOfKnownLength) {
  auto growing = std::make_shared<Growing>();
  growing->End(true);
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto& empty = client.Get(client.Ask("/stream"));
  EXPECT_TRUE(empty.is_complete);
  EXPECT_EQ(empty.body, "");
  auto known = std::make_shared<Growing>();
  known->Append("abcdef");
  known->End(true);
  ServeStream(known, 6);
  const auto& answer = client.Get(client.Ask("/stream"));
  EXPECT_EQ(answer.fields.at("content-length"), "6");
  EXPECT_EQ(answer.body, "abcdef");
}

TEST_F(H2Test, AStreamThatFailsIsResetAndTheConnectionGoesOn) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto id = client.Ask("/stream");
  growing->Append("some");
  EXPECT_TRUE(client.RunUntil([&] { return client.at(id).body == "some"; }));
  growing->End(false);
  const auto& answer = client.Get(id);
  EXPECT_TRUE(answer.is_closed);
  EXPECT_FALSE(answer.is_complete);
  EXPECT_EQ(answer.error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  EXPECT_EQ(client.Get(client.Ask("/hello")).body, "hello ");
  const auto ends = handler_.WaitEnds(2);
  EXPECT_EQ(ends[0].sent.error, "body_failed");
  EXPECT_FALSE(ends[0].sent.complete);
}

TEST_F(H2Test, WrongLengthsAndShortFilesAreReset) {
  handler_.now["/short"] = ServesShortFile();
  Start();
  H2Client client(server_->address());
  for (const uint64_t announced : {5u, 7u}) {
    auto growing = std::make_shared<Growing>();
    growing->Append("abcdef");
    growing->End(true);
    ServeStream(growing, announced);
    EXPECT_FALSE(client.Get(client.Ask("/stream")).is_complete) << announced;
  }
  EXPECT_FALSE(client.Get(client.Ask("/short")).is_complete);
  const auto ends = handler_.WaitEnds(3);
  for (const auto& end : ends) EXPECT_EQ(end.sent.error, "body_failed");
}

TEST_F(H2Test, AResetStreamIsDestroyedLikeThatOfAClientThatLeft) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto id = client.Ask("/stream");
  EXPECT_TRUE(client.RunUntil([&] { return client.at(id).status == 200; }));
  WaitFor([&] { return growing->streams == 1; });
  client.Reset(id);
  WaitFor([&] { return growing->streams == 0; });
  EXPECT_EQ(handler_.WaitEnds(1)[0].sent.error, "client_gone");
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
  const auto other = client.Ask("/stream");
  EXPECT_TRUE(client.RunUntil([&] { return client.at(other).status == 200; }));
  client.Close();
  WaitFor([&] { return growing->streams == 0; });
  WaitFor([&] { return server_->connections() == 0; });
  EXPECT_EQ(handler_.WaitEnds(3)[2].sent.error, "client_gone");
}

TEST_F(H2Test, AResetDuringHandleLetsItRunToItsEnd) {
  auto gate = std::make_shared<Growing>();
  ServeGated("/gated", gate);
  Start();
  H2Client client(server_->address());
  const auto id = client.Ask("/gated");
  WaitFor([&] { return gate->streams == 1; });
  client.Reset(id);
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
  client.Close();
  EXPECT_EQ(server_->connections(), 1u);  // it counts as long as somebody works for it
  gate->End(true);
  WaitFor([&] { return server_->connections() == 0; });
  const auto ends = handler_.WaitEnds(2);
  EXPECT_EQ(ends[1].path, "/gated");
  EXPECT_EQ(ends[1].sent.error, "client_gone");
}

TEST_F(H2Test, EachReaderGoesAtItsOwnPace) {
  ServeMemory("/big", 8'000'000);
  Start();
  // 100 kB per stream, and nothing is given back by itself.
  H2Client client(server_->address(), 100'000, true);
  const auto slow = client.Ask("/big");
  const auto fast = client.Ask("/big");
  auto& answer = client.at(fast);
  while (client.RunUntil([&] { return answer.body.size() % 100'000 == 0 || answer.is_closed; }) &&
         !answer.is_closed) {
    const size_t before = answer.body.size();
    client.OpenWindow(fast, 100'000);
    ASSERT_TRUE(client.RunUntil([&] { return answer.body.size() > before || answer.is_closed; }));
  }
  EXPECT_TRUE(answer.is_complete);
  EXPECT_EQ(answer.body.size(), 8'000'000u);
  EXPECT_EQ(client.at(slow).body.size(), 100'000u);
  client.OpenWindow(slow, 100'000'000);
  EXPECT_EQ(client.Get(slow).body.size(), 8'000'000u);
}

TEST_F(H2Test, AStreamWithoutWindowIsResetAfterTheWriteTimeout) {
  options_.write_timeout = milliseconds(100);
  ServeMemory("/big", 200'000);
  Start();
  H2Client client(server_->address(), 100'000, true);
  const auto& answer = client.Get(client.Ask("/big"));
  EXPECT_FALSE(answer.is_complete);
  EXPECT_EQ(answer.error, static_cast<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_EQ(answer.body.size(), 100'000u);
  EXPECT_EQ(handler_.WaitEnds(1)[0].sent.error, "write_timeout");
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
}

TEST_F(H2Test, AClientThatStopsReadingIsCutAfterTheWriteTimeout) {
  options_.write_timeout = milliseconds(100);
  ServeMemory("/big", 64'000'000);
  Start();
  H2Client client(server_->address(), 1 << 30);
  client.Ask("/big");
  const auto ends = handler_.WaitEnds(1);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].sent.error, "write_timeout");
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_F(H2Test, RefusesWhatHttp11Refuses) {
  options_.max_head_bytes = 1000;
  options_.max_target_bytes = 300;
  options_.max_body_bytes = 100;
  Start();
  H2Client client(server_->address());
  const std::string body(101, 'b');
  const std::vector<std::pair<int32_t, int>> cases = {
      {client.Ask("/" + std::string(400, 'a')), 414},
      {client.Ask("/" + std::string(2000, 'a')), 414},
      {client.Ask("/", {{"x", std::string(2000, 'a')}}), 431},
      {client.Ask("/hello", {}, "POST", &body), 413},
      {client.Ask("/hello", {}, "GET", nullptr, "user@a"), 400},
      {client.Ask("/hello", {{"host", "other"}}), 400},
      {client.Ask("/a#b"), 400},
      {client.Ask("/hello", {{"expect", "something"}}), 417},
  };
  for (const auto& [id, status] : cases) {
    const auto& answer = client.Get(id);
    EXPECT_EQ(answer.status, status) << id;
    EXPECT_EQ(answer.body.substr(0, 17), "{\"error\":{\"code\":");
    EXPECT_TRUE(answer.fields.contains("x-request-id"));
  }
  EXPECT_EQ(handler_.WaitEnds(cases.size()).size(), cases.size());
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
}

TEST_F(H2Test, MalformedRequestsAreResetNotAnswered) {
  Start();
  H2Client client(server_->address());
  const std::string body = "abc";
  const std::vector<std::pair<std::string, std::string>> ok = {
      {":method", "GET"}, {":scheme", "https"}, {":path", "/hello"}, {":authority", "a"}};
  auto with = [&](std::string name, std::string value) {
    auto fields = ok;
    fields.emplace_back(std::move(name), std::move(value));
    return fields;
  };
  std::vector<int32_t> ids = {
      client.AskRaw({{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}}),
      client.AskRaw(with(":path", "/again")),
      client.AskRaw(with("connection", "close")),
      client.AskRaw(with("transfer-encoding", "chunked")),
      client.AskRaw(with("te", "gzip")),
      client.Ask("/hello", {}, "GET", nullptr, "a b"),
      client.AskRaw(with("x", "a\r\nInjected: b")),
      client.AskRaw(with("x y", "z")),
      client.AskRaw({{":method", "GET"},
                     {":scheme", "https"},
                     {":path", "/hello HTTP/1.1\r\nX: y"},
                     {":authority", "a"}}),
      client.AskRaw(with("content-length", "7"), &body),
  };
  for (const int32_t id : ids) {
    const auto& answer = client.Get(id);
    EXPECT_TRUE(answer.is_closed && !answer.is_complete) << id << " " << answer.status;
  }
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
  EXPECT_EQ(handler_.WaitEnds(1).size(), 1u);
}

TEST_F(H2Test, AnAnswersHeadThatNoFrameHoldsIsAReset) {
  handler_.now["/huge"] = [](const Request&) {
    Response response;
    response.Add("X-Huge", std::string(100'000, 'h'));
    return std::optional<Response>(std::move(response));
  };
  Start();
  H2Client client(server_->address());
  EXPECT_EQ(client.Get(client.Ask("/huge")).error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
}

TEST_F(H2Test, SendsContinueAndInterimAnswers) {
  handler_.later["/interim"] = [](const Request& request) -> Task<Response> {
    std::string fields = "X-Progress: 1\r\n";
    co_await request.interim->SendInterim(102, std::move(fields));
    Response response;
    response.SetBody(request.body);
    co_return response;
  };
  Start();
  H2Client client(server_->address());
  const std::string body = "hi";
  const auto& answer =
      client.Get(client.Ask("/interim", {{"expect", "100-continue"}}, "POST", &body));
  EXPECT_THAT(answer.interim, ElementsAre(100, 102));
  EXPECT_EQ(answer.body, "hi");
}

TEST_F(H2Test, TakesTheClientsRequestIdAndTellsThePeer) {
  handler_.now["/who"] = [](const Request& request) {
    Response response;
    response.SetBody(request.peer_address + " " + request.id + (request.is_tls ? " tls" : ""));
    return std::optional<Response>(std::move(response));
  };
  Start();
  H2Client client(server_->address());
  EXPECT_EQ(client.Get(client.Ask("/who", {{"x-request-id", "my-id.1"}})).body,
            "127.0.0.1 my-id.1 tls");
}

TEST_F(H2Test, TurnsAnExceptionInto500) {
  handler_.now["/throws"] = [](const Request&) -> std::optional<Response> {
    throw std::runtime_error("secret");
  };
  handler_.later["/throws-later"] = [](const Request&) -> Task<Response> {
    co_await io::SleepUntil(std::chrono::steady_clock::now());
    throw std::runtime_error("secret");
  };
  Start();
  H2Client client(server_->address());
  for (const char* path : {"/throws", "/throws-later"}) {
    const auto& answer = client.Get(client.Ask(path));
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.body, "{\"error\":{\"code\":\"INTERNAL\",\"message\":\"internal error\"}}");
  }
}

TEST_F(H2Test, ASlowBodyGets408) {
  options_.body_timeout = milliseconds(50);
  Start();
  H2Client client(server_->address());
  ASSERT_TRUE(client.RunUntil([&] { return client.max_streams() == 100; }));
  // HEADERS without END_STREAM; HPACK: POST, https, "/", authority "a".
  client.SendRaw(H2Client::Frame(1, 4, 1, std::string("\x83\x87\x84\x41\x01") + "a"));
  EXPECT_TRUE(client.RunUntil([&] { return !handler_.WaitEnds(1).empty(); }));
  EXPECT_EQ(handler_.WaitEnds(1)[0].status, 408);
}

TEST_F(H2Test, AnUnfinishedHeadEndsTheConnection) {
  options_.header_timeout = milliseconds(50);
  Start();
  H2Client client(server_->address());
  client.SendRaw(H2Client::Frame(1, 1, 1, "\x82\x87\x84"));  // no END_HEADERS
  EXPECT_FALSE(client.RunUntil([] { return false; }));
  EXPECT_TRUE(client.is_ended());
  client.Close();
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_F(H2Test, IdleConnectionsEndWithGoaway) {
  options_.idle_timeout = milliseconds(50);
  Start();
  H2Client client(server_->address());
  EXPECT_EQ(client.Get(client.Ask("/hello")).status, 200);
  EXPECT_TRUE(client.RunUntil([&] { return client.has_goaway(); }));
  EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_FALSE(client.RunUntil([] { return false; }));  // and then the connection's end
  EXPECT_TRUE(client.is_ended());
}

TEST_F(H2Test, DrainSaysGoawayAndLetsAnswersEnd) {
  auto gate = std::make_shared<Growing>();
  ServeGated("/gated", gate);
  Start();
  H2Client idle(server_->address()), busy(server_->address());
  EXPECT_EQ(idle.Get(idle.Ask("/hello")).status, 200);
  const auto id = busy.Ask("/gated");
  WaitFor([&] { return gate->streams == 1; });
  server_->Drain();
  EXPECT_FALSE(idle.RunUntil([] { return false; }));
  EXPECT_TRUE(idle.has_goaway());
  EXPECT_TRUE(busy.RunUntil([&] { return busy.has_goaway(); }));
  gate->End(true);
  EXPECT_TRUE(busy.Get(id).is_complete);
  EXPECT_FALSE(busy.RunUntil([] { return false; }));
  EXPECT_TRUE(busy.is_ended());
  idle.Close();
  busy.Close();
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_F(H2Test, CloseAllCutsStreams) {
  auto growing = std::make_shared<Growing>();
  ServeStream(growing);
  Start();
  H2Client client(server_->address());
  const auto id = client.Ask("/stream");
  growing->Append("abc");
  EXPECT_TRUE(client.RunUntil([&] { return client.at(id).body == "abc"; }));
  server_->CloseAll();
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(handler_.WaitEnds(1)[0].sent.error, "server_closing");
  EXPECT_FALSE(client.RunUntil([] { return false; }));
  EXPECT_FALSE(client.at(id).is_complete);
}

TEST_F(H2Test, MoreStreamsThanAllowedAreRefused) {
  options_.max_concurrent_streams = 3;
  auto gate = std::make_shared<Growing>();
  ServeGated("/gated", gate);
  Start();
  H2Client client(server_->address());
  ASSERT_TRUE(client.RunUntil([&] { return client.max_streams() == 3; }));
  std::vector<int32_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(client.Ask("/gated"));
  WaitFor([&] { return gate->streams == 3; });  // the client keeps the fourth back
  gate->End(true);
  for (const int32_t id : ids) EXPECT_EQ(client.Get(id).status, 200);
}

// ---- hostile ones ----

/// HEADERS of "GET https://a/hello" or another path, END_STREAM and END_HEADERS.
std::string Get(uint32_t id, std::string_view path) {
  std::string block =
      "\x82\x87\x41\x01"
      "a"
      "\x04";
  block += static_cast<char>(path.size());
  block += path;
  return H2Client::Frame(1, 5, id, block);
}

TEST_F(H2Test, RapidResetsEndTheConnection) {
  auto gate = std::make_shared<Growing>();
  ServeGated("/gated", gate);
  Start();
  H2Client client(server_->address());
  for (uint32_t i = 0; i < 5000 && !client.is_ended(); ++i) {
    client.SendRaw(Get(2 * i + 1, "/gated") +
                   H2Client::Frame(3, 0, 2 * i + 1, std::string("\0\0\0\x08", 4)));
  }
  client.RunUntil([] { return false; });
  EXPECT_TRUE(client.is_ended());
  EXPECT_EQ(Refused("h2_resets"), 1);
  EXPECT_LE(gate->streams, 450);
  // Others are served meanwhile.
  H2Client other(server_->address());
  EXPECT_EQ(other.Get(other.Ask("/hello")).status, 200);
  gate->End(true);
}

TEST_F(H2Test, WorkForResetStreamsIsBounded) {
  options_.max_concurrent_streams = 10;
  auto gate = std::make_shared<Growing>();
  ServeGated("/gated", gate);
  Start();
  H2Client client(server_->address());
  ASSERT_TRUE(client.RunUntil([&] { return client.max_streams() == 10; }));
  for (int i = 0; i < 30; ++i) {  // fewer than the budget of resets
    const auto id = client.Ask("/gated");
    const int before = gate->streams;
    // So that its handler runs before the reset arrives.
    if (i < 20) WaitFor([&] { return gate->streams > before || gate->streams > i; });
    client.Reset(id);
  }
  EXPECT_EQ(client.Get(client.Ask("/gated")).error, static_cast<uint32_t>(NGHTTP2_REFUSED_STREAM));
  EXPECT_LE(gate->streams, 20);
  EXPECT_GE(Refused("h2_streams"), 1);
  gate->End(true);
  WaitFor([&] { return client.Get(client.Ask("/hello")).status == 200; });
}

TEST_F(H2Test, FloodsOfUselessFramesEndTheConnection) {
  Start();
  const std::map<std::string, std::string> floods = {
      {"ping", H2Client::Frame(6, 0, 0, "12345678")},
      {"settings", H2Client::Frame(4, 0, 0, "")},
      {"priority", H2Client::Frame(2, 0, 3, std::string("\0\0\0\0\x10", 5))},
      {"empty data", H2Client::Frame(0, 0, 1, "")},
  };
  for (const auto& [name, frame] : floods) {
    H2Client client(server_->address());
    // A request whose body never comes.
    client.SendRaw(H2Client::Frame(1, 4, 1, std::string("\x83\x87\x84\x41\x01") + "a"));
    std::string many;
    for (int i = 0; i < 100; ++i) many += frame;
    for (int i = 0; i < 300 && !client.is_ended(); ++i) client.SendRaw(many);
    EXPECT_FALSE(client.RunUntil([] { return false; }));
    EXPECT_TRUE(client.is_ended()) << name;
  }
  EXPECT_EQ(Refused("h2_flood"), static_cast<double>(floods.size()));
}

TEST_F(H2Test, AContinuationFloodEndsTheConnection) {
  Start();
  H2Client client(server_->address());
  client.SendRaw(H2Client::Frame(1, 1, 1, "\x82\x87\x84"));
  const std::string more = H2Client::Frame(9, 0, 1, std::string("\x40\x01x\x01y"));
  for (int i = 0; i < 1000 && !client.is_ended(); ++i) client.SendRaw(more);
  EXPECT_FALSE(client.RunUntil([] { return false; }, milliseconds(5000)));
  EXPECT_TRUE(client.is_ended());
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_F(H2Test, AHeaderBombCostsNoMemoryAndGets431) {
  Start();
  H2Client client(server_->address());
  // One field of 3 KiB put into the table, then named 10,000 times by one byte.
  std::string block =
      "\x82\x87\x84\x41\x01"
      "a";
  block += "\x40\x01x\x7f\x81\x17";  // a value of 3072 bytes: 127 + 2945
  block += std::string(3072, 'v');
  block += std::string(10'000, '\xbe');
  client.SendRaw(H2Client::Frame(1, 5, 1, block));
  EXPECT_EQ(handler_.WaitEnds(1)[0].status, 431);
}

TEST_F(H2Test, BodiesOfManyStreamsAreBoundedTogether) {
  options_.max_body_bytes = 60'000;
  Start();
  H2Client client(server_->address());
  ASSERT_TRUE(client.RunUntil([&] { return client.max_streams() == 100; }));
  const std::string part(16'000, 'p');
  for (uint32_t i = 0; i < 40; ++i) {
    client.SendRaw(H2Client::Frame(1, 4, 2 * i + 1, std::string("\x83\x87\x84\x41\x01") + "a"));
    client.SendRaw(H2Client::Frame(0, 0, 2 * i + 1, part));
    client.RunUntil([] { return false; }, milliseconds(1));  // takes window updates
  }
  WaitFor([&] { return Refused("h2_streams") > 0; });
}

TEST_F(H2Test, NonsenseInsteadOfAPrefaceEndsTheConnection) {
  Start();
  Client socket(server_->address());
  TlsEnd end(socket.fd(), "h2");
  ASSERT_TRUE(end.is_up());
  end.Write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  WaitFor([&] { return server_->connections() == 0; });
}

}  // namespace
}  // namespace vr::http
