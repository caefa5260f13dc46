// A worker-config.json of v1 or v2. Each section may stand at the root or under "video".
#include <algorithm>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

class Worker {
 public:
  Worker(Run& run, const Node& root) : run_(run), root_(root) {
    video_ = run.Get(root, "video");
    if (video_ != nullptr && !run.NeedObject(*video_)) video_ = nullptr;
  }

  void Import() {
    run_.DropKnown(root_, {{"version", "about the file itself"},
                           {"lastUpdated", "about the file itself"},
                           {"$schema", "about the file itself"}});
    // What origins are judged by comes before them.
    if (const Node* node = Section("passthrough")) Passthrough(*node);
    if (const Node* node = Section("defaults")) Defaults(*node);
    if (const Node* node = Section("derivatives")) Derivatives(*node);
    Origins();
    if (const Node* node = Section("responsive")) Responsive(*node);
    if (const Node* node = Section("responsiveBreakpoints")) Breakpoints(*node);
    if (const Node* node = Section("cache")) ImportCache(run_, *node);
    if (const Node* node = Section("debug")) ImportDebug(run_, *node);
    if (const Node* node = Section("logging")) ImportLogging(run_, *node);
    if (const Node* node = Section("container")) Container(*node);
    Rest();
  }

 private:
  /// Under "video" first; what stands at both places counts once.
  const Node* Section(std::string_view name) {
    const Node* inner = video_ == nullptr ? nullptr : run_.Get(*video_, name);
    const Node* outer = run_.Get(root_, name);
    if (inner != nullptr && outer != nullptr)
      run_.ledger.Dropped(*outer, "video." + std::string(name) + " is there and is stronger");
    return inner != nullptr ? inner : outer;
  }

  void Origins() {
    const Node* patterns = Section("pathPatterns");
    const Node* storage = Section("storage");
    const Node* section = Section("origins");
    const Node* items = section;
    bool is_on = true;
    bool wants_legacy = false;
    if (section != nullptr && section->is(Kind::kObject)) {
      items = run_.Get(*section, "items");
      if (const Node* node = run_.Get(*section, "enabled")) {
        is_on = run_.Bool(*node).value_or(true);
        run_.ledger.Converted(*node, "/origins");
      }
      if (const Node* node = run_.Get(*section, "useLegacyPathPatterns")) {
        wants_legacy = run_.Bool(*node).value_or(false);
        run_.ledger.Converted(*node, "/origins");
      }
      if (const Node* node = run_.Get(*section, "fallbackHandling")) FallbackHandling(*node);
      if (items == nullptr && is_on && !wants_legacy) {
        run_.problems.push_back({section->place, At(run_.ledger.PointerOf(*section), "items"),
                                 "nothing", "the list of origins"});
        return;
      }
    } else if (section != nullptr && !section->is(Kind::kArray)) {
      run_.Wrong(*section, "an array of origins, or {\"items\": [...]}");
      return;
    }
    const bool has_legacy = patterns != nullptr || storage != nullptr;
    if (items != nullptr && is_on && !(wants_legacy && has_legacy)) {
      ImportOrigins(run_, *items);
      for (const Node* node : {patterns, storage}) {
        if (node != nullptr) run_.ledger.Dropped(*node, "there are origins, which take its place");
      }
      return;
    }
    if (items != nullptr) {
      run_.ledger.Dropped(*items, is_on ? "useLegacyPathPatterns is true: the path patterns count"
                                        : "origins.enabled is false");
    }
    if (has_legacy) ImportLegacy(run_, patterns, storage);
  }

