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

#include "worker/testing/worker_fixture.h"

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

class StillsTest : public WorkerFixture {
 protected:
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
    // The scaler's quick way repeats chroma samples; a viewer interpolates them.
    image.rgba = Output("ffmpeg -v error " + input +
                        " -vf scale=flags=bicubic+accurate_rnd+full_chroma_int -pix_fmt rgba -f "
                        "rawvideo -");
    return image;
  }
};

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

TEST_F(StillsTest, EachPictureIsFoundHoweverPicturesLeanOnEachOther) {
  const std::string pyramid = "-x264-params b-pyramid=normal:bframes=5:b-adapt=0:keyint=20";
  const std::string open = "-x264-params open-gop=1:bframes=3:b-adapt=0:keyint=13";
  const std::string refresh = "-x264-params intra-refresh=1:keyint=20:bframes=0";
  const std::string clips[] = {
      Counting(20, 60, "pyramid.mp4", pyramid),
      Counting(20, 60, "pyramid.mkv", pyramid),
      Counting(13, 60, "open.mp4", open),
      Counting(20, 60, "refresh.mp4", refresh),
      Counting(20, 60, "late.mp4", pyramid + " -output_ts_offset 0.4"),
      Counting(20, 60, "fragments.mp4", pyramid + " -movflags frag_keyframe")};
  int first = 0;  // each clip is asked for others
  for (const std::string& clip : clips) {
    for (int n = first++; n < 60; n += 7) {
      const Outcome o = Run(Frame((n + n % 3 * 0.3) / 25.0, OutputFormat::kPng), clip);
      ASSERT_TRUE(o.done) << clip << n << Why(o);
      ASSERT_NEAR(Decoded(o.stored).At(30, 20)[0], Grey(n), 3) << clip << n;
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

// ------------------------------------------------------------------------------------------ sheets

class SheetTest : public StillsTest {
 protected:
  static Job Sheet(uint32_t count, OutputFormat format = OutputFormat::kPng) {
    Job job = Make(Operation::kSheet, format);
    job.sheet.count = count;
    return job;
  }
  /// The grey in the middle of each cell, row by row.
  static std::vector<int> Cells(const Image& image, int width, int height) {
    std::vector<int> cells;
    for (int y = 0; y + height <= image.height; y += height) {
      for (int x = 0; x + width <= image.width; x += width) {
        cells.push_back(image.At(x + width / 2, y + height / 2)[0]);
      }
    }
    return cells;
  }
};

TEST_F(SheetTest, EachTileShowsThePictureOfItsTime) {
  // 50 pictures, 10 tiles: one in five; key frames only each 25.
  for (const char* name : {"sheet.mp4", "sheet.mkv", "sheet.ts", "sheet.avi"}) {
    const bool avi = std::string(name).ends_with("avi");  // has no times of presentation
    const std::string clip = Counting(25, 50, name, avi ? "-bf 0" : "");
    for (const OutputFormat format : kStills) {
      const Outcome o = Run(Sheet(10, format), clip);
      ASSERT_TRUE(o.done) << name << Why(o);
      EXPECT_EQ(o.done->width, 256u);
      EXPECT_EQ(o.done->height, 144u);
      EXPECT_EQ(o.done->frames, 10u);
      EXPECT_EQ(o.done->route, "decode");
      EXPECT_TRUE(o.done->warnings.empty());
      const Image image = Decoded(o.stored);
      EXPECT_EQ(image.width, 256);
      EXPECT_EQ(image.height, 144);
      const std::vector<int> cells = Cells(image, 64, 48);
      ASSERT_EQ(cells.size(), 12u);
      // Tiles 0, 5 are key frames; those beside them are nearer than half a tile to none.
      for (int i = 0; i < 10; ++i) {
        EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(5 * i), 3) << name << i;
      }
      EXPECT_NEAR(cells[10], 0, 2);  // no tile: black
      EXPECT_NEAR(cells[11], 0, 2);
    }
  }
}

TEST_F(SheetTest, KeyFramesAreTakenWhereTheyAreNear) {
  for (const char* name : {"keys.mp4", "keys.mkv", "keys.ts"}) {
    const std::string clip = Counting(5, 50, name);
    const Outcome o = Run(Sheet(8), clip);  // a tile each 6.25 pictures
    ASSERT_TRUE(o.done) << name << Why(o);
    EXPECT_EQ(o.done->route, "keyframes") << name;
    const std::vector<int> cells = Cells(Decoded(o.stored), 64, 48);
    ASSERT_EQ(cells.size(), 9u);
    for (int i = 0; i < 8; ++i) {
      const int at = static_cast<int>(std::floor(i * 6.25 + 1e-6));
      const int before = at / 5 * 5;
      const int shown = i * 6.25 - before <= 3.125 ? before : before + 5;
      EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(shown), 3) << name << i;
    }
  }
}

TEST_F(SheetTest, StartDurationAndIntervalChooseTheTimes) {
  const std::string clip = Counting(1, 50, "all-keys.mp4");
  Job job = Sheet(0);
  job.start_seconds = 0.4;
  job.duration_seconds = 1;
  job.sheet.interval_seconds = 0.24;
  Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 5u);
  std::vector<int> cells = Cells(Decoded(o.stored), 64, 48);
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(10 + 6 * i), 3) << i;
  }
  job.duration_seconds = 60;  // clipped to what is left
  job.sheet = {4, 4, std::nullopt, std::nullopt};
  o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 256u);
  EXPECT_EQ(o.done->height, 48u);
  cells = Cells(Decoded(o.stored), 64, 48);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(10 + 10 * i), 3) << i;
  }
  job.start_seconds = 9;
  o = Run(job, clip);
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
}

