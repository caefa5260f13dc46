// Sound alone, made by the real worker and measured after decoding it again: lengths and places to
// the sample, levels, pitch.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <set>
#include <sstream>

#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

namespace fs = std::filesystem;
using protocol::Job;
using protocol::Level;
using protocol::Operation;
using protocol::OutputFormat;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr OutputFormat kFormats[] = {OutputFormat::kM4a, OutputFormat::kMp3, OutputFormat::kOpus};

struct Sound {
  std::vector<float> left, right;
  size_t size() const { return left.size(); }
};

Sound Decode(const std::string& path, int rate) {
  const std::string raw = Output("ffmpeg -v error -i '" + path + "' -map 0:a:0 -ac 2 -ar " +
                                 std::to_string(rate) + " -f f32le -");
  Sound s;
  for (size_t at = 0; at + 8 <= raw.size(); at += 8) {
    float both[2];
    std::memcpy(both, raw.data() + at, 8);
    s.left.push_back(both[0]);
    s.right.push_back(both[1]);
  }
  return s;
}

/// dB of full scale of the sine that would be as loud.
double LevelOf(const std::vector<float>& x, double from, double to, int rate) {
  double sum = 0;
  size_t n = 0;
  for (auto i = static_cast<size_t>(from * rate);
       i < static_cast<size_t>(to * rate) && i < x.size(); ++i, ++n) {
    sum += static_cast<double>(x[i]) * x[i];
  }
  return n == 0 || sum == 0 ? -200 : 10 * std::log10(2 * sum / static_cast<double>(n));
}

/// Hz, from zero crossings.
double Pitch(const std::vector<float>& x, double from, double to, int rate) {
  size_t first = 0, last = 0, count = 0;
  for (auto i = static_cast<size_t>(from * rate) + 1;
       i < static_cast<size_t>(to * rate) && i < x.size(); ++i) {
    if (x[i - 1] < 0 && x[i] >= 0) {
      if (count++ == 0) first = i;
      last = i;
    }
  }
  return count < 2 ? 0 : static_cast<double>(count - 1) * rate / static_cast<double>(last - first);
}

/// Where something loud begins, seconds; each after at least 50 ms of quiet.
std::vector<double> Onsets(const std::vector<float>& x, int rate, float level = 0.1F) {
  std::vector<double> found;
  auto quiet = static_cast<size_t>(rate);
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::fabs(x[i]) < level) {
      ++quiet;
      continue;
    }
    if (quiet > static_cast<size_t>(rate) / 20) {
      found.push_back(static_cast<double>(i) / rate);
    }
    quiet = 0;
  }
  return found;
}

class AudioTest : public WorkerFixture {
 protected:
  static std::string Tone(const std::string& name, const std::string& codec, int rate = 48000,
                          const std::string& length = "2") {
    return Clip(name, "-f lavfi -i sine=440:r=" + std::to_string(rate) + ":d=" + length +
                          ",volume=4,pan='stereo|c0=c0|c1=c0' " + codec);
  }
  /// 8 seconds; 1 kHz for 40 ms from each full second on.
  static std::string Beeps(const std::string& name, const std::string& codec) {
    return Clip(name,
                "-f lavfi -i "
                "\"aevalsrc='if(lt(mod(t,1),0.04)*gte(t,1),0.7*sin(2*PI*1000*t),0)':s=48000:d=8\" "
                "-ac 2 " +
                    codec);
  }
  static Job Sounds(OutputFormat format = OutputFormat::kM4a) {
    Job job;
    job.operation = Operation::kAudio;
    job.format = format;
    job.audio = false;
    job.stream = false;
    return job;
  }
  Outcome Run(const Job& job, const std::string& source) {
    Outcome out = client_->Run(job, source, kLimit);
    if (out.done) std::ofstream(Path("stored"), std::ios::binary) << out.stored;
    return out;
  }
  static std::string Fact(const std::string& path, const std::string& what) {
    std::string value = Output("ffprobe -v error -select_streams a:0 -show_entries stream=" + what +
                               " -of csv=p=0 '" + path + "'");
    while (!value.empty() && (value.back() == '\n' || value.back() == ',')) value.pop_back();
    return value;
  }
  /// Samples that are heard, as the container tells.
  static int64_t Length(OutputFormat format, const std::string& path, int rate) {
    // ffmpeg's MP4 demuxer does not cut the last packet; players go by the edit list.
    if (format == OutputFormat::kM4a) return std::atoll(Fact(path, "duration_ts").c_str());
    return static_cast<int64_t>(Decode(path, rate).size());
  }
  static std::string PacketHashes(const std::string& path) {
    std::istringstream lines(
        Output("ffmpeg -v error -i '" + path + "' -map 0:a:0 -c copy -f framemd5 -"));
    std::string all;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("#")) continue;
      std::istringstream fields(line);
      std::string field;
      for (int i = 0; i < 6; ++i) std::getline(fields, field, ',');
      all += field + "\n";
    }
    return all;
  }
};

