// The real worker program, driven as the server drives it: facts of what it makes, proofs of what
// it cannot do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

namespace fs = std::filesystem;
using protocol::Fit;
using protocol::Job;
using protocol::Operation;
using protocol::OutputFormat;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

/// ffprobe's "key=value" lines of one stream kind.
std::map<std::string, std::string> Facts(const std::string& path, const std::string& stream) {
  std::map<std::string, std::string> facts;
  std::istringstream lines(Output("ffprobe -v error -count_frames -select_streams " + stream +
                                  " -show_streams -show_entries stream_side_data '" + path + "'"));
  for (std::string line; std::getline(lines, line);) {
    const size_t eq = line.find('=');
    if (eq != std::string::npos) facts.emplace(line.substr(0, eq), line.substr(eq + 1));
  }
  return facts;
}

std::vector<std::string> TopBoxes(const std::string& mp4) {
  std::vector<std::string> names;
  for (size_t at = 0; at + 8 <= mp4.size();) {
    uint64_t size = 0;
    for (int i = 0; i < 4; ++i)
      size = size << 8 | static_cast<uint8_t>(mp4[at + static_cast<size_t>(i)]);
    names.push_back(mp4.substr(at + 4, 4));
    if (size < 8) break;
    at += size;
  }
  return names;
}

/// Decoded pictures only, without their times: the two forms differ in how they tell a start.
std::string PictureHashes(const std::string& path) {
  std::istringstream lines(
      Output("ffmpeg -v error -i '" + path + "' -map 0:v -fps_mode passthrough -f framemd5 -"));
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) all += line.substr(line.rfind(',') + 1) + "\n";
  }
  return all;
}

double Ssim(const std::string& a, const std::string& b) {
  const std::string text =
      Output("ffmpeg -hide_banner -i '" + a + "' -i '" + b +
             "' -lavfi '[0:v]setpts=N/25/TB[a];[1:v]setpts=N/25/TB[b];[a][b]ssim' "
             "-f null - 2>&1");
  const size_t at = text.find("All:");
  return at == std::string::npos ? 0 : std::atof(text.c_str() + at + 4);
}

class WorkerTest : public WorkerFixture {
 protected:
  /// 2 seconds, 320x180, 25 frames/s, stereo, key frame each second.
  static std::string Standard() {
    return Clip(
        "standard.mp4",
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 -c:v libx264 "
        "-preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac -ac 2");
  }
  /// One picture per shade: picture n of 50 is grey 4n+20, so a frame tells its number.
  static std::string Counting() {
    return Clip("counting.mp4",
                "-f lavfi -i nullsrc=s=64x64:r=25:d=2,geq=lum=4*N+20:cb=128:cr=128 -c:v libx264 "
                "-preset ultrafast "
                "-qp 4 -g 25 -bf 2 -pix_fmt yuv420p");
  }

  Outcome Run(const Job& job, const std::string& source) {
    Outcome out = client_->Run(job, source, kLimit);
    if (out.done) {
      WriteFile(Path("stored"), out.stored);
      WriteFile(Path("stream"), out.stream);
    }
    return out;
  }
  static Job Frame(double at, OutputFormat format = OutputFormat::kPng) {
    Job job;
    job.operation = Operation::kFrame;
    job.format = format;
    job.start_seconds = at;
    job.stream = false;
    return job;
  }
  /// Mean luma of a stored still.
  double MeanGrey() {
    const std::string raw = Output("ffmpeg -v error -i '" + Path("stored") +
                                   "' -vf format=gray,scale=1:1:flags=area -f rawvideo -");
    return raw.empty() ? -1 : static_cast<uint8_t>(raw[0]);
  }
  /// Average colour of a part of a stored still or of a video's first picture, as RGB.
  std::array<int, 3> ColourAt(const std::string& crop) {
    const std::string raw =
        Output("ffmpeg -v error -i '" + Path("stored") + "' -frames:v 1 -vf 'crop=" + crop +
               ",scale=1:1:flags=area,format=rgb24' -f rawvideo -");
    if (raw.size() < 3) return {-1, -1, -1};
    return {static_cast<uint8_t>(raw[0]), static_cast<uint8_t>(raw[1]),
            static_cast<uint8_t>(raw[2])};
  }
};

// ------------------------------------------------------------------------------------------- video

TEST_F(WorkerTest, MakesABrowserVideoOfTheRightSizeAndLength) {
  Job job;
  job.width = 160;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 160u);
  EXPECT_EQ(o.done->height, 90u);
  EXPECT_EQ(o.done->frames, 50u);
  EXPECT_NEAR(o.done->duration_seconds, 2, 0.05);
  EXPECT_NEAR(o.done->fps, 25, 0.01);
  EXPECT_TRUE(o.done->has_audio);
  EXPECT_EQ(o.done->video_codec, "h264");
  EXPECT_EQ(o.done->audio_codec, "aac");
  EXPECT_GT(o.done->cpu_seconds, 0);
  EXPECT_TRUE(o.done->warnings.empty());
  EXPECT_EQ(o.done->stored_bytes, o.stored.size());
  EXPECT_EQ(o.done->stream_bytes, o.stream.size());

  auto video = Facts(Path("stored"), "v");
  EXPECT_EQ(video["codec_name"], "h264");
  EXPECT_EQ(video["profile"], "High");
  EXPECT_EQ(video["pix_fmt"], "yuv420p");
  EXPECT_EQ(video["width"], "160");
  EXPECT_EQ(video["height"], "90");
  EXPECT_EQ(video["nb_read_frames"], "50");
  EXPECT_EQ(video["color_range"], "tv");
  EXPECT_EQ(video["color_space"], "smpte170m");
  EXPECT_NEAR(std::stod(video["duration"]), 2, 0.01);
  EXPECT_NEAR(std::stod(video["start_time"]), 0, 0.001);
  auto audio = Facts(Path("stored"), "a");
  EXPECT_EQ(audio["codec_name"], "aac");
  EXPECT_EQ(audio["profile"], "LC");
  EXPECT_EQ(audio["channels"], "2");
  EXPECT_EQ(audio["sample_rate"], "48000");
  EXPECT_NEAR(std::stod(audio["duration"]), 2, 0.03);
}

TEST_F(WorkerTest, StoredFormHasItsIndexFirstAndBothFormsShowTheSamePictures) {
  Job job;
  job.width = 160;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  const auto stored = TopBoxes(o.stored);
  EXPECT_THAT(stored, ::testing::ElementsAre("ftyp", "moov", "free", "mdat"));
  const auto stream = TopBoxes(o.stream);
  EXPECT_EQ(std::vector(stream.begin(), stream.begin() + 4),
            (std::vector<std::string>{"ftyp", "moov", "moof", "mdat"}));
  EXPECT_GE(std::count(stream.begin(), stream.end(), "moof"), 4);
  const std::string hashes = PictureHashes(Path("stored"));
  EXPECT_EQ(std::count(hashes.begin(), hashes.end(), '\n'), 50);
  EXPECT_EQ(hashes, PictureHashes(Path("stream")));
}

TEST_F(WorkerTest, TheStreamsWatermarkGrowsLongBeforeTheEnd) {
  const std::string clip =
      Clip("long.mp4", "-f lavfi -i testsrc2=s=640x360:r=25:d=12 -c:v libx264 -preset ultrafast");
  Job job;
  job.width = 320;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  std::set<uint64_t> marks;
  uint32_t percent = 0;
  for (const protocol::Progress& p : o.progress) {
    EXPECT_GE(p.percent, percent);
    percent = p.percent;
    marks.insert(p.stream_bytes);
  }
  EXPECT_GE(marks.size(), 20u);  // a fragment each half second
  EXPECT_EQ(*marks.rbegin(), o.stream.size());
  EXPECT_LT(*std::next(marks.begin(), 3), o.stream.size() / 3);
}