TEST_F(SheetTest, TheCuesMatchTheSheet) {
  const std::string clip = Standard();
  Job job = Sheet(7);
  job.width = 100;
  job.height = 100;
  job.fit = Fit::kScaleDown;
  job.start_seconds = 0.5;
  job.sheet.columns = 3;
  const Outcome sheet = Run(job, clip);
  ASSERT_TRUE(sheet.done) << Why(sheet);
  job.format = OutputFormat::kVtt;
  job.link = "standard.mp4?mode=spritesheet";
  const Outcome cues = Run(job, clip);
  ASSERT_TRUE(cues.done) << Why(cues);
  EXPECT_EQ(cues.done->width, sheet.done->width);
  EXPECT_EQ(cues.done->height, sheet.done->height);
  EXPECT_EQ(cues.done->stored_bytes, cues.stored.size());
  EXPECT_EQ(Decoded(sheet.stored).width, 300);
  EXPECT_EQ(Decoded(sheet.stored).height, 3 * 56);
  EXPECT_THAT(cues.stored, StartsWith("WEBVTT\n\n00:00:00.000 --> 00:00:00.214\n"
                                      "standard.mp4?mode=spritesheet#xywh=0,0,100,56\n\n"
                                      "00:00:00.214 --> 00:00:00.429\n"
                                      "standard.mp4?mode=spritesheet#xywh=100,0,100,56\n"));
  EXPECT_THAT(cues.stored,
              ::testing::EndsWith(" --> 00:00:01.500\n"
                                  "standard.mp4?mode=spritesheet#xywh=0,112,100,56\n"));
}

TEST_F(SheetTest, ThereAreNoMoreTilesThanPictures) {
  const std::string clip = Counting(25, 5, "five.mp4");
  Outcome o = Run(Sheet(20), clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 5u);
  const std::vector<int> cells = Cells(Decoded(o.stored), 64, 48);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(i), 3) << i;
  const std::string one = Counting(25, 1, "one.mp4");
  o = Run(Sheet(20), one);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 1u);
  EXPECT_EQ(o.done->width, 64u);
}