TEST_F(AudioTest, EveryFormatIsAsLongAsTheSourceToTheSample) {
  const char* codecs[] = {"aac", "mp3", "opus"};
  for (const int rate : {48000, 44100}) {
    const std::string source =
        Tone("tone" + std::to_string(rate) + ".wav", "-c:a pcm_s16le", rate, "2.5137");
    const int64_t in = Length(OutputFormat::kMp3, source, rate);
    for (int i = 0; i < 3; ++i) {
      const Outcome o = Run(Sounds(kFormats[i]), source);
      ASSERT_TRUE(o.done) << Why(o);
      EXPECT_EQ(o.done->audio_codec, codecs[i]);
      EXPECT_EQ(Fact(Path("stored"), "codec_name"), codecs[i]);
      EXPECT_EQ(Fact(Path("stored"), "channels"), "2");
      EXPECT_EQ(o.done->route, "transcode");
      EXPECT_TRUE(o.done->has_audio);
      EXPECT_TRUE(o.done->warnings.empty()) << o.done->warnings[0];
      EXPECT_EQ(o.done->stored_bytes, o.stored.size());
      const int out = kFormats[i] == OutputFormat::kOpus ? 48000 : rate;
      EXPECT_NEAR(static_cast<double>(Length(kFormats[i], Path("stored"), out)),
                  static_cast<double>(in) * out / rate, out == rate ? 0 : 1)
          << codecs[i] << rate;
      const Sound sound = Decode(Path("stored"), out);
      EXPECT_NEAR(Pitch(sound.left, 0.2, 2.2, out), 440, 0.5) << codecs[i];
      EXPECT_NEAR(LevelOf(sound.left, 0.2, 2.2, out), 20 * std::log10(0.5), 0.6)
          << codecs[i];  // LAME: -0.45
    }
  }
}

TEST_F(AudioTest, M4aHasItsIndexFirst) {
  const Outcome o = Run(Sounds(), Tone("tone48000.wav", "-c:a pcm_s16le", 48000, "2.5137"));
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_LT(o.stored.find("moov"), o.stored.find("mdat"));
  EXPECT_EQ(o.stored.substr(4, 8), "ftypM4A ");
}

