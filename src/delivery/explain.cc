#include "delivery/explain.h"

#include <nlohmann/json.hpp>

#include "delivery/status.h"

namespace vr::delivery {

namespace {

using Json = nlohmann::ordered_json;

Json Layer(const cache::Explanation::Held& held, int64_t now_ms) {
  Json j;
  if (!held.asked) {
    j["state"] = "off";
    return j;
  }
  j["state"] = !held.present     ? "absent"
               : !held.same_plan ? "other plan"
               : held.fresh      ? "fresh"
                                 : "expired";
  if (!held.present) return j;
  j["bytes"] = held.bytes;
  j["ageSeconds"] = (now_ms - held.created_at_ms) / 1000;
  if (held.expires_at_ms != 0) j["ttlSeconds"] = (held.expires_at_ms - now_ms) / 1000;
  return j;
}

Json OptionsOf(const variant::MediaOptions& o) {
  Json j = Json::object();
  if (o.width) j["width"] = *o.width;
  if (o.height) j["height"] = *o.height;
  if (o.format) j["format"] = variant::ToString(*o.format);
  if (o.quality) {
    if (o.quality->number != 0) {
      j["quality"] = o.quality->number;
    } else {
      j["quality"] = variant::ToString(o.quality->level);
    }
  }
  if (o.compression) j["compression"] = variant::ToString(*o.compression);
  if (o.fit) j["fit"] = variant::ToString(*o.fit);
  if (o.time) j["time"] = variant::ToSeconds(*o.time);
  if (o.duration) j["duration"] = variant::ToSeconds(*o.duration);
  if (o.audio) j["audio"] = *o.audio;
  return j;
}

bool IsHit(const cache::Explanation::Held& held) {
  return held.present && held.fresh && held.same_plan;
}

}  // namespace

std::string RenderView(const ViewFacts& facts) {
  const variant::VariantRequest& asked = facts.request->request;
  Json j;
  j["request"]["mode"] = variant::ToString(asked.mode);
  j["request"]["sourcePath"] = asked.source_path;
  if (!asked.derivative.empty()) j["request"]["derivative"] = asked.derivative;
  j["request"]["options"] = OptionsOf(asked.resolved);
  Json warnings = Json::array();
  for (const variant::Warning& w : facts.request->warnings) {
    warnings.push_back({{"parameter", w.param}, {"reason", w.reason}});
  }
  j["request"]["warnings"] = std::move(warnings);
  const variant::Selection& selection = facts.request->selection;
  if (!selection.by.empty()) j["request"]["chosenBy"] = selection.by;
  j["key"] = facts.key;
  j["planDigest"] = facts.digest;
  j["cacheTags"] = facts.tags;
  j["origin"]["name"] = facts.resolved->origin_name;
  Json sources = Json::array();
  for (const origin::Location& location : facts.resolved->locations) {
    sources.push_back({{"type", location.type}});
  }
  j["origin"]["sources"] = std::move(sources);
  j["layers"]["edge"] = Layer(facts.held.edge, facts.now_ms);
  j["layers"]["KV"] = Layer(facts.held.kv, facts.now_ms);
  j["layers"]["inProduction"] = facts.held.in_production;
  j["verdict"] = IsHit(facts.held.edge)     ? "hit in edge"
                 : IsHit(facts.held.kv)     ? "hit in KV"
                 : facts.held.in_production ? "miss: being made, a request would join"
                                            : "miss: a request would make it";
  if (facts.plan) {
    j["plan"]["kind"] = facts.plan->original ? "original" : "transform";
    j["plan"]["contentType"] = facts.plan->content_type;
    j["plan"]["streams"] = facts.plan->streams;
    j["plan"]["costHint"] = facts.plan->cost_hint;
  } else if (facts.plan_error) {
    j["plan"]["error"] = ReasonOf(*facts.plan_error);
    j["plan"]["message"] = facts.plan_error->public_message;
  }
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vr::delivery
