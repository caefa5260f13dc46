// What the real worker tells of sources that ffmpeg made, and of some that nobody can decode.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "worker/testing/worker_fixture.h"

namespace vr::worker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using protocol::Job;
using std::chrono::seconds;

class InfoTest : public WorkerFixture {
 protected:
  static Job Info() {
    Job job;
    job.operation = protocol::Operation::kInfo;
    job.format = protocol::OutputFormat::kJson;
    job.stream = false;
    return job;
  }
  /// Null when the job failed or the text is no JSON.
  json Describe(const std::string& source) {
    out_ = client_->Run(Info(), source, seconds(60));
    if (!out_.done) {
      ADD_FAILURE() << source << ": "
                    << (out_.failed ? out_.failed->reason + out_.failed->message : "died");
      return {};
    }
    EXPECT_EQ(out_.done->stored_bytes, out_.stored.size());
    json parsed = json::parse(out_.stored, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << out_.stored;
    return parsed;
  }

  Outcome out_;
};

constexpr const char* kPlain =
    "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 -c:v libx264 "
    "-preset ultrafast -pix_fmt yuv420p -c:a aac -ac 2 -metadata title='A \"title\"' -metadata "
    "location=+52.5+013.4/ -metadata:s:a:0 language=fin ";

TEST_F(InfoTest, TellsTheStreamsOfAnMp4) {
  const json info = Describe(Clip("plain.mp4", kPlain));
  EXPECT_EQ(info["version"], 1);
  const json& container = info["container"];
  EXPECT_THAT(container["format"].get<std::string>(), ::testing::StartsWith("mov,mp4"));
  EXPECT_NEAR(container["duration"].get<double>(), 2, 0.05);
  EXPECT_EQ(container["size"], fs::file_size(Path("plain.mp4")));
  EXPECT_EQ(container["indexFirst"], false);
  EXPECT_EQ(container["encrypted"], false);
  EXPECT_EQ(container["tags"]["title"], "A \"title\"");
  EXPECT_EQ(out_.stored.find("52.5"), std::string::npos);  // nobody's business
  EXPECT_EQ(info["video"], 0);
  EXPECT_EQ(info["audio"], 1);
  const json& video = info["streams"][0];
  EXPECT_EQ(video["type"], "video");
  EXPECT_EQ(video["codec"], "h264");
  EXPECT_EQ(video["width"], 320);
  EXPECT_EQ(video["displayWidth"], 320);
  EXPECT_EQ(video["displayHeight"], 180);
  EXPECT_EQ(video["rotation"], 0);
  EXPECT_EQ(video["sampleAspectRatio"], "1:1");
  EXPECT_EQ(video["displayAspectRatio"], "16:9");
  EXPECT_EQ(video["frameRate"], 25);
  EXPECT_EQ(video["variableFrameRate"], false);
  EXPECT_EQ(video["frames"], 50);
  EXPECT_EQ(video["pixelFormat"], "yuv420p");
  EXPECT_EQ(video["bitDepth"], 8);
  EXPECT_EQ(video["colour"]["hdr"], "none");
  EXPECT_EQ(video["interlaced"], false);
  EXPECT_EQ(video["hasAlpha"], false);
  EXPECT_EQ(video["decodable"], true);
  const json& audio = info["streams"][1];
  EXPECT_EQ(audio["codec"], "aac");
  EXPECT_EQ(audio["profile"], "LC");
  EXPECT_EQ(audio["sampleRate"], 48000);
  EXPECT_EQ(audio["channels"], 2);
  EXPECT_EQ(audio["layout"], "stereo");
  EXPECT_EQ(audio["language"], "fin");
  EXPECT_EQ(audio["dispositions"], json::array({"default"}));
  EXPECT_EQ(out_.done->width, 320u);
  EXPECT_EQ(out_.done->fps, 25);
  EXPECT_NEAR(out_.done->duration_seconds, 2, 0.05);
  EXPECT_EQ(out_.done->video_codec, "h264");
  EXPECT_EQ(out_.done->audio_codec, "aac");
  EXPECT_EQ(out_.done->route, "info");
  const std::string once = out_.stored;
  (void)Describe(Path("plain.mp4"));
  EXPECT_EQ(once, out_.stored);
  EXPECT_EQ(Describe(Clip("front.mp4",
                          std::string(kPlain) + "-movflags +faststart"))["container"]["indexFirst"],
            true);
}

TEST_F(InfoTest, DisplaySizeKnowsRotationAndSampleAspect) {
  const std::string plain = Clip("plain.mp4", kPlain);
  // To ffmpeg this is an angle against the clock.
  const json info =
      Describe(Clip("turned.mp4", "-i '" + plain + "' -c copy -metadata:s:v rotate=90"));
  EXPECT_EQ(info["streams"][0]["rotation"], 270);
  EXPECT_EQ(info["streams"][0]["width"], 320);
  EXPECT_EQ(info["streams"][0]["displayWidth"], 180);
  EXPECT_EQ(info["streams"][0]["displayHeight"], 320);
  EXPECT_EQ(info["streams"][0]["displayAspectRatio"], "9:16");
  EXPECT_EQ(out_.done->width, 180u);
  const json wide =
      Describe(Clip("sar.mkv",
                    "-f lavfi -i testsrc2=s=320x240:r=25:d=1,setsar=4/3 -c:v libx264 -preset "
                    "ultrafast"));
  EXPECT_EQ(wide["streams"][0]["sampleAspectRatio"], "4:3");
  EXPECT_EQ(wide["streams"][0]["displayWidth"], 427);
  EXPECT_EQ(wide["streams"][0]["displayAspectRatio"], "16:9");
}

TEST_F(InfoTest, TellsHdrAndDepthAndInterlacing) {
  const json pq = Describe(
      Clip("hdr.mp4",
           "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx265 -preset ultrafast -pix_fmt "
           "yuv420p10le -x265-params "
           "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"));
  const json& video = pq["streams"][0];
  EXPECT_EQ(video["codec"], "hevc");
  EXPECT_EQ(video["profile"], "Main 10");
  EXPECT_EQ(video["bitDepth"], 10);
  EXPECT_EQ(video["colour"]["hdr"], "hdr10");
  EXPECT_EQ(video["colour"]["matrix"], "bt2020nc");
  EXPECT_EQ(video["colour"]["primaries"], "bt2020");
  EXPECT_EQ(video["colour"]["transfer"], "smpte2084");
  EXPECT_EQ(video["colour"]["range"], "limited");
  const json fields = Describe(
      Clip("fields.ts",
           "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v mpeg2video -flags +ilme+ildct -top 1"));
  EXPECT_EQ(fields["streams"][0]["interlaced"], true);
  EXPECT_EQ(fields["streams"][0]["fieldOrder"], "top-first");
  const std::string dolby =
      std::string(VR_CORPUS_PATH) + "/iphone-hevc-hlg-dv84-10bit-rot90-vfr.mov";
  if (fs::exists(dolby)) {
    const json phone = Describe(dolby);
    EXPECT_EQ(phone["streams"][phone["video"].get<size_t>()]["colour"]["hdr"], "dolby-vision-8.4");
    EXPECT_EQ(phone["streams"][phone["video"].get<size_t>()]["rotation"], 90);
  }
}

TEST_F(InfoTest, TellsAlphaSubtitlesAndManyTracks) {
  const json alpha = Describe(
      Clip("alpha.webm",
           "-f lavfi -i color=red@0.5:s=64x64:d=1,format=yuva420p -c:v libvpx-vp9 -cpu-used 8"));
  EXPECT_EQ(alpha["streams"][0]["hasAlpha"], true);
  std::ofstream(Path("s.srt")) << "1\n00:00:00,000 --> 00:00:01,000\nhello\n";
  const json many = Describe(Clip(
      "many.mkv",
      "-f lavfi -i sine=300:d=1 -f lavfi -i sine=600:d=1 -f lavfi -i testsrc2=s=64x64:d=1 -i '" +
          Path("s.srt") +
          "' -map 0 -map 1 -map 2 -map 3 -c:a libopus -c:s srt -disposition:a:0 comment "
          "-disposition:a:1 0 -metadata:s:s:0 language=eng -disposition:s:0 forced"));
  ASSERT_EQ(many["streams"].size(), 4u);
  EXPECT_EQ(many["audio"], 1);
  EXPECT_EQ(many["video"], 2);
  EXPECT_EQ(many["streams"][0]["dispositions"], json::array({"comment"}));
  EXPECT_EQ(many["streams"][3]["type"], "subtitle");
  EXPECT_EQ(many["streams"][3]["language"], "eng");
  EXPECT_EQ(many["streams"][3]["dispositions"], json::array({"forced"}));
}

TEST_F(InfoTest, DescribesWhatOtherModesRefuse) {
  const json sound = Describe(Clip("sound.flac", "-f lavfi -i sine=440:r=44100:d=1 -c:a flac"));
  EXPECT_FALSE(sound.contains("video"));
  EXPECT_EQ(sound["streams"][0]["codec"], "flac");
  EXPECT_EQ(out_.done->width, 0u);
  EXPECT_TRUE(out_.done->has_audio);
  const json unknown =
      Describe(Clip("unknown.mkv", "-f lavfi -i testsrc2=s=64x64:r=25:d=1 -c:v snow -strict -2"));
  EXPECT_FALSE(unknown.contains("video"));
  EXPECT_EQ(unknown["streams"][0]["codec"], "snow");
  EXPECT_EQ(unknown["streams"][0]["decodable"], false);
  EXPECT_EQ(unknown["streams"][0]["width"], 64);
  const std::string encrypted = std::string(VR_CORPUS_PATH) + "/encrypted-cenc-short.mp4";
  if (fs::exists(encrypted)) {
    EXPECT_EQ(Describe(encrypted)["container"]["encrypted"], true);
  }
  std::ofstream(Path("text.mp4")) << "no media at all";
  const Outcome none = client_->Run(Info(), Path("text.mp4"), seconds(60));
  ASSERT_TRUE(none.failed);
  EXPECT_EQ(none.failed->reason, "SOURCE_UNSUPPORTED");
}

TEST_F(InfoTest, StrangeTagsStayText) {
  const json info = Describe(
      Clip("tags.mkv",
           "-f lavfi -i sine=440:d=1 -c:a libopus -metadata title=\"$(printf 'a\\377\\n\\001')"
           "$(head -c 1000 /dev/zero | tr '\\0' x)\" -metadata secret=42"));
  const std::string title = info["container"]["tags"]["title"];
  EXPECT_LE(title.size(), 200u);
  EXPECT_EQ(title.find('\n'), std::string::npos);
  EXPECT_EQ(out_.stored.find("secret"), std::string::npos);
}

TEST_F(InfoTest, OfAnIndexedFileOnlyTheBeginningIsRead) {
  const std::string source =
      Clip("large.mp4",
           "-f lavfi -i testsrc2=s=1280x720:r=25:d=20 -c:v libx264 -preset ultrafast "
           "-crf 5 -movflags +faststart");
  uint64_t asked = 0;
  const Outcome o = client_->Run(Info(), source, seconds(60), [&](const protocol::Need& need) {
    asked += need.length;
    return need.length;
  });
  ASSERT_TRUE(o.done);
  EXPECT_GT(fs::file_size(source), 10'000'000u);
  EXPECT_LE(asked, 2'000'000u);
}

}  // namespace
}  // namespace vr::worker
