#include "app/warn_origins.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <set>

#include "config/units.h"
#include "origin/origin_table.h"

namespace vr::app {
namespace {

using origin::OriginOptions;

/// Ends like `\.(mp4|webm)$`: what most matchers end with, and where most mistakes are.
struct Extensions {
  std::vector<std::string> names;  ///< as written; empty: the matcher does not end like that
  bool is_anchored = false;
};

Extensions ExtensionsOf(const std::string& matcher) {
  static const RE2 kEnd(
      R"re(\\\.(?:\((?:\?:|\?P<\w+>)?([A-Za-z0-9]+(?:\|[A-Za-z0-9]+)*)\)|([A-Za-z0-9]{2,5}))\)*(\$|\\z)?\)*$)re");
  Extensions out;
  std::string group, single, anchor;
  if (!RE2::PartialMatch(matcher, kEnd, &group, &single, &anchor)) return out;
  out.is_anchored = !anchor.empty();
  const std::string list = group.empty() ? single : group;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find('|', at), list.size());
    out.names.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

/// What every path that matches begins with, as far as RE2 can say; empty: nothing.
/// @param is_in_reach set to false when no path can match, since all begin with a slash
std::string PrefixOf(const RE2& matcher, bool& is_in_reach) {
  std::string first, last;
  if (!matcher.PossibleMatchRange(&first, &last, 200)) return {};
  is_in_reach = last >= "/" && first < "0";
  // Where letter case does not count, RE2 knows no prefix. What is written there does.
  static const RE2 kLiteral(R"re(^\(\?i\)\^([\w/-]*/))re");
  if (std::string literal; RE2::PartialMatch(matcher.pattern(), kLiteral, &literal)) return literal;
  const size_t common = static_cast<size_t>(
      std::mismatch(first.begin(),
                    first.begin() + static_cast<ptrdiff_t>(std::min(first.size(), last.size())),
                    last.begin())
          .first -
      first.begin());
  return first.substr(0, common);
}

/// Some paths of videos that the matcher takes.
std::vector<std::string> PathsOf(const RE2& matcher, const std::string& prefix,
                                 std::vector<std::string> extensions) {
  if (extensions.empty()) extensions = {"mp4", "webm", "mov"};
  std::vector<std::string> out;
  for (const char* name : {"a.", "b1/c.", "2024/01/d."}) {
    for (const std::string& extension : extensions) {
      std::string path = prefix.starts_with('/') ? prefix : "/" + prefix;
      path += name + extension;
      if (RE2::PartialMatch(path, matcher)) out.push_back(std::move(path));
    }
  }
  return out;
}

/// The names and numbers of groups that a template speaks of.
std::set<std::string> PlaceholdersOf(const std::string& path) {
  static const RE2 kOne(R"re(\$\$|\$\{([^}:]*)[^}]*\}|\$([0-9]+))re");
  std::set<std::string> out;
  re2::StringPiece rest(path);
  std::string name, number;
  while (RE2::FindAndConsume(&rest, kOne, &name, &number)) {
    if (!name.empty()) out.insert(name);
    if (!number.empty()) out.insert(number);
    name.clear();
    number.clear();
  }
  return out;
}

bool HasExtension(const std::string& path) {
  return path.substr(path.rfind('/') + 1).find('.') != std::string::npos;
}

class Warner {
 public:
  Warner(const Settings& settings, size_t index, std::vector<Finding>& out)
      : settings_(settings), origin_(settings.origins[index]), out_(out) {
    at_ = "/origins/" + std::to_string(index);
  }

  void Run() {
    RE2::Options quiet;
    quiet.set_log_errors(false);
    const RE2 matcher(origin_.matcher, quiet);
    if (!matcher.ok() || origin_.matcher.empty()) return;  // an error already
    bool is_in_reach = true;
    const std::string prefix = PrefixOf(matcher, is_in_reach);
    if (!is_in_reach) {
      Matcher("one that a path can match: paths begin with \"/\"");
      return;
    }
    const Extensions extensions = ExtensionsOf(origin_.matcher);
    AboutExtensions(extensions);
    AboutDots();
    AboutPaths(matcher, PathsOf(matcher, prefix, extensions.names));
    AboutCaptures();
  }