TEST_F(SheetTest, ASheetThatIsTooLargeIsRefusedByItsParameter) {
  Job job = Sheet(400);
  job.sheet.columns = 400;
  Outcome o = Run(job, Counting(25, 2000, "many.mp4"));
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "INVALID_PARAMETER");
  EXPECT_THAT(o.failed->message, HasSubstr("imageCount"));
  job.format = OutputFormat::kVtt;
  o = Run(job, Counting(25, 2000, "many.mp4"));
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "INVALID_PARAMETER");
}

TEST_F(SheetTest, SheetsDoNotDependOnThreadsOrHowTheSourceComes) {
  for (const auto& [name, gop] : {std::pair("sheet.mp4", 25), std::pair("keys.ts", 5)}) {
    const std::string clip = Counting(gop, 50, name);
    Job job = Sheet(12, OutputFormat::kWebp);
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

TEST_F(SheetTest, WhatPromisesTooMuchOrNothingIsMeasured) {
  // No length at all.
  const std::string raw = Counting(25, 50, "raw.h264", "-f h264");
  Outcome o = Run(Sheet(10), raw);
  ASSERT_TRUE(o.done) << Why(o);
  std::vector<int> cells = Cells(Decoded(o.stored), 64, 48);
  for (int i = 0; i < 10; ++i) EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(5 * i), 3) << i;
  // Half of the file is missing: the tiles share what is left, and the cues know.
  const std::string whole = Counting(10, 100, "whole.mp4", "-movflags +faststart");
  std::string bytes;
  {
    std::ifstream in(whole, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const size_t data = bytes.find("mdat");
  ASSERT_NE(data, std::string::npos);
  WriteFile(Path("half.mp4"), bytes.substr(0, data + (bytes.size() - data) / 2));
  o = Run(Sheet(4), Path("half.mp4"));
  ASSERT_TRUE(o.done) << Why(o);
  cells = Cells(Decoded(o.stored), 64, 48);
  EXPECT_EQ(o.done->frames, 4u);
  for (size_t i = 1; i < 4; ++i) EXPECT_NE(cells[i], cells[i - 1]);
  Job job = Sheet(4, OutputFormat::kVtt);
  o = Run(job, Path("half.mp4"));
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_THAT(o.stored, ::testing::Not(HasSubstr("00:00:04.000")));
  // Sound that goes on for long after the picture.
  const std::string longer = Clip(
      "longer.mkv", "-i '" + Counting(25, 50, "sheet.mp4") +
                        "' -f lavfi -i sine=440:d=8 -map 0:v -map 1:a -c:v copy -c:a pcm_s16le");
  o = Run(Sheet(10), longer);
  ASSERT_TRUE(o.done) << Why(o);
  cells = Cells(Decoded(o.stored), 64, 48);
  for (int i = 0; i < 10; ++i) EXPECT_NEAR(cells[static_cast<size_t>(i)], Grey(5 * i), 3) << i;
}

TEST_F(SheetTest, APictureOfAnotherSizeStillFitsItsTile) {
  const std::string a =
      Clip("part1.ts", "-f lavfi -i color=gray:s=320x180:r=25:d=1 -c:v libx264 -g 5");
  const std::string b = Clip("part2.ts",
                             "-f lavfi -i color=white:s=160x240:r=25:d=1 -c:v libx264 -g 5 "
                             "-output_ts_offset 1");
  (void)!system(("cat '" + a + "' '" + b + "' > '" + Path("both.ts") + "'").c_str());
  Job job = Sheet(4);
  job.width = 160;
  job.sheet.columns = 4;
  const Outcome o = Run(job, Path("both.ts"));
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->height, 90u);
  const Image image = Decoded(o.stored);
  EXPECT_NEAR(image.At(5, 45)[0], 126, 6);          // fills its tile
  EXPECT_NEAR(image.At(3 * 160 + 5, 45)[0], 0, 3);  // black beside the narrow one
  EXPECT_NEAR(image.At(3 * 160 + 80, 45)[0], 255, 3);
}

TEST_F(SheetTest, OddInterlacedAndMovingPaletteSourcesWork) {
  const std::string clips[] = {
      Clip("odd.mkv", "-f lavfi -i testsrc2=s=161x121:r=10:d=0.5 -c:v ffv1 -pix_fmt yuv444p"),
      Clip("interlaced.mkv",
           "-f lavfi -i testsrc2=s=320x240:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff "
           "-c:v ffv1 -pix_fmt yuv422p10le -top 1 -flags +ildct"),
      Clip("plain.gif", "-f lavfi -i testsrc2=s=100x75:r=10:d=1"),
  };
  for (const std::string& clip : clips) {
    const Outcome o = Run(Sheet(4), clip);
    ASSERT_TRUE(o.done) << clip << Why(o);
    EXPECT_EQ(o.done->frames, 4u);
    EXPECT_TRUE(o.done->warnings.empty());
  }
  const std::string sound = Clip("sound.m4a", "-f lavfi -i sine=440:d=1 -c:a aac");
  for (const OutputFormat format : {OutputFormat::kJpeg, OutputFormat::kVtt}) {
    const Outcome o = Run(Sheet(4, format), sound);
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "SOURCE_UNSUPPORTED");
  }
}

// -------------------------------------------------------------------------------------- animations

/// One picture of an animated WebP as the file tells it.
struct WebpFrame {
  int x = 0, y = 0, width = 0, height = 0, milliseconds = 0;
  bool blend = false, dispose = false;
  std::string payload;  ///< ALPH and VP8 chunks
};
struct WebpFile {
  int width = 0, height = 0, loops = -1;
  bool alpha = false;
  std::vector<WebpFrame> frames;
};

int Number(const std::string& s, size_t at, int bytes) {
  int n = 0;
  for (int i = bytes; i-- > 0;) n = n << 8 | static_cast<uint8_t>(s[at + static_cast<size_t>(i)]);
  return n;
}

/// https://developers.google.com/speed/webp/docs/riff_container
WebpFile Parse(const std::string& bytes) {
  WebpFile file;
  if (!bytes.starts_with("RIFF") || bytes.size() < 12) return file;
  EXPECT_EQ(static_cast<size_t>(Number(bytes, 4, 4)) + 8, bytes.size());
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const auto size = static_cast<size_t>(Number(bytes, at + 4, 4));
    const std::string kind = bytes.substr(at, 4), body = bytes.substr(at + 8, size);
    if (kind == "VP8X") {
      file.alpha = (body[0] & 0x10) != 0;
      file.width = Number(body, 4, 3) + 1;
      file.height = Number(body, 7, 3) + 1;
    } else if (kind == "ANIM") {
      file.loops = Number(body, 4, 2);
    } else if (kind == "ANMF") {
      file.frames.push_back({2 * Number(body, 0, 3), 2 * Number(body, 3, 3), Number(body, 6, 3) + 1,
                             Number(body, 9, 3) + 1, Number(body, 12, 3), (body[15] & 2) == 0,
                             (body[15] & 1) != 0, body.substr(16)});
    }
    at += 8 + size + size % 2;
  }
  return file;
}