TEST_F(WorkerTest, TheSameJobGivesTheSameBytesWithAnyNumberOfThreads) {
  Job job;
  job.width = 160;
  const Outcome once = Run(job, Standard()), again = Run(job, Standard());
  job.decoder_threads = 2;
  const Outcome threads = Run(job, Standard());
  ASSERT_TRUE(once.done && again.done && threads.done);
  EXPECT_TRUE(once.stored == again.stored && once.stream == again.stream);
  EXPECT_TRUE(once.stored == threads.stored && once.stream == threads.stream);
}

TEST_F(WorkerTest, LooksLikeWhatFfmpegMakesOfIt) {
  Job job;
  job.width = 160;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  const std::string reference = Path("reference.mp4");
  (void)!system(("ffmpeg -v error -y -i '" + Standard() +
                 "' -vf scale=160:90:flags=bicubic -c:v libx264 -crf 16 '" + reference + "'")
                    .c_str());
  EXPECT_GT(Ssim(Path("stored"), reference), 0.95);
}

TEST_F(WorkerTest, SoundIsLeftOutWhenNotWantedOrNotThere) {
  Job job;
  job.width = 160;
  job.audio = false;
  Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_FALSE(o.done->has_audio);
  EXPECT_EQ(o.done->audio_codec, "");
  EXPECT_TRUE(Facts(Path("stored"), "a").empty());
  job.audio = true;
  o = Run(job, Counting());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_FALSE(o.done->has_audio);
}

TEST_F(WorkerTest, WithoutAStreamOnlyTheStoredFormIsWritten) {
  Job job;
  job.width = 160;
  job.stream = false;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->stream_bytes, 0u);
  EXPECT_TRUE(o.stream.empty());
  EXPECT_FALSE(o.stored.empty());
}

TEST_F(WorkerTest, CutsToThePictureAndToTheSample) {
  Job job;
  job.start_seconds = 0.6;  // not a key frame
  job.duration_seconds = 0.8;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 20u);
  EXPECT_NEAR(o.done->duration_seconds, 0.8, 0.001);
  EXPECT_NEAR(std::stod(Facts(Path("stored"), "v")["duration"]), 0.8, 0.001);
  EXPECT_NEAR(std::stod(Facts(Path("stored"), "a")["duration"]), 0.8, 0.001);

  Job counting = job;
  const Outcome c = Run(counting, Counting());
  ASSERT_TRUE(c.done) << Why(c);
  EXPECT_EQ(c.done->frames, 20u);
  // The first picture is number 15: grey 80.
  const std::string raw = Output("ffmpeg -v error -i '" + Path("stored") +
                                 "' -frames:v 1 -f rawvideo -pix_fmt yuv420p -");
  ASSERT_FALSE(raw.empty());
  EXPECT_NEAR(static_cast<uint8_t>(raw[0]), 80, 2);
}

TEST_F(WorkerTest, ALongerDurationThanWhatIsLeftIsClipped) {
  Job job;
  job.start_seconds = 1.5;
  job.duration_seconds = 60;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(o.done->duration_seconds, 0.5, 0.03);
  EXPECT_TRUE(o.done->warnings.empty());
}

TEST_F(WorkerTest, AStartBehindTheEndIsSaidToBeOne) {
  Job job;
  job.start_seconds = 10;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
  const Outcome f = Run(Frame(10), Standard());
  ASSERT_TRUE(f.failed);
  EXPECT_EQ(f.failed->reason, "TIME_OUT_OF_RANGE");
}

TEST_F(WorkerTest, SoundStaysInStepWithThePictureAfterACut) {
  // A white flash and a beep at the same moment, 1.0 to 1.2 s.
  const std::string clip = Clip(
      "flash.mp4",
      "-f lavfi -i "
      "color=black:s=64x64:r=25:d=2,geq=lum='if(between(N\\,25\\,29)\\,235\\,16)':cb=128:cr=128 "
      "-f lavfi -i aevalsrc='if(between(t\\,1\\,1.2)\\,0.8*sin(2*PI*1000*t)\\,0)':s=44100:d=2 "
      "-c:v libx264 -g 50 -qp 10 -pix_fmt yuv420p -c:a aac");
  Job job;
  job.start_seconds = 0.5;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(Facts(Path("stored"), "a")["sample_rate"], "44100");
  for (const char* form : {"stored", "stream"}) {
    const std::string silence = Output("ffmpeg -hide_banner -i '" + Path(form) +
                                       "' -af silencedetect=n=-30dB:d=0.1 -f null - 2>&1");
    const size_t end = silence.find("silence_end: ");
    ASSERT_NE(end, std::string::npos) << form;
    const double beep = std::atof(silence.c_str() + end + 13);
    const std::string black =
        Output("ffmpeg -hide_banner -i '" + Path(form) + "' -vf blackdetect=d=0.1 -f null - 2>&1");
    const size_t flash_at = black.find("black_end:");
    ASSERT_NE(flash_at, std::string::npos) << form;
    const double flash = std::atof(black.c_str() + flash_at + 10);
    EXPECT_NEAR(beep, flash, 0.025) << form;
    if (std::string(form) == "stored") {
      EXPECT_NEAR(flash, 0.5, 0.002);
    }
  }
}

TEST_F(WorkerTest, RotationIsAppliedAndNotWritten) {
  // Left half red, right half blue; ffmpeg's tag of 90 turns counter-clockwise: blue on top.
  const std::string flat =
      Clip("flat.mp4",
           "-f lavfi -i color=red:s=160x180:r=25:d=0.4 -f lavfi -i color=blue:s=160x180:r=25:d=0.4 "
           "-filter_complex hstack -c:v libx264 -pix_fmt yuv420p");
  const std::string turned =
      Clip("turned.mp4", "-i '" + flat + "' -c copy -metadata:s:v rotate=90");
  Job job;
  job.width = 90;
  const Outcome o = Run(job, turned);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 90u);
  EXPECT_EQ(o.done->height, 160u);
  EXPECT_FALSE(Facts(Path("stored"), "v").contains("rotation"));
  const auto top = ColourAt("40:30:20:20"), bottom = ColourAt("40:30:20:110");
  EXPECT_GT(top[2], 200);
  EXPECT_LT(top[0], 60);
  EXPECT_GT(bottom[0], 200);
  EXPECT_LT(bottom[2], 60);
  // The same for a still, at the video's size.
  Job still = Frame(0.1);
  still.width = 90;
  const Outcome f = Run(still, turned);
  ASSERT_TRUE(f.done) << Why(f);
  EXPECT_EQ(f.done->height, 160u);
  EXPECT_GT(ColourAt("40:30:20:20")[2], 200);
}

TEST_F(WorkerTest, FitsAreDistinct) {
  struct Case {
    Fit fit;
    uint32_t width, height;
  };
  for (const Case& c : {Case{Fit::kContain, 400, 224}, Case{Fit::kCover, 400, 400},
                        Case{Fit::kPad, 400, 400}, Case{Fit::kScaleDown, 320, 180}}) {
    Job job;
    job.width = 400;
    job.height = 400;
    job.fit = c.fit;
    job.duration_seconds = 0.2;
    const Outcome o = Run(job, Standard());
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_EQ(o.done->width, c.width);
    EXPECT_EQ(o.done->height, c.height);
    EXPECT_EQ(Facts(Path("stored"), "v")["width"], std::to_string(c.width));
    EXPECT_EQ(Facts(Path("stored"), "v")["height"], std::to_string(c.height));
    if (c.fit == Fit::kPad) {
      EXPECT_LT(ColourAt("400:40:0:0")[1], 20);
    }
  }
}

