// URLs, auth, matchers and path templates: what sources of every shape are made of.
#include <re2/re2.h>

#include <algorithm>
#include <charconv>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

/// A secret named by a variable, or one that was written out: then a reference of our own name.
std::optional<std::string> Secret(Run& run, const Node& auth,
                                  const std::vector<const char*>& variables,
                                  const std::vector<const char*>& values, const std::string& named,
                                  const std::string& to) {
  for (const char* key : variables) {
    const Node* node = run.Get(auth, key);
    if (node == nullptr) continue;
    const std::optional<std::string> reference = run.Reference(*node);
    if (reference) run.ledger.Converted(*node, to);
    return reference;
  }
  for (const char* key : values) {
    const Node* node = run.Get(auth, key);
    if (node == nullptr) continue;
    const std::optional<std::string> text = run.Text(*node);
    if (!text) return std::nullopt;
    if (text->size() > 3 && text->substr(0, 2) == "${" && text->back() == '}' &&
        IsVariableName(std::string_view(*text).substr(2, text->size() - 3))) {
      run.ledger.Converted(*node, to);
      return text;
    }
    const std::string variable = run.SecretVariable(named, *text);
    run.ledger.Changed(*node, to, "a secret belongs into the environment: set " + variable);
    return "${" + variable + "}";
  }
  return std::nullopt;
}

void Missing(Run& run, const Node& auth, const char* key) {
  if (!run.problems.empty()) return;
  run.problems.push_back({auth.place, At(run.ledger.PointerOf(auth), key), "nothing",
                          "the name of the variable that holds it"});
}

/// A name and its value that is sent with every request: as `headers` or `query` of the source.
void SendAlways(Run& run, const Node& node, const std::string& name, const std::string& value,
                const char* key, const SourceTarget& target) {
  const std::string to = target.to + "/" + key + "/" + name;
  const bool is_query = std::string_view(key) == "query";
  if (value.find("${") != std::string::npos) {
    target.draft.Set({key, name}, Node::String(value), &node);
    run.ledger.Changed(
        node, to,
        is_query ? "several parameters are sent as query" : "several fields are sent as headers");
    return;
  }
  const std::string named =
      run.SecretVariable("ORIGIN_" + target.owner + "_" + AsVariable(name), value);
  target.draft.Set({key, name}, Node::String("${" + named + "}"), &node);
  run.ledger.Changed(node, to, "a secret belongs into the environment: set " + named);
}

/// Names and their secret values out of a map: one is `auth`, several are headers or parameters
/// that go with every request. @return false: there is none
bool Pairs(Run& run, const Node& map, const SourceTarget& target, const std::string& what) {
  Draft& source = target.draft;
  if (!run.NeedObject(map)) return true;
  if (map.members.empty()) {
    run.Warn(map, "auth by " + what + " without a name and a value");
    return false;
  }
  const bool is_alone = map.members.size() == 1;
  for (const config::Member& member : map.members) {
    const std::optional<std::string> value = run.Text(member.value);
    if (!value) continue;
    if (!is_alone) {
      SendAlways(run, member.value, member.name, *value, what == "header" ? "headers" : "query",
                 target);
      continue;
    }
    const std::string to = target.to + "/auth/value";
    source.Set({"auth", "type"}, Node::String(what), &map);
    source.Set({"auth", "name"}, Node::String(Escaped(member.name)), &member.value);
    if (value->find("${") != std::string::npos) {
      source.Set({"auth", "value"}, Node::String(*value), &member.value);
      run.ledger.Converted(member.value, to);
      continue;
    }
    const std::string named =
        run.SecretVariable("ORIGIN_" + target.owner + "_" + AsVariable(member.name), *value);
    source.Set({"auth", "value"}, Node::String("${" + named + "}"), &member.value);
    run.ledger.Changed(member.value, to, "a secret belongs into the environment: set " + named);
  }
  return true;
}

bool IsSecretName(const std::string& name) {
  static constexpr std::string_view kWords[] = {"auth", "token", "key",    "secret",
                                                "sig",  "pass",  "cookie", "credential"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

/// "%20" and "+" as what they mean. Broken escapes stay.
std::string Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const bool is_escape =
        text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
            text.data() + i + 3;
    out += is_escape ? static_cast<char>(value) : text[i] == '+' ? ' ' : text[i];
    if (is_escape) i += 2;
  }
  return out;
}

