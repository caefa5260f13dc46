#include "worker/audio_route.h"

#include <gtest/gtest.h>

namespace vr::worker {
namespace {

using transform::protocol::Job;
using transform::protocol::Level;
using transform::protocol::Operation;
using transform::protocol::OutputFormat;

Job Sound(OutputFormat format = OutputFormat::kM4a) {
  Job job;
  job.operation = Operation::kAudio;
  job.format = format;
  return job;
}
AudioFacts Aac() {
  AudioFacts f;
  f.codec = AV_CODEC_ID_AAC;
  f.profile = FF_PROFILE_AAC_LOW;
  f.channels = 2;
  f.sample_rate = 44100;
  f.duration_seconds = 10;
  return f;
}

TEST(AudioRoute, TheWholeSoundInTheWantedCodecIsCopied) {
  EXPECT_TRUE(AudioRouteFor(Sound(), Aac()).copy);
  AudioFacts f = Aac();
  f.channels = 1;
  f.sample_rate = 48000;
  EXPECT_TRUE(AudioRouteFor(Sound(), f).copy);
  f.codec = AV_CODEC_ID_MP3;
  f.profile = FF_PROFILE_UNKNOWN;
  EXPECT_TRUE(AudioRouteFor(Sound(OutputFormat::kMp3), f).copy);
  f.codec = AV_CODEC_ID_OPUS;
  EXPECT_TRUE(AudioRouteFor(Sound(OutputFormat::kOpus), f).copy);
  Job effort = Sound();
  effort.compression = Level::kHigh;
  EXPECT_TRUE(AudioRouteFor(effort, Aac()).copy);
  Job longer = Sound();
  longer.duration_seconds = 60;
  EXPECT_TRUE(AudioRouteFor(longer, Aac()).copy);
}

TEST(AudioRoute, SaysWhatSpeaksAgainstACopy) {
  const auto why = [](const Job& job, const AudioFacts& f) {
    const AudioRoute route = AudioRouteFor(job, f);
    return route.copy ? std::string("copied") : route.why;
  };
  EXPECT_EQ(why(Sound(OutputFormat::kMp3), Aac()), "other codec");
  EXPECT_EQ(why(Sound(OutputFormat::kOpus), Aac()), "other codec");
  AudioFacts f = Aac();
  f.profile = FF_PROFILE_AAC_HE;
  EXPECT_EQ(why(Sound(), f), "profile");
  f = Aac();
  f.profile = FF_PROFILE_UNKNOWN;
  EXPECT_EQ(why(Sound(), f), "profile");
  f = Aac();
  f.channels = 6;
  EXPECT_EQ(why(Sound(), f), "channels");
  f = Aac();
  f.sample_rate = 96000;
  EXPECT_EQ(why(Sound(), f), "sample rate");
  f = Aac();
  f.late_seconds = 0.5;
  EXPECT_EQ(why(Sound(), f), "begins late");
  Job job = Sound();
  job.start_seconds = 1;
  EXPECT_EQ(why(job, Aac()), "a part is wanted");
  job = Sound();
  job.duration_seconds = 5;
  EXPECT_EQ(why(job, Aac()), "a part is wanted");
  job = Sound();
  job.speed = 2;
  EXPECT_EQ(why(job, Aac()), "a part is wanted");
  job = Sound();
  job.bit_rate = 64000;
  EXPECT_EQ(why(job, Aac()), "bit rate");
  job = Sound();
  job.quality = Level::kMedium;
  EXPECT_EQ(why(job, Aac()), "quality");
  job = Sound();
  job.quality_number = 50;
  EXPECT_EQ(why(job, Aac()), "quality");
}

TEST(AudioRoute, AVideosSoundIsCopiedWhateverThePicturesBitRate) {
  Job job;
  job.format = OutputFormat::kMp4;
  job.bit_rate = 1'000'000;
  AudioFacts f = Aac();
  f.late_seconds = 1;  // a video's container can say so
  EXPECT_TRUE(AudioRouteFor(job, f).copy);
  job.format = OutputFormat::kWebm;
  EXPECT_FALSE(AudioRouteFor(job, f).copy);
}

}  // namespace
}  // namespace vr::worker
