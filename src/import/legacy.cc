// What came before origins in v1: video.pathPatterns and video.storage, and PATH_PATTERNS.
#include <algorithm>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

/// The storage section as sources that every pattern has.
struct Storage {
  const Node* node = nullptr;
  std::vector<std::string> order{"r2", "remote", "fallback"};
  std::string binding;  ///< empty: no R2
  const Node* binding_from = nullptr;
  const Node* remote_url = nullptr;
  const Node* remote_auth = nullptr;
  const Node* fallback_url = nullptr;
  const Node* fallback_auth = nullptr;
  std::vector<std::pair<std::string, const Node*>> headers;
};

Storage ReadStorage(Run& run, const Node* node) {
  Storage s;
  s.node = node;
  if (node == nullptr || !run.NeedObject(*node)) return s;
  if (const Node* order = run.Get(*node, "priority")) {
    if (const auto names = run.Texts(*order)) {
      s.order = *names;
      for (const std::string& name : s.order) {
        if (name == "r2" || name == "remote" || name == "fallback") continue;
        run.Wrong(*order, R"(a list of "r2", "remote" and "fallback")");
      }
      run.ledger.Converted(*order, "/origins/*/sources/*/priority");
    }
  }
  if (const Node* r2 = run.Get(*node, "r2"); r2 != nullptr && run.NeedObject(*r2)) {
    bool is_on = true;
    if (const Node* enabled = run.Get(*r2, "enabled")) {
      is_on = run.Bool(*enabled).value_or(false);
      run.ledger.Converted(*enabled, "/origins/*/sources");
    }
    const Node* binding = run.Get(*r2, "bucketBinding");
    if (binding != nullptr && !is_on) run.ledger.Dropped(*binding, "r2.enabled is false");
    if (is_on) {
      s.binding = "VIDEOS";
      s.binding_from = r2;
      if (binding != nullptr) {
        s.binding = run.Text(*binding).value_or("");
        s.binding_from = binding;
        run.ledger.Converted(*binding, "/origins/*/sources/*/bucket");
      }
    }
  }
  s.remote_url = run.Get(*node, "remoteUrl");
  s.remote_auth = run.Get(*node, "remoteAuth");
  s.fallback_url = run.Get(*node, "fallbackUrl");
  s.fallback_auth = run.Get(*node, "fallbackAuth");
  if (const Node* fetch = run.Get(*node, "fetchOptions");
      fetch != nullptr && run.NeedObject(*fetch)) {
    if (const Node* agent = run.Get(*fetch, "userAgent")) {
      if (run.Text(*agent)) s.headers.emplace_back("User-Agent", agent);
    }
    if (const Node* headers = run.Get(*fetch, "headers");
        headers != nullptr && run.NeedObject(*headers)) {
      for (const config::Member& member : headers->members) {
        if (run.Text(member.value)) s.headers.emplace_back(member.name, &member.value);
      }
    }
    for (const auto& [name, value] : s.headers) {
      run.ledger.Changed(*value, "/origins/*/sources/*/headers/" + name,
                         "sent with every request of every http source");
    }
  }
  if (const Node* transforms = run.Get(*node, "pathTransforms")) {
    if (!IsLeaf(*transforms)) {
      run.Warn(*transforms, "not converted: a source's path is a template here; see origins");
    }
    run.ledger.Dropped(*transforms, "a source's path is a template of its own: write it there");
  }
  if (const Node* auth = run.Get(*node, "auth")) {
    run.ledger.Dropped(*auth, "each source has its own auth");
  }
  return s;
}

/// An http source of a URL, for the request's path below it. @return whether it can be used
bool AddHttp(Run& run, const Node& url, const Node* auth, const Storage& storage, int priority,
             const std::string& pointer, const std::string& owner, Draft& origin) {
  const config::Member* sources = origin.node().Find("sources");
  const std::string to =
      pointer + "/sources/" + std::to_string(sources == nullptr ? 0 : sources->value.items.size());
  Draft source;
  std::string prefix;
  bool has_placeholders = false;
  if (!ConvertUrl(run, url, {source, to, owner}, prefix, has_placeholders)) {
    if (!run.ledger.HasVerdict(url)) run.ledger.Dropped(url, "see the warning about it");
    return false;
  }
  if (!run.ledger.HasVerdict(url)) run.ledger.Converted(url, to + "/url");
  if (has_placeholders) source.Set({"path"}, Node::String(prefix), &url);
  for (const auto& [name, value] : storage.headers) {
    source.Set({"headers", name}, Node::String(value->text), value);
  }
  if (auth != nullptr && !ConvertAuth(run, *auth, {source, to, owner})) {
    run.Warn(*auth, "left out with its source: it cannot be said in our terms");
    return false;
  }
  source.Set({"priority"}, Node::Number(std::to_string(priority)));
  origin.Append({"sources"}, std::move(source));
  return true;
}

