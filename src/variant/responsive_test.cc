#include "variant/responsive.h"

#include <gtest/gtest.h>

#include <map>

#include "variant/key.h"
#include "variant/media_url.h"
#include "variant/parse.h"

namespace vr::variant {
namespace {

class FakeFields final : public RequestFields {
 public:
  FakeFields(std::initializer_list<std::pair<const std::string_view, std::string_view>> fields)
      : fields_(fields) {}
  std::optional<std::string_view> Get(std::string_view name) const override {
    const auto found = fields_.find(name);
    return found == fields_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<std::string_view, std::string_view> fields_;
};

struct Seen {
  std::string derivative, by, vary;
};

std::string VaryOf(const Selection& selection) {
  std::string out;
  for (size_t i = 0; i < kChoosingFields.size(); ++i) {
    if (selection.vary >> i & 1) out += (out.empty() ? "" : ", ") + std::string(kChoosingFields[i]);
  }
  return out;
}

Seen Ask(std::string_view query, const FakeFields& fields, const Options& options = {}) {
  const auto parsed = Parse("/v/a.mp4", query, options, &fields);
  EXPECT_TRUE(parsed.ok()) << query;
  return {parsed->request.derivative, std::string(parsed->selection.by), VaryOf(parsed->selection)};
}

Options All() {
  Options options;
  options.responsive.headers = ResponsiveHeaders::kAll;
  return options;
}

constexpr const char* kPlainVary = "Sec-CH-Viewport-Width, Width, CF-Device-Type";

TEST(Responsive, BreakpointsAreExact) {
  const std::pair<const char*, const char*> widths[] = {
      {"1", "mobile"},    {"853", "mobile"},  {"854", "mobile"},   {"855", "tablet"},
      {"1279", "tablet"}, {"1280", "tablet"}, {"1281", "desktop"}, {"999999999", "desktop"}};
  for (const auto& [width, want] : widths) {
    for (const char* name : {"imwidth", "im-viewwidth"}) {
      const Seen seen = Ask(std::string(name) + "=" + width, {});
      EXPECT_EQ(seen.derivative, want) << name << width;
      EXPECT_EQ(seen.by, name);
      EXPECT_EQ(seen.vary, "") << "the URL alone chose";
    }
    for (const char* name : {"Sec-CH-Viewport-Width", "Width"}) {
      const Seen seen = Ask("", {{name, width}});
      EXPECT_EQ(seen.derivative, want) << name << width;
      EXPECT_EQ(seen.by, name);
    }
  }
}

TEST(Responsive, DensityIsExactToo) {
  EXPECT_EQ(Ask("imwidth=427&im-density=2", {}).derivative, "mobile");
  EXPECT_EQ(Ask("imwidth=427&dpr=2", {}).derivative, "mobile");
  EXPECT_EQ(Ask("imwidth=427&imdensity=2.0001", {}).derivative, "tablet");
  EXPECT_EQ(Ask("imwidth=427&dpr=3&im-density=2", {}).derivative, "mobile");
  EXPECT_EQ(Ask("im-viewwidth=640&im-density=2", {}).derivative, "tablet");
  EXPECT_EQ(Ask("", {{"Sec-CH-Viewport-Width", "427"}, {"DPR", "2"}}).derivative, "mobile");
  EXPECT_EQ(Ask("", {{"Sec-CH-Viewport-Width", "428"}, {"DPR", "2"}}).derivative, "tablet");
  EXPECT_EQ(Ask("", {{"Width", "428"}, {"DPR", "1"}, {"Sec-CH-DPR", "3"}}).derivative, "desktop");
}

TEST(Responsive, AHeightCountsAsTheWidthOfAUsualPicture) {
  EXPECT_EQ(Ask("imheight=480", {}).derivative, "mobile");
  EXPECT_EQ(Ask("imheight=481", {}).derivative, "tablet");
  EXPECT_EQ(Ask("imheight=720", {}).derivative, "tablet");
  EXPECT_EQ(Ask("imheight=1080", {}).derivative, "desktop");
  EXPECT_EQ(Ask("imheight=1080&imwidth=100", {}).derivative, "mobile");
}

TEST(Responsive, WhoAsksForASizeOrADerivativeGetsThat) {
  const FakeFields phone = {{"Sec-CH-Viewport-Width", "400"}, {"CF-Device-Type", "mobile"}};
  for (const char* query : {"w=640", "height=100", "w=640&imwidth=100", "derivative=desktop",
                            "derivative=desktop&imwidth=100", "impolicy=desktop", "mode=audio",
                            "mode=info", "format=m4a"}) {
    const Seen seen = Ask(query, phone);
    EXPECT_NE(seen.derivative, "mobile") << query;
    EXPECT_EQ(seen.by, "") << query;
    EXPECT_EQ(seen.vary, "") << query;
  }
  // Other options do not stand in the way.
  EXPECT_EQ(Ask("format=webm&q=high", phone).derivative, "mobile");
  EXPECT_EQ(Ask("mode=frame&time=3", phone).derivative, "mobile");
  EXPECT_EQ(Ask("derivative=nosuch", phone).derivative, "mobile");
  EXPECT_EQ(Ask("utm_source=x", phone).derivative, "mobile");
  EXPECT_EQ(Ask("imwidth=x", phone).derivative, "mobile") << "an invalid one is none";
}

TEST(Responsive, APlainRequestIsTheOriginal) {
  const Seen seen =
      Ask("", {{"User-Agent", "Mozilla/5.0 (iPhone) Mobile"}, {"DPR", "3"}, {"Save-Data", "on"}});
  EXPECT_EQ(seen.derivative, "");
  EXPECT_EQ(seen.by, "");
  EXPECT_EQ(seen.vary, kPlainVary) << "they could have";
}

TEST(Responsive, TheFieldsAreAskedInOrderAndVaryNamesThoseThatWere) {
  struct Row {
    FakeFields fields;
    Seen want;
  };
  const Row rows[] = {
      {{{"Sec-CH-Viewport-Width", "400"}, {"Width", "2000"}, {"CF-Device-Type", "desktop"}},
       {"mobile", "Sec-CH-Viewport-Width", "Sec-CH-Viewport-Width, Sec-CH-DPR, DPR"}},
      {{{"Sec-CH-Viewport-Width", "400"}, {"Sec-CH-DPR", "3"}},
       {"tablet", "Sec-CH-Viewport-Width", "Sec-CH-Viewport-Width, Sec-CH-DPR, Save-Data"}},
      {{{"Width", "2000"}, {"CF-Device-Type", "mobile"}},
       {"desktop", "Width", "Sec-CH-Viewport-Width, Width, Sec-CH-DPR, DPR, Save-Data"}},
      {{{"Width", "many"}, {"CF-Device-Type", "Tablet"}},
       {"tablet", "CF-Device-Type", "Sec-CH-Viewport-Width, Width, CF-Device-Type, Save-Data"}},
      {{{"CF-Device-Type", "mobile"}}, {"mobile", "CF-Device-Type", kPlainVary}},
      {{{"CF-Device-Type", "fridge"}}, {"", "", kPlainVary}},
      {{{"Sec-CH-Viewport-Width", "0"}}, {"", "", kPlainVary}},
  };
  for (const Row& row : rows) {
    const Seen seen = Ask("", row.fields);
    EXPECT_EQ(seen.derivative, row.want.derivative);
    EXPECT_EQ(seen.by, row.want.by);
    EXPECT_EQ(seen.vary, row.want.vary);
  }
}

TEST(Responsive, UserAgentAndDefaultCountWhenConfigured) {
  const std::pair<const char*, const char*> agents[] = {
      {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148", "mobile"},
      {"Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120 Mobile Safari/537.36", "mobile"},
      {"Mozilla/5.0 (Linux; Android 14; SM-X700) Chrome/120 Safari/537.36", "tablet"},
      {"Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Mobile/15E148", "tablet"},
      {"Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0", "desktop"},
      {"curl/8", "desktop"},
      {"", "desktop"},
  };
  for (const auto& [agent, want] : agents) {
    EXPECT_EQ(Ask("", {{"User-Agent", agent}}, All()).derivative, want) << agent;
  }
  const Seen none = Ask("", {}, All());
  EXPECT_EQ(none.derivative, "desktop");
  EXPECT_EQ(none.by, "default");
  EXPECT_EQ(none.vary, "Sec-CH-Viewport-Width, Width, CF-Device-Type, User-Agent, Save-Data");
  EXPECT_EQ(Ask("", {{"CF-Device-Type", "tablet"}, {"User-Agent", "iPhone"}}, All()).derivative,
            "tablet");
}

TEST(Responsive, SwitchedOffNoFieldIsAsked) {
  Options off;
  off.responsive.headers = ResponsiveHeaders::kOff;
  const Seen seen = Ask("", {{"Sec-CH-Viewport-Width", "400"}}, off);
  EXPECT_EQ(seen.derivative, "");
  EXPECT_EQ(seen.vary, "");
  EXPECT_EQ(Ask("imwidth=400", {}, off).derivative, "mobile") << "the URL still chooses";
}

TEST(Responsive, SaveDataTakesOneStepDown) {
  EXPECT_EQ(Ask("", {{"Width", "2000"}, {"Save-Data", "on"}}).derivative, "tablet");
  EXPECT_EQ(Ask("", {{"Width", "1000"}, {"Save-Data", "On;x=1"}}).derivative, "mobile");
  EXPECT_EQ(Ask("", {{"Width", "100"}, {"Save-Data", "on"}}).derivative, "mobile");
  EXPECT_EQ(Ask("", {{"Width", "2000"}, {"Save-Data", "off"}}).derivative, "desktop");
  EXPECT_EQ(Ask("imwidth=2000", {{"Save-Data", "on"}}).derivative, "desktop");
  Options deaf;
  deaf.responsive.save_data = false;
  const Seen seen = Ask("", {{"Width", "2000"}, {"Save-Data", "on"}}, deaf);
  EXPECT_EQ(seen.derivative, "desktop");
  EXPECT_EQ(seen.vary, "Sec-CH-Viewport-Width, Width, Sec-CH-DPR, DPR");
}

TEST(Responsive, OwnPresetsAndNoDefault) {
  Options options;
  options.derivatives["s"].options.width = 100;
  options.derivatives["m"].options.width = 200;
  options.responsive.breakpoints = {{500, "s"}, {900, "m"}};
  options.responsive.default_derivative = "";
  EXPECT_EQ(Ask("imwidth=500", {}, options).derivative, "s");
  EXPECT_EQ(Ask("imwidth=501", {}, options).derivative, "m");
  const Seen beyond = Ask("imwidth=901", {}, options);
  EXPECT_EQ(beyond.derivative, "");
  EXPECT_EQ(beyond.by, "");
  EXPECT_EQ(Ask("", {{"CF-Device-Type", "mobile"}}, options).derivative, "s");
  EXPECT_EQ(Ask("", {{"CF-Device-Type", "tablet"}}, options).derivative, "m");
  EXPECT_EQ(Ask("", {{"CF-Device-Type", "desktop"}}, options).derivative, "");
}

TEST(Responsive, TheKeyIsThatOfTheDerivative) {
  const FakeFields hints = {{"Sec-CH-Viewport-Width", "400"}};
  const FakeFields none = {};
  const auto key = [](std::string_view query, const FakeFields& fields) {
    const Options options;
    return KeyOf(Parse("/v/a.mp4", query, options, &fields)->request);
  };
  for (const char* query :
       {"imwidth=400", "imwidth=854", "im-viewwidth=10&im-density=2", "imheight=2",
        "derivative=mobile", "impolicy=mobile", "imwidth=400&imheight=9999&filename=a.mp4"}) {
    EXPECT_EQ(key(query, none), "video:v/a.mp4:derivative=mobile") << query;
  }
  EXPECT_EQ(key("", hints), "video:v/a.mp4:derivative=mobile");
  EXPECT_EQ(key("", none), "video:v/a.mp4");
  EXPECT_EQ(key("mode=frame&t=1&imwidth=9", none), "frame:v/a.mp4:derivative=mobile");
  EXPECT_EQ(key("f=webm", hints), "video:v/a.mp4:derivative=mobile:f=webm");
}

TEST(Responsive, AListOfParametersIsAboutWhatTheClientSentNotAboutWhatWeChose) {
  Options options = All();
  const FakeFields none = {};
  const FakeFields phone = {{"Sec-CH-Viewport-Width", "400"}};
  const FakeFields tablet = {{"CF-Device-Type", "tablet"}};
  const FakeFields agent = {{"User-Agent", "Mozilla/5.0 (iPhone) Mobile"}};
  for (const bool presets_only : {false, true}) {
    options.presets_only = presets_only;
    options.allowed_parameters = {"quality", "imwidth", "filename"};
    for (const char* query : {"", "filename=a.mp4"}) {
      EXPECT_EQ(Ask(query, phone, options).derivative, "mobile") << query;
      EXPECT_EQ(Ask(query, tablet, options).derivative, "tablet") << query;
      EXPECT_EQ(Ask(query, agent, options).derivative, "mobile") << query;
      EXPECT_EQ(Ask(query, none, options).derivative, "desktop") << query;
    }
    const Seen by_width = Ask("imwidth=855", none, options);
    EXPECT_EQ(by_width.derivative, "tablet");
    EXPECT_EQ(by_width.by, "imwidth");
    const auto media = ParseMediaOptions("imwidth=855", "v/a.mp4", "", options);
    ASSERT_TRUE(media.ok());
    EXPECT_EQ(media->request.derivative, "tablet");
    // A derivative that the client names is the client's; ours is chosen in its place, and stays.
    EXPECT_EQ(Ask("derivative=desktop", phone, options).derivative, "mobile");
    options.allowed_parameters = {"quality"};
    const auto refused = Parse("/v/a.mp4", "imwidth=855", options, &phone);
    ASSERT_TRUE(refused.ok());
    EXPECT_EQ(refused->request.derivative, "mobile")
        << "the width that was sent counts for nothing";
    EXPECT_EQ(refused->selection.by, "Sec-CH-Viewport-Width");
    EXPECT_EQ(RenderWarnings(refused->warnings), "imwidth: is not allowed here");
  }
  options.validation = Validation::kStrict;
  EXPECT_EQ(Ask("", phone, options).derivative, "mobile") << "nothing was sent that is refused";
}

}  // namespace
}  // namespace vr::variant