class AnimationTest : public StillsTest {
 protected:
  static Job Animation(OutputFormat format) { return Make(Operation::kAnimation, format); }

  /// Every picture of a GIF, and how long each is shown, hundredths of a second.
  struct Gif {
    std::vector<Image> pictures;
    std::vector<int> delays;
    int loops = -1;
  };
  static Gif ParseGif(const std::string& bytes) {
    WriteFile(Path("image.gif"), bytes);
    Gif gif;
    int width = 0, height = 0;
    std::istringstream size(
        Output("ffprobe -v error -show_entries stream=width,height -of "
               "default=nk=1:nw=1 '" +
               Path("image.gif") + "'"));
    size >> width >> height;
    const std::string raw = Output("ffmpeg -v error -i '" + Path("image.gif") +
                                   "' -fps_mode passthrough -pix_fmt rgba -f rawvideo -");
    const size_t picture = 4 * static_cast<size_t>(width) * static_cast<size_t>(height);
    for (size_t at = 0; picture > 0 && at + picture <= raw.size(); at += picture) {
      gif.pictures.push_back({width, height, raw.substr(at, picture)});
    }
    for (size_t at = 0; (at = bytes.find(std::string("\x21\xf9\x04", 3), at)) != std::string::npos;
         at += 8) {
      gif.delays.push_back(Number(bytes, at + 4, 2));
    }
    const size_t loop = bytes.find("NETSCAPE2.0");
    if (loop != std::string::npos) gif.loops = Number(bytes, loop + 13, 2);
    return gif;
  }
  /// The pictures of an animated WebP, put together as a viewer would.
  static std::vector<Image> Pictures(const WebpFile& file) {
    std::vector<Image> pictures;
    Image canvas{file.width, file.height,
                 std::string(4 * static_cast<size_t>(file.width * file.height), '\0')};
    for (const WebpFrame& f : file.frames) {
      // A still of its own: RIFF, an extended header, the picture's chunks.
      std::string head("VP8X\x0a\0\0\0\x10\0\0\0", 12);
      for (const int side : {f.width - 1, f.height - 1}) {
        for (int i = 0; i < 3; ++i) head += static_cast<char>(side >> 8 * i);
      }
      std::string still = "WEBP" + head + f.payload;
      std::string length;
      for (int i = 0; i < 4; ++i) length += static_cast<char>(still.size() >> 8 * i);
      const Image part = Decoded("RIFF" + length + still);
      EXPECT_EQ(part.width, f.width);
      for (int y = 0; y < f.height; ++y) {
        for (int x = 0; x < f.width; ++x) {
          const Rgba c = part.At(x, y);
          if (f.blend && c[3] < 128) continue;
          const size_t to = 4 * static_cast<size_t>((f.y + y) * file.width + f.x + x);
          for (size_t i = 0; i < 4; ++i) canvas.rgba[to + i] = static_cast<char>(c[i]);
        }
      }
      pictures.push_back(canvas);
      if (!f.dispose) continue;
      for (int y = 0; y < f.height; ++y) {
        for (int x = 0; x < 4 * f.width; ++x) {
          canvas.rgba[4 * static_cast<size_t>((f.y + y) * file.width + f.x) +
                      static_cast<size_t>(x)] = '\0';
        }
      }
    }
    return pictures;
  }
};

