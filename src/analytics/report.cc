#include "analytics/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace vr::analytics {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTopShown = 20;

double Rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}
double Seconds(uint64_t micros) {
  return static_cast<double>(micros) / 1e6;
}
double Millis(double micros) {
  return Rounded(micros / 1e3, 1000);
}
double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : Rounded(static_cast<double>(part) / static_cast<double>(whole), 1e4);
}

Json ViewOf(const Tally& tally) {
  Json j;
  j["requests"] = tally.requests;
  j["hits"] = tally.hits;
  j["errors"] = tally.errors;
  j["bytes"] = tally.bytes;
  j["encodeSecondsSaved"] = Seconds(tally.saved_micros);
  j["originBytesSaved"] = tally.saved_bytes;
  j["encodeSecondsSpent"] = Seconds(tally.encode_micros);
  return j;
}

Json LatencyOf(const LatencyCounts& counts) {
  Json j;
  j["p50"] = Millis(counts.Percentile(0.5));
  j["p95"] = Millis(counts.Percentile(0.95));
  return j;
}

Json ViewOf(const LayerSum& layer, uint64_t media) {
  Json j;
  j["requests"] = layer.tally.requests;
  j["share"] = Share(layer.tally.requests, media);
  j["errors"] = layer.tally.errors;
  j["incomplete"] = layer.incomplete;
  j["bytes"] = layer.tally.bytes;
  j["encodeSecondsSaved"] = Seconds(layer.tally.saved_micros);
  j["originBytesSaved"] = layer.tally.saved_bytes;
  j["latencyMs"] = LatencyOf(layer.latency);
  return j;
}

Json ViewOf(const LabelTable& table) {
  std::vector<LabelTable::Row> rows = table.rows();
  std::sort(rows.begin(), rows.end(), [](const LabelTable::Row& a, const LabelTable::Row& b) {
    return a.tally.requests != b.tally.requests ? a.tally.requests > b.tally.requests
                                                : a.label < b.label;
  });
  Json j = Json::object();
  for (const LabelTable::Row& row : rows) j[row.label] = ViewOf(row.tally);
  return j;
}

Json ViewOf(const TopList& list, const char* name) {
  Json j = Json::array();
  for (const TopList::Entry& entry : list.Sorted(kTopShown)) {
    Json one;
    one[name] = entry.name;
    const Json tally = ViewOf(entry.tally);
    for (const auto& [key, value] : tally.items()) one[key] = value;
    if (entry.overcount > 0) one["requestsAtMostTooHigh"] = entry.overcount;
    j.push_back(std::move(one));
  }
  return j;
}

uint64_t Of(const Bucket& bucket, Outcome outcome) {
  return bucket.at(static_cast<size_t>(outcome)).tally.requests;
}

Tally Sum(const Bucket& bucket, size_t outcomes) {
  Tally sum;
  for (size_t i = 0; i < outcomes; ++i) sum.Add(bucket.at(i).tally);
  return sum;
}

Json Totals(const Bucket& b) {
  const Tally all = Sum(b, kOutcomes);
  const uint64_t media = b.media_requests();
  const uint64_t edge = Of(b, Outcome::kEdge);
  const uint64_t kv = Of(b, Outcome::kKv);
  const uint64_t stale = Of(b, Outcome::kStale);
  const uint64_t made = Of(b, Outcome::kJoined) + Of(b, Outcome::kMiss);
  uint64_t incomplete = 0;
  LatencyCounts latency;
  for (size_t i = 0; i < kOutcomes; ++i) {
    incomplete += b.at(i).incomplete;
    if (i < kMediaOutcomes) latency.Merge(b.at(i).latency);
  }
  Json j;
  j["requests"] = all.requests;
  j["mediaRequests"] = media;
  j["errors"] = all.errors;
  j["incomplete"] = incomplete;
  j["bytes"] = all.bytes;
  j["hitRate"] = {{"all", Share(edge + kv + stale, edge + kv + stale + made)},
                  {"edge", Share(edge, edge + kv + stale + made)},
                  {"kv", Share(kv, kv + made)}};
  j["latencyMs"] = LatencyOf(latency);
  j["encodeSeconds"] = {{"spent", Seconds(b.making.worker_micros)},
                        {"spentOnResults", Seconds(b.making.encode_micros)},
                        {"saved", Seconds(all.saved_micros)}};
  j["originBytes"] = {{"read", b.making.origin_bytes}, {"saved", all.saved_bytes}};
  j["productions"] = {{"ok", b.making.productions}, {"failed", b.making.failed}};
  return j;
}

