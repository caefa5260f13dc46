// origins[] of v1 (also as {items: []}) and v2.
#include <algorithm>

#include "config/units.h"
#include "import/run.h"
#include "import/sources.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

bool IsCatchAll(const std::string& matcher) {
  static constexpr std::string_view kAll[] = {
      ".*",   ".+",     "^.*",    "^.*$",    "^/",     "/",       "/.*",   "^/.*", "^/.*$",
      "(.*)", "^(.*)$", "^/(.*)", "^/(.*)$", "^/(.+)", "^/(.+)$", "^/.+$", "^/.+"};
  return std::find(std::begin(kAll), std::end(kAll), matcher) != std::end(kAll);
}

/// Of the sources that are no fallback.
int64_t LargestPriority(Run& run, const Node& sources) {
  int64_t largest = -1;
  for (const Node& source : sources.items) {
    const Node* type = run.Get(source, "type");
    const Node* priority = run.Get(source, "priority");
    if (type == nullptr || type->text == "fallback" || priority == nullptr) continue;
    const std::optional<int64_t> number =
        priority->is(Kind::kNumber) ? config::ParseInteger(priority->text) : std::nullopt;
    if (number && *number < 1'000'000) largest = std::max(largest, *number);
  }
  return largest;
}

void OriginTtl(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  const Node* ttl = run.Get(item, "ttl");
  if (ttl == nullptr) ttl = run.Get(item, "kvTtl");
  const Node* cache_ttl = run.Get(item, "cacheTtl");
  if (!state.is_transformed) {
    for (const Node* node : {ttl, cache_ttl}) {
      if (node != nullptr)
        run.ledger.Dropped(*node, "passed-through answers bring their own lifetimes (RFC 9111)");
    }
  } else {
    if (ttl != nullptr) run.Ttl(*ttl, origin, {"ttl"}, state.pointer);
    if (cache_ttl != nullptr) {
      if (const auto seconds = run.Whole(*cache_ttl, 0, 31536000)) {
        if (ttl != nullptr && run.Get(*ttl, "ok") != nullptr) {
          run.ledger.Dropped(*cache_ttl, "ttl.ok is there and is stronger");
        } else {
          origin.Set({"ttl", "ok"}, Node::Number(std::to_string(*seconds)), cache_ttl);
          run.ledger.Converted(*cache_ttl, state.pointer + "/ttl/ok");
        }
      }
    }
  }
  if (const Node* by_status = run.Get(item, "useTtlByStatus")) {
    if (const auto on = run.Bool(*by_status)) {
      if (*on) {
        run.ledger.Converted(*by_status, state.pointer + "/ttl");
      } else {
        run.ledger.Changed(*by_status, state.pointer + "/ttl", "lifetimes always go by status");
      }
    }
  }
  if (const Node* cacheable = run.Get(item, "cacheability")) {
    const auto on = run.Bool(*cacheable);
    if (on && *on) run.ledger.Converted(*cacheable, state.pointer);
    if (on && !*on && !state.is_transformed) {
      run.ledger.Dropped(*cacheable, "passed-through answers say themselves what may be stored");
    } else if (on && !*on) {
      for (const char* key : {"ok", "redirects", "clientError", "serverError"})
        origin.Set({"ttl", key}, Node::Number("0"), cacheable);
      origin.Comment({"ttl"}, "cacheability was false: nothing of this origin is stored.");
      run.ledger.Changed(*cacheable, state.pointer + "/ttl", "lifetimes of 0: not stored");
    }
  }
}

void OriginEncoding(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  static constexpr std::pair<const char*, const char*> kKeys[] = {
      {"quality", "quality"}, {"videoCompression", "compression"}, {"compression", "compression"}};
  const auto take = [&](const Node& object) {
    for (const auto& [theirs, ours] : kKeys) {
      const Node* node = run.Get(object, theirs);
      if (node == nullptr) continue;
      const auto value = run.OneOf(*node, {"low", "medium", "high", "auto"});
      if (!value) continue;
      if (!state.is_transformed) {
        run.ledger.Dropped(*node, "this origin passes through: nothing is encoded");
      } else if (origin.Has({ours})) {
        run.ledger.Dropped(*node, "said before");
      } else {
        origin.Set({ours}, Node::String(*value), node);
        run.ledger.Converted(*node, At(state.pointer, ours));
      }
    }
  };
  take(item);
  for (const char* key : {"transformOptions", "transformationOverrides"}) {
    const Node* options = run.Get(item, key);
    if (options == nullptr || !run.NeedObject(*options)) continue;
    take(*options);
    for (const config::Member& member : options->members) {
      if (member.value.is(Kind::kNull) || run.ledger.HasVerdict(member.value)) continue;
      run.ledger.Dropped(member.value,
                         "an origin has defaults for quality and compression only; write a "
                         "derivative and ask for it, or choose it by responsive.breakpoints");
    }
  }
}

