#include "io/draining_read.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "io/task.h"

namespace vr::io {
namespace {

namespace asio = boost::asio;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

struct DrainingRead : ::testing::Test {
  /// Two ends of a connection over loopback; `ours` does not block.
  DrainingRead() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), plain, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), plain, &size), 0);
    theirs = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(theirs.get(), plain, size), 0);
    ours = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    TellWhatIsLeft(ours.get());
  }
  void Send(std::string_view text) {
    ASSERT_EQ(::send(theirs.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  void End() { ASSERT_EQ(::shutdown(theirs.get(), SHUT_WR), 0); }
  /// @return what was read and whether that was all; "end" and "nothing" for 0 and EAGAIN
  std::pair<std::string, bool> Read(size_t most) {
    std::string text(most, ' ');
    bool is_drained = false;
    const ssize_t n = ReceiveAndLook(ours.get(), asio::buffer(text), is_drained);
    if (n == 0) return {"end", is_drained};
    if (n < 0) return {errno == EAGAIN ? "nothing" : "error", is_drained};
    text.resize(static_cast<size_t>(n));
    return {text, is_drained};
  }

  UniqueFd ours, theirs;
};

using Seen = std::pair<std::string, bool>;

TEST_F(DrainingRead, TellsWhetherSomethingIsLeft) {
  Send("0123456789");
  EXPECT_EQ(Read(4), Seen("0123", false));
  EXPECT_EQ(Read(4), Seen("4567", false));
  EXPECT_EQ(Read(2), Seen("89", true)) << "a full buffer and nothing behind it";
  EXPECT_EQ(Read(4), Seen("nothing", false));
}

TEST_F(DrainingRead, TheEndOfTheStreamIsSomethingLeft) {
  Send("last");
  End();
  EXPECT_EQ(Read(100), Seen("last", false));
  EXPECT_EQ(Read(100), Seen("end", false));
}

TEST_F(DrainingRead, WithoutTheKernelsWordItIsAnyRead) {
  const int off = 0;
  ASSERT_EQ(::setsockopt(ours.get(), IPPROTO_TCP, TCP_INQ, &off, sizeof off), 0);
  Send("0123");
  EXPECT_EQ(Read(100), Seen("0123", false));
}

/// Reads until the end; before each read but the first, `between` is told how many there were.
template <class F>
std::vector<std::string> ReadAll(UniqueFd ours, F between) {
  asio::io_context context(1);
  Socket socket(context.get_executor());
  socket.assign(asio::ip::tcp::v4(), ours.Release());
  std::vector<std::string> seen;
  auto reader = [&]() -> Task<void> {
    const auto token = asio::as_tuple(kUseTask);
    std::array<char, 64> bytes;
    for (;;) {
      const DrainingBuffer space(asio::buffer(bytes));
      const auto [error, n] = co_await socket.async_read_some(space, token);
      seen.push_back(error ? error.message() : std::string(bytes.data(), n));
      if (error) co_return;
      between(seen.size());
    }
  };
  asio::co_spawn(context, reader, asio::detached);
  context.run_for(std::chrono::seconds(10));
  return seen;
}

TEST_F(DrainingRead, WhatComesAfterAReadThatTookAllIsFound) {
  Send("one");
  const auto seen = ReadAll(std::move(ours), [this](size_t reads) {
    if (reads < 50) return Send("more");
    End();
  });
  ASSERT_EQ(seen.size(), 51u);
  EXPECT_EQ(seen[0], "one");
  EXPECT_EQ(seen[49], "more");
  EXPECT_EQ(seen[50], "End of file");
}

TEST_F(DrainingRead, AnEndThatCameWithTheLastBytesIsFound) {
  Send("last");
  End();
  const auto seen = ReadAll(std::move(ours), [](size_t) {});
  EXPECT_EQ(seen, (std::vector<std::string>{"last", "End of file"}));
}

TEST_F(DrainingRead, ABrokenConnectionIsAnError) {
  const linger now{1, 0};
  ASSERT_EQ(::setsockopt(theirs.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  theirs.Reset();
  const auto seen = ReadAll(std::move(ours), [](size_t) {});
  EXPECT_EQ(seen, (std::vector<std::string>{"Connection reset by peer"}));
}

}  // namespace
}  // namespace vr::io