TEST_F(AudioTest, CutsToTheSampleFromEveryContainer) {
  const std::pair<const char*, const char*> sources[] = {
      {"beeps.wav", "-c:a pcm_s16le"}, {"beeps.flac", "-c:a flac"},
      {"beeps.m4a", "-c:a aac"},       {"beeps.mp3", "-c:a libmp3lame"},
      {"beeps.ogg", "-c:a libvorbis"}, {"beeps.opus", "-c:a libopus"},
      {"beeps.mkv", "-c:a aac"},       {"beeps.webm", "-c:a libopus"},
      {"beeps.aac", "-c:a aac"},       {"beeps.avi", "-c:a pcm_s16le"}};
  for (const auto& [name, codec] : sources) {
    const std::string source = Beeps(name, codec);
    // What ffmpeg hears of the source says where it really is: bare AAC keeps the encoder's delay.
    const std::vector<double> truth = Onsets(Decode(source, 48000).left, 48000);
    ASSERT_EQ(truth.size(), 7u) << name;
    for (const OutputFormat format : kFormats) {
      Job job = Sounds(format);
      job.start_seconds = 3.2504;
      job.duration_seconds = 2.5;
      const Outcome o = Run(job, source);
      ASSERT_TRUE(o.done) << name << Why(o);
      EXPECT_EQ(Length(format, Path("stored"), 48000), 120000) << name;
      const Sound sound = Decode(Path("stored"), 48000);
      const std::vector<double> onsets = Onsets(sound.left, 48000);
      ASSERT_GE(onsets.size(), 2u) << name;
      EXPECT_NEAR(onsets[0], truth[3] - 3.2504, 0.0015) << name << static_cast<int>(format);
      EXPECT_NEAR(onsets[1], truth[4] - 3.2504, 0.0015) << name << static_cast<int>(format);
    }
  }
}

TEST_F(AudioTest, SoundIsWhereTheVideosClockSaysItIs) {
  const std::string source =
      Clip("late.mp4",
           "-f lavfi -i testsrc2=s=64x64:r=25:d=4 -itsoffset 0.5 -f lavfi -i sine=1000:r=48000:d=2 "
           "-c:v libx264 -preset ultrafast -c:a aac -ac 2");
  for (const OutputFormat format : kFormats) {
    Outcome o = Run(Sounds(format), source);
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_EQ(o.done->route, "transcode");
    Sound sound = Decode(Path("stored"), 48000);
    ASSERT_EQ(Onsets(sound.left, 48000, 0.05F).size(), 1u);
    EXPECT_NEAR(Onsets(sound.left, 48000, 0.05F)[0], 0.5, 0.002);
    EXPECT_NEAR(o.done->duration_seconds, 2.5, 0.03);
  }
  Job job = Sounds();
  job.start_seconds = 3;  // pictures, but no sound any more
  const Outcome o = Run(job, source);
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
}

TEST_F(AudioTest, SpeedKeepsThePitchAndTheLengthIsExact) {
  const std::string source = Tone("tone48000.wav", "-c:a pcm_s16le", 48000, "2.5137");
  const auto in = static_cast<double>(Length(OutputFormat::kMp3, source, 48000));
  for (const double speed : {0.25, 0.5, 1.5, 2.0, 4.0}) {
    for (const OutputFormat format : kFormats) {
      Job job = Sounds(format);
      job.speed = speed;
      const Outcome o = Run(job, source);
      ASSERT_TRUE(o.done) << Why(o);
      EXPECT_EQ(Length(format, Path("stored"), 48000), std::llround(in / speed)) << speed;
      const Sound sound = Decode(Path("stored"), 48000);
      const double end = in / 48000 / speed;
      EXPECT_NEAR(Pitch(sound.left, 0.1, end - 0.05, 48000), 440, 3) << speed;
      EXPECT_NEAR(LevelOf(sound.left, 0.1, end - 0.05, 48000), 20 * std::log10(0.5), 0.7) << speed;
    }
  }
  Job part = Sounds(OutputFormat::kMp3);
  part.speed = 2;
  part.start_seconds = 0.5;
  part.duration_seconds = 1.3333;  // of the source
  ASSERT_TRUE(Run(part, source).done);
  EXPECT_EQ(Length(OutputFormat::kMp3, Path("stored"), 48000), std::llround(1.3333 / 2 * 48000));
}

