// A slice of an MP4's index leads to the same pictures, and tells the same of the file, as all of
// it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>

#include "worker/index_slice.h"
#include "worker/media.h"
#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

using protocol::Job;
using protocol::Operation;
using protocol::OutputFormat;

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<IndexSlice> SliceOf(const std::string& file, double at) {
  const ReadAt read = [&file](uint64_t offset, void* to, size_t size) {
    if (offset > file.size() || size > file.size() - offset) return false;
    file.copy(static_cast<char*>(to), size, offset);
    return true;
  };
  return SliceIndex(
      read, [](uint64_t, uint64_t) {}, file.size(), at);
}

class IndexSliceTest : public WorkerFixture {
 protected:
  static constexpr double kSeconds = 60;
  static constexpr const char* kSound = " -f lavfi -i sine=d=60 -c:a aac ";

  /// A picture's number is in its brightness; it moves, so that each leans on those before.
  static std::string Pictures(const std::string& name, const std::string& more) {
    return Clip(name,
                "-f lavfi -i testsrc2=s=96x64:r=25:d=60" + more + " -pix_fmt yuv420p -threads 1");
  }
  /// The same media in a file that is never sliced: it has a box that nobody knows.
  static std::string Twin(const std::string& path) {
    const std::string twin = path + "-twin.mp4";
    (void)!system(("ffmpeg -v error -y -i '" + path + "' -map 0 -c copy '" + twin + "'").c_str());
    std::string bytes = FileBytes(twin);
    const size_t free_box = bytes.find("free");
    EXPECT_LT(free_box, 100u) << twin;
    bytes.replace(free_box, 4, "abcd");
    WriteFile(twin, bytes);
    return twin;
  }
  static Outcome Frame(const std::string& path, double at) {
    Job job;
    job.operation = Operation::kFrame;
    job.format = OutputFormat::kPng;
    job.stream = false;
    job.start_seconds = at;
    job.decoder_threads = 2;
    return client_->Run(job, path, kLimit);
  }
};

struct Kind {
  const char* name;
  const char* how;
};
constexpr Kind kKinds[] = {
    {"plain", "-c:v libx264 -preset veryfast -g 50"},
    {"pyramid", "-c:v libx264 -preset medium -bf 8 -g 120 -movflags +faststart"},
    {"open", "-c:v libx264 -x264-params open-gop=1:bframes=4:b-adapt=2 -g 40"},
    {"forward", "-c:v libx264 -bf 0 -g 10"},
    {"sparse", "-c:v libx264 -g 3000 -keyint_min 3000 -sc_threshold 0"},
    {"refresh", "-c:v libx264 -intra-refresh 1 -g 50"},
    {"uneven", "-vf select='not(mod(n\\,7))+gt(mod(n\\,5)\\,2)' -vsync vfr -c:v libx264 -g 40"},
};

TEST_F(IndexSliceTest, FramesAreThoseOfTheWholeIndex) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> anywhere(0, kSeconds);
  for (const Kind& kind : kKinds) {
    const std::string clip =
        Pictures(std::string(kind.name) + ".mp4", kSound + std::string(kind.how));
    const std::string twin = Twin(clip);
    EXPECT_TRUE(SliceOf(FileBytes(clip), kSeconds / 2)) << kind.name;
    EXPECT_FALSE(SliceOf(FileBytes(twin), kSeconds / 2)) << kind.name;
    std::vector<double> times{0, 0.03, 1.98, 2, 30, 59.9, 59.96};
    for (int i = 0; i < 5; ++i) times.push_back(anywhere(random));
    for (int i = 0; i < 5; ++i) times.push_back(std::floor(anywhere(random) * 25) / 25);
    for (const double at : times) {
      const Outcome sliced = Frame(clip, at), whole = Frame(twin, at);
      ASSERT_TRUE(sliced.done && whole.done) << kind.name << " " << at << Why(sliced) << Why(whole);
      EXPECT_TRUE(sliced.stored == whole.stored) << kind.name << " " << at;
    }
  }
}