void OriginCacheControl(Run& run, const Node& item, Draft& origin, const OriginState& state) {
  const Node* control = run.Get(item, "cacheControl");
  if (control == nullptr) return;
  if (!state.is_transformed) {
    run.ledger.Dropped(*control, "passed-through answers bring their own Cache-Control");
    return;
  }
  if (control->is(Kind::kString)) {
    origin.Set({"cacheControl"}, Node::String(Escaped(control->text)), control);
    run.ledger.Converted(*control, state.pointer + "/cacheControl");
    return;
  }
  if (!run.NeedObject(*control)) return;
  if (const Node* ok = run.Get(*control, "ok")) {
    if (const auto text = run.Text(*ok)) {
      origin.Set({"cacheControl"}, Node::String(Escaped(*text)), ok);
      run.ledger.Converted(*ok, state.pointer + "/cacheControl");
    }
  }
  constexpr std::string_view kWhy = "what is no good answer gets its Cache-Control from its ttl";
  run.DropKnown(*control, {{"redirects", kWhy}, {"clientError", kWhy}, {"serverError", kWhy}});
}

void ConvertOrigin(Run& run, const Node& item) {
  if (!run.NeedObject(item)) return;
  OriginState state;
  const config::Member* list = run.out.node().Find("origins");
  state.pointer = "/origins/" + std::to_string(list == nullptr ? 0 : list->value.items.size());
  const Node* name = run.Get(item, "name");
  const Node* matcher = run.Get(item, "matcher");
  const std::string pointer = run.ledger.PointerOf(item);
  for (const auto& [node, key] : {std::pair(name, "name"), std::pair(matcher, "matcher")}) {
    if (node == nullptr)
      run.problems.push_back({item.place, At(pointer, key), "nothing", "a string (required)"});
  }
  if (name == nullptr || matcher == nullptr) return;
  const std::optional<std::string> called = run.Text(*name);
  if (!called || !run.Text(*matcher)) return;
  state.owner = AsVariable(*called);

  Draft origin;
  origin.Set({"name"}, Node::String(""), name);
  origin.Set({"matcher"}, Node::String(ConvertMatcher(run, *matcher)), matcher);
  if (origin.node().Find("matcher")->value.text == matcher->text) {
    run.ledger.Converted(*matcher, state.pointer + "/matcher");
  } else {
    run.ledger.Changed(*matcher, state.pointer + "/matcher",
                       "named groups are written (?P<name>...) in RE2");
  }
  WarnAboutMatcher(run, *matcher, matcher->text);
  if (const Node* groups = run.Get(item, "captureGroups")) {
    const auto names = run.Texts(*groups);
    if (!names) return;
    state.groups = *names;
    if (!names->empty()) origin.Set({"captureGroups"}, *groups, groups);
    run.ledger.Converted(*groups, state.pointer + "/captureGroups");
  }
  const Node* sources = run.Get(item, "sources");
  if (sources == nullptr || (sources->is(Kind::kArray) && sources->items.empty())) {
    run.problems.push_back({sources == nullptr ? item.place : sources->place,
                            At(pointer, "sources"), "no sources", "a list of at least one"});
    return;
  }
  if (!run.NeedArray(*sources)) return;

  if (const Node* process = run.Get(item, "processPath")) {
    const std::optional<bool> on = run.Bool(*process);
    if (!on) return;
    const bool has_http =
        std::any_of(sources->items.begin(), sources->items.end(), [&](const Node& source) {
          const Node* type = run.Get(source, "type");
          return type != nullptr && type->text != "r2" && !IsSigned(run, source);
        });
    if (*on) {
      run.ledger.Converted(*process, state.pointer + "/mode");
    } else if (has_http) {
      state.is_transformed = false;
      origin.Set({"mode"}, Node::String("passthrough"), process);
      origin.Comment({"mode"},
                     "processPath was false: answers pass through as they are, by the "
                     "rules of a shared cache (docs/passthrough.md).");
      run.ledger.Changed(*process, state.pointer + "/mode",
                         "passes through, as a shared cache of RFC 9111");
    } else {
      run.ledger.Dropped(*process,
                         "only HTTP sources can be passed through: this origin transforms");
      run.Warn(*process,
               "false, but its sources are buckets: this origin transforms what it is "
               "asked to transform");
    }
  }
  state.largest = LargestPriority(run, *sources);
  for (const Node& source : sources->items) ConvertSource(run, source, origin, state);
  const bool has_sources = origin.node().Find("sources") != nullptr;
  if (!has_sources && run.problems.empty()) {
    run.problems.push_back({sources->place, At(pointer, "sources"), "no source that can be used",
                            "at least one (see the warnings)"});
  }
  OriginTtl(run, item, origin, state);
  OriginEncoding(run, item, origin, state);
  OriginCacheControl(run, item, origin, state);
  for (const char* key : {"cacheTags", "tags"}) {
    const Node* tags = run.Get(item, key);
    if (tags == nullptr) continue;
    if (!run.Texts(*tags)) continue;
    origin.Set({"cacheTags"}, *tags, tags);
    run.ledger.Converted(*tags, state.pointer + "/cacheTags");
  }
  if (const Node* description = run.Get(item, "description")) {
    if (const auto text = run.Text(*description)) {
      origin.Comment({"name"}, *text);
      run.ledger.Changed(*description, state.pointer, "kept as a comment");
    }
  }
  run.DropKnown(
      item, {{"priority", "origins are asked in the order of the file"},
             {"enabled", "every origin of the file is in use, as there; take out what is not"}});
  if (!has_sources) return;  // a problem, and what else is wrong has been said
  const bool has_twin = state.is_transformed && run.passes_others && IsCatchAll(matcher->text);
  Draft twin;
  if (has_twin) {
    for (const Node& source : origin.node().Find("sources")->value.items) {
      if (source.Find("type")->value.text != "http") continue;
      Draft copy;
      for (const config::Member& member : source.members) copy.Set({member.name}, member.value);
      twin.Append({"sources"}, std::move(copy));
    }
  }
  if (state.is_transformed) SetDefaults(run, origin);
  AppendOrigin(run, std::move(origin), *called, name);
  if (has_twin && twin.node().Find("sources") != nullptr) {
    Draft pages;
    pages.Set({"name"}, Node::String(""));
    pages.Set({"matcher"}, Node::String(matcher->text), matcher);
    pages.Set({"mode"}, Node::String("passthrough"));
    const Node list_of_sources = twin.node().Find("sources")->value;
    if (!state.groups.empty()) pages.Set({"captureGroups"}, *run.Get(item, "captureGroups"));
    pages.Set({"sources"}, list_of_sources, sources);
    pages.Comment({"name"},
                  "What is no video goes to the same place and passes through "
                  "(passthrough.enabled was true).");
    AppendOrigin(run, std::move(pages), *called + "-pages", nullptr);
  }
}

}  // namespace