TEST_F(WorkerTest, OddAndSmallSourcesComeOutEven) {
  const std::string odd =
      Clip("odd.mkv", "-f lavfi -i testsrc2=s=161x121:r=10:d=0.5 -c:v ffv1 -pix_fmt yuv444p");
  const Outcome o = Run(Job(), odd);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 160u);
  EXPECT_EQ(o.done->height, 120u);
  const std::string tiny = Clip("tiny.mkv", "-f lavfi -i testsrc2=s=2x2:r=10:d=0.5 -c:v ffv1");
  const Outcome t = Run(Job(), tiny);
  ASSERT_TRUE(t.done) << Why(t);
  EXPECT_EQ(t.done->width, 2u);
}

TEST_F(WorkerTest, InterlacedAndTenBitSourcesBecomePlainOnes) {
  const std::string clip =
      Clip("interlaced.mkv",
           "-f lavfi -i testsrc2=s=320x240:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff "
           "-c:v ffv1 -pix_fmt yuv422p10le -top 1 -flags +ildct");
  Job job;
  job.width = 160;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  auto facts = Facts(Path("stored"), "v");
  EXPECT_EQ(facts["pix_fmt"], "yuv420p");
  EXPECT_THAT(facts["field_order"], AnyOf("progressive", "unknown"));
  EXPECT_EQ(o.done->frames, 25u);
}

TEST_F(WorkerTest, ColoursSurviveWhatTheirTagsSay) {
  // The same RGB red, stored as BT.601, BT.709 and full range; the result, read by its tags, is
  // that red.
  for (const std::string how : {"bt601:out_range=tv", "bt709:out_range=tv", "bt709:out_range=pc"}) {
    const std::string clip = Clip(
        "red-" + how + ".mkv",
        "-f lavfi -i color=0xC02010:s=320x240:r=5:d=0.6,format=rgb24,scale=out_color_matrix=" +
            how + ",format=yuv444p -c:v libx264 -qp 2 -color_range " + how.substr(how.size() - 2) +
            " -colorspace " + (how.starts_with("bt709") ? "bt709" : "smpte170m"));
    for (const bool still : {false, true}) {
      const Outcome o = Run(still ? Frame(0, OutputFormat::kJpeg) : Job(), clip);
      ASSERT_TRUE(o.done) << Why(o);
      const auto rgb = ColourAt("100:100:50:50");
      EXPECT_NEAR(rgb[0], 0xC0, 6) << how << still;
      EXPECT_NEAR(rgb[1], 0x20, 6) << how << still;
      EXPECT_NEAR(rgb[2], 0x10, 6) << how << still;
    }
    const Outcome png = Run(Frame(0), clip);
    ASSERT_TRUE(png.done) << Why(png);
    EXPECT_NEAR(ColourAt("100:100:50:50")[0], 0xC0, 6) << how;
  }
}

TEST_F(WorkerTest, SizeChangesMidStreamKeepTheOutputsSize) {
  const std::string a =
      Clip("part1.ts", "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -preset ultrafast");
  const std::string b = Clip(
      "part2.ts",
      "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -preset ultrafast -output_ts_offset 1");
  const std::string both = Path("both.ts");
  WriteFile(both, ReadFile(a) + ReadFile(b));
  Job job;
  job.width = 160;
  const Outcome o = Run(job, both);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_GE(o.done->frames, 48u);
  EXPECT_EQ(o.done->height, 90u);
  EXPECT_EQ(Facts(Path("stored"), "v")["height"], "90");
}

TEST_F(WorkerTest, SurroundMonoAndOddRatesBecomeStereo) {
  for (const char* audio :
       {"-ac 6 -ar 48000 -c:a ac3", "-ac 1 -ar 8000 -c:a pcm_s16le", "-ac 8 -ar 96000 -c:a flac",
        "-ac 2 -ar 11025 -c:a pcm_u8", "-ac 7 -ar 44100 -c:a pcm_s24le"}) {
    const std::string clip =
        Clip("audio" + std::to_string(std::hash<std::string>()(audio)) + ".mkv",
             std::string(
                 "-f lavfi -i testsrc2=s=64x64:r=25:d=1 -f lavfi -i sine=440:d=1 -c:v libx264 ") +
                 audio);
    const Outcome o = Run(Job(), clip);
    ASSERT_TRUE(o.done) << audio << Why(o);
    auto facts = Facts(Path("stored"), "a");
    EXPECT_EQ(facts["channels"], "2") << audio;
    EXPECT_THAT(facts["sample_rate"], AnyOf("44100", "48000")) << audio;
    EXPECT_NEAR(std::stod(facts["duration"]), 1, 0.06) << audio;
    const std::string volume =
        Output("ffmpeg -hide_banner -i '" + Path("stored") + "' -af volumedetect -f null - 2>&1");
    EXPECT_THAT(volume, Not(HasSubstr("mean_volume: -91"))) << audio;
  }
}

TEST_F(WorkerTest, VariableFrameRatesKeepTheirTimes) {
  // Every picture of the second second is missing but its first.
  const std::string clip = Clip("vfr.mkv",
                                "-f lavfi -i testsrc2=s=160x90:r=25:d=3 -vf "
                                "select='not(between(t\\,1.01\\,1.99))' -fps_mode vfr "
                                "-c:v libx264 -preset ultrafast");
  const Outcome o = Run(Job(), clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(static_cast<double>(o.done->frames), 51, 1);
  EXPECT_NEAR(o.done->duration_seconds, 3, 0.05);
  std::istringstream times(
      Output("ffprobe -v error -select_streams v -show_entries frame=pts_time -of csv=p=0 '" +
             Path("stored") + "'"));
  double before = -1, widest = 0;
  for (std::string line; std::getline(times, line);) {
    if (line.empty()) continue;
    const double t = std::atof(line.c_str());
    EXPECT_GT(t, before);
    if (before >= 0) widest = std::max(widest, t - before);
    before = t;
  }
  EXPECT_NEAR(widest, 1, 0.05);
}

// -------------------------------------------------------------------------------------------
// stills

TEST_F(WorkerTest, AFrameIsExactlyTheOneOnTheScreen) {
  for (const double at : {0.0, 0.04, 0.61, 0.99, 1.0, 1.5, 1.96}) {
    const Outcome o = Run(Frame(at), Counting());
    ASSERT_TRUE(o.done) << at << Why(o);
    EXPECT_EQ(o.done->frames, 1u);
    EXPECT_EQ(o.done->video_codec, "png");
    const int number = static_cast<int>(std::floor(at * 25 + 1e-6));
    const double luma = 4 * number + 20;                        // limited range
    EXPECT_NEAR(MeanGrey(), (luma - 16) * 255 / 219, 3) << at;  // PNG is full range
  }
}

TEST_F(WorkerTest, StillsHaveTheFormatAndSizeAskedFor) {
  Job job = Frame(1, OutputFormat::kJpeg);
  job.width = 160;
  Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.stored.substr(0, 3), "\xff\xd8\xff");
  EXPECT_EQ(o.done->video_codec, "mjpeg");
  EXPECT_EQ(Facts(Path("stored"), "v")["width"], "160");
  const size_t usual = o.stored.size();
  job.quality_number = 10;
  o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_LT(o.stored.size(), usual);
  o = Run(Frame(1), Standard());
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.stored.substr(1, 3), "PNG");
  EXPECT_EQ(Facts(Path("stored"), "v")["width"], "320");
}

// -------------------------------------------------------------------------------------------
// source

