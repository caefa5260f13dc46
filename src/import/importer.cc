#include "import/importer.h"

#include <algorithm>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

enum class Shape { kUnknown, kWorker, kWrangler, kOurs };

bool HasAny(const Node& object, const std::vector<std::string_view>& keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](std::string_view key) { return object.Find(key) != nullptr; });
}

Shape ShapeOf(const Node& root) {
  if (HasAny(root, {"kv_namespaces", "r2_buckets", "compatibility_date", "wrangler", "d1_databases",
                    "main", "account_id"})) {
    return Shape::kWrangler;
  }
  const bool has_sections =
      HasAny(root, {"video", "origins", "derivatives", "passthrough", "pathPatterns", "storage",
                    "responsive", "responsiveBreakpoints", "cache", "container", "debug", "logging",
                    "cdnCgiSizeLimit", "bindingSizeLimit"});
  bool is_ours = HasAny(root, {"listen", "data", "admin", "fetch", "transform", "access", "buckets",
                               "publicUrl", "validation"});
  if (const config::Member* origins = root.Find("origins"); origins != nullptr) {
    for (const Node& origin : origins->value.items) {
      const config::Member* sources = origin.Find("sources");
      if (sources == nullptr) continue;
      for (const Node& source : sources->value.items) {
        const config::Member* type = source.Find("type");
        const std::string text = type == nullptr ? "" : type->value.text;
        is_ours = is_ours || text == "file" || text == "http" || text == "s3";
      }
    }
  }
  if (is_ours) return Shape::kOurs;
  if (has_sections) return Shape::kWorker;
  if (HasAny(root, {"vars", "env"})) return Shape::kWrangler;
  return Shape::kUnknown;
}

bool HasPaths(const Node& origins) {
  for (const Node& origin : origins.items) {
    const config::Member* sources = origin.Find("sources");
    if (sources == nullptr) continue;
    for (const Node& source : sources->value.items) {
      if (source.Find("path") != nullptr) return true;
    }
  }
  return false;
}

/// For the report only: what is converted goes by what is there.
std::string Generation(const Node& root) {
  const config::Member* video = root.Find("video");
  for (const Node* section : {&root, video == nullptr ? nullptr : &video->value}) {
    if (section == nullptr) continue;
    if (HasAny(*section, {"pathPatterns", "storage"}) && !HasAny(*section, {"origins"}))
      return "worker configuration of v1, before origins";
    const config::Member* passthrough = section->Find("passthrough");
    const config::Member* origins = section->Find("origins");
    if (HasAny(*section, {"responsiveBreakpoints", "validOptions", "paramMapping", "storage",
                          "pathPatterns"}) ||
        (passthrough != nullptr && passthrough->value.Find("whitelistedFormats") != nullptr) ||
        (origins != nullptr && (origins->value.is(Kind::kObject) || HasPaths(origins->value)))) {
      return "worker configuration of v1";
    }
  }
  return "worker configuration of v2";
}

std::string WranglerGeneration(const Node& root) {
  const bool is_v2 = HasAny(root, {"media", "containers", "queues", "d1_databases"});
  return std::string("wrangler configuration of ") + (is_v2 ? "v2" : "v1");
}

const Node* Parse(Run& run, const Document& document) {
  run.documents.push_back(config::ParseJsonc(document.text, document.name));
  config::Parsed& parsed = run.documents.back();
  run.problems.insert(run.problems.end(), parsed.problems.begin(), parsed.problems.end());
  if (!parsed.usable) return nullptr;
  if (!parsed.root.is(Kind::kObject)) {
    run.problems.push_back(
        {parsed.root.place, "", config::ShowType(parsed.root), "an object { ... }"});
    return nullptr;
  }
  run.ledger.Open(parsed.root);
  return &parsed.root;
}

/// All `${NAME}` of the result that are references and not groups of a matcher.
void FindVariables(const Node& node, const std::string& pointer, Report& report) {
  for (size_t i = 0; i < node.items.size(); ++i)
    FindVariables(node.items[i], config::AppendPointer(pointer, std::to_string(i)), report);
  for (const config::Member& member : node.members) {
    const bool is_template =
        pointer.compare(0, 9, "/origins/") == 0 &&
        (member.name == "matcher" || member.name == "path" || member.name == "url");
    if (is_template) continue;
    FindVariables(member.value, config::AppendPointer(pointer, member.name), report);
  }
  if (!node.is(Kind::kString)) return;
  size_t at = 0;
  while ((at = node.text.find("${", at)) != std::string::npos) {
    const bool is_escaped = at > 0 && node.text[at - 1] == '$';
    const size_t end = node.text.find('}', at);
    if (end == std::string::npos) return;
    const std::string name = node.text.substr(at + 2, end - at - 2);
    if (!is_escaped && IsVariableName(name)) report.variables[name].push_back(pointer);
    at = end;
  }
}