TEST_F(AudioTest, BeepsAreInStepWithAFasterVideo) {
  const std::string source = Beeps("beeps.wav", "-c:a pcm_s16le");
  for (const double speed : {0.5, 2.0, 3.0}) {
    Job job = Sounds(OutputFormat::kOpus);
    job.speed = speed;
    ASSERT_TRUE(Run(job, source).done);
    const std::vector<double> onsets = Onsets(Decode(Path("stored"), 48000).left, 48000, 0.2F);
    ASSERT_EQ(onsets.size(), 7u) << speed;
    for (size_t i = 0; i < onsets.size(); ++i) {
      EXPECT_NEAR(onsets[i], (static_cast<double>(i) + 1) / speed, 0.02) << speed;
    }
  }
}

TEST_F(AudioTest, VoicesKeepTheirLevelInTheMix) {
  const auto channels = [](const std::string& name, const std::string& layout, int count,
                           int loud) {
    std::string expression = "aevalsrc='";
    for (int c = 0; c < count; ++c) {
      if (c > 0) expression += "|";
      expression += loud < 0 || c == loud ? "0.9*sin(2*PI*440*t)" : "0";
    }
    return Clip(name,
                "-f lavfi -i \"" + expression + "':s=48000:d=1:c=" + layout + "\" -c:a pcm_s16le");
  };
  const auto level = [&](const std::string& source) {
    const Outcome o = Run(Sounds(OutputFormat::kOpus), source);
    EXPECT_TRUE(o.done) << Why(o);
    const Sound s = Decode(Path("stored"), 48000);
    const double full = 20 * std::log10(0.9);
    return std::pair(LevelOf(s.left, 0.2, 0.8, 48000) - full,
                     LevelOf(s.right, 0.2, 0.8, 48000) - full);
  };
  for (const auto& [layout, count] : {std::pair("5.1", 6), std::pair("7.1", 8)}) {
    const std::string l = layout;
    const auto centre = level(channels("c" + l + ".wav", l, count, 2));
    EXPECT_NEAR(centre.first, -3.01, 0.3);
    EXPECT_NEAR(centre.second, -3.01, 0.3);
    const auto front = level(channels("f" + l + ".wav", l, count, 0));
    EXPECT_NEAR(front.first, 0, 0.3);
    EXPECT_LT(front.second, -40);
    const auto surround = level(channels("s" + l + ".wav", l, count, 4));
    EXPECT_NEAR(surround.first, -3.01, 0.3);
    EXPECT_LT(surround.second, -40);
    EXPECT_LT(level(channels("l" + l + ".wav", l, count, 3)).first, -60);  // bass effects
    // All of them at once would be 7 to 10 dB over.
    (void)level(channels("a" + l + ".wav", l, count, -1));
    const Sound s = Decode(Path("stored"), 48000);
    EXPECT_LE(*std::max_element(s.left.begin(), s.left.end()), 1.0F);
    EXPECT_GT(LevelOf(s.left, 0.2, 0.8, 48000), -1.5);
  }
  const auto mono = level(channels("m.wav", "mono", 1, 0));
  EXPECT_NEAR(mono.first, 0, 0.3);
  EXPECT_NEAR(mono.second, 0, 0.3);
}