void AddSources(Run& run, const Storage& storage, const Node* url, const Node* auth,
                const std::string& pointer, const std::string& owner, bool is_transformed,
                Draft& origin) {
  int priority = 0;
  for (const std::string& kind : storage.order) {
    if (kind == "r2" && !storage.binding.empty() && is_transformed) {
      Draft source = BucketSource(run, storage.binding, storage.binding_from);
      source.Set({"priority"}, Node::Number(std::to_string(priority++)));
      origin.Append({"sources"}, std::move(source));
    } else if (kind == "remote") {
      const Node* remote = url != nullptr ? url : storage.remote_url;
      const Node* remote_auth = auth != nullptr  ? auth
                                : url == nullptr ? storage.remote_auth
                                                 : nullptr;
      if (remote != nullptr &&
          AddHttp(run, *remote, remote_auth, storage, priority, pointer, owner, origin))
        ++priority;
    } else if (kind == "fallback" && storage.fallback_url != nullptr) {
      if (AddHttp(run, *storage.fallback_url, storage.fallback_auth, storage, priority, pointer,
                  owner, origin))
        ++priority;
    }
  }
}

void ConvertPattern(Run& run, const Node& pattern, const Storage& storage) {
  if (!run.NeedObject(pattern)) return;
  const Node* name = run.Get(pattern, "name");
  const Node* matcher = run.Get(pattern, "matcher");
  const std::string where = run.ledger.PointerOf(pattern);
  if (matcher == nullptr || name == nullptr) {
    run.problems.push_back({pattern.place, At(where, name == nullptr ? "name" : "matcher"),
                            "nothing", "a string (required)"});
    return;
  }
  if (!run.Text(*name) || !run.Text(*matcher)) return;
  const config::Member* list = run.out.node().Find("origins");
  const std::string pointer =
      "/origins/" + std::to_string(list == nullptr ? 0 : list->value.items.size());
  const std::string owner = AsVariable(name->text);
  Draft origin;
  origin.Set({"name"}, Node::String(""), name);
  origin.Set({"matcher"}, Node::String(ConvertMatcher(run, *matcher)), matcher);
  run.ledger.Converted(*matcher, pointer + "/matcher");
  WarnAboutMatcher(run, *matcher, matcher->text);
  if (const Node* groups = run.Get(pattern, "captureGroups")) {
    if (!run.Texts(*groups)) return;
    if (!groups->items.empty()) origin.Set({"captureGroups"}, *groups, groups);
    run.ledger.Converted(*groups, pointer + "/captureGroups");
  }
  bool is_transformed = true;
  if (const Node* process = run.Get(pattern, "processPath")) {
    const auto on = run.Bool(*process);
    if (!on) return;
    is_transformed = *on;
    if (*on) {
      run.ledger.Converted(*process, pointer + "/mode");
    } else {
      origin.Set({"mode"}, Node::String("passthrough"), process);
      run.ledger.Changed(*process, pointer + "/mode",
                         "passes through, as a shared cache of RFC 9111");
    }
  }
  const Node* url = run.Get(pattern, "originUrl");
  const Node* base = run.Get(pattern, "baseUrl");
  if (url != nullptr && base != nullptr)
    run.ledger.Dropped(*base, "originUrl is there and is stronger");
  if (url == nullptr) url = base;
  AddSources(run, storage, url, run.Get(pattern, "auth"), pointer, owner, is_transformed, origin);
  if (origin.node().Find("sources") == nullptr) {
    if (run.problems.empty()) {
      run.problems.push_back({pattern.place, At(where, "originUrl"), "nothing",
                              "a URL, here or as storage.remoteUrl, or storage.r2: there is no "
                              "default origin"});
    }
    return;
  }
  const Node* ttl = run.Get(pattern, "ttl");
  const Node* cache_ttl = run.Get(pattern, "cacheTtl");
  if (ttl != nullptr && is_transformed) run.Ttl(*ttl, origin, {"ttl"}, pointer);
  if (ttl != nullptr && !is_transformed)
    run.ledger.Dropped(*ttl, "passed-through answers bring their own lifetimes (RFC 9111)");
  if (cache_ttl != nullptr) {
    if (!is_transformed || (ttl != nullptr && run.Get(*ttl, "ok") != nullptr)) {
      run.ledger.Dropped(*cache_ttl, is_transformed ? "ttl.ok is there and is stronger"
                                                    : "passed-through answers bring their own");
    } else if (const auto seconds = run.Whole(*cache_ttl, 0, 31536000)) {
      origin.Set({"ttl", "ok"}, Node::Number(std::to_string(*seconds)), cache_ttl);
      run.ledger.Converted(*cache_ttl, pointer + "/ttl/ok");
    }
  }
  if (const Node* by_status = run.Get(pattern, "useTtlByStatus")) {
    if (run.Bool(*by_status)) run.ledger.Converted(*by_status, pointer + "/ttl");
  }
  const auto encoding = [&](const Node& object) {
    for (const char* key : {"quality", "compression"}) {
      const Node* node = run.Get(object, key);
      if (node == nullptr) continue;
      if (!is_transformed || origin.Has({key})) {
        run.ledger.Dropped(*node, is_transformed
                                      ? "said before"
                                      : "this origin passes through: nothing is encoded");
        continue;
      }
      if (const auto value = run.OneOf(*node, {"low", "medium", "high", "auto"})) {
        origin.Set({key}, Node::String(*value), node);
        run.ledger.Converted(*node, At(pointer, key));
      }
    }
  };
  encoding(pattern);
  if (const Node* overrides = run.Get(pattern, "transformationOverrides")) {
    if (run.NeedObject(*overrides)) {
      encoding(*overrides);
      for (const config::Member& member : overrides->members) {
        if (!run.ledger.HasVerdict(member.value) && !member.value.is(Kind::kNull) &&
            IsLeaf(member.value)) {
          run.ledger.Dropped(member.value,
                             "an origin has defaults for quality and compression only; write a "
                             "derivative and ask for it, or choose it by responsive.breakpoints");
        }
      }
    }
  }
  run.DropKnown(pattern, {{"priority", "origins are asked in the order of the file: check it"}});
  if (is_transformed) SetDefaults(run, origin);
  AppendOrigin(run, std::move(origin), name->text, name);
}

}  // namespace