std::string Count(const Node& root, std::string_view key, const char* one, const char* many) {
  const config::Member* member = root.Find(key);
  const size_t n =
      member == nullptr ? 0 : std::max(member->value.items.size(), member->value.members.size());
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

ImportOutcome Refused(Run& run) {
  ImportOutcome outcome;
  outcome.problems = std::move(run.problems);
  std::stable_sort(outcome.problems.begin(), outcome.problems.end(),
                   [](const config::Problem& a, const config::Problem& b) {
                     if (a.place.source != b.place.source) return a.place.source < b.place.source;
                     if (a.place.line != b.place.line) return a.place.line < b.place.line;
                     return a.place.column < b.place.column;
                   });
  return outcome;
}

}  // namespace

ImportOutcome Import(const ImportRequest& request) {
  Run run(request);
  const Node* main = Parse(run, request.main);
  const Node* second = request.wrangler ? Parse(run, *request.wrangler) : nullptr;
  if (!run.problems.empty()) return Refused(run);

  const Node* worker = nullptr;
  const Node* wrangler = second;
  const Shape shape = ShapeOf(*main);
  const auto refuse = [&](const Node& root, const char* found, const char* allowed) {
    run.problems.push_back({root.place, "", found, allowed});
    return Refused(run);
  };
  switch (shape) {
    case Shape::kWorker:
      worker = main;
      break;
    case Shape::kWrangler:
      if (second != nullptr)
        return refuse(*main, "a wrangler configuration",
                      "a worker configuration beside --wrangler");
      wrangler = main;
      break;
    case Shape::kOurs:
      return refuse(*main, "a configuration of this server", "one of the public video-resizer");
    case Shape::kUnknown:
      return refuse(*main, "neither a worker configuration nor a wrangler configuration",
                    "video, origins, derivatives ... or kv_namespaces, r2_buckets, vars ...");
  }
  if (second != nullptr && ShapeOf(*second) != Shape::kWrangler)
    return refuse(*second, "no wrangler configuration", "kv_namespaces, r2_buckets, vars ...");
  if (wrangler == nullptr && !request.environment.empty())
    return refuse(*main, "no wrangler configuration", "one, for --env to choose from");
  if (worker != nullptr)
    run.report.inputs.push_back(request.main.name + ": " + Generation(*worker));
  if (wrangler != nullptr) {
    const std::string& name = second != nullptr ? request.wrangler->name : request.main.name;
    run.report.inputs.push_back(
        name + ": " + WranglerGeneration(*wrangler) +
        (request.environment.empty() ? "" : ", section " + request.environment));
  }

  // Variables of the worker are stronger than its file.
  if (wrangler != nullptr) ImportWrangler(run, *wrangler);
  if (worker != nullptr) ImportWorker(run, *worker);
  ImportPathPatternsVariable(run);
  for (const auto& [key, slot] :
       {std::pair("quality", &run.quality), std::pair("compression", &run.compression)}) {
    if (slot->node == nullptr) continue;
    if (slot->is_used) {
      run.ledger.Changed(*slot->node, std::string("/origins/*/") + key,
                         "the default of every origin without one of its own");
    } else {
      run.ledger.Dropped(*slot->node, "no origin is without one of its own");
    }
  }
  for (const auto& [name, node] : run.variables) {
    if (!run.ledger.HasVerdict(*node))
      run.ledger.Dropped(*node, "no key of ours, and nothing here refers to it");
  }
  if (!run.problems.empty()) return Refused(run);
  WriteBuckets(run);
  for (const auto& [name, root] : request.bucket_roots) {
    const bool is_used = std::any_of(run.buckets.begin(), run.buckets.end(), [&](const auto& item) {
      return item.first == name || (item.first == "VIDEOS" && name == "VIDEOS_BUCKET");
    });
    if (is_used) continue;
    run.problems.push_back({{"--bucket-root", 0, 0},
                            "",
                            config::Quote(name),
                            "the binding of a bucket that the input has"});
  }
  if (!run.problems.empty()) return Refused(run);
  if (!run.out.Has({"origins"})) {
    run.Warn(worker != nullptr ? *worker : *wrangler,
             "no origins: every request will be answered 404 until there are some");
  }

  ImportOutcome outcome;
  std::vector<std::string> head = {"Made by `video-resizer config import`:"};
  for (const std::string& input : run.report.inputs) head.push_back("  " + input);
  head.emplace_back(
      "What is not here has its default: docs/configuration.md. Check it with "
      "`video-resizer config check FILE`.");
  outcome.jsonc = run.out.Write(head);
  for (const auto& [pointer, node] : run.out.from())
    outcome.from[pointer] = {node->place, run.ledger.PointerOf(*node)};
  FindVariables(run.out.node(), "", run.report);
  run.report.lines = run.ledger.Close();
  const Node& result = run.out.node();
  run.report.result.push_back(Count(result, "origins", "origin", "origins") + ", " +
                              Count(result, "buckets", "bucket", "buckets") + ", " +
                              Count(result, "derivatives", "derivative", "derivatives"));
  outcome.report = std::move(run.report);
  return outcome;
}

}  // namespace vr::import