void SetDefaults(Run& run, Draft& origin) {
  for (const auto& [key, value] :
       {std::pair("quality", &run.quality), std::pair("compression", &run.compression)}) {
    if (value->node == nullptr || origin.Has({key})) continue;
    origin.Set({key}, Node::String(value->value), value->node);
    value->is_used = true;
  }
}

void AppendOrigin(Run& run, Draft origin, std::string name, const Node* name_from) {
  std::string good = AsName(name);
  if (good.empty()) good = "origin";
  std::string unique = good;
  for (int i = 2; !run.origin_names.insert(unique).second; ++i)
    unique = good + "-" + std::to_string(i);
  origin.Set({"name"}, Node::String(unique), name_from);
  const std::string pointer = run.out.Append({"origins"}, std::move(origin));
  if (name_from == nullptr || !run.ledger.Knows(*name_from)) return;
  if (unique == name) {
    run.ledger.Converted(*name_from, pointer + "/name");
  } else {
    run.ledger.Changed(*name_from, pointer + "/name",
                       "names are unique, of A-Z a-z 0-9 - _ .: " + unique);
  }
}

void ImportOrigins(Run& run, const Node& items) {
  if (!run.NeedArray(items)) return;
  if (items.items.empty()) {
    run.problems.push_back({items.place, run.ledger.PointerOf(items), "an empty list",
                            "at least one origin: there is no default one"});
    return;
  }
  for (const Node& item : items.items) ConvertOrigin(run, item);
}

}  // namespace vr::import
