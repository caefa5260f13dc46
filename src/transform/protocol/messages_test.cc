#include "transform/protocol/messages.h"

#include <gtest/gtest.h>

#include <limits>

namespace vr::transform::protocol {
namespace {

Job FullJob() {
  Job job;
  job.operation = Operation::kFrame;
  job.format = OutputFormat::kPng;
  job.width = 640;
  job.height = 0xFFFFFFFFu;
  job.fit = Fit::kPad;
  job.quality = Level::kLow;
  job.quality_number = 77;
  job.compression = Level::kHigh;
  job.start_seconds = 1.25;
  job.from_first_picture = true;
  job.duration_seconds = 1e-300;
  job.audio = false;
  job.crop = CropBox{.width = 1, .height = 2, .x = 3, .y = 4};
  job.rotate_degrees = 90;
  job.fps = 29.97;
  job.speed = 0.5;
  job.bit_rate = 1'000'000;
  job.sheet = {.count = 9, .columns = 3, .rows = 4, .interval_seconds = 1.5};
  job.link = "a.mp4?mode=spritesheet";
  job.accuracy = Accuracy::kKeyframe;
  job.target_ssim = 0.97;
  job.known_rate_factor = 27.5;
  job.source_size = std::numeric_limits<uint64_t>::max();
  job.source_complete = false;
  job.more = 4;
  job.stream = false;
  job.decoder_threads = 3;
  job.segments = true;
  job.encoder_threads = 5;
  job.limits = {.max_pixels = 1,
                .max_source_seconds = 2.5,
                .max_output_seconds = 3.5,
                .max_output_bytes = 4,
                .max_streams = 5,
                .max_frames = 6,
                .max_animation_pixels = 7};
  return job;
}

/// One of each type, every field different from its default.
std::vector<Message> OneOfEach() {
  Done done{.stored_bytes = 1,
            .stream_bytes = 2,
            .width = 3,
            .height = 4,
            .duration_seconds = 5.5,
            .fps = 29.97,
            .frames = 7,
            .has_audio = true,
            .cpu_seconds = 8.25,
            .video_codec = "h264",
            .audio_codec = "aac",
            .route = "transcode",
            .rate_factor = 26.5,
            .warnings = {"damaged: 3 packets skipped", "", std::string("\0\xff", 2)}};
  return {FullJob(),
          Need{.offset = 1ull << 40, .length = 65536},
          SourceReady{.offset = 12, .available = 34},
          SourceFailed{.message = "origin closed the connection"},
          Progress{.stream_bytes = 1, .stored_bytes = 2, .percent = 99, .estimated_seconds = 12.5},
          done,
          Failed{.reason = "SOURCE_CORRUPT",
                 .message = "undecodable",
                 .detail = "line\nbreak",
                 .facts = {"limit", "pixels", "", std::string("\0", 1)}},
          Hello{.version = kVersion, .recipe = "lavc 59.37.100; recipe 1"},
          Spawn{.id = 11},
          Kill{.id = 12},
          Spawned{.id = 13, .pid = -11},
          Exited{.id = 14, .wait_status = -1, .cpu_seconds = 0.5, .max_rss_bytes = 99}};
}

/// Takes one frame that must be there.
Message Take(std::string& buffer) {
  auto taken = TakeFrame(buffer);
  EXPECT_TRUE(taken.ok()) << (taken.ok() ? "" : taken.error().ToLogString());
  if (!taken.ok() || !taken->has_value()) {
    ADD_FAILURE() << "no frame";
    return Spawn{};
  }
  return **taken;
}

std::string WithLength(std::string frame, uint32_t length) {
  for (int i = 0; i < 4; ++i) frame[static_cast<size_t>(i)] = static_cast<char>(length >> (8 * i));
  return frame;
}

bool IsCorrupt(std::string bytes) {
  auto taken = TakeFrame(bytes);
  return !taken.ok() && taken.error().code == Code::kCorruption;
}

TEST(Messages, EveryMessageSurvivesTheRoundTrip) {
  for (const Message& message : OneOfEach()) {
    std::string frame = Encode(message);
    const std::string again = frame;
    const Message back = Take(frame);
    EXPECT_EQ(back.index(), message.index());
    EXPECT_TRUE(frame.empty());
    // Equal bytes mean equal fields: every field is written.
    EXPECT_EQ(Encode(back), again) << "type index " << message.index();
  }
}

TEST(Messages, JobFieldsArriveWhereTheyBelong) {
  std::string frame = Encode(FullJob());
  const Job job = std::get<Job>(Take(frame));
  EXPECT_EQ(job.operation, Operation::kFrame);
  EXPECT_EQ(job.format, OutputFormat::kPng);
  EXPECT_EQ(job.width, 640u);
  EXPECT_EQ(job.height, 0xFFFFFFFFu);
  EXPECT_EQ(job.fit, Fit::kPad);
  EXPECT_EQ(job.quality, Level::kLow);
  EXPECT_EQ(job.quality_number, 77u);
  EXPECT_EQ(job.compression, Level::kHigh);
  EXPECT_EQ(job.start_seconds, 1.25);
  EXPECT_EQ(job.duration_seconds, 1e-300);
  EXPECT_FALSE(job.audio);
  EXPECT_EQ(job.source_size, std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(job.source_complete);
  EXPECT_EQ(job.more, 4u);
  EXPECT_FALSE(job.stream);
  EXPECT_EQ(job.decoder_threads, 3u);
  EXPECT_TRUE(job.segments);
  EXPECT_EQ(job.encoder_threads, 5u);
  EXPECT_EQ(job.limits.max_pixels, 1u);
  EXPECT_EQ(job.limits.max_source_seconds, 2.5);
  EXPECT_EQ(job.limits.max_output_seconds, 3.5);
  EXPECT_EQ(job.limits.max_output_bytes, 4u);
  EXPECT_EQ(job.limits.max_streams, 5u);
}

TEST(Messages, TheByteLayoutIsTheDocumentedOne) {
  EXPECT_EQ(Encode(Kill{.id = 0x0102030405060708ull}),
            std::string("\x09\0\0\0\x0a\x08\x07\x06\x05\x04\x03\x02\x01", 13));
  EXPECT_EQ(Encode(SourceFailed{.message = "no"}), std::string("\x07\0\0\0\x04\x02\0\0\0no", 11));
}

TEST(Messages, APartOfAFrameWaitsForTheRest) {
  for (const Message& message : OneOfEach()) {
    const std::string frame = Encode(message);
    for (size_t n = 0; n < frame.size(); ++n) {
      std::string part = frame.substr(0, n);
      auto taken = TakeFrame(part);
      ASSERT_TRUE(taken.ok());
      EXPECT_FALSE(taken->has_value());
      EXPECT_EQ(part, frame.substr(0, n)) << "what waits must stay";
    }
  }
}

TEST(Messages, FramesAreTakenOneByOne) {
  std::string buffer;
  for (const Message& message : OneOfEach()) buffer += Encode(message);
  buffer += Encode(Spawn{.id = 1}).substr(0, 6);
  for (const Message& message : OneOfEach()) EXPECT_EQ(Take(buffer).index(), message.index());
  auto rest = TakeFrame(buffer);
  ASSERT_TRUE(rest.ok());
  EXPECT_FALSE(rest->has_value());
  EXPECT_EQ(buffer.size(), 6u);
}

TEST(Messages, APayloadCutAtAnyByteIsCorrupt) {
  for (const Message& message : OneOfEach()) {
    const std::string frame = Encode(message);
    for (size_t n = 5; n < frame.size(); ++n) {
      EXPECT_TRUE(IsCorrupt(WithLength(frame.substr(0, n), static_cast<uint32_t>(n - 4))))
          << "type index " << message.index() << " cut at " << n;
    }
  }
}

TEST(Messages, TrailingBytesAreCorrupt) {
  for (const Message& message : OneOfEach()) {
    const std::string frame = Encode(message) + "x";
    EXPECT_TRUE(IsCorrupt(WithLength(frame, static_cast<uint32_t>(frame.size() - 4))));
  }
}

TEST(Messages, UnknownTypesAreCorrupt) {
  for (int type : {0, 13, 255}) {
    std::string frame = Encode(Spawn{.id = 1});
    frame[4] = static_cast<char>(type);
    EXPECT_TRUE(IsCorrupt(frame)) << type;
  }
}

TEST(Messages, EmptyAndOverLongFramesAreRefusedBeforeTheirBytesCome) {
  EXPECT_TRUE(IsCorrupt(std::string(4, '\0')));
  EXPECT_TRUE(
      IsCorrupt(WithLength(std::string(4, '\0'), static_cast<uint32_t>(kMaxFrameBytes + 1))));
  EXPECT_TRUE(IsCorrupt(std::string(4, '\xff')));
  std::string longest = WithLength(std::string(4, '\0'), static_cast<uint32_t>(kMaxFrameBytes));
  EXPECT_TRUE(TakeFrame(longest).ok());
}

TEST(Messages, ImpossibleEnumsAndBoolsAreCorrupt) {
  // Offsets into the frame of a job without width and height:
  // 5 version, 9 operation, 10 format, 11 has width, 12 has height, 13 fit, 14 quality, 15 number,
  // 19 compression.
  Job job;
  for (size_t at : {9u, 10u, 13u, 14u, 19u}) {
    for (int bad : {0, 14, 255}) {
      std::string frame = Encode(job);
      frame[at] = static_cast<char>(bad);
      EXPECT_TRUE(IsCorrupt(frame)) << at << " = " << bad;
    }
  }
  for (size_t at : {11u, 12u}) {
    std::string frame = Encode(job);
    frame[at] = 2;
    EXPECT_TRUE(IsCorrupt(frame));
  }
}

TEST(Messages, AnotherVersionIsRefused) {
  Hello hello;
  hello.version = kVersion + 1;
  EXPECT_TRUE(IsCorrupt(Encode(hello)));
  Job job;
  job.version = kVersion - 1;
  EXPECT_TRUE(IsCorrupt(Encode(job)));
}

TEST(Messages, AListCannotClaimMoreThanItsFrame) {
  std::string frame = Encode(Done{});
  for (size_t i = frame.size() - 4; i < frame.size(); ++i) frame[i] = '\xff';
  EXPECT_TRUE(IsCorrupt(frame));
}

TEST(Messages, EveryFlippedBitIsDecodedOrRefusedNeverWorse) {
  for (const Message& message : OneOfEach()) {
    const std::string frame = Encode(message);
    for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
      std::string bytes = frame;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      const size_t before = bytes.size();
      auto taken = TakeFrame(bytes);
      if (taken.ok() && taken->has_value()) {
        EXPECT_LT(bytes.size(), before);
      }
    }
  }
}

}  // namespace
}  // namespace vr::transform::protocol