  void FallbackHandling(const Node& node) {
    if (!run_.NeedObject(node)) return;
    if (const Node* enabled = run_.Get(node, "enabled")) {
      const auto on = run_.Bool(*enabled);
      if (on && *on) run_.ledger.Converted(*enabled, "/origins/*/sources");
      if (on && !*on)
        run_.ledger.Dropped(*enabled, "all sources of an origin are asked in turn, always");
    }
    if (const Node* all = run_.Get(node, "tryAllMatchingOrigins")) {
      const auto on = run_.Bool(*all);
      if (on && *on)
        run_.Warn(*all,
                  "the first origin that matches is the only one asked here; give it the "
                  "sources of the others, with later priorities");
      if (on) run_.ledger.Dropped(*all, "the first origin that matches is the one");
    }
    run_.DropKnown(
        node,
        {{"maxRetries",
          "every source is asked in turn, however many; how often all of them are asked again is "
          "fetch.retries"}});
  }

  void Passthrough(const Node& node) {
    if (!run_.NeedObject(node)) return;
    for (const char* key : {"formats", "whitelistedFormats"}) {
      const Node* list = run_.Get(node, key);
      if (list == nullptr) continue;
      const auto names = run_.Texts(*list);
      if (!names) continue;
      std::vector<std::string> formats;
      Node out = Node::Array();
      bool is_changed = false;
      for (const std::string& name : *names) {
        std::string format = Lower(name);
        if (!format.empty() && format.front() == '.') format.erase(0, 1);
        is_changed = is_changed || format != name;
        if (std::find(formats.begin(), formats.end(), format) != formats.end()) continue;
        formats.push_back(format);
        out.items.push_back(Node::String(format));
      }
      run_.Set(*list, {"passthrough", "formats"}, std::move(out),
               is_changed ? "in lower case, without dots" : "");
      run_.formats = formats;
    }
    if (const Node* enabled = run_.Get(node, "enabled")) {
      const auto on = run_.Bool(*enabled);
      if (!on) return;
      run_.passes_others = *on;
      if (*on) {
        run_.ledger.Changed(*enabled, "/origins",
                            "what is no video passes through origins of mode passthrough: made for "
                            "the origins that take every path and have HTTP sources");
      } else {
        run_.ledger.Changed(*enabled, "/origins",
                            "what is no video is 404 without an origin of mode passthrough");
      }
    }
  }

  void Defaults(const Node& node) {
    if (!run_.NeedObject(node)) return;
    for (const config::Member& member : node.members) {
      const Node& value = member.value;
      if (value.is(Kind::kNull)) continue;
      if (member.name == "quality" || member.name == "compression") {
        const auto level = run_.OneOf(value, {"low", "medium", "high", "auto"});
        Run::Default& slot = member.name == "quality" ? run_.quality : run_.compression;
        if (level && slot.node == nullptr) {
          slot.node = &value;
          slot.value = *level;
        } else if (level) {
          run_.ledger.Dropped(value, slot.node->place.source + " " +
                                         run_.ledger.PointerOf(*slot.node) + " is stronger");
        }
        continue;
      }
      const bool is_ours =
          (member.name == "mode" && value.text == "video") ||
          (member.name == "audio" && value.is(Kind::kBool) && value.boolean) ||
          (member.name == "fit" && value.text == "contain") ||
          (value.is(Kind::kBool) && !value.boolean &&
           (member.name == "loop" || member.name == "autoplay" || member.name == "muted"));
      if (is_ours) {
        run_.ledger.Converted(value, "our default too");
        continue;
      }
      if (IsLeaf(value)) {
        run_.Warn(value, "a default for every request cannot be set here; use a derivative");
      }
      run_.ledger.Dropped(value, "only quality and compression have configurable defaults");
    }
  }

  void Derivatives(const Node& node) {
    if (!run_.NeedObject(node)) return;
    for (const config::Member& member : node.members) {
      if (member.value.is(Kind::kNull) || !run_.NeedObject(member.value)) continue;
      const std::string name = AsName(member.name);
      if (name != member.name) {
        run_.problems.push_back({member.place, run_.ledger.PointerOf(member.value),
                                 config::Quote(member.name),
                                 "a name of A-Z a-z 0-9 - _ . (it stands in URLs)"});
        continue;
      }
      Derivative(member.value, name);
    }
  }