/// The query of a URL as `query` of the source. @return what to say of it
std::string MoveQuery(Run& run, const Node& url, std::string_view query,
                      const SourceTarget& target) {
  std::string variables;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string name = Decoded(pair.substr(0, equals));
    const std::string value = Decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (name.empty()) continue;
    if (target.draft.Has({"query", name}))
      run.Warn(url, "a parameter of its query stands there twice: the last one is sent");
    std::string ours = Escaped(value);
    if (IsSecretName(Lower(name)) && !value.empty()) {
      const std::string named =
          run.SecretVariable("ORIGIN_" + target.owner + "_" + AsVariable(name), value);
      ours = "${" + named + "}";
      variables += " " + named;
    }
    target.draft.Set({"query", name}, Node::String(ours), &url);
  }
  return "its query went to \"query\"" +
         (variables.empty() ? std::string()
                            : ", its secrets into the environment: set" + variables);
}

/// The last "(a|b|c)" behind a dot: extensions.
std::vector<std::string> Extensions(const std::string& matcher) {
  static const re2::RE2 kList(R"(\\\.\((?:\?:)?([A-Za-z0-9]+(?:\|[A-Za-z0-9]+)*)\))");
  std::vector<std::string> out;
  std::string list;
  if (!re2::RE2::PartialMatch(matcher, kList, &list)) return out;
  size_t at = 0;
  while (at <= list.size()) {
    const size_t end = std::min(list.find('|', at), list.size());
    out.push_back(Lower(std::string_view(list).substr(at, end - at)));
    at = end + 1;
  }
  return out;
}

}  // namespace

bool ConvertUrl(Run& run, const Node& url, const SourceTarget& target, std::string& path_prefix,
                bool& has_placeholders) {
  Draft& source = target.draft;
  const std::string& owner = target.owner;
  has_placeholders = false;
  std::optional<std::string> text = run.Text(url);
  if (!text) return true;  // a problem: no result anyway
  const size_t scheme = text->find("://");
  const std::string name = scheme == std::string::npos ? "" : Lower(text->substr(0, scheme));
  if (name != "http" && name != "https") {
    run.problems.push_back({url.place, run.ledger.PointerOf(url), "another URL",
                            "\"http://host[:port][/path]\" or https"});
    return true;
  }
  std::string rest = text->substr(scheme + 3);
  const std::string authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.erase(0, authority.size());
  std::string why;
  if (const size_t end = rest.find_first_of("?#"); end != std::string::npos) {
    std::string query = rest[end] == '?' ? rest.substr(end + 1) : "";
    query.erase(std::min(query.find('#'), query.size()));
    rest.erase(end);
    if (query.find('$') != std::string::npos) {
      run.Warn(url,
               "its query was left out: it has placeholders, and \"query\" of a source is the same "
               "for every path");
      why = "without its query";
    } else if (!query.empty() && !target.takes_query) {
      run.Warn(url, "its query was left out: what is signed is the bucket's URL and nothing else");
      why = "without its query";
    } else if (!query.empty()) {
      why = MoveQuery(run, url, query, target);
    }
  }
  std::string host = authority;
  if (const size_t user_end = authority.rfind('@'); user_end != std::string::npos) {
    host.erase(0, user_end + 1);
    const std::string both = authority.substr(0, user_end);
    const size_t colon = std::min(both.find(':'), both.size());
    const std::string user = run.SecretVariable("ORIGIN_" + owner + "_USER", both.substr(0, colon));
    const std::string password = run.SecretVariable("ORIGIN_" + owner + "_PASSWORD",
                                                    both.substr(std::min(colon + 1, both.size())));
    source.Set({"auth", "type"}, Node::String("basic"), &url);
    source.Set({"auth", "user"}, Node::String("${" + user + "}"), &url);
    source.Set({"auth", "password"}, Node::String("${" + password + "}"), &url);
    why += std::string(why.empty() ? "" : ", ") + "user and password went to auth: set " + user +
           " and " + password;
  }
  if (host.find('$') != std::string::npos || host.empty()) {
    run.Warn(url,
             "left out: its host is made of placeholders, ours is fixed; write one origin for "
             "each host");
    return false;
  }
  if (!why.empty()) run.ledger.Changed(url, target.to + "/url", why);
  while (rest.size() > 1 && rest.back() == '/') rest.pop_back();
  if (rest == "/") rest.clear();
  has_placeholders = rest.find('$') != std::string::npos;
  source.Set({"type"}, Node::String("http"), &url);
  source.Set({"url"}, Node::String(name + "://" + host + (has_placeholders ? "" : rest)), &url);
  if (has_placeholders) path_prefix = rest.substr(1);
  return true;
}