Json Point(const Bucket& b) {
  LatencyCounts latency;
  for (size_t i = 0; i < kMediaOutcomes; ++i) latency.Merge(b.at(i).latency);
  const Tally all = Sum(b, kOutcomes);
  Json j;
  j["time"] = b.start_s;
  j["requests"] = all.requests;
  j["mediaRequests"] = b.media_requests();
  for (size_t i = 0; i < kOutcomes; ++i) {
    j[std::string(kOutcomeNames[i])] = b.at(i).tally.requests;
  }
  j["errors"] = all.errors;
  j["bytes"] = all.bytes;
  j["encodeSecondsSpent"] = Seconds(b.making.worker_micros);
  j["encodeSecondsSaved"] = Seconds(all.saved_micros);
  j["originBytesRead"] = b.making.origin_bytes;
  j["originBytesSaved"] = all.saved_bytes;
  j["latencyMs"] = LatencyOf(latency);
  return j;
}

Json ViewOf(const Failure& failure) {
  Json j;
  j["time"] = failure.time_ms;
  j["status"] = failure.status;
  j["code"] = failure.code;
  j["layer"] = kOutcomeNames[static_cast<size_t>(failure.outcome)];
  j["target"] = failure.target;
  if (!failure.origin.empty()) j["origin"] = failure.origin;
  j["requestId"] = failure.request_id;
  return j;
}

Json ViewOf(const Storage& s) {
  Json j;
  j["edge"] = {
      {"bytes", s.edge_bytes}, {"entries", s.edge_entries}, {"maxBytes", s.edge_max_bytes}};
  j["kv"] = {{"bytes", s.kv_bytes}, {"entries", s.kv_entries}, {"maxBytes", s.kv_max_bytes}};
  if (s.kv_max_entries > 0) j["kv"]["maxEntries"] = s.kv_max_entries;
  return j;
}

}  // namespace

std::string RenderReport(const Summary& summary, const Storage& storage, int64_t hours) {
  const Bucket& total = summary.total;
  const uint64_t media = total.media_requests();
  Json j;
  j["hours"] = hours;
  j["from"] = summary.from_s;
  j["until"] = summary.until_s;
  j["resolution"] = kLevelNames[static_cast<size_t>(summary.level)];
  j["totals"] = Totals(total);
  j["layers"] = Json::object();
  for (size_t i = 0; i < kMediaOutcomes; ++i) {
    j["layers"][std::string(kOutcomeNames[i])] = ViewOf(total.at(i), media);
  }
  j["others"] = Json::object();
  for (size_t i = kMediaOutcomes; i < kOutcomes; ++i) {
    Json one = ViewOf(total.at(i), 0);
    one.erase("share");
    j["others"][std::string(kOutcomeNames[i])] = std::move(one);
  }
  for (size_t i = 0; i < kDimensions; ++i) {
    j[std::string(kDimensionNames[i])] = ViewOf(total.tables[i]);
  }
  j["topVariants"] = ViewOf(total.variants, "key");
  j["topSources"] = ViewOf(total.sources, "path");
  j["recentErrors"] = Json::array();
  for (const Failure& failure : summary.failures) j["recentErrors"].push_back(ViewOf(failure));
  j["storage"] = ViewOf(storage);
  j["series"] = Json::array();
  for (const Bucket& bucket : summary.series) j["series"].push_back(Point(bucket));
  // Paths are bytes; what is not UTF-8 must not cost the answer.
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vr::analytics