  void Derivative(const Node& node, const std::string& name) {
    static constexpr std::string_view kSame[] = {
        "mode",        "width", "height",   "fit",        "format",  "quality",
        "compression", "time",  "duration", "audio",      "fps",     "speed",
        "rotate",      "crop",  "bitrate",  "imageCount", "columns", "rows",
        "interval",    "loop",  "autoplay", "muted",      "preload"};
    const std::string at = "/derivatives/" + name;
    Draft made;
    std::string description;
    for (const config::Member& member : node.members) {
      const Node& value = member.value;
      if (value.is(Kind::kNull)) continue;
      if (member.name == "description") {
        if (const auto text = run_.Text(value)) {
          description = *text;
          run_.ledger.Changed(value, at, "kept as a comment");
        }
        continue;
      }
      std::string key = member.name;
      if (key == "frames") key = "imageCount";
      if (std::find(std::begin(kSame), std::end(kSame), key) == std::end(kSame)) continue;
      if (!IsLeaf(value) || value.is(Kind::kArray) || value.is(Kind::kObject)) {
        run_.Wrong(value, "a text, a number, true or false");
        continue;
      }
      if (made.Has({key})) {
        run_.ledger.Dropped(value, key + " is there too");
        continue;
      }
      Node copy = value;
      if (copy.is(Kind::kString)) copy.text = Escaped(copy.text);
      made.Set({key}, std::move(copy), &value);
      if (key == member.name) {
        run_.ledger.Converted(value, At(at, key));
      } else {
        run_.ledger.Changed(value, At(at, key), "called " + key + " here");
      }
    }
    run_.out.Put({"derivatives", name}, std::move(made));
    if (!description.empty()) run_.out.Comment({"derivatives", name}, description);
    derivatives_.push_back(name);
  }

  bool IsDerivative(const std::string& name) const {
    static constexpr std::string_view kShipped[] = {"desktop", "tablet", "mobile", "thumbnail"};
    return std::find(std::begin(kShipped), std::end(kShipped), name) != std::end(kShipped) ||
           std::find(derivatives_.begin(), derivatives_.end(), name) != derivatives_.end();
  }

  struct Point {
    int64_t max_width = 0;
    std::string derivative;
    const Node* node = nullptr;        ///< of the whole
    const Node* width_node = nullptr;  ///< of the width
    const Node* name_node = nullptr;   ///< of the name
  };

  void WritePoints(std::vector<Point> points) {
    std::stable_sort(points.begin(), points.end(),
                     [](const Point& a, const Point& b) { return a.max_width < b.max_width; });
    int64_t previous = 0;
    size_t index = 0;
    for (const Point& point : points) {
      std::string why;
      if (!IsDerivative(point.derivative)) why = "there is no such derivative";
      if (point.max_width == previous) why = "there is another breakpoint of this width";
      if (!why.empty()) {
        run_.Warn(*point.node, "this breakpoint is left out: " + why);
        run_.ledger.Dropped(*point.node, why);
        continue;
      }
      previous = point.max_width;
      Draft made;
      made.Set({"maxWidth"}, Node::Number(std::to_string(point.max_width)), point.width_node);
      made.Set({"derivative"}, Node::String(point.derivative), point.name_node);
      run_.out.Append({"responsive", "breakpoints"}, std::move(made));
      const std::string at = "/responsive/breakpoints/" + std::to_string(index++);
      run_.ledger.Converted(*point.width_node, at + "/maxWidth");
      run_.ledger.Converted(*point.name_node, at + "/derivative");
    }
  }

  void DefaultDerivative(const Node& node) {
    const auto name = run_.Text(node);
    if (!name) return;
    if (!IsDerivative(*name)) {
      run_.Warn(node, "there is no such derivative: left out");
      run_.ledger.Dropped(node, "there is no such derivative");
      return;
    }
    run_.Set(node, {"responsive", "defaultDerivative"}, Node::String(*name));
  }