bool ImportLegacy(Run& run, const Node* patterns, const Node* storage) {
  if (patterns != nullptr && !run.NeedArray(*patterns)) return true;
  const bool has_patterns = patterns != nullptr && !patterns->items.empty();
  if (!has_patterns && storage == nullptr) return false;
  const Storage s = ReadStorage(run, storage);
  if (has_patterns) {
    for (const Node& pattern : patterns->items) ConvertPattern(run, pattern, s);
  } else if (!s.binding.empty() || s.remote_url != nullptr || s.fallback_url != nullptr) {
    Draft origin;
    origin.Set({"name"}, Node::String(""));
    origin.Set({"matcher"}, Node::String("^/"), storage);
    AddSources(run, s, nullptr, nullptr, "/origins/0", "STORAGE", true, origin);
    if (origin.node().Find("sources") == nullptr) return true;
    origin.Comment({"name"}, "There were no patterns, only a storage: it is asked for every path.");
    SetDefaults(run, origin);
    AppendOrigin(run, std::move(origin), "storage", nullptr);
  }
  for (const Node* node : {s.remote_url, s.remote_auth, s.fallback_url, s.fallback_auth}) {
    if (node == nullptr) continue;
    if (IsLeaf(*node)) {
      if (!run.ledger.HasVerdict(*node)) run.ledger.Dropped(*node, "no origin asks it");
    } else {
      run.ledger.Dropped(*node, "no origin needs it");
    }
  }
  return true;
}

void ImportPathPatternsVariable(Run& run) {
  const Node* node = run.path_patterns;
  if (node == nullptr) return;
  const config::Member* list = run.out.node().Find("origins");
  if (list != nullptr) {
    run.ledger.Dropped(*node, "the worker configuration has origins, which are stronger");
    return;
  }
  if (!node->is(Kind::kString)) {
    ImportLegacy(run, node, nullptr);
    return;
  }
  // A list written as text: its parts get lines of their own beside the variable's.
  const std::string name = node->place.source + " PATH_PATTERNS";
  run.documents.push_back(config::ParseJsonc(node->text, name));
  const config::Parsed& inner = run.documents.back();
  run.problems.insert(run.problems.end(), inner.problems.begin(), inner.problems.end());
  if (!inner.usable || !inner.problems.empty()) return;
  run.ledger.Open(inner.root);
  ImportLegacy(run, &inner.root, nullptr);
  run.ledger.Changed(*node, "/origins", "each pattern is an origin; see the lines of " + name);
}

}  // namespace vr::import