TEST_F(WorkerTest, ASourceThatIsStillFetchedGivesTheSameBytes) {
  Job job;
  job.width = 160;
  const Outcome whole = Run(job, Standard());
  ASSERT_TRUE(whole.done);
  const Outcome pieces =
      client_->Run(job, Standard(), kLimit, [](const protocol::Need& n) { return n.length; });
  ASSERT_TRUE(pieces.done) << Why(pieces);
  EXPECT_TRUE(pieces.stored == whole.stored);
  ASSERT_FALSE(pieces.needs.empty());
  // Stingy answers only mean more questions; nothing is asked for twice.
  const Outcome stingy = client_->Run(job, Standard(), kLimit, [](const protocol::Need& n) {
    return std::min<uint64_t>(n.length, 3000);
  });
  ASSERT_TRUE(stingy.done) << Why(stingy);
  EXPECT_TRUE(stingy.stored == whole.stored);
  std::set<uint64_t> offsets;
  for (const protocol::Need& n : stingy.needs) EXPECT_TRUE(offsets.insert(n.offset).second);
}

TEST_F(WorkerTest, AFrameOutOfALongSourceReadsLittleOfIt) {
  const std::string clip = Clip("big.mp4",
                                "-f lavfi -i testsrc2=s=640x360:r=25:d=40,noise=alls=40:allf=t "
                                "-c:v libx264 -preset ultrafast "
                                "-qp 20 -g 50 -movflags +faststart");
  const uint64_t size = fs::file_size(clip);
  ASSERT_GT(size, 20u << 20);
  const Outcome o = client_->Run(Frame(30, OutputFormat::kJpeg), clip, kLimit,
                                 [](const protocol::Need& n) { return n.length; });
  ASSERT_TRUE(o.done) << Why(o);
  uint64_t asked = 0;
  for (const protocol::Need& n : o.needs) asked += n.length;
  EXPECT_LT(asked, 8u << 20);
  EXPECT_LE(o.needs.size(), 8u);
}

TEST_F(WorkerTest, ASourceThatFailsIsNotCalledCorrupt) {
  int answers = 0;
  const Outcome o = client_->Run(Job(), Standard(), kLimit, [&](const protocol::Need&) -> uint64_t {
    return ++answers > 1 ? 0 : 4000;
  });
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_FAILED");
}

TEST_F(WorkerTest, WhatIsNotAVideoIsRefusedByName) {
  struct Case {
    const char* name;
    std::string bytes;
    const char* reason;
  };
  const std::string mp4 = ReadFile(Standard());
  const Case cases[] = {
      {"empty", "", "SOURCE_UNSUPPORTED"},
      {"page.html", "<!DOCTYPE html><html><body>not found</body></html>", "SOURCE_UNSUPPORTED"},
      {"list.m3u8",
       "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
       "SOURCE_UNSUPPORTED"},
      {"list.mpd",
       "<?xml version=\"1.0\"?><MPD "
       "xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><BaseURL>http://127.0.0.1:1/</BaseURL></MPD>",
       "SOURCE_UNSUPPORTED"},
      {"list.ffconcat", "ffconcat version 1.0\nfile /etc/passwd\n", "SOURCE_UNSUPPORTED"},
      {"noise", std::string(100'000, 'x'), "SOURCE_UNSUPPORTED"},
      {"cut.mp4", mp4.substr(0, 400), "SOURCE_CORRUPT"},
  };
  for (const Case& c : cases) {
    WriteFile(Path(c.name), c.bytes);
    const Outcome o = Run(Job(), Path(c.name));
    ASSERT_TRUE(o.failed) << c.name << Why(o);
    EXPECT_EQ(o.failed->reason, c.reason) << c.name << Why(o);
    EXPECT_THAT(o.failed->message, Not(HasSubstr("/"))) << c.name;
  }
  const std::string sound = Clip("sound.m4a", "-f lavfi -i sine=440:d=1 -c:a aac");
  const Outcome o = Run(Frame(0), sound);
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_UNSUPPORTED");
  EXPECT_THAT(o.failed->message, HasSubstr("no video"));
}

TEST_F(WorkerTest, ALimitOfTheSourceIsNamedWithWhatThereIsAndWhatMayBe) {
  using ::testing::ElementsAre;
  const std::string three =
      Clip("three.mkv",
           "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=440:d=1 -map 0:v -map 1:a "
           "-map 1:a -c:v libx264 -pix_fmt yuv420p -c:a aac");
  for (const Operation operation : {Operation::kVideo, Operation::kFrame}) {
    const auto job = [&] { return operation == Operation::kFrame ? Frame(0) : Job(); };
    const auto facts = [&](const Job& asked) {
      const Outcome o = Run(asked, three);
      EXPECT_TRUE(o.failed);
      if (!o.failed) return std::vector<std::string>();
      EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
      return o.failed->facts;
    };
    Job asked = job();
    asked.limits.max_streams = 3;
    asked.limits.max_pixels = 64 * 48;
    const Outcome fits = Run(asked, three);
    EXPECT_TRUE(fits.done) << Why(fits);
    asked.limits.max_pixels = 64 * 48 - 1;
    EXPECT_THAT(facts(asked), ElementsAre("limit", "pixels", "value", "3072", "allowed", "3071"));
    asked = job();
    asked.limits.max_source_seconds = 0.5;
    EXPECT_THAT(facts(asked), ElementsAre("limit", "duration", "value", ::testing::StartsWith("1"),
                                          "allowed", "0.5"));
    asked = job();
    asked.limits.max_streams = 2;
    EXPECT_THAT(facts(asked),
                ElementsAre("limit", "streams", "value", "more than 2", "allowed", "2"));
  }
}

TEST_F(WorkerTest, LimitsAreKept) {
  Job job;
  job.limits.max_pixels = 100 * 100;
  Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
  job = Job();
  job.limits.max_source_seconds = 1;
  o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
  job = Job();
  job.limits.max_output_seconds = 1;
  o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
  job = Job();
  job.limits.max_output_bytes = 10'000;
  o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
}

// -------------------------------------------------------------------------------------------
// process

std::map<std::string, std::string> Status(int pid) {
  std::map<std::string, std::string> out;
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    out[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
  return out;
}

TEST_F(WorkerTest, AWorkerIsLockedUpBeforeItsJobArrives) {
#ifdef VR_SANITIZED
  GTEST_SKIP() << "sanitizers need system calls the sandbox forbids";
#endif
  std::optional<Worker> worker = client_->Spawn();
  std::optional<Worker> second = client_->Spawn();
  ASSERT_TRUE(worker && second);
  EXPECT_EQ(worker->hello.version, protocol::kVersion);
  EXPECT_THAT(worker->hello.recipe, HasSubstr("core 164"));
  auto status = Status(worker->pid);
  EXPECT_EQ(status["Seccomp"], "2");
  EXPECT_EQ(status["NoNewPrivs"], "1");
  EXPECT_EQ(status["CapEff"], "0000000000000000");
  EXPECT_EQ(status["CapPrm"], "0000000000000000");
  EXPECT_EQ(status["Threads"], "1");
  if (geteuid() == 0) {
    EXPECT_THAT(status["Uid"], Not(HasSubstr("\t0\t")));
    EXPECT_THAT(status["Uid"], ::testing::StartsWith("64"));
    EXPECT_NE(status["Uid"], Status(second->pid)["Uid"]);
    EXPECT_EQ(status["Groups"], "");
    std::set<std::string> targets;
    for (const auto& fd : fs::directory_iterator("/proc/" + std::to_string(worker->pid) + "/fd")) {
      std::string target = fs::read_symlink(fd.path()).string();
      targets.insert(target.starts_with("socket:") ? "socket" : target);
    }
    EXPECT_EQ(targets, (std::set<std::string>{"/dev/null", "socket"}));
    const std::string limits = ReadFile("/proc/" + std::to_string(worker->pid) + "/limits");
    EXPECT_THAT(limits, ::testing::ContainsRegex("Max address space +2147483648 +2147483648"));
    EXPECT_THAT(limits, ::testing::ContainsRegex("Max processes +64 +64"));
    EXPECT_THAT(limits, ::testing::ContainsRegex("Max core file size +0 +0"));
    EXPECT_THAT(limits, ::testing::ContainsRegex("Max open files +64 +64"));
    // Where the machine allows namespaces at all: the workers' own, shared but for the user's.
    const auto space = [](const std::string& pid, const std::string& kind) {
      return fs::read_symlink("/proc/" + pid + "/ns/" + kind).string();
    };
    const std::string first = std::to_string(worker->pid);
    const bool is_apart = space(first, "net") != space("self", "net");
    for (const char* kind : {"net", "ipc", "mnt", "uts"}) {
      EXPECT_EQ(space(first, kind) != space("self", kind), is_apart) << kind;
      EXPECT_EQ(space(first, kind), space(std::to_string(second->pid), kind)) << kind;
    }
    if (is_apart) {
      EXPECT_NE(space(first, "user"), space(std::to_string(second->pid), "user"));
    }
  }
  client_->Kill(second->id);
  const auto exited = client_->WaitExited(second->id, kLimit);
  ASSERT_TRUE(exited);
  EXPECT_TRUE(WIFSIGNALED(exited->wait_status));
  EXPECT_EQ(WTERMSIG(exited->wait_status), SIGKILL);
  // Closing the socket lets an idle worker go in peace.
  worker->socket.Reset();
  const auto left = client_->WaitExited(worker->id, kLimit);
  ASSERT_TRUE(left);
  EXPECT_EQ(left->wait_status, 0);
}

#if defined(__x86_64__) && !defined(VR_SANITIZED)
/// Lets a stopped worker go on to its next stop: at the door of a system call, or for a signal.
/// @return the status as waitpid(2) gives it
int RunToNextStop(int pid) {
  ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
  int status = 0;
  waitpid(pid, &status, __WALL);
  return status;
}

/// Puts one system call in the place of the recvmsg with which a stopped worker waits for its job,
/// as code injected by a hostile video would. A worker that was stopped earlier first goes on to
/// it: before, it may not be locked up yet.
/// @return the call's result, or 128 + signal when it killed the worker; none when the worker ended
///         before it waited
std::optional<long> Inject(int pid, long number, long a = 0, long b = 0, long c = 0) {
  __ptrace_syscall_info call{};
  do {
    if (!WIFSTOPPED(RunToNextStop(pid))) return std::nullopt;
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call);
  } while (call.op != PTRACE_SYSCALL_INFO_ENTRY || call.entry.nr != SYS_recvmsg);
  user_regs_struct regs{};
  ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
  regs.orig_rax = static_cast<unsigned long long>(number);
  regs.rdi = static_cast<unsigned long long>(a);
  regs.rsi = static_cast<unsigned long long>(b);
  regs.rdx = static_cast<unsigned long long>(c);
  ptrace(PTRACE_SETREGS, pid, nullptr, &regs);
  // A refused call may be left before its signal arrives, so the stop after it decides.
  int status = RunToNextStop(pid);
  ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
  if (WIFSTOPPED(status) && WSTOPSIG(status) != SIGSYS) status = RunToNextStop(pid);
  if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
  if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSYS) return 128 + SIGSYS;
  return static_cast<long>(regs.rax);
}

TEST_F(WorkerTest, CodeInsideAWorkerCannotReachFilesNetworkOrProcesses) {
  struct Case {
    const char* what;
    long number, a, b, c;
    long expected;
  };
  const Case cases[] = {
      {"open", SYS_openat, AT_FDCWD, 0, O_RDONLY, -ENOENT},
      {"socket", SYS_socket, 2, 1, 0, -EPERM},
      {"fork", SYS_fork, 0, 0, 0, 128 + SIGSYS},
      {"execve", SYS_execve, 0, 0, 0, 128 + SIGSYS},
      {"kill", SYS_kill, 1, SIGTERM, 0, 128 + SIGSYS},
      {"ptrace", SYS_ptrace, 0, 0, 0, 128 + SIGSYS},
      {"unlink", SYS_unlink, 0, 0, 0, 128 + SIGSYS},
      {"connect", SYS_connect, 3, 0, 0, 128 + SIGSYS},
      {"setuid", SYS_setuid, 0, 0, 0, 128 + SIGSYS},
      {"executable memory", SYS_mmap, 0, 4096, 7, 128 + SIGSYS},
      {"getpid", SYS_getpid, 0, 0, 0, 0},
  };
  for (const Case& c : cases) {
    std::optional<Worker> worker = client_->Spawn();
    ASSERT_TRUE(worker);
    if (ptrace(PTRACE_SEIZE, worker->pid, nullptr, PTRACE_O_TRACESYSGOOD) != 0) {
      GTEST_SKIP() << "may not trace the worker here";
    }
    ptrace(PTRACE_INTERRUPT, worker->pid, nullptr, nullptr);
    int status = 0;
    waitpid(worker->pid, &status, __WALL);
    ASSERT_TRUE(WIFSTOPPED(status));
    const std::optional<long> got = Inject(worker->pid, c.number, c.a, c.b, c.c);
    if (c.number == SYS_getpid) {
      EXPECT_EQ(got, worker->pid);  // the injection itself works
    } else {
      EXPECT_EQ(got, c.expected) << c.what;
    }
    ptrace(PTRACE_DETACH, worker->pid, nullptr, nullptr);
    client_->Kill(worker->id);
    EXPECT_TRUE(client_->WaitExited(worker->id, kLimit)) << c.what;
  }
}
#endif

bool Gone(int pid) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (std::chrono::steady_clock::now() < deadline) {
    // The zygote is dead too, so init or a subreaper collects them; a zombie is gone enough.
    const auto status = Status(pid);
    const auto state = status.find("State");
    if (state == status.end() || state->second.starts_with("Z") || state->second.starts_with("X"))
      return true;
    usleep(2000);
  }
  return false;
}

