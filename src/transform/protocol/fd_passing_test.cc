#include "transform/protocol/fd_passing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace vr::transform::protocol {
namespace {

struct Pair {
  Pair() {
    auto made = MakeSocketPair();
    a = std::move(made->first);
    b = std::move(made->second);
  }
  UniqueFd a, b;
};

/// A pipe, to have descriptors whose other end tells who holds them.
std::pair<UniqueFd, UniqueFd> Pipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

TEST(FdPassing, BytesAndDescriptorsArriveTogether) {
  Pair pair;
  auto [read_end, write_end] = Pipe();
  const int fds[] = {write_end.get(), read_end.get()};
  ASSERT_TRUE(SendAll(pair.a.get(), "hello", fds).ok());
  std::string bytes = "before ";
  std::vector<UniqueFd> got;
  auto received = Receive(pair.b.get(), bytes, got);
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(*received, Received::kData);
  EXPECT_EQ(bytes, "before hello");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_NE(fcntl(got[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(write(got[0].get(), "x", 1), 1);
  char c = 0;
  ASSERT_EQ(read(read_end.get(), &c, 1), 1);
  EXPECT_EQ(c, 'x');
}

TEST(FdPassing, DescriptorsKeepTheOrderOfTheirMessages) {
  Pair pair;
  auto [r1, w1] = Pipe();
  auto [r2, w2] = Pipe();
  const int first[] = {w1.get()};
  const int second[] = {w2.get()};
  ASSERT_TRUE(SendAll(pair.a.get(), "1", first).ok());
  ASSERT_TRUE(SendAll(pair.a.get(), "-", {}).ok());
  ASSERT_TRUE(SendAll(pair.a.get(), "2", second).ok());
  std::string bytes;
  std::vector<UniqueFd> got;
  while (bytes.size() < 3) {
    auto received = Receive(pair.b.get(), bytes, got);
    ASSERT_TRUE(received.ok());
    ASSERT_EQ(*received, Received::kData);
  }
  EXPECT_EQ(bytes, "1-2");
  ASSERT_EQ(got.size(), 2u);
  ASSERT_EQ(write(got[0].get(), "a", 1), 1);
  ASSERT_EQ(write(got[1].get(), "b", 1), 1);
  char c = 0;
  ASSERT_EQ(read(r1.get(), &c, 1), 1);
  EXPECT_EQ(c, 'a');
  ASSERT_EQ(read(r2.get(), &c, 1), 1);
  EXPECT_EQ(c, 'b');
}

TEST(FdPassing, AClosedPeerIsAnEndForTheReaderAndAnErrorForTheSender) {
  Pair pair;
  pair.a.Reset();
  std::string bytes;
  std::vector<UniqueFd> fds;
  auto received = Receive(pair.b.get(), bytes, fds);
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(*received, Received::kClosed);
  EXPECT_FALSE(SendAll(pair.b.get(), "x").ok());
  EXPECT_FALSE(TrySend(pair.b.get(), "x").ok());
}

TEST(FdPassing, TryVariantsNeverWait) {
  Pair pair;
  std::string bytes;
  std::vector<UniqueFd> fds;
  auto nothing = TryReceive(pair.b.get(), bytes, fds);
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(*nothing, Received::kNothing);
  const std::string block(64 * 1024, 'x');
  size_t total = 0;
  for (;;) {
    auto sent = TrySend(pair.a.get(), block);
    ASSERT_TRUE(sent.ok());
    if (*sent == 0) break;
    total += *sent;
  }
  while (bytes.size() < total) {
    auto received = TryReceive(pair.b.get(), bytes, fds);
    ASSERT_TRUE(received.ok());
    ASSERT_EQ(*received, Received::kData);
  }
  EXPECT_EQ(bytes, std::string(total, 'x'));
}

}  // namespace
}  // namespace vr::transform::protocol
