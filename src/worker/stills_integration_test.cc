// Frames, spritesheets and animations by the real worker program in its sandbox: what the pixels
// are, not only how many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "worker/testing/worker_client.h"

namespace vr::worker {
namespace {

namespace fs = std::filesystem;
using protocol::Accuracy;
using protocol::Fit;
using protocol::Job;
using protocol::Level;
using protocol::Operation;
using protocol::OutputFormat;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Generous: builds with sanitizers on a busy machine. A job here takes well under a second.
constexpr auto kLimit = std::chrono::seconds(60);

std::string Output(const std::string& command) {
  std::string out;
  FILE* pipe = popen(("{ " + command + "; } 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return out;
  char buffer[4096];
  size_t n = 0;
  while ((n = fread(buffer, 1, sizeof buffer, pipe)) > 0) out.append(buffer, n);
  pclose(pipe);
  return out;
}
void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

using Rgba = std::array<int, 4>;

/// A decoded picture.
struct Image {
  int width = 0, height = 0;
  std::string rgba;
  Rgba At(int x, int y) const {
    const size_t at =
        4 * (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x));
    if (at + 4 > rgba.size()) return {-1, -1, -1, -1};
    return {static_cast<uint8_t>(rgba[at]), static_cast<uint8_t>(rgba[at + 1]),
            static_cast<uint8_t>(rgba[at + 2]), static_cast<uint8_t>(rgba[at + 3])};
  }
};

class StillsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    char name[] = "/tmp/vr-stills-test-XXXXXX";
    dir_ = mkdtemp(name);
    has_ffmpeg_ =
        system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") == 0;
    client_ = new WorkerClient(VR_WORKER_PATH);
  }
  static void TearDownTestSuite() {
    delete client_;
    fs::remove_all(dir_);
  }
  void SetUp() override {
    if (!has_ffmpeg_) GTEST_SKIP() << "needs the ffmpeg command line";
  }

  static std::string Path(const std::string& name) { return dir_ + "/" + name; }
  static std::string Clip(const std::string& name, const std::string& arguments) {
    const std::string path = Path(name);
    if (!fs::exists(path)) {
      (void)!system(
          ("ffmpeg -v error -y " + arguments + " '" + path + "' >/dev/null 2>&1").c_str());
    }
    return path;
  }
  /// Picture n of `count` is grey 4n+20 (limited range), 25 a second, key frame each `gop`.
  static std::string Counting(int gop, int count, const std::string& name,
                              const std::string& more = "") {
    return Clip(name, "-f lavfi -i nullsrc=s=64x48:r=25:d=" + std::to_string(count / 25.0) +
                          ",geq=lum='mod(4*N\\,200)+20':cb=128:cr=128 -c:v libx264 "
                          "-preset ultrafast -qp 4 -sc_threshold 0 -bf 2 -pix_fmt yuv420p -g " +
                          std::to_string(gop) + " " + more);
  }
  /// The grey of picture n, full range.
  static double Grey(int n) { return (4 * n % 200 + 4) * 255.0 / 219; }
  static std::string Standard() {
    return Clip("standard.mp4",
                "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 "
                "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac");
  }

  Outcome Run(const Job& job, const std::string& source) {
    Outcome out = client_->Run(job, source, kLimit);
    if (out.done) WriteFile(Path("stored"), out.stored);
    return out;
  }
  static std::string Why(const Outcome& o) {
    if (o.failed)
      return o.failed->reason + ": " + o.failed->message + " (" + o.failed->detail + ")";
    if (o.exited && !o.done) return "died with status " + std::to_string(o.exited->wait_status);
    return o.timed_out ? "timed out" : "";
  }
  static Job Make(Operation operation, OutputFormat format) {
    Job job;
    job.operation = operation;
    job.format = format;
    job.stream = false;
    return job;
  }
  static Job Frame(double at, OutputFormat format = OutputFormat::kPng) {
    Job job = Make(Operation::kFrame, format);
    job.start_seconds = at;
    return job;
  }
  /// A still as any other program sees it. WebP, JPEG and PNG.
  static Image Decoded(const std::string& bytes) {
    WriteFile(Path("image"), bytes);
    const std::string kind = bytes.starts_with("RIFF")   ? "webp_pipe"
                             : bytes.starts_with("\x89") ? "png_pipe"
                                                         : "jpeg_pipe";
    const std::string input = "-f " + kind + " -i '" + Path("image") + "'";
    Image image;
    std::istringstream size(
        Output("ffprobe -v error -show_entries stream=width,height -of "
               "default=nk=1:nw=1 " +
               input));
    size >> image.width >> image.height;
    image.rgba = Output("ffmpeg -v error " + input + " -pix_fmt rgba -f rawvideo -");
    return image;
  }