TEST_F(WorkerTest, NothingOutlivesTheServerOrTheZygote) {
  for (const bool kill_zygote : {false, true}) {
    WorkerClient client(VR_WORKER_PATH);
    std::optional<Worker> idle = client.Spawn(), busy = client.Spawn();
    ASSERT_TRUE(idle && busy);
    // A source that never comes keeps the second one waiting in the middle of its job.
    Job job;
    job.source_complete = false;
    job.source_size = 1 << 20;
    UniqueFd source = TemporaryFile(), stored = TemporaryFile(), stream = TemporaryFile();
    ASSERT_TRUE(client.SendJob(*busy, job, source.get(), stored.get(), stream.get()));
    auto need = WorkerClient::Receive(*busy, kLimit);
    ASSERT_TRUE(need);
    if (kill_zygote) {
      kill(client.zygote_pid(), SIGKILL);
    } else {
      client.control().Reset();
    }
    EXPECT_TRUE(Gone(idle->pid));
    EXPECT_TRUE(Gone(busy->pid));
  }
}

TEST_F(WorkerTest, AKilledWorkerIsReportedAndTheNextOneWorks) {
  std::optional<Worker> worker = client_->Spawn();
  ASSERT_TRUE(worker);
  kill(worker->pid, SIGKILL);
  const auto exited = client_->WaitExited(worker->id, kLimit);
  ASSERT_TRUE(exited);
  EXPECT_EQ(WTERMSIG(exited->wait_status), SIGKILL);
  client_->Kill(worker->id);  // too late, and harmless
  const Outcome o = Run(Job(), Standard());
  EXPECT_TRUE(o.done) << Why(o);
  ASSERT_TRUE(o.exited);
  EXPECT_EQ(o.exited->wait_status, 0);
  EXPECT_GT(o.exited->cpu_seconds, 0);
  EXPECT_GT(o.exited->max_rss_bytes, 1u << 20);
}