 private:
  void Say(std::string pointer, std::string found, std::string allowed) {
    out_.push_back({at_ + pointer, std::move(found), std::move(allowed), true});
  }
  void Matcher(std::string allowed) {
    Say("/matcher", config::Quote(origin_.matcher), std::move(allowed));
  }

  void AboutExtensions(const Extensions& extensions) {
    if (extensions.names.empty()) return;
    const std::vector<std::string>& formats = settings_.variant.video_formats;
    std::string unknown;
    bool is_one_case = true;
    for (const std::string& name : extensions.names) {
      is_one_case = is_one_case && Lower(name) == name;
      if (std::find(formats.begin(), formats.end(), Lower(name)) != formats.end()) continue;
      unknown += (unknown.empty() ? "" : ", ") + name;
    }
    if (!unknown.empty() && origin_.mode == origin::OriginMode::kTransform) {
      Matcher("extensions of \"passthrough.formats\" (not there: " + unknown +
              "): other paths never come to an origin of mode \"transform\"");
    }
    if (!extensions.is_anchored) {
      Matcher("\"$\" at its end: \"." + extensions.names.front() + "xyz\" matches too");
    }
    if (is_one_case && origin_.matcher.find("(?i") == std::string::npos) {
      std::string upper = extensions.names.front();
      for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      Matcher("\"(?i)\" at its beginning: \"." + upper + "\" counts as video and does not match");
    }
  }

  void AboutDots() {
    static const RE2 kNoDot(R"re(\[\^\\?\.\][+*])re");
    if (!RE2::PartialMatch(origin_.matcher, kNoDot)) return;
    Matcher(
        "\"(.+)\" for \"([^.]+)\", which ends at the first dot: of \"/a.b.mp4\" it takes \"a\" or"
        " \"b\"");
  }

  void AboutPaths(const RE2& matcher, const std::vector<std::string>& paths) {
    auto table = origin::OriginTable::Create({origin_});
    if (!table.ok()) return;  // an error already
    for (size_t k = 0; k < origin_.sources.size(); ++k) {
      const std::string& path = origin_.sources[k].path;
      if (path.empty()) continue;
      std::string first;
      bool drops = !paths.empty();
      for (const std::string& sample : paths) {
        const auto resolved = (*table)->Match(sample);
        if (!resolved) return;
        for (const origin::Location& location : resolved->locations) {
          if (location.source_index != k) continue;
          drops = drops && !HasExtension(location.path);
          if (first.empty()) first = location.path;
        }
      }
      const std::string pointer = "/sources/" + std::to_string(k) + "/path";
      const bool is_fixed = PlaceholdersOf(path).empty();
      if (is_fixed && (matcher.NumberOfCapturingGroups() > 0 || paths.size() > 1)) {
        Say(pointer, config::Quote(path),
            "a placeholder: every path of this origin leads to this one source");
      } else if (drops) {
        Say(pointer, config::Quote(path),
            "one with the extension: \"" + paths.front() + "\" becomes \"" + first + "\"");
      }
    }
  }

  void AboutCaptures() {
    std::set<std::string> used;
    bool has_template = false;
    for (const origin::SourceOptions& source : origin_.sources) {
      has_template = has_template || !source.path.empty();
      used.merge(PlaceholdersOf(source.path));
    }
    // Where no source has a path of its own, names are but a comment.
    if (!has_template || used.empty()) return;
    for (size_t g = 0; g < origin_.capture_groups.size(); ++g) {
      const std::string& name = origin_.capture_groups[g];
      if (used.contains(name) || used.contains(std::to_string(g + 1))) continue;
      Say("/captureGroups/" + std::to_string(g), config::Quote(name),
          "a name that the path of a source speaks of, as ${" + name + "}");
    }
  }

  const Settings& settings_;
  const OriginOptions& origin_;
  std::string at_;
  std::vector<Finding>& out_;
};

}  // namespace

void WarnAboutOrigins(const Settings& settings, std::vector<Finding>& out) {
  for (size_t i = 0; i < settings.origins.size(); ++i) Warner(settings, i, out).Run();
}

}  // namespace vr::app
