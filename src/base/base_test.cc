#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/mutex.h"
#include "base/testing/manual_clock.h"
#include "base/text_buffer.h"
#include "base/text_scan.h"

namespace vr {
namespace {

using namespace std::chrono_literals;

// ---- hash: stored on disk, so the values are part of the format

TEST(Hash, GoldenValues) {
  EXPECT_EQ(HashOf("").ToHex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Hash64Of(""), 0x2d06800538d394c2u);
  EXPECT_EQ(HashOf("abc").ToHex(), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(Hash64Of("abc"), 0x78af5f94892f3950u);
}

TEST(Hash, HexIsTheHighPartFirstWithLeadingZeros) {
  EXPECT_EQ((Hash128{0x0123456789abcdef, 0x10}).ToHex(), "0123456789abcdef0000000000000010");
  EXPECT_TRUE(Hash128().is_zero());
  EXPECT_FALSE(HashOf("").is_zero());
  EXPECT_LT((Hash128{1, 9}), (Hash128{2, 0}));
}

TEST(Hash, PiecesGiveTheHashOfTheWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31);
  for (const size_t step : {1u, 7u, 64u, 255u, 256u, 257u, 4999u, 5000u}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += step)
      hasher.Update(std::string_view(text).substr(at, step));
    EXPECT_EQ(hasher.Finish(), HashOf(text)) << step;
    EXPECT_EQ(hasher.Finish(), HashOf(text)) << "Finish() does not end it";
  }
  EXPECT_EQ(Hasher().Finish(), HashOf(""));
  EXPECT_NE(HashOf(text), HashOf(text + "x"));
}

// ---- file descriptors

bool IsOpen(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

int OpenNull() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(fd, 0);
  return fd;
}

TEST(UniqueFd, ClosesOnceAtItsEnd) {
  const int raw = OpenNull();
  {
    const UniqueFd fd(raw);
    EXPECT_TRUE(fd);
    EXPECT_EQ(fd.get(), raw);
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFd, MovesItsDescriptor) {
  const int raw = OpenNull();
  UniqueFd a(raw);
  UniqueFd b(std::move(a));
  EXPECT_FALSE(a);  // NOLINT: the moved-from state is what is tested
  EXPECT_EQ(b.get(), raw);
  const int other = OpenNull();
  UniqueFd c(other);
  c = std::move(b);
  EXPECT_EQ(c.get(), raw);
  EXPECT_FALSE(IsOpen(other));
  UniqueFd& same = c;
  c = std::move(same);
  EXPECT_EQ(c.get(), raw);
  EXPECT_TRUE(IsOpen(raw));
}

TEST(UniqueFd, ResetAndRelease) {
  const int raw = OpenNull();
  UniqueFd fd(raw);
  EXPECT_EQ(fd.Release(), raw);
  EXPECT_FALSE(fd);
  EXPECT_TRUE(IsOpen(raw));
  fd.Reset(raw);
  fd.Reset();
  EXPECT_FALSE(IsOpen(raw));
  EXPECT_FALSE(UniqueFd());
  static_assert(!std::is_copy_constructible_v<UniqueFd> &&
                std::is_nothrow_move_constructible_v<UniqueFd>);
}

TEST(SharedFd, TheLastReaderCloses) {
  const int raw = OpenNull();
  SharedFd a = std::make_shared<const UniqueFd>(UniqueFd(raw));
  SharedFd b = a;
  a.reset();
  EXPECT_TRUE(IsOpen(raw));
  b.reset();
  EXPECT_FALSE(IsOpen(raw));
}

// ---- clock, context

TEST(Clock, StoredTimesRoundTrip) {
  for (const int64_t ms : {int64_t{0}, int64_t{1}, int64_t{1'700'000'000'123}, int64_t{-1}}) {
    EXPECT_EQ(ToUnixMillis(FromUnixMillis(ms)), ms);
  }
  EXPECT_GT(ToUnixMillis(SystemClock::Get().Now()), 1'700'000'000'000);
}

TEST(ManualClock, MovesBothTimesTogetherAndOnlyWhenTold) {
  testing::ManualClock clock;
  const WallTime wall = clock.Now();
  const SteadyTime steady = clock.SteadyNow();
  EXPECT_EQ(clock.Now(), wall);
  clock.Advance(24h + 1s);
  EXPECT_EQ(clock.Now() - wall, 24h + 1s);
  EXPECT_EQ(clock.SteadyNow() - steady, 24h + 1s);
}

TEST(Context, WaitsForEverUnlessToldOtherwise) {
  EXPECT_EQ(Context().deadline, SteadyTime::max());
  const SteadyTime before = std::chrono::steady_clock::now();
  const Context context = Context::WithTimeout(1h, "id");
  EXPECT_GE(context.deadline, before + 1h);
  EXPECT_EQ(context.request_id, "id");
}

// ---- mutex

TEST(Guarded, LetsOneInAtATime) {
  struct Pair {
    int a = 0, b = 0;
  };
  Guarded<Pair> pair;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        pair.With([](Pair& p) {
          ++p.a;
          p.b = p.a;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto& reader = pair;
  EXPECT_EQ(reader.With([](const Pair& p) { return p.a; }), 20000);
  EXPECT_EQ(reader.With([](const Pair& p) { return p.b; }), 20000);
}

TEST(GoodPrefix, IsThatOfALoopOverSingleBytes) {
  const auto is_good = [](char c) { return c >= 0x20 && c < 0x7f && c != '"'; };
  const auto may_be_bad = [](EightBytes bytes) { return bytes.outside(0x20) | bytes.equal('"'); };
  for (size_t size = 0; size <= 26; ++size) {
    std::string text(size, 'x');
    EXPECT_EQ(GoodPrefix(text, may_be_bad, is_good), size);
    for (size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        text[at] = static_cast<char>(byte);
        const size_t expected = is_good(text[at]) ? size : at;
        ASSERT_EQ(GoodPrefix(text, may_be_bad, is_good), expected)
            << "byte " << byte << " at " << at << " of " << size;
      }
      text[at] = 'x';
    }
  }
}

TEST(GoodPrefix, NeighboursDoNotHideABadByte) {
  const auto is_good = [](char c) { return c != '#' && c != 0x7f && c != 0x01; };
  const auto may_be_bad = [](EightBytes bytes) { return bytes.outside(0x02) | bytes.equal('#'); };
  uint64_t random = 1;
  for (int i = 0; i < 200000; ++i) {
    char text[16];
    size_t expected = sizeof text;
    for (size_t at = sizeof text; at-- > 0;) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      constexpr unsigned char kBytes[] = {'#',  '"',  '$',  0x7f, 0x7e, 0x80,
                                          0x01, 0x02, 0xff, 0xa3, 0};
      text[at] = static_cast<char>(random >> 60 == 0 ? kBytes[(random >> 32) % sizeof kBytes]
                                                     : 'a' + static_cast<char>((random >> 40) % 3));
      if (!is_good(text[at])) expected = at;
    }
    ASSERT_EQ(GoodPrefix(std::string_view(text, sizeof text), may_be_bad, is_good), expected);
  }
}

TEST(TextBuffer, KeepsWhatIsAppendedAsItGrows) {
  TextBuffer buffer;
  std::string expected;
  for (uint64_t i = 0; i < 3000; ++i) {
    buffer.Append("number ");
    buffer.AppendNumber(i * i * i * i * i);
    buffer.Append(';');
    expected += "number " + std::to_string(i * i * i * i * i) + ';';
  }
  buffer.AppendNumber(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(buffer.view(), expected + "18446744073709551615");
  buffer.Append(std::string(100000, 'x'));
  EXPECT_EQ(buffer.view().size(), expected.size() + 20 + 100000);
}

TEST(TextBuffer, GivesBackMemoryBeyondWhatIsKept) {
  TextBuffer buffer;
  buffer.Append(std::string(5000, 'x'));
  buffer.Clear(10000);
  EXPECT_EQ(buffer.view(), "");
  EXPECT_GE(buffer.capacity(), 5000u);
  buffer.Append("abc");
  EXPECT_EQ(buffer.view(), "abc");
  buffer.Clear(4096);
  EXPECT_EQ(buffer.capacity(), 0u);
  buffer.Append("def");
  EXPECT_EQ(buffer.view(), "def");
}

TEST(CheckDeathTest, NamesTheConditionAndThePlace) {
  VR_CHECK(1 + 1 == 2);
  EXPECT_DEATH(VR_CHECK(1 + 1 == 3), "base_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace vr