TEST_F(WorkerTest, ProcessorTimeIsLimited) {
  protocol::WorkerLimits limits;
  limits.cpu_seconds = 1;
  WorkerClient client(VR_WORKER_PATH, limits);
  const std::string clip =
      Clip("slow.mp4", "-f lavfi -i testsrc2=s=1280x720:r=50:d=12 -c:v libx264 -preset ultrafast");
  Job job;
  job.height = 360;
  const Outcome o = client.Run(job, clip, kLimit);
  EXPECT_FALSE(o.done);
  ASSERT_TRUE(o.exited);
  EXPECT_TRUE(WIFSIGNALED(o.exited->wait_status));
  EXPECT_THAT(WTERMSIG(o.exited->wait_status), AnyOf(SIGXCPU, SIGKILL));
}

TEST_F(WorkerTest, TooLittleMemoryIsAFailureNotACrash) {
#ifdef VR_SANITIZED
  GTEST_SKIP() << "address space cannot be limited under sanitizers";
#endif
  protocol::WorkerLimits limits;
  limits.memory_bytes = 330ull << 20;
  WorkerClient client(VR_WORKER_PATH, limits);
  const std::string clip =
      Clip("slow.mp4", "-f lavfi -i testsrc2=s=1280x720:r=50:d=12 -c:v libx264 -preset ultrafast");
  Job job;
  job.duration_seconds = 2;
  const Outcome o = client.Run(job, clip, kLimit);
  if (o.done) GTEST_SKIP() << "was enough here";
  ASSERT_TRUE(o.failed) << Why(o);
  EXPECT_EQ(o.failed->reason, "TRANSFORM_FAILED") << Why(o);
}

// ------------------------------------------------------------------------------------------- the
// world

const std::set<std::string>& ProperReasons() {
  static const std::set<std::string> reasons{"SOURCE_UNSUPPORTED", "SOURCE_CORRUPT",
                                             "SOURCE_TOO_LARGE", "TIME_OUT_OF_RANGE"};
  return reasons;
}

TEST_F(WorkerTest, EveryFileOfTheCorpusGetsAnAnswer) {
  if (!fs::exists(VR_CORPUS_PATH)) GTEST_SKIP() << "no corpus at " << VR_CORPUS_PATH;
  const std::map<std::string, std::string> bad{
      {"audio-only-aac-15s.mp4", "SOURCE_UNSUPPORTED"},
      {"encrypted-cenc-short.mp4", "SOURCE_UNSUPPORTED"},
      {"corrupt-moov-missing-512B.mp4", "SOURCE_CORRUPT"},
      {"corrupt-22ch-aac-frag.mp4", "SOURCE_UNSUPPORTED"},
      {"mjpeg-quicktime-moovonly-refs.mov", "SOURCE_CORRUPT"}};
  int files = 0;
  for (const auto& entry : fs::directory_iterator(VR_CORPUS_PATH)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".tsv") continue;
    ++files;
    for (const bool still : {false, true}) {
      Job job = still ? Frame(0, OutputFormat::kJpeg) : Job();
      job.width = 320;
      if (!still) job.duration_seconds = 3;
      const Outcome o = client_->Run(job, entry.path().string(), kLimit);
      ASSERT_FALSE(o.timed_out) << name;
      ASSERT_TRUE(o.exited) << name;
      EXPECT_EQ(o.exited->wait_status, 0) << name;
      const auto expected = bad.find(name);
      if (expected != bad.end()) {
        ASSERT_TRUE(o.failed) << name;
        EXPECT_EQ(o.failed->reason, expected->second) << name << " " << Why(o);
        continue;
      }
      ASSERT_TRUE(o.done) << name << " " << Why(o);
      WriteFile(Path("stored"), o.stored);
      auto facts = Facts(Path("stored"), "v");
      EXPECT_EQ(facts["width"], "320") << name;
      EXPECT_EQ(facts["height"], std::to_string(o.done->height)) << name;
      EXPECT_EQ(facts["nb_read_frames"], std::to_string(o.done->frames)) << name;
      if (!still) {
        EXPECT_EQ(facts["pix_fmt"], "yuv420p") << name;
      }
    }
  }
  EXPECT_GE(files, 30);
}

TEST_F(WorkerTest, DamagedFilesNeverCrashAWorker) {
  const unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::vector<std::string> originals{ReadFile(Standard())};
  originals.push_back(
      ReadFile(Clip("mutant.webm",
                    "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -f lavfi -i sine=300:d=1 "
                    "-c:v libvpx -b:v 200k -c:a libopus")));
  originals.push_back(
      ReadFile(Clip("mutant.ts",
                    "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -f lavfi -i sine=300:d=1 "
                    "-c:v mpeg2video -c:a mp2")));
  for (int i = 0; i < 30; ++i) {
    std::string bytes = originals[static_cast<size_t>(i) % originals.size()];
    const int flips = std::uniform_int_distribution(1, 60)(random);
    for (int f = 0; f < flips; ++f) {
      const size_t at = std::uniform_int_distribution<size_t>(0, bytes.size() - 1)(random);
      bytes[at] = static_cast<char>(random());
    }
    if (i % 4 == 0) bytes.resize(std::uniform_int_distribution<size_t>(100, bytes.size())(random));
    WriteFile(Path("mutant"), bytes);
    Job job = i % 3 == 2 ? Frame(0.5) : Job();
    job.width = 64;
    const Outcome o = client_->Run(job, Path("mutant"), kLimit);
    ASSERT_FALSE(o.timed_out) << i;
    ASSERT_TRUE(o.exited && o.exited->wait_status == 0) << i << " " << Why(o);
    ASSERT_TRUE(o.done || o.failed) << i;
    if (o.failed) {
      EXPECT_TRUE(ProperReasons().contains(o.failed->reason)) << i << " " << Why(o);
    }
  }
}

// ------------------------------------------------------------------- formats, options and routes

struct VideoCase {
  OutputFormat format;
  const char* codec;
  const char* sound;
};

TEST_F(WorkerTest, EveryVideoFormatHasBothFormsAndTheSameBytesEveryTime) {
  for (const VideoCase& c :
       {VideoCase{OutputFormat::kMp4, "h264", "aac"}, VideoCase{OutputFormat::kHevc, "hevc", "aac"},
        VideoCase{OutputFormat::kAv1, "av1", "aac"},
        VideoCase{OutputFormat::kWebm, "vp9", "opus"}}) {
    SCOPED_TRACE(c.codec);
    Job job;
    job.format = c.format;
    job.width = 160;
    const Outcome o = Run(job, Standard());
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_EQ(o.done->video_codec, c.codec);
    EXPECT_EQ(o.done->audio_codec, c.sound);
    EXPECT_EQ(o.done->frames, 50u);
    const bool has_aac = c.format != OutputFormat::kWebm;
    EXPECT_THAT(o.done->route, ::testing::StartsWith(has_aac ? "copy audio: " : "transcode: "));
    auto video = Facts(Path("stored"), "v");
    EXPECT_EQ(video["codec_name"], c.codec);
    EXPECT_EQ(video["pix_fmt"], "yuv420p");
    EXPECT_EQ(video["width"], "160");
    EXPECT_EQ(video["height"], "90");
    EXPECT_EQ(video["nb_read_frames"], "50");
    if (c.format == OutputFormat::kHevc) {
      EXPECT_EQ(video["codec_tag_string"], "hvc1");
    }
    EXPECT_EQ(Facts(Path("stored"), "a")["codec_name"], c.sound);
    EXPECT_EQ(PictureHashes(Path("stored")), PictureHashes(Path("stream")));
    job.decoder_threads = 3;
    const Outcome again = Run(job, Standard());
    ASSERT_TRUE(again.done) << Why(again);
    EXPECT_TRUE(again.stored == o.stored);
    EXPECT_TRUE(again.stream == o.stream);
  }
}