TEST_F(AnimationTest, AGifShowsEachPictureAtItsTime) {
  const std::string clip = Counting(25, 50, "counting.mp4");
  const Outcome o = Run(Animation(OutputFormat::kGif), clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->width, 64u);
  EXPECT_EQ(o.done->height, 48u);
  EXPECT_EQ(o.done->frames, 30u);
  EXPECT_NEAR(o.done->fps, 15, 0.01);
  EXPECT_NEAR(o.done->duration_seconds, 2, 0.001);
  EXPECT_EQ(o.done->video_codec, "gif");
  EXPECT_EQ(o.done->stored_bytes, o.stored.size());
  EXPECT_EQ(o.stored.substr(0, 6), "GIF89a");
  const Gif gif = ParseGif(o.stored);
  EXPECT_EQ(gif.loops, 0);
  ASSERT_EQ(gif.pictures.size(), 30u);
  ASSERT_EQ(gif.delays.size(), 30u);
  int at = 0;
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_NEAR(gif.delays[i], 6.67, 0.7);
    EXPECT_EQ(at, std::lround(static_cast<double>(i) * 100 / 15));
    at += gif.delays[i];
    const int n = static_cast<int>(std::lround(static_cast<double>(i) * 25 / 15));
    EXPECT_NEAR(gif.pictures[i].At(30, 20)[0], Grey(n), 6) << i;
    EXPECT_EQ(gif.pictures[i].At(30, 20)[3], 255);
  }
  EXPECT_EQ(at, 200);
}