bool ConvertAuth(Run& run, const Node& auth, const SourceTarget& target) {
  Draft& source = target.draft;
  const std::string& owner = target.owner;
  const std::string at = target.to + "/auth";
  if (!run.NeedObject(auth)) return true;
  if (const Node* enabled = run.Get(auth, "enabled")) {
    const std::optional<bool> on = run.Bool(*enabled);
    if (!on) return true;
    if (!*on) {
      run.ledger.Dropped(auth, "auth.enabled is false: no auth");
      return true;
    }
    run.ledger.Converted(*enabled, at);
  }
  const Node* type = run.Get(auth, "type");
  if (type == nullptr) {
    run.problems.push_back({auth.place, At(run.ledger.PointerOf(auth), "type"), "nothing",
                            "\"bearer\", \"basic\", \"header\", \"query\", \"aws-s3\" ..."});
    return true;
  }
  const std::optional<std::string> kind = run.OneOf(
      *type,
      {"bearer", "token", "basic", "header", "query", "aws-s3", "aws-s3-presigned-url", "none"});
  if (!kind) return true;
  run.ledger.Converted(*type, at + "/type");
  const std::string prefix = "ORIGIN_" + owner;
  bool is_good = true;
  if (*kind == "bearer" || *kind == "token") {
    const auto token = Secret(run, auth, {"tokenVar", "accessKeyVar"}, {"token"}, prefix + "_TOKEN",
                              at + "/token");
    if (!token) {
      Missing(run, auth, "tokenVar");
    } else {
      source.Set({"auth", "type"}, Node::String("bearer"), type);
      source.Set({"auth", "token"}, Node::String(*token), &auth);
    }
    run.DropKnown(auth, {{"secretKeyVar", "a bearer token is one value"}});
  } else if (*kind == "basic") {
    const auto user = Secret(run, auth, {"usernameVar", "userVar", "accessKeyVar"},
                             {"username", "user"}, prefix + "_USER", at + "/user");
    const auto password = Secret(run, auth, {"passwordVar", "secretKeyVar"}, {"password"},
                                 prefix + "_PASSWORD", at + "/password");
    if (!user || !password) {
      Missing(run, auth, user ? "passwordVar" : "usernameVar");
    } else {
      source.Set({"auth", "type"}, Node::String("basic"), type);
      source.Set({"auth", "user"}, Node::String(*user), &auth);
      source.Set({"auth", "password"}, Node::String(*password), &auth);
    }
  } else if (*kind == "header" || *kind == "query") {
    const char* map_key = *kind == "header" ? "headers" : "params";
    const Node* map = run.Get(auth, map_key);
    if (map != nullptr) {
      is_good = Pairs(run, *map, target, *kind);
    } else {
      const char* name_key = *kind == "header" ? "headerName" : "paramName";
      const Node* name = run.Get(auth, name_key);
      if (name == nullptr) name = run.Get(auth, "name");
      const auto value = Secret(run, auth, {"tokenVar", "valueVar", "accessKeyVar"},
                                {"value", "token"}, prefix + "_VALUE", at + "/value");
      if (name == nullptr || !value) {
        Missing(run, auth, name == nullptr ? map_key : "tokenVar");
      } else if (const auto text = run.Text(*name)) {
        source.Set({"auth", "type"}, Node::String(*kind), type);
        source.Set({"auth", "name"}, Node::String(Escaped(*text)), name);
        source.Set({"auth", "value"}, Node::String(*value), &auth);
        run.ledger.Converted(*name, at + "/name");
      }
    }
  } else if (*kind != "none") {
    run.Warn(auth, "SigV4 needs a URL whose bucket can be seen");
    is_good = false;
  }
  for (const config::Member& member : auth.members) {
    if (!member.value.is(Kind::kNull) && IsLeaf(member.value) &&
        !run.ledger.HasVerdict(member.value)) {
      run.ledger.Dropped(member.value, "auth of type " + *kind + " does not need it");
    }
  }
  return is_good;
}

