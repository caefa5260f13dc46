#include "observe/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "base/fd.h"

namespace vr {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

std::string Lost(uint64_t lines) {
  return "lost " + std::to_string(lines);
}

class LogWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    reader_.Reset(ends[0]);
    writer_.Reset(ends[1]);
  }
  /// What arrives until there are `size` bytes.
  std::string Read(size_t size) {
    std::string text;
    char buffer[4096];
    while (text.size() < size) {
      const ssize_t n = ::read(reader_.get(), buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  size_t Waiting() {
    int n = 0;
    ::ioctl(reader_.get(), FIONREAD, &n);
    return static_cast<size_t>(n);
  }

  UniqueFd reader_;
  UniqueFd writer_;
};

constexpr LogWriter::Limits kPatient{.delay = hours(1), .batch_bytes = 64, .pending_bytes = 256};

TEST_F(LogWriterTest, GathersUntilSomebodyFlushes) {
  LogWriter log(writer_.get(), kPatient, Lost);
  log.Add("a", false);
  log.Add("b", false);
  EXPECT_EQ(Waiting(), 0U) << "the delay is an hour";
  EXPECT_TRUE(log.Flush(seconds(10)));
  EXPECT_EQ(Waiting(), 4U);
  EXPECT_EQ(Read(4), "a\nb\n");
  EXPECT_TRUE(log.Flush(seconds(10))) << "nothing to do";
}

TEST_F(LogWriterTest, UrgentLinesTakeTheOthersAlong) {
  LogWriter log(writer_.get(), kPatient, Lost);
  log.Add("a", false);
  log.Add("fire", true);
  EXPECT_EQ(Read(7), "a\nfire\n");
}

TEST_F(LogWriterTest, AFullBatchDoesNotWait) {
  LogWriter log(writer_.get(), kPatient, Lost);
  const std::string line(40, 'x');
  log.Add(line, false);
  log.Add(line, false);
  EXPECT_EQ(Read(82).size(), 82U);
}

TEST_F(LogWriterTest, TheDelayEndsABatch) {
  LogWriter log(writer_.get(), {.delay = std::chrono::milliseconds(1)}, Lost);
  log.Add("a", false);
  EXPECT_EQ(Read(2), "a\n");
}

TEST_F(LogWriterTest, WhatABlockedReaderDoesNotTakeIsDroppedAndTold) {
  const int room = ::fcntl(writer_.get(), F_SETPIPE_SZ, 4096);
  ASSERT_GT(room, 0);
  const std::string fill(static_cast<size_t>(room), 'x');
  ASSERT_EQ(::write(writer_.get(), fill.data(), fill.size()), room);  // nobody reads
  LogWriter log(writer_.get(), kPatient, Lost);
  log.Add("first", true);
  EXPECT_FALSE(log.Flush(std::chrono::milliseconds(1)));
  int kept = 0;
  while (log.dropped() == 0) {
    log.Add("line", false);
    ++kept;
    ASSERT_LT(kept, 1000);
  }
  log.Add("line", false);
  EXPECT_EQ(log.dropped(), 2U);
  EXPECT_EQ(Read(fill.size()).substr(0, fill.size()), fill);
  EXPECT_TRUE(log.Flush(seconds(10)));
  ::fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
  const std::string rest = Read(100000);
  EXPECT_NE(rest.find("line\nlost 2\n"), std::string::npos) << rest;
}

TEST_F(LogWriterTest, WritesTheRestAtItsEnd) {
  {
    LogWriter log(writer_.get(), kPatient, Lost);
    log.Add("last words", false);
  }
  EXPECT_EQ(Read(11), "last words\n");
}

TEST_F(LogWriterTest, WaitsForADescriptorThatDoesNotBlock) {
  ::fcntl(writer_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(writer_.get(), F_SETPIPE_SZ, 4096);
  LogWriter log(writer_.get(), {}, Lost);
  const std::string line(100000, 'y');
  log.Add(line, true);
  EXPECT_EQ(Read(line.size() + 1), line + '\n');
}

}  // namespace
}  // namespace vr