TEST_F(AnimationTest, AWebpShowsEachPictureAtItsTime) {
  const std::string clip = Counting(25, 50, "counting.mp4");
  const Outcome o = Run(Animation(OutputFormat::kWebp), clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 30u);
  EXPECT_EQ(o.done->video_codec, "webp");
  const WebpFile file = Parse(o.stored);
  EXPECT_EQ(file.width, 64);
  EXPECT_EQ(file.height, 48);
  EXPECT_EQ(file.loops, 0);
  // libwebp takes pictures that differ by less than its quality tells apart for one that stays.
  EXPECT_GE(file.frames.size(), 15u);
  const std::vector<Image> pictures = Pictures(file);
  ASSERT_EQ(pictures.size(), file.frames.size());
  int at = 0;
  size_t shown = 0;
  for (size_t i = 0; i < 30; ++i) {
    const auto begin = static_cast<int>(std::lround(static_cast<double>(i) * 1000 / 15));
    while (shown + 1 < pictures.size() && at + file.frames[shown].milliseconds <= begin) {
      at += file.frames[shown++].milliseconds;
    }
    const int n = static_cast<int>(std::lround(static_cast<double>(i) * 25 / 15));
    EXPECT_NEAR(pictures[shown].At(30, 20)[0], Grey(n), 9) << i;
  }
  int sum = 0;
  for (const WebpFrame& f : file.frames) sum += f.milliseconds;
  EXPECT_EQ(sum, 2000);
}

TEST_F(AnimationTest, StartDurationSpeedAndRateChooseThePictures) {
  const std::string clip = Counting(25, 50, "counting.mp4");
  Job job = Animation(OutputFormat::kGif);
  job.start_seconds = 0.4;
  job.duration_seconds = 1.2;
  job.speed = 2;
  job.fps = 10;
  job.width = 32;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(o.done->duration_seconds, 0.6, 0.001);
  EXPECT_EQ(o.done->width, 32u);
  EXPECT_EQ(o.done->height, 24u);
  const Gif gif = ParseGif(o.stored);
  ASSERT_EQ(gif.pictures.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(gif.delays[i], 10);
    EXPECT_NEAR(gif.pictures[i].At(16, 12)[0], Grey(10 + 5 * static_cast<int>(i)), 6) << i;
  }
  job.format = OutputFormat::kWebp;
  const Outcome w = Run(job, clip);
  ASSERT_TRUE(w.done) << Why(w);
  EXPECT_EQ(Parse(w.stored).frames.size(), 6u);
}

TEST_F(AnimationTest, APictureThatStaysIsOneThatLastsLonger) {
  // Nothing between 1 and 2 seconds.
  const std::string clip = Clip("vfr.mkv",
                                "-f lavfi -i testsrc2=s=160x90:r=25:d=3 -vf "
                                "select='not(between(t\\,1.01\\,1.99))' -fps_mode vfr "
                                "-c:v libx264 -preset ultrafast");
  Job job = Animation(OutputFormat::kGif);
  job.fps = 10;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_NEAR(o.done->duration_seconds, 3, 0.11);
  const Gif gif = ParseGif(o.stored);
  ASSERT_FALSE(gif.delays.empty());
  EXPECT_EQ(*std::max_element(gif.delays.begin(), gif.delays.end()), 100);
  int sum = 0;
  for (const int d : gif.delays) sum += d;
  EXPECT_NEAR(sum, 300, 10);
}