std::string ConvertMatcher(Run& run, const Node& matcher) {
  (void)run;
  std::string out;
  const std::string& text = matcher.text;
  bool is_class = false;  // between [ and ]
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      const bool is_unicode =
          text[i + 1] == 'u' && i + 5 < text.size() &&
          text.find_first_not_of("0123456789abcdefABCDEF", i + 2) >= std::min(i + 6, text.size());
      if (is_unicode) {
        out += "\\x{" + text.substr(i + 2, 4) + "}";
        i += 5;
        continue;
      }
      // JavaScript takes any character behind a backslash; RE2 knows no escaped underscore.
      if (text[i + 1] != '_') out += '\\';
      out += text[++i];
      continue;
    }
    out += text[i];
    if (is_class) {
      is_class = text[i] != ']';
      continue;
    }
    is_class = text[i] == '[';
    const bool is_named = text.compare(i, 3, "(?<") == 0 && i + 3 < text.size() &&
                          text[i + 3] != '=' && text[i + 3] != '!';
    if (is_named) {
      out += "?P<";
      i += 2;
    }
  }
  return out;
}

void WarnAboutMatcher(Run& run, const Node& matcher, const std::string& text) {
  const std::vector<std::string> extensions = Extensions(text);
  static const re2::RE2 kEscape("%[0-9A-Fa-f]{2}");
  if (re2::RE2::PartialMatch(text, kEscape)) {
    run.Warn(matcher,
             "matchers see the decoded path here: write the character itself instead of its "
             "percent-escape");
  }
  if (text.find("[^.]+") != std::string::npos || text.find("[^.]*") != std::string::npos) {
    run.Warn(matcher,
             extensions.empty()
                 ? "[^.] stops at the first dot: of /a.b.mp4 it takes \"/a\", and the rest "
                   "of the name is lost"
                 : "[^.] stops at the first dot: /a.b.mp4 does not match and goes to a "
                   "later origin; .+ takes names with several dots");
  }
  if (extensions.empty()) return;
  if (text.back() == ')' && text.find("\\.(") != std::string::npos) {
    run.Warn(matcher,
             "not anchored at its end: /x." + extensions.front() + "abc matches too; append $");
  }
  if (text.find("(?i") == std::string::npos && !run.said_letter_case) {
    run.said_letter_case = true;
    run.Warn(
        matcher, "letter case counts: /x." + [&] {
          std::string upper = extensions.front();
          for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
          return upper;
        }() + " does not match; matchers begin with (?i) to take it");
  }
  std::string unreachable;
  for (const std::string& extension : extensions) {
    if (std::find(run.formats.begin(), run.formats.end(), extension) != run.formats.end()) continue;
    unreachable += (unreachable.empty() ? "" : ", ") + extension;
  }
  if (!unreachable.empty() && run.said_unreachable.insert(unreachable).second) {
    run.Warn(matcher,
             "these extensions are not in passthrough.formats, so they never count as "
             "video: " +
                 unreachable);
  }
}

void WarnAboutTemplate(Run& run, const Node& path, const std::string& text,
                       const std::vector<std::string>& groups) {
  const bool has_extension_group =
      std::any_of(groups.begin(), groups.end(),
                  [](const std::string& name) { return name == "extension" || name == "ext"; });
  if (!has_extension_group) return;
  const bool says_it =
      text.find("${ext") != std::string::npos || text.find("${request_path") != std::string::npos;
  const size_t slash = text.rfind('/');
  const std::string last = slash == std::string::npos ? text : text.substr(slash + 1);
  if (says_it || last.find('.') != std::string::npos || last.find('$') == std::string::npos) return;
  run.Warn(path, "this path has lost the file's extension: it asks for an object without one");
}

}  // namespace vr::import