  /// v2: a list. v1: names to widths, which choose nothing here.
  void Responsive(const Node& node) {
    if (!run_.NeedObject(node)) return;
    const Node* list = run_.Get(node, "breakpoints");
    if (list != nullptr && list->is(Kind::kArray)) {
      std::vector<Point> points;
      for (const Node& item : list->items) {
        if (!run_.NeedObject(item)) continue;
        const Node* width = run_.Get(item, "maxWidth");
        const Node* name = run_.Get(item, "derivative");
        if (width == nullptr || name == nullptr) {
          run_.problems.push_back(
              {item.place,
               At(run_.ledger.PointerOf(item), width == nullptr ? "maxWidth" : "derivative"),
               "nothing", "required"});
          continue;
        }
        const auto pixels = run_.Whole(*width, 1, 1'000'000);
        const auto text = run_.Text(*name);
        if (pixels && text) points.push_back({*pixels, *text, &item, width, name});
      }
      WritePoints(std::move(points));
    } else if (list != nullptr) {
      run_.ledger.Dropped(*list,
                          "widths without derivatives choose nothing; responsiveBreakpoints name "
                          "both");
    }
    if (const Node* name = run_.Get(node, "defaultDerivative")) DefaultDerivative(*name);
    run_.DropKnown(
        node,
        {{"availableQualities", "sizes are those of the URL or of the derivative that is chosen"},
         {"deviceWidths",
          "devices choose among the breakpoints' derivatives, as responsive.headers says "
          "(\"all\": by the User-Agent too)"},
         {"networkQuality",
          "networks are not measured; Save-Data chooses the next smaller derivative "
          "(responsive.saveData)"},
         {"browserCapabilities", "format=auto goes by the Accept field"}});
  }