TEST_F(AudioTest, WhatNeedsNothingIsCopied) {
  const std::tuple<OutputFormat, std::string, std::string> cases[] = {
      {OutputFormat::kM4a, Tone("copy.m4a", "-c:a aac", 44100), "aac"},
      {OutputFormat::kM4a,
       Clip("copy.mp4",
            "-f lavfi -i testsrc2=s=64x64:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 -c:v libx264 "
            "-preset ultrafast -c:a aac -ac 2"),
       "aac"},
      {OutputFormat::kMp3, Tone("copy.mp3", "-c:a libmp3lame -b:a 128k", 44100), "mp3"},
      {OutputFormat::kOpus, Tone("copy.opus", "-c:a libopus"), "opus"},
      {OutputFormat::kOpus, Tone("copy.webm", "-c:a libopus"), "opus"},
      {OutputFormat::kOpus, Tone("copyopus.mp4", "-c:a libopus"), "opus"}};
  for (const auto& [format, source, codec] : cases) {
    const Outcome o = Run(Sounds(format), source);
    ASSERT_TRUE(o.done) << source << Why(o);
    EXPECT_EQ(o.done->route, "copy audio") << source;
    EXPECT_EQ(o.done->audio_codec, codec);
    EXPECT_TRUE(o.done->warnings.empty()) << source << o.done->warnings[0];
    EXPECT_TRUE(PacketHashes(source) == PacketHashes(Path("stored"))) << source;
    EXPECT_NE(PacketHashes(source), "");
    const int rate = codec == "opus" ? 48000 : std::atoi(Fact(source, "sample_rate").c_str());
    EXPECT_EQ(Length(format, Path("stored"), rate), 2 * rate) << source;
    EXPECT_NEAR(o.done->duration_seconds, 2, 1e-6) << source;
    EXPECT_NEAR(std::atof(Fact(Path("stored"), "start_time").c_str()),
                format == OutputFormat::kMp3 ? 0.025 : 0, 0.001);
    EXPECT_TRUE(Run(Sounds(format), source).stored == o.stored);

    Job part = Sounds(format);
    part.start_seconds = 0.5;
    part.duration_seconds = 1;
    const Outcome cut = Run(part, source);
    ASSERT_TRUE(cut.done) << Why(cut);
    EXPECT_EQ(cut.done->route, "transcode");
    EXPECT_EQ(Length(format, Path("stored"), rate), rate) << source;
  }
}

TEST_F(AudioTest, CopiesBareAacAndTransportStreams) {
  for (const char* name : {"copy.ts", "copy.aac", "copyaac.mkv"}) {
    const std::string source = Tone(name, "-c:a aac");
    const Outcome o = Run(Sounds(), source);
    ASSERT_TRUE(o.done) << name << Why(o);
    EXPECT_EQ(o.done->route, "copy audio") << name;
    const Sound sound = Decode(Path("stored"), 48000);
    EXPECT_NEAR(Pitch(sound.left, 0.2, 1.8, 48000), 440, 0.5) << name;
    EXPECT_NEAR(o.done->duration_seconds, 2.03, 0.04) << name;
  }
}

TEST_F(AudioTest, EveryWishChangesTheBytes) {
  const std::string source = Clip(
      "music.wav",
      "-f lavfi -i \"aevalsrc='0.3*sin(2*PI*220*t)+0.2*sin(2*PI*1320*t*(1+0.01*t))+0.05*random(0)"
      "|0.3*sin(2*PI*330*t)+0.1*random(1)':s=48000:d=3\" -c:a pcm_s16le");
  for (const OutputFormat format : kFormats) {
    std::map<std::string, std::string> results;
    const auto make = [&](const std::string& name, const Job& job) {
      const Outcome o = Run(job, source);
      ASSERT_TRUE(o.done) << Why(o);
      results[name] = o.stored;
    };
    make("auto", Sounds(format));
    for (const auto& [name, level] :
         {std::pair("low", Level::kLow), std::pair("high", Level::kHigh)}) {
      Job job = Sounds(format);
      job.quality = level;
      make(std::string("quality ") + name, job);
      job = Sounds(format);
      job.compression = level;
      make(std::string("compression ") + name, job);
    }
    Job job = Sounds(format);
    job.bit_rate = 48000;
    make("bit rate", job);
    std::set<std::string> distinct;
    for (const auto& [name, bytes] : results) distinct.insert(bytes);
    // AAC and Opus: the highest effort is the usual one.
    const size_t same = format == OutputFormat::kMp3 ? 0 : 1;
    EXPECT_EQ(distinct.size(), results.size() - same) << static_cast<int>(format);
    EXPECT_LT(results["quality low"].size(), results["auto"].size());
    EXPECT_GT(results["quality high"].size(), results["auto"].size());
    EXPECT_LT(results["bit rate"].size(), results["auto"].size() * 3 / 4);
    EXPECT_TRUE(Run(job, source).stored == results["bit rate"]);
    if (format == OutputFormat::kMp3) {
      EXPECT_EQ(Fact(Path("stored"), "bit_rate"), "48000");
    }
    job.bit_rate = 123'456'789;  // as much as there is
    EXPECT_TRUE(Run(job, source).done);
    job.bit_rate = 1;
    EXPECT_TRUE(Run(job, source).done);
  }
}