TEST_F(AnimationTest, TransparencyIsKept) {
  const std::string clip =
      Clip("clear.gif",
           "-f lavfi -i color=red:s=64x64:r=10:d=1,format=rgba,"
           "geq=r=255:g=0:b=0:a='if(between(X\\,4*N\\,4*N+15)*gte(mod(Y\\,16)\\,4)\\,255\\,0)' "
           "-lavfi 'split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none'");
  const Outcome o = Run(Animation(OutputFormat::kGif), clip);
  ASSERT_TRUE(o.done) << Why(o);
  const Gif gif = ParseGif(o.stored);
  ASSERT_EQ(gif.pictures.size(), 10u);
  const Outcome w = Run(Animation(OutputFormat::kWebp), clip);
  ASSERT_TRUE(w.done) << Why(w);
  const WebpFile file = Parse(w.stored);
  EXPECT_TRUE(file.alpha);
  const std::vector<Image> webp = Pictures(file);
  ASSERT_EQ(webp.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    const int x = 4 * static_cast<int>(i);
    for (const Image* image : {&gif.pictures[i], &webp[i]}) {
      EXPECT_EQ(image->At(x + 8, 30)[3], 255) << i;
      EXPECT_GT(image->At(x + 8, 30)[0], 235) << i;
      EXPECT_EQ(image->At(x + 20, 30)[3], 0) << i;
      EXPECT_EQ(image->At(x + 8, 33)[3], 0) << i;
      if (x > 4) {
        EXPECT_EQ(image->At(x - 4, 30)[3], 0) << i;
      }
    }
  }
  // A pad around an opaque video is black, not clear.
  Job job = Animation(OutputFormat::kGif);
  job.width = job.height = 64;
  job.fit = Fit::kPad;
  const Outcome pad = Run(job, Counting(25, 50, "counting.mp4"));
  ASSERT_TRUE(pad.done) << Why(pad);
  EXPECT_THAT(ParseGif(pad.stored).pictures[0].At(30, 2), ElementsAre(0, 0, 0, 255));
}

TEST_F(AnimationTest, ASinglePictureIsAnAnimationToo) {
  const std::string one = Counting(25, 1, "one.mp4");
  for (const OutputFormat format : {OutputFormat::kGif, OutputFormat::kWebp}) {
    const Outcome o = Run(Animation(format), one);
    ASSERT_TRUE(o.done) << Why(o);
    EXPECT_EQ(o.done->frames, 1u);
    if (format == OutputFormat::kWebp) {
      EXPECT_NEAR(Decoded(o.stored).At(30, 20)[0], Grey(0), 4);
    } else {
      EXPECT_EQ(ParseGif(o.stored).pictures.size(), 1u);
    }
  }
}

TEST_F(AnimationTest, QualityAndCompressionChangeWhatIsWritten) {
  for (const OutputFormat format : {OutputFormat::kGif, OutputFormat::kWebp}) {
    std::set<std::string> by_quality, by_effort;
    size_t before = 0;
    for (const Level level : {Level::kLow, Level::kMedium, Level::kHigh}) {
      Job job = Animation(format);
      job.duration_seconds = 0.4;
      job.quality = level;
      Outcome o = Run(job, Standard());
      ASSERT_TRUE(o.done) << Why(o);
      EXPECT_GT(o.stored.size(), before);
      before = o.stored.size();
      by_quality.insert(o.stored);
      job.quality = Level::kAuto;
      job.compression = level;
      o = Run(job, Standard());
      ASSERT_TRUE(o.done) << Why(o);
      by_effort.insert(o.stored);
    }
    EXPECT_EQ(by_quality.size(), 3u);
    EXPECT_EQ(by_effort.size(), 3u);
  }
}