  /// v1: {name: {min, max, derivative}}; the one without max is what is left.
  void Breakpoints(const Node& node) {
    if (!run_.NeedObject(node)) return;
    struct Range {
      std::optional<int64_t> min, max;
      const Node* min_node = nullptr;
      const Node* max_node = nullptr;
      const Node* name = nullptr;
      const Node* node = nullptr;
    };
    std::vector<Range> ranges;
    for (const config::Member& member : node.members) {
      const Node& item = member.value;
      if (item.is(Kind::kNull) || !run_.NeedObject(item)) continue;
      Range range;
      range.node = &item;
      range.name = run_.Get(item, "derivative");
      range.min_node = run_.Get(item, "min");
      range.max_node = run_.Get(item, "max");
      if (range.name == nullptr) {
        run_.problems.push_back(
            {item.place, At(run_.ledger.PointerOf(item), "derivative"), "nothing", "required"});
        continue;
      }
      if (range.min_node != nullptr) range.min = run_.Whole(*range.min_node, 0, 1'000'000);
      if (range.max_node != nullptr) range.max = run_.Whole(*range.max_node, 1, 1'000'000);
      if (!run_.Text(*range.name)) continue;
      if (range.max_node != nullptr && !range.max) continue;
      ranges.push_back(range);
    }
    std::stable_sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
      return a.max.value_or(INT64_MAX) < b.max.value_or(INT64_MAX);
    });
    std::vector<Point> points;
    int64_t expected = 0;
    for (const Range& range : ranges) {
      if (range.min_node != nullptr && range.min) {
        const bool follows = *range.min <= 1 || *range.min == expected + 1;
        if (follows) {
          run_.ledger.Converted(*range.min_node, "/responsive/breakpoints");
        } else {
          run_.ledger.Changed(
              *range.min_node, "/responsive/breakpoints",
              "a breakpoint begins where the one before ends: at " + std::to_string(expected + 1));
        }
      }
      if (range.max) {
        expected = *range.max;
        points.push_back({*range.max, range.name->text, range.node, range.max_node, range.name});
      } else {
        DefaultDerivative(*range.name);
      }
    }
    if (!ranges.empty() && ranges.back().max && IsDerivative(ranges.back().name->text) &&
        !run_.out.Has({"responsive", "defaultDerivative"})) {
      run_.out.Set({"responsive", "defaultDerivative"}, Node::String(ranges.back().name->text),
                   ranges.back().name);
    }
    WritePoints(std::move(points));
  }

  /// v2's transcoding containers.
  void Container(const Node& node) {
    if (!run_.NeedObject(node)) return;
    if (const Node* size = run_.Get(node, "maxInputSize")) {
      if (const auto bytes = run_.Whole(*size, 1, int64_t{1} << 50))
        run_.Set(*size, {"transform", "maxSourceBytes"}, Node::Number(std::to_string(*bytes)));
    }
    if (const Node* timeout = run_.Get(node, "timeoutMs")) {
      if (const auto ms = run_.Whole(*timeout, 1, 86'400'000)) {
        const bool is_short = *ms < 1000;
        run_.Set(*timeout, {"transform", "timeout"},
                 Node::String(is_short ? "1s" : std::to_string(*ms) + "ms"),
                 is_short ? "at least a second" : "");
      }
    }
    constexpr std::string_view kQuality =
        "each quality has its own rate factors per codec; quality takes 1..100 too, compression "
        "is the encoder's effort";
    run_.DropKnown(node, {{"enabled", "every transform is made by our own workers"},
                          {"maxOutputForCache",
                           "outputs of any size are stored, up to transform.maxOutputBytes"},
                          {"quality", kQuality},
                          {"sleepAfter", "workers are processes of the server"},
                          {"maxInstances",
                           "one worker per core; transform.workers sets another "
                           "number"}});
  }

  void Rest() {
    if (const Node* node = Section("cdnCgi"); node != nullptr && run_.NeedObject(*node)) {
      if (const Node* path = run_.Get(*node, "basePath")) {
        if (const auto text = run_.Text(*path)) BasePath(run_, *path, *text);
      }
    }
    if (const Node* node = Section("paramMapping"); node != nullptr && run_.NeedObject(*node)) {
      for (const config::Member& member : node->members) {
        if (member.value.is(Kind::kString) && member.value.text == member.name) {
          run_.ledger.Converted(member.value, "the same name here");
        } else if (!member.value.is(Kind::kNull)) {
          if (IsLeaf(member.value))
            run_.Warn(member.value, "names of parameters are fixed here (docs/http.md)");
          run_.ledger.Dropped(member.value, "names of parameters are fixed");
        }
      }
    }
    if (const Node* node = Section("validOptions"))
      run_.ledger.Dropped(*node,
                          "values have a grammar of their own; wrong ones are dropped with "
                          "X-Param-Warnings or refused (validation), names can be limited "
                          "(access.allowedParameters)");
    if (const Node* node = Section("caching"))
      run_.ledger.Dropped(*node,
                          "the section \"cache\" says how things are cached, there and here");
    for (const char* key : {"cdnCgiSizeLimit", "bindingSizeLimit"}) {
      if (const Node* node = Section(key))
        run_.ledger.Dropped(*node,
                            "sizes choose no route here; transform.maxSourceBytes is the "
                            "limit");
    }
    if (const Node* node = Section("asyncContainerThreshold"))
      run_.ledger.Dropped(*node,
                          "what takes long is answered 202 by its estimated time "
                          "(transform.asyncThreshold)");
  }

 public:
  static void BasePath(Run& run, const Node& node, const std::string& text) {
    if (text == "/cdn-cgi/media" || text == "/cdn-cgi/media/") {
      run.ledger.Converted(node, "the same path here");
      return;
    }
    run.Warn(node, "the path is /cdn-cgi/media here; rewrite it in front of the server");
    run.ledger.Dropped(node, "the path is fixed: /cdn-cgi/media");
  }

 private:
  Run& run_;
  const Node& root_;
  const Node* video_ = nullptr;
  std::vector<std::string> derivatives_;
};

}  // namespace

void ImportBasePath(Run& run, const Node& node) {
  if (const auto text = run.Text(node)) Worker::BasePath(run, node, *text);
}

void ImportWorker(Run& run, const Node& root) {
  Worker(run, root).Import();
}

}  // namespace vr::import