TEST_F(IndexSliceTest, WhatItTellsOfTheFileIsTheSame) {
  // The picture's edit leaves its first two seconds out; sound that begins late; none at all.
  const std::string plain = Pictures("plain.mp4", kSound + std::string(kKinds[0].how));
  const std::string clips[] = {
      plain, Pictures("silent.mp4", " -c:v libx264 -g 50"),
      Clip("cut.mp4", "-ss 3.3 -i '" + plain + "' -c copy"),
      Clip("late.mp4",
           "-f lavfi -i testsrc2=s=96x64:r=25:d=60 -itsoffset 0.7 -f lavfi -i "
           "sine=d=70 -c:v libx264 -g 50 -c:a aac")};
  for (const std::string& clip : clips) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    const UniqueFd other(sockets[1]);
    Channel channel{UniqueFd(sockets[0])};
    Reporter reporter(channel);
    UniqueFd file(open(clip.c_str(), O_RDONLY | O_CLOEXEC));
    SourceIo source(std::move(file), FileBytes(clip).size(), true, channel, reporter);
    auto sliced = Media::OpenAt(source, {}, 40);
    ASSERT_TRUE(sliced.ok());
    ASSERT_FALSE((*sliced)->holds_all()) << clip;
    const int64_t origin = (*sliced)->origin();
    const double duration = (*sliced)->duration(), pictures = (*sliced)->video_duration();
    const AVRational rate = (*sliced)->frame_rate();
    ASSERT_NE((*sliced)->video(), nullptr);
    const AVStream* sound = (*sliced)->audio();
    const int sound_index = sound != nullptr ? sound->index : -1;
    sliced->reset();
    auto whole = Media::Open(source, {}, Want::kOneFrame);
    ASSERT_TRUE(whole.ok());
    EXPECT_TRUE((*whole)->holds_all());
    EXPECT_EQ(origin, (*whole)->origin()) << clip;
    EXPECT_EQ(duration, (*whole)->duration()) << clip;
    EXPECT_EQ(pictures, (*whole)->video_duration()) << clip;
    EXPECT_EQ(av_cmp_q(rate, (*whole)->frame_rate()), 0) << clip;
    EXPECT_EQ(sound_index, (*whole)->audio() != nullptr ? (*whole)->audio()->index : -1) << clip;
  }
}

TEST_F(IndexSliceTest, ASliceIsSmallAndFillsTheSamePlace) {
  const std::string file = FileBytes(Pictures("plain.mp4", kSound + std::string(kKinds[0].how)));
  const std::optional<IndexSlice> slice = SliceOf(file, 40);
  ASSERT_TRUE(slice);
  const auto word = [](const std::string& bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  const uint32_t before = word(file, slice->offset), now = word(slice->bytes, 0);
  EXPECT_EQ(slice->bytes.substr(4, 4), "moov");
  EXPECT_LT(now, before / 4);
  ASSERT_EQ(slice->bytes.size(), now + 8);
  EXPECT_EQ(slice->bytes.substr(now + 4, 4), "free");
  EXPECT_EQ(word(slice->bytes, now) + now, before);
  EXPECT_EQ(slice->samples, 1500u);
  EXPECT_FALSE(slice->keys.empty());
}

TEST_F(IndexSliceTest, AnyBytesAreTaken) {
  const std::string file = FileBytes(Pictures("plain.mp4", kSound + std::string(kKinds[0].how)));
  const size_t index = file.rfind("moov") - 4;
  std::mt19937 random(11);
  int left = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bad = file.substr(index);
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      // Near a box's head, where its size, kind and number of rows are.
      static constexpr const char* kBoxes[] = {"stts", "ctts", "stss", "stsz", "stsc", "stco",
                                               "mdhd", "elst", "trak", "stbl", "hdlr", "moov"};
      const size_t box = bad.find(kBoxes[random() % std::size(kBoxes)]);
      const size_t at = box == std::string::npos ? random() % bad.size() : box - 4 + random() % 32;
      if (at < bad.size()) bad[at] = static_cast<char>(random() % 3 == 0 ? 255 : random());
    }
    if (random() % 4 == 0) bad.resize(random() % bad.size());
    const std::optional<IndexSlice> slice = SliceOf(bad, 40);
    left += slice ? 1 : 0;
    if (slice) {
      EXPECT_LE(slice->offset + slice->bytes.size(), bad.size());
    }
  }
  EXPECT_GT(left, 0);
  EXPECT_FALSE(SliceOf("", 1));
  EXPECT_FALSE(SliceOf(file, -1));
  EXPECT_FALSE(SliceOf(file, std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace
}  // namespace vr::worker