TEST_F(AnimationTest, AnimationsDoNotDependOnThreadsOrHowTheSourceComes) {
  for (const OutputFormat format : {OutputFormat::kGif, OutputFormat::kWebp}) {
    Job job = Animation(format);
    job.start_seconds = 0.5;
    const Outcome one = Run(job, Standard());
    job.decoder_threads = 3;
    const Outcome three = Run(job, Standard());
    const Outcome pieces = client_->Run(job, Standard(), kLimit, [](const protocol::Need& n) {
      return std::min<uint64_t>(n.length, 3000);
    });
    ASSERT_TRUE(one.done && three.done && pieces.done) << Why(one) << Why(three) << Why(pieces);
    EXPECT_TRUE(one.stored == three.stored);
    EXPECT_TRUE(one.stored == pieces.stored);
  }
}

TEST_F(AnimationTest, ALargeGifIsDecodedTwiceAndProgressNeverFalls) {
  // 50 pictures of 800x600 are more than what is kept between the passes.
  const std::string clip =
      Clip("large.mp4", "-f lavfi -i testsrc2=s=800x600:r=25:d=2 -c:v libx264 -preset ultrafast");
  Job job = Animation(OutputFormat::kGif);
  job.fps = 25;
  const Outcome o = Run(job, clip);
  ASSERT_TRUE(o.done) << Why(o);
  EXPECT_EQ(o.done->frames, 50u);
  EXPECT_TRUE(o.done->warnings.empty());
  uint32_t percent = 0;
  for (const protocol::Progress& p : o.progress) {
    EXPECT_GE(p.percent, percent);
    percent = p.percent;
  }
  EXPECT_GT(percent, 50u);
}

TEST_F(AnimationTest, LimitsAreKept) {
  for (const OutputFormat format : {OutputFormat::kGif, OutputFormat::kWebp}) {
    Job job = Animation(format);
    job.limits.max_animation_pixels = 320 * 180 * 10;
    Outcome o = Run(job, Standard());  // told before anything is decoded
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
    EXPECT_THAT(o.failed->message, HasSubstr("duration"));
    EXPECT_TRUE(o.stored.empty());
    job.limits.max_animation_pixels = 64 * 48 * 10;
    o = Run(job, Counting(25, 50, "raw.h264", "-f h264"));  // no length: counted
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
    job = Animation(format);
    job.limits.max_output_bytes = 1000;
    o = Run(job, Standard());
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "SOURCE_TOO_LARGE");
    job = Animation(format);
    job.start_seconds = 9;
    o = Run(job, Standard());
    ASSERT_TRUE(o.failed);
    EXPECT_EQ(o.failed->reason, "TIME_OUT_OF_RANGE");
  }
}

TEST_F(AnimationTest, InterlacedOddAndTurnedSourcesWork) {
  const std::string clips[] = {
      Clip("odd.mkv", "-f lavfi -i testsrc2=s=161x121:r=10:d=0.5 -c:v ffv1 -pix_fmt yuv444p"),
      Clip("interlaced.mkv",
           "-f lavfi -i testsrc2=s=320x240:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff "
           "-c:v ffv1 -pix_fmt yuv422p10le -top 1 -flags +ildct"),
      Counting(25, 25, "animated.ts"),
  };
  for (const std::string& clip : clips) {
    for (const OutputFormat format : {OutputFormat::kGif, OutputFormat::kWebp}) {
      Job job = Animation(format);
      job.rotate_degrees = 90;
      job.width = 60;
      const Outcome o = Run(job, clip);
      ASSERT_TRUE(o.done) << clip << Why(o);
      EXPECT_EQ(o.done->width, 60u);
      EXPECT_GT(o.done->height, 60u);
    }
  }
  const Outcome o =
      Run(Animation(OutputFormat::kGif), Clip("sound.m4a", "-f lavfi -i sine=440:d=1 -c:a aac"));
  ASSERT_TRUE(o.failed);
  EXPECT_EQ(o.failed->reason, "SOURCE_UNSUPPORTED");
}

}  // namespace
}  // namespace vr::worker