TEST_F(AudioTest, TakesTheTrackForEverybody) {
  // Three tones of a second: 300, 600 and 900 Hz.
  const auto tracks = [](const std::string& name, const std::string& flags) {
    return Clip(
        name,
        "-f lavfi -i sine=300:r=48000:d=1 -f lavfi -i sine=600:r=48000:d=1 "
        "-f lavfi -i sine=900:r=48000:d=1 -map 0 -map 1 -map 2 -c:a aac -ac:a:0 2 -ac:a:1 2 "
        "-ac:a:2 2 " +
            flags);
  };
  const std::pair<std::string, double> cases[] = {
      {tracks("t1.mkv", "-disposition:a:0 0 -disposition:a:1 default -disposition:a:2 0"), 600},
      {tracks("t2.mkv", "-disposition:a:0 comment -disposition:a:1 0 -disposition:a:2 0"), 600},
      {tracks("t3.mkv",
              "-disposition:a:0 default+visual_impaired -disposition:a:1 default+comment "
              "-disposition:a:2 0"),
       900},
      {tracks("t4.mkv",
              "-disposition:a:0 0 -disposition:a:1 0 -disposition:a:2 0 -metadata:s:a:0 "
              "language=fin -metadata:s:a:1 language=eng"),
       300},
      {tracks("t5.mp4", "-disposition:a:0 0 -disposition:a:1 0 -disposition:a:2 default"), 900}};
  for (const auto& [source, hz] : cases) {
    const Outcome o = Run(Sounds(OutputFormat::kOpus), source);
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_NEAR(Pitch(Decode(Path("stored"), 48000).left, 0.2, 0.8, 48000), hz, 2) << source;
  }
}