TEST_F(WorkerTest, TinyPicturesWorkInEveryCodec) {
  const std::string clip =
      Clip("tiny.mp4",
           "-f lavfi -i testsrc2=s=64x64:r=10:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
  for (const OutputFormat format :
       {OutputFormat::kMp4, OutputFormat::kHevc, OutputFormat::kAv1, OutputFormat::kWebm}) {
    Job job;
    job.format = format;
    job.width = 16;
    job.height = 10;
    job.fit = Fit::kCover;
    const Outcome o = Run(job, clip);
    if (format == OutputFormat::kHevc) {
      ASSERT_TRUE(o.failed);
      EXPECT_EQ(o.failed->reason, "INVALID_PARAMETER") << "its encoder begins at 16x16";
      EXPECT_THAT(o.failed->message, HasSubstr("16x10"));
    } else {
      EXPECT_TRUE(o.done) << static_cast<int>(format) << Why(o);
    }
  }
}

/// Mean grey of every picture of the stored video.
std::vector<int> Greys(const std::string& path) {
  constexpr size_t kBytes = 6;  // 2x2 yuv420p
  const std::string raw = Output("ffmpeg -v error -i '" + path +
                                 "' -fps_mode passthrough -vf scale=2:2:flags=area -pix_fmt "
                                 "yuv420p -f rawvideo -");
  std::vector<int> greys;
  for (size_t at = 0; at + kBytes <= raw.size(); at += kBytes) {
    greys.push_back(static_cast<uint8_t>(raw[at]));
  }
  return greys;
}

TEST_F(WorkerTest, AConstantRateShowsWhatIsShownAtEachOfItsTimes) {
  Job job;
  job.fps = 10;
  job.quality_number = 100;
  const Outcome o = Run(job, Counting());
  ASSERT_TRUE(o.done) << Why(o);
  const std::vector<int> greys = Greys(Path("stored"));
  ASSERT_EQ(greys.size(), 20u);
  for (size_t n = 0; n < greys.size(); ++n) {
    const auto picture = static_cast<int>(std::floor(static_cast<double>(n) * 2.5 + 1e-9));
    EXPECT_NEAR(greys[n], 4 * picture + 20, 2) << n;
  }
  EXPECT_NEAR(o.done->duration_seconds, 2, 0.001);
  EXPECT_EQ(Facts(Path("stored"), "v")["r_frame_rate"], "10/1");
}

TEST_F(WorkerTest, ARateAboveTheSourcesRepeatsPictures) {
  Job job;
  job.fps = 50;
  job.quality_number = 100;
  const Outcome o = Run(job, Counting());
  ASSERT_TRUE(o.done) << Why(o);
  const std::vector<int> greys = Greys(Path("stored"));
  ASSERT_EQ(greys.size(), 100u);
  for (size_t n = 0; n < greys.size(); ++n)
    EXPECT_NEAR(greys[n], 4 * static_cast<int>(n / 2) + 20, 2) << n;
}

TEST_F(WorkerTest, APartAtAConstantRateIsThatPart) {
  Job job;
  job.fps = 5;
  job.start_seconds = 1;
  job.duration_seconds = 0.8;
  job.quality_number = 100;
  const Outcome o = Run(job, Counting());
  ASSERT_TRUE(o.done) << Why(o);
  const std::vector<int> greys = Greys(Path("stored"));
  ASSERT_EQ(greys.size(), 4u);
  for (size_t n = 0; n < greys.size(); ++n)
    EXPECT_NEAR(greys[n], 4 * static_cast<int>(25 + 5 * n) + 20, 2);
  EXPECT_NEAR(o.done->duration_seconds, 0.8, 0.001);
}

TEST_F(WorkerTest, SpeedChangesTimeAndNotTheNumberOfPicturesPerSecond) {
  for (const double speed : {0.5, 2.0}) {
    Job job;
    job.speed = speed;
    job.quality_number = 100;
    const Outcome o = Run(job, Counting());
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_NEAR(o.done->duration_seconds, 2 / speed, 0.001) << speed;
    EXPECT_NEAR(std::stod(Facts(Path("stored"), "v")["duration"]), 2 / speed, 0.001) << speed;
    const std::vector<int> greys = Greys(Path("stored"));
    ASSERT_EQ(greys.size(), speed > 1 ? 25u : 50u) << speed;
    const int step = speed > 1 ? 8 : 4;
    for (size_t n = 0; n < greys.size(); ++n)
      EXPECT_NEAR(greys[n], step * static_cast<int>(n) + 20, 2) << n;
  }
}

/// Red, green / blue, white quarters.
std::string Quarters() {
  return "-f lavfi -i color=red:s=160x90:r=10:d=1 -f lavfi -i color=lime:s=160x90:r=10:d=1 "
         "-f lavfi -i color=blue:s=160x90:r=10:d=1 -f lavfi -i color=white:s=160x90:r=10:d=1 "
         "-filter_complex 'xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0' -c:v libx264 -qp 4 "
         "-pix_fmt yuv420p";
}

void ExpectColour(const std::array<int, 3>& seen, std::array<int, 3> wanted) {
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(seen[i], wanted[i], 12) << i;
}

TEST_F(WorkerTest, CropAndRotationMoveTheRightPictures) {
  const std::string clip = Clip("quarters.mp4", Quarters());
  Job job;
  job.quality_number = 100;
  job.crop = protocol::CropBox{160, 90, 160, 0};
  Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 160u);
  EXPECT_EQ(o.done->height, 90u);
  ExpectColour(ColourAt("140:70:10:10"), {0, 255, 0});
  job.crop.reset();
  job.rotate_degrees = 90;  // clockwise: what was bottom left is top left
  o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 180u);
  EXPECT_EQ(o.done->height, 320u);
  ExpectColour(ColourAt("60:100:10:10"), {0, 0, 255});
  ExpectColour(ColourAt("60:100:110:10"), {255, 0, 0});
  job.rotate_degrees = 45;
  o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(o.done->width, (320 + 180) * std::sqrt(0.5), 2);
  ExpectColour(ColourAt("20:20:0:0"), {0, 0, 0});
  ExpectColour(ColourAt("20:20:168:60"), {255, 0, 0});
}

TEST_F(WorkerTest, ABitRateIsHonoured) {
  const std::string clip = Clip("busy.mp4",
                                "-f lavfi -i testsrc2=s=640x360:r=25:d=10,noise=alls=30:allf=t "
                                "-c:v libx264 -preset ultrafast "
                                "-qp 20 -pix_fmt yuv420p");
  for (const OutputFormat format :
       {OutputFormat::kMp4, OutputFormat::kHevc, OutputFormat::kAv1, OutputFormat::kWebm}) {
    Job job;
    job.format = format;
    job.width = 320;
    job.bit_rate = 400'000;
    const Outcome o = Run(job, clip);
    ASSERT_TRUE(o.done) << Why(o);
    const double rate = static_cast<double>(o.done->stored_bytes) * 8 / o.done->duration_seconds;
    EXPECT_NEAR(rate, 400e3, 80e3) << static_cast<int>(format);
  }
}

/// The packets themselves, in decoding order.
std::string PacketHashes(const std::string& path, const std::string& stream) {
  std::istringstream lines(
      Output("ffmpeg -v error -i '" + path + "' -map 0:" + stream + " -c copy -f framemd5 -"));
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) all += line.substr(line.rfind(',') + 1) + "\n";
  }
  return all;
}

