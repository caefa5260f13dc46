#include "http/writer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"

namespace vr::http {
namespace {

/// Two ends of one TCP connection: what the kernel holds back is not seen with other sockets.
struct Connected {
  Connected() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), generic, length), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &length), 0);
    client = UniqueFd(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(::connect(client.get(), generic, length), 0);
    server = UniqueFd(::accept(listener.get(), nullptr, nullptr));
  }
  /// Whether bytes are there within half the time that the kernel holds back a part packet.
  bool SomethingArrived() const {
    pollfd wanted{client.get(), POLLIN, 0};
    return ::poll(&wanted, 1, 100) == 1;
  }
  UniqueFd client, server;
};

Response Stream(std::optional<uint64_t> length) {
  Response response;
  response.body = StreamBody{nullptr, length};
  return response;
}

TEST(ResponseWriterTest, AHeadWithoutABodyLeavesAtOnce) {
  const Connected connection;
  const Response response = Stream(0);
  ResponseWriter writer;
  writer.Start(response, {});
  EXPECT_EQ(writer.Push(connection.server.get()), ResponseWriter::Progress::kDone);
  EXPECT_TRUE(connection.SomethingArrived());
  EXPECT_TRUE(writer.first_byte_time());
  EXPECT_TRUE(writer.EndStream());
}

TEST(ResponseWriterTest, AHeadLeavesWhenItsBodyIsNotThereYet) {
  for (const auto length : {std::optional<uint64_t>(), std::optional<uint64_t>(5)}) {
    const Connected connection;
    const Response response = Stream(length);
    ResponseWriter writer;
    writer.Start(response, {});
    EXPECT_EQ(writer.Push(connection.server.get()), ResponseWriter::Progress::kDone);
    writer.Uncork(connection.server.get());
    EXPECT_TRUE(connection.SomethingArrived());
  }
}

TEST(ResponseWriterTest, AnEventInMemoryLeavesWithTheEndOfItsChunk) {
  const Connected connection;
  const Response response = Stream(std::nullopt);
  ResponseWriter writer;
  writer.Start(response, {});
  EXPECT_EQ(writer.Push(connection.server.get()), ResponseWriter::Progress::kDone);
  const auto event = std::make_shared<const std::string>("data: x\n\n");
  ASSERT_TRUE(writer.AddStreamPiece(MemoryPiece{event, 0, event->size()}));
  EXPECT_EQ(writer.Push(connection.server.get()), ResponseWriter::Progress::kDone);
  ASSERT_TRUE(connection.SomethingArrived());
  char wire[1024];
  const ssize_t n = ::recv(connection.client.get(), wire, sizeof wire, 0);
  ASSERT_GT(n, 0);
  const std::string_view got(wire, static_cast<size_t>(n));
  EXPECT_TRUE(got.ends_with("\r\n\r\n9\r\ndata: x\n\n\r\n")) << got;
  EXPECT_EQ(writer.body_bytes(), 9u);
}

}  // namespace
}  // namespace vr::http