TEST_F(AudioTest, ATrackThatCannotBeDecodedGivesWayToTheNext) {
  const std::string good = Clip(
      "two.mkv",
      "-f lavfi -i sine=300:r=48000:d=1 -f lavfi -i sine=600:r=48000:d=1 -map 0 -map 1 "
      "-c:a:0 flac -c:a:1 libopus -ac:a:0 2 -ac:a:1 2 -disposition:a:0 default -disposition:a:1 0");
  // Every FLAC frame begins with FFF8: break all of them.
  std::ifstream in(good, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (size_t at = bytes.find("\xFF\xF8"); at != std::string::npos;
       at = bytes.find("\xFF\xF8", at)) {
    bytes[at] = bytes[at + 1] = 0;
  }
  std::ofstream(Path("broken.mkv"), std::ios::binary) << bytes;
  const Outcome o = Run(Sounds(OutputFormat::kMp3), Path("broken.mkv"));
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(Pitch(Decode(Path("stored"), 48000).left, 0.2, 0.8, 48000), 600, 2);
  EXPECT_THAT(o.done->warnings, ::testing::Contains(HasSubstr("another track")));
}

TEST_F(AudioTest, GapsBecomeSilenceAndDamageAWarning) {
  const std::string source = Clip(
      "gap.mkv",
      "-f lavfi -i \"aevalsrc='0.5*sin(2*PI*1000*t)':s=48000:d=4,aselect='lt(t,1)+gte(t,2.5)'\" "
      "-c:a pcm_s16le");
  const Outcome o = Run(Sounds(OutputFormat::kOpus), source);
  ASSERT_TRUE(o.done) << Why(o);
  const Sound sound = Decode(Path("stored"), 48000);
  EXPECT_NEAR(static_cast<double>(sound.size()), 4 * 48000, 100);
  EXPECT_GT(LevelOf(sound.left, 0.2, 0.9, 48000), -8);
  EXPECT_LT(LevelOf(sound.left, 1.2, 2.3, 48000), -60);
  EXPECT_GT(LevelOf(sound.left, 2.7, 3.9, 48000), -8);

  std::ifstream in(Tone("damage.m4a", "-c:a aac", 48000, "4"), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const size_t data = bytes.find("mdat");
  ASSERT_NE(data, std::string::npos);
  for (size_t i = 0; i < 3000; ++i) bytes[data + 20000 + i] = static_cast<char>(i * 37);
  std::ofstream(Path("damaged.m4a"), std::ios::binary) << bytes;
  const Outcome damaged = Run(Sounds(OutputFormat::kMp3), Path("damaged.m4a"));
  ASSERT_TRUE(damaged.done) << Why(damaged);
  EXPECT_THAT(damaged.done->warnings, ::testing::Contains(HasSubstr("damaged")));
  EXPECT_NEAR(damaged.done->duration_seconds, 4, 0.03);
}

TEST_F(AudioTest, SaysWhatIsWrong) {
  const auto fails = [&](const Job& job, const std::string& source, const std::string& reason,
                         const std::string& message) {
    const Outcome o = Run(job, source);
    ASSERT_TRUE(o.failed) << source << Why(o);
    EXPECT_EQ(o.failed->reason, reason) << o.failed->message;
    EXPECT_THAT(o.failed->message, HasSubstr(message));
    EXPECT_LT(o.seconds, 20);
  };
  const std::string tone = Tone("tone48000.wav", "-c:a pcm_s16le", 48000, "2.5137");
  fails(Sounds(),
        Clip("silent.mp4", "-f lavfi -i testsrc2=s=64x64:r=25:d=1 -c:v libx264 -preset ultrafast"),
        "SOURCE_UNSUPPORTED", "no sound");
  Job job = Sounds();
  job.start_seconds = 60;
  fails(job, tone, "TIME_OUT_OF_RANGE", "2.514");
  job = Sounds();
  job.limits.max_output_seconds = 1;
  fails(job, tone, "SOURCE_TOO_LARGE", "too long");
  job.limits.max_output_seconds = 3;
  job.speed = 0.5;
  fails(job, tone, "SOURCE_TOO_LARGE", "too long");
  job = Sounds();
  job.limits.max_output_bytes = 2000;
  fails(job, tone, "SOURCE_TOO_LARGE", "too large");
  job = Sounds();
  job.limits.max_output_bytes = 2000;
  fails(job, Tone("copy.m4a", "-c:a aac", 44100), "SOURCE_TOO_LARGE", "too large");
  const std::string encrypted = std::string(VR_CORPUS_PATH) + "/encrypted-cenc-short.mp4";
  if (fs::exists(encrypted)) fails(Sounds(), encrypted, "SOURCE_UNSUPPORTED", "");
}

TEST_F(AudioTest, ProgressGrowsAndOfAVideoOnlyTheSoundIsRead) {
  const std::string source = Clip(
      "big.mp4",
      "-f lavfi -i testsrc2=s=640x360:r=25:d=60 -f lavfi -i sine=440:r=48000:d=60 -c:v libx264 "
      "-preset ultrafast -crf 10 -c:a aac -ac 2 -movflags +faststart");
  Job job = Sounds(OutputFormat::kMp3);
  job.start_seconds = 40;
  job.duration_seconds = 2;
  uint64_t asked = 0;
  Outcome o = client_->Run(job, source, kLimit, [&](const protocol::Need& need) {
    asked += need.length;
    return need.length;
  });
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_LT(asked, fs::file_size(source) / 4);
  o = Run(Sounds(OutputFormat::kMp3), source);
  ASSERT_TRUE(o.done) << Why(o);
  uint32_t percent = 0;
  for (const protocol::Progress& p : o.progress) {
    EXPECT_GE(p.percent, percent);
    percent = p.percent;
  }
}

}  // namespace
}  // namespace vr::worker