TEST_F(WorkerTest, WhatNeedsNothingDoneIsCopiedPacketByPacket) {
  const std::string clip =
      Clip("copy.mkv",
           "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=440:r=48000:d=4 -c:v libx264 "
           "-preset veryfast -bf 2 -g 25 -profile:v main -pix_fmt yuv420p -color_range tv -c:a aac "
           "-ac 2");
  Job job;
  job.audio = false;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->route, "remux");
  EXPECT_EQ(o.done->frames, 100u);
  EXPECT_NEAR(o.done->duration_seconds, 4, 0.05);
  EXPECT_TRUE(PacketHashes(Path("stored"), "v") == PacketHashes(clip, "v"));
  EXPECT_TRUE(PictureHashes(Path("stream")) == PictureHashes(clip));
  EXPECT_EQ(TopBoxes(o.stored)[1], "moov");
  EXPECT_LT(o.done->cpu_seconds, 0.5);
}

std::string LargeClip(const std::string& flags) {
  return "-f lavfi -i testsrc2=s=1280x720:r=30:d=6,noise=alls=20:all_seed=1 -c:v libx264 -preset "
         "ultrafast -bf 2 -g 30 -b:v 7M -maxrate 8M -bufsize 4M -profile:v main -pix_fmt yuv420p "
         "-color_range tv -movflags " +
         flags;
}

TEST_F(WorkerTest, ACopyOfALargeSourceHasItsIndexFirstAndIsHardlyLarger) {
  const std::string clip = Clip("large.mp4", LargeClip("+faststart"));
  const Outcome o = Run(Job(), clip);
  ASSERT_TRUE(o.done) << Why(o);
  ASSERT_EQ(o.done->route, "remux");
  EXPECT_THAT(TopBoxes(o.stored), ::testing::ElementsAre("ftyp", "moov", "free", "free", "mdat"));
  EXPECT_TRUE(PacketHashes(Path("stored"), "v") == PacketHashes(clip, "v"));
  EXPECT_TRUE(PacketHashes(Path("stream"), "v") == PacketHashes(clip, "v"));
  EXPECT_LT(static_cast<double>(o.stored.size()),
            1.01 * static_cast<double>(std::filesystem::file_size(clip)));
  EXPECT_TRUE(Run(Job(), clip).stored == o.stored);
}

// Its index tells of the first fragment only: room made by it does not suffice.
TEST_F(WorkerTest, ACopyWhoseIndexTurnsOutLongerIsWrittenAgain) {
  const std::string clip = Clip("hybrid.mp4", LargeClip("+frag_keyframe"));
  const Outcome o = Run(Job(), clip);
  ASSERT_TRUE(o.done) << Why(o);
  ASSERT_EQ(o.done->route, "remux");
  EXPECT_EQ(o.done->frames, 180u);
  EXPECT_EQ(TopBoxes(o.stored)[1], "moov");
  EXPECT_TRUE(PacketHashes(Path("stored"), "v") == PacketHashes(clip, "v"));
  EXPECT_TRUE(PacketHashes(Path("stream"), "v") == PacketHashes(clip, "v"));
  EXPECT_EQ(o.done->stored_bytes, o.stored.size());
  EXPECT_EQ(o.done->stream_bytes, o.stream.size());
}

TEST_F(WorkerTest, TheFirstFragmentComesWithTheFirstPictures) {
  Job job;
  job.width = 160;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  const auto first = std::find_if(o.progress.begin(), o.progress.end(),
                                  [](const protocol::Progress& p) { return p.stream_bytes > 0; });
  ASSERT_NE(first, o.progress.end());
  WriteFile(Path("first.mp4"), o.stream.substr(0, first->stream_bytes));
  const int pictures = std::stoi(Facts(Path("first.mp4"), "v")["nb_read_frames"]);
  EXPECT_GE(pictures, 1);
  EXPECT_LE(pictures, 3);
}

TEST_F(WorkerTest, SoundIsCopiedBesideCopiedOrNewPicturesInStep) {
  // A flash and a beep at second 1.
  const std::string clip = Clip(
      "beep.mp4",
      "-f lavfi -i \"color=black:s=320x180:r=25:d=3,drawbox=color=white:t=fill:enable='between(t,1,"
      "1.2)'\" -f lavfi -i \"aevalsrc='if(between(t,1,1.2),sin(2*PI*1000*t),0)':s=48000:d=3\" "
      "-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p -color_range tv -c:a aac -ac 2");
  for (const bool whole : {true, false}) {
    Job job;
    if (!whole) job.width = 160;
    const Outcome o = Run(job, clip);
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_EQ(o.done->route, whole ? "remux" : "copy audio: size");
    EXPECT_TRUE(PacketHashes(Path("stored"), "a") == PacketHashes(clip, "a"));
    for (const char* form : {"stored", "stream"}) {
      // ffmpeg counts from the file's start, which is the sound's priming where it is not cut.
      const double begin = std::stod(
          Output("ffprobe -v error -show_entries format=start_time -of default=nk=1:nw=1 '" +
                 Path(form) + "'"));
      const double shift = std::stod(Facts(Path(form), "v")["start_time"]) - begin;
      const std::string silence = Output(
          "ffmpeg -hide_banner -nostats -i '" + Path(form) +
          "' -map 0:a -af silencedetect=noise=-30dB:d=0.3 -f null - 2>&1 | grep -o 'silence_end: "
          "[0-9.]*'");
      ASSERT_GT(silence.size(), 13u) << form;
      EXPECT_NEAR(std::stod(silence.substr(13)) - shift, 1, 0.02) << form << whole;
    }
  }
}

TEST_F(WorkerTest, PacketsThatAreNotAllShownAreNotCopied) {
  // Cut by an edit list: the packets before the cut are there, and must not be seen.
  const std::string whole =
      Clip("copy_whole.mp4",
           "-f lavfi -i nullsrc=s=64x64:r=25:d=4,geq=lum=2*N+20:cb=128:cr=128 -c:v libx264 -preset "
           "veryfast -qp 4 -bf 2 -g 50 -pix_fmt yuv420p -color_range tv");
  const std::string cut = Clip("copy_cut.mp4", "-ss 1 -i '" + whole + "' -c copy");
  Job job;
  job.audio = false;
  const Outcome o = Run(job, cut);
  ASSERT_TRUE(o.done) << Why(o);
  const std::vector<int> greys = Greys(Path("stored"));
  ASSERT_FALSE(greys.empty());
  EXPECT_NEAR(greys.front(), 2 * 25 + 20, 3);
}

TEST_F(WorkerTest, QualityIsSolvedForTheWantedSimilarity) {
  const std::string clip = Clip(
      "title.mp4",
      "-f lavfi -i mandelbrot=s=640x360:r=25 -t 4 -c:v libx264 -preset ultrafast -qp 10 -pix_fmt "
      "yuv420p");
  double last = 100;
  std::string bytes;
  for (const double target : {0.93, 0.97, 0.99}) {
    Job job;
    job.width = 480;
    job.target_ssim = target;
    const Outcome o = Run(job, clip);
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_GE(o.done->rate_factor, 16) << target;
    EXPECT_LT(o.done->rate_factor, last) << target;
    last = o.done->rate_factor;
    bytes = o.stored;
    // What was solved once is taken as it is, with the same bytes.
    job.known_rate_factor = last;
    const Outcome again = Run(job, clip);
    ASSERT_TRUE(again.done) << Why(again);
    WriteFile("/tmp/t/q2.mp4", again.stored);
    EXPECT_TRUE(again.stored == bytes);
  }
}

TEST_F(WorkerTest, TheEstimateComesBeforeTheFirstByte) {
  Job job;
  job.width = 160;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  const auto estimate =
      std::find_if(o.progress.begin(), o.progress.end(),
                   [](const protocol::Progress& p) { return p.estimated_seconds > 0; });
  ASSERT_NE(estimate, o.progress.end());
  EXPECT_EQ(estimate->stream_bytes, 0u);
}

TEST_F(WorkerTest, MorePicturesThanAllowedAreRefused) {
  Job job;
  job.width = 160;
  job.limits.max_frames = 30;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
}

}  // namespace
}  // namespace vr::worker