  static std::string dir_;
  static bool has_ffmpeg_;
  static WorkerClient* client_;
};
std::string StillsTest::dir_;
bool StillsTest::has_ffmpeg_ = false;
WorkerClient* StillsTest::client_ = nullptr;

// ------------------------------------------------------------------------------------------ frames

constexpr OutputFormat kStills[] = {OutputFormat::kJpeg, OutputFormat::kPng, OutputFormat::kWebp};

TEST_F(StillsTest, EachFormatShowsThePictureOfItsTime) {
  const std::string clip = Counting(25, 50, "counting.mp4");
  for (const OutputFormat format : kStills) {
    for (const int n : {0, 1, 24, 25, 37, 49}) {
      const Outcome o = Run(Frame(n / 25.0, format), clip);
      ASSERT_TRUE(o.done) << Why(o);
      const Image image = Decoded(o.stored);
      EXPECT_EQ(image.width, 64);
      EXPECT_EQ(image.height, 48);
      for (const int channel : {0, 1, 2}) {
        EXPECT_NEAR(image.At(30, 20)[static_cast<size_t>(channel)], Grey(n), 3)
            << n << " " << static_cast<int>(format);
      }
      EXPECT_EQ(o.done->route, "decode");
      EXPECT_EQ(o.done->stored_bytes, o.stored.size());
    }
  }
}

TEST_F(StillsTest, TheKeyFrameBeforeIsEnoughWhenAskedFor) {
  const std::string arguments[] = {"key.mp4", "key.mkv", "key.ts"};
  for (const std::string& name : arguments) {
    const std::string clip = Counting(10, 50, name);
    for (const int n : {0, 9, 10, 11, 19, 38, 49}) {
      Job job = Frame((n + 0.3) / 25.0);
      job.accuracy = Accuracy::kKeyframe;
      const Outcome o = Run(job, clip);
      ASSERT_TRUE(o.done) << name << Why(o);
      EXPECT_EQ(o.done->route, "keyframes") << name << n;
      EXPECT_NEAR(Decoded(o.stored).At(30, 20)[0], Grey(n / 10 * 10), 3) << name << n;
      const Outcome exact = Run(Frame((n + 0.3) / 25.0), clip);
      ASSERT_TRUE(exact.done) << name << Why(exact);
      EXPECT_NEAR(Decoded(exact.stored).At(30, 20)[0], Grey(n), 3) << name << n;
    }
  }
}

TEST_F(StillsTest, ColoursComeOutAsTheyWentIn) {
  for (const std::string how : {"bt601", "bt709"}) {
    const std::string clip =
        Clip("red-" + how + ".mkv",
             "-f lavfi -i color=0xC02010:s=320x240:r=5:d=0.6,format=rgb24,scale=out_color_matrix=" +
                 how +
                 ":out_range=tv,format=yuv444p -c:v libx264 -qp 2 -color_range tv "
                 "-colorspace " +
                 (how == "bt709" ? "bt709" : "smpte170m"));
    for (const OutputFormat format : kStills) {
      const Outcome o = Run(Frame(0, format), clip);
      ASSERT_TRUE(o.done) << Why(o);
      const Rgba c = Decoded(o.stored).At(100, 100);
      EXPECT_NEAR(c[0], 0xC0, 6) << how << static_cast<int>(format);
      EXPECT_NEAR(c[1], 0x20, 6) << how << static_cast<int>(format);
      EXPECT_NEAR(c[2], 0x10, 6) << how << static_cast<int>(format);
    }
  }
}

/// Left third red and opaque, middle third green at half opacity, right third clear (and white
/// below).
std::string ThreeOpacities(const std::string& encoder) {
  return "-f lavfi -i color=white:s=96x64:r=5:d=0.6,format=rgba,geq="
         "r='if(lt(X\\,32)\\,255\\,if(lt(X\\,64)\\,0\\,255))':g='if(lt(X\\,32)\\,0\\,255)':"
         "b='if(lt(X\\,64)\\,0\\,255)':a='if(lt(X\\,32)\\,255\\,if(lt(X\\,64)\\,128\\,0))' " +
         encoder;
}

TEST_F(StillsTest, TransparencyIsKeptOrLiesOnBlack) {
  const std::pair<const char*, const char*> sources[] = {
      {"alpha-vp8.webm", "-c:v libvpx -pix_fmt yuva420p -b:v 2M -auto-alt-ref 0"},
      {"alpha-vp9.webm", "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 4 -b:v 0"},
      {"alpha-prores.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le"},
      {"alpha-qtrle.mov", "-c:v qtrle -pix_fmt argb"},
      {"alpha-png.mov", "-c:v png -pix_fmt rgba"},
  };
  for (const auto& [name, encoder] : sources) {
    const std::string clip = Clip(name, ThreeOpacities(encoder));
    for (const OutputFormat format : kStills) {
      for (const uint32_t width : {96u, 48u}) {
        Job job = Frame(0.2, format);
        job.width = width;
        const Outcome o = Run(job, clip);
        ASSERT_TRUE(o.done) << name << Why(o);
        const Image image = Decoded(o.stored);
        const int w = static_cast<int>(width);
        ASSERT_EQ(image.width, w);
        SCOPED_TRACE(std::string(name) + " format " + std::to_string(static_cast<int>(format)));
        const Rgba red = image.At(w / 6, 10), green = image.At(w / 2, 10),
                   clear = image.At(w * 5 / 6, 10);
        EXPECT_EQ(red[3], 255);
        EXPECT_NEAR(red[0], 255, 12);
        EXPECT_NEAR(red[1], 0, 12);
        if (format == OutputFormat::kJpeg) {
          EXPECT_NEAR(green[1], 128, 12);
          EXPECT_NEAR(green[0], 0, 14);
          EXPECT_NEAR(clear[0], 0, 12);
          EXPECT_NEAR(clear[1], 0, 12);
        } else {
          EXPECT_NEAR(green[3], 128, 6);
          EXPECT_NEAR(green[1], 255, 16);
          EXPECT_NEAR(clear[3], 0, 4);
        }
      }
    }
  }
}

TEST_F(StillsTest, WhatIsClearLendsNoColourToItsNeighbours) {
  // Opaque red beside clear white: a mean of both that forgets opacity would be pink.
  const std::string clip = Clip("fringe.mov",
                                "-f lavfi -i color=red:s=64x64:r=5:d=0.4,format=rgba,geq=r=255:"
                                "g='if(mod(X\\,4)\\,0\\,255)':b='if(mod(X\\,4)\\,0\\,255)':"
                                "a='if(mod(X\\,4)\\,255\\,0)' -c:v png -pix_fmt rgba");
  Job job = Frame(0);
  job.width = 16;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  const Rgba c = Decoded(o.stored).At(8, 8);
  EXPECT_NEAR(c[0], 255, 3);
  EXPECT_NEAR(c[1], 0, 3);
  EXPECT_NEAR(c[3], 191, 12);
}

TEST_F(StillsTest, AGifsTransparencyAndItsLaterPicturesSurvive) {
  // The second half draws only what changed: without the first pictures nothing is right.
  const std::string clip =
      Clip("moving.gif",
           "-f lavfi -i color=blue:s=64x64:r=10:d=2,format=rgba,"
           "geq=r='if(eq(floor(X/4)\\,N)\\,255\\,0)':g=0:b='if(eq(floor(X/"
           "4)\\,N)\\,0\\,255)':a='if(lt(Y\\,8)\\,0\\,255)' "
           "-lavfi 'split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none'");
  Job job = Frame(1.5);
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  const Image image = Decoded(o.stored);
  EXPECT_EQ(image.At(20, 2)[3], 0);
  const Rgba blue = image.At(20, 40), red = image.At(61, 40);
  EXPECT_NEAR(blue[2], 255, 8);
  EXPECT_EQ(blue[3], 255);
  EXPECT_NEAR(red[0], 255, 8);
  job.format = OutputFormat::kJpeg;
  const Outcome j = Run(job, clip);
  ASSERT_TRUE(j.done) << Why(j);
  EXPECT_LT(Decoded(j.stored).At(20, 2)[2], 30);
}

TEST_F(StillsTest, QualityAndCompressionChangeWhatIsWritten) {
  for (const OutputFormat format : kStills) {
    std::set<std::string> by_quality, by_effort;
    for (const Level level : {Level::kLow, Level::kMedium, Level::kHigh}) {
      Job job = Frame(1, format);
      job.quality = level;
      Outcome o = Run(job, Standard());
      ASSERT_TRUE(o.done) << Why(o);
      by_quality.insert(o.stored);
      job.quality = Level::kAuto;
      job.compression = level;
      o = Run(job, Standard());
      ASSERT_TRUE(o.done) << Why(o);
      by_effort.insert(o.stored);
    }
    // PNG loses nothing at any quality; JPEG's coding has two ways.
    EXPECT_EQ(by_quality.size(), format == OutputFormat::kPng ? 1u : 3u);
    EXPECT_EQ(by_effort.size(), format == OutputFormat::kJpeg ? 2u : 3u);
    size_t before = 0;
    for (const uint32_t q : {1u, 2u, 10u, 40u, 41u, 80u, 99u, 100u}) {
      if (format == OutputFormat::kPng) break;
      Job job = Frame(1, format);
      job.quality_number = q;
      const Outcome o = Run(job, Standard());
      ASSERT_TRUE(o.done) << Why(o);
      EXPECT_GT(o.stored.size(), before) << q;
      before = o.stored.size();
    }
  }
}

TEST_F(StillsTest, TheBestJpegIsNearlyTheSource) {
  Job job = Frame(1, OutputFormat::kJpeg);
  job.quality_number = 100;
  const Outcome o = Run(job, Standard());
  ASSERT_TRUE(o.done) << Why(o);
  const Outcome png = Run(Frame(1), Standard());
  ASSERT_TRUE(png.done) << Why(png);
  const Image jpeg = Decoded(o.stored), exact = Decoded(png.stored);
  ASSERT_EQ(jpeg.rgba.size(), exact.rgba.size());
  double sum = 0;
  for (size_t i = 0; i < exact.rgba.size(); ++i) {
    const double d = static_cast<uint8_t>(jpeg.rgba[i]) - static_cast<uint8_t>(exact.rgba[i]);
    sum += d * d;
  }
  EXPECT_LT(std::sqrt(sum / static_cast<double>(exact.rgba.size())), 4);
}

TEST_F(StillsTest, FramesDoNotDependOnThreadsOrHowTheSourceComes) {
  const std::string clip = Counting(10, 50, "key.mp4");
  for (const OutputFormat format : kStills) {
    for (const Accuracy accuracy : {Accuracy::kExact, Accuracy::kKeyframe}) {
      Job job = Frame(1.3, format);
      job.accuracy = accuracy;
      const Outcome one = Run(job, clip);
      job.decoder_threads = 3;
      const Outcome three = Run(job, clip);
      const Outcome pieces = client_->Run(job, clip, kLimit, [](const protocol::Need& n) {
        return std::min<uint64_t>(n.length, 3000);
      });
      ASSERT_TRUE(one.done && three.done && pieces.done) << Why(one) << Why(three) << Why(pieces);
      EXPECT_TRUE(one.stored == three.stored);
      EXPECT_TRUE(one.stored == pieces.stored);
    }
  }
}

TEST_F(StillsTest, AFrameOutOfALongSourceReadsLittleOfIt) {
  const std::string clip = Clip("big.mp4",
                                "-f lavfi -i testsrc2=s=640x360:r=25:d=40,noise=alls=40:allf=t "
                                "-f lavfi -i sine=440:d=40 -c:v libx264 -preset ultrafast "
                                "-qp 20 -g 50 -c:a aac -movflags +faststart");
  ASSERT_GT(fs::file_size(clip), 20u << 20);
  Job job = Frame(30.5, OutputFormat::kJpeg);
  for (const Accuracy accuracy : {Accuracy::kExact, Accuracy::kKeyframe}) {
    job.accuracy = accuracy;
    const Outcome o =
        client_->Run(job, clip, kLimit, [](const protocol::Need& n) { return n.length; });
    ASSERT_TRUE(o.done) << Why(o);
    uint64_t asked = 0;
    for (const protocol::Need& n : o.needs) asked += n.length;
    RecordProperty("needs", std::to_string(o.needs.size()));
    if (accuracy == Accuracy::kKeyframe) {
      EXPECT_LE(asked, 2u << 20);
      EXPECT_LE(o.needs.size(), 4u);
    } else {
      EXPECT_LE(asked, 4u << 20);
      EXPECT_LE(o.needs.size(), 6u);
    }
  }
}

TEST_F(StillsTest, AFrameNeedsAPictureAndATimeThatIsThere) {
  const std::string sound = Clip("sound.m4a", "-f lavfi -i sine=440:d=1 -c:a aac");
  Outcome o = Run(Frame(0, OutputFormat::kWebp), sound);
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_UNSUPPORTED");
  for (const Accuracy accuracy : {Accuracy::kExact, Accuracy::kKeyframe}) {
    Job late = Frame(10, OutputFormat::kWebp);
    late.accuracy = accuracy;
    o = Run(late, Standard());
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
  }
  Job job = Frame(1.9);
  job.limits.max_frames = 5;
  o = Run(job, Standard());
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
}

TEST_F(StillsTest, SourcesWithoutALengthGiveFramesToo) {
  const std::string raw = Counting(25, 50, "raw.h264", "-f h264");
  Outcome o = Run(Frame(37 / 25.0), raw);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(Decoded(o.stored).At(30, 20)[0], Grey(37), 3);
  Job job = Frame(37 / 25.0);
  job.accuracy = Accuracy::kKeyframe;
  o = Run(job, raw);
  ASSERT_TRUE(o.done) << Why(o);
  o = Run(Frame(9), raw);
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
}

}  // namespace
}  // namespace vr::worker
