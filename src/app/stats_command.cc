#include "app/stats_command.h"

#include <algorithm>
#include <cstdio>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "http/client.h"

namespace vr::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxAnswer = 64 << 20;

int Complain(const std::string& what) {
  std::fprintf(stderr, "video-resizer stats: %s\n", what.c_str());
  return cli::kExitFailed;
}

/// Takes a whole answer on the client's thread.
class Answer final : public http::BodySink {
 public:
  Result<void> OnHead(const http::ResponseHead& head) override {
    head_ = head;
    return {};
  }
  Result<Flow> OnData(std::string_view bytes) override {
    body_ += bytes;
    return Flow::kMore;
  }
  void OnDone(Result<void> result) override {
    if (!result.ok()) return done_.set_value(std::move(result).error());
    done_.set_value(http::WholeResponse{std::move(head_), std::move(body_)});
  }
  Result<http::WholeResponse> Wait() { return done_.get_future().get(); }

 private:
  http::ResponseHead head_;
  std::string body_;
  std::promise<Result<http::WholeResponse>> done_;
};

/// Where a listener can be reached from this machine.
std::string Reachable(std::string listen) {
  for (const std::string_view any : {"0.0.0.0:", "[::]:"}) {
    if (listen.starts_with(any)) {
      listen.replace(0, any.size() - 1, any.front() == '[' ? "[::1]" : "127.0.0.1");
    }
  }
  return listen;
}

std::string Fixed(double value, int places) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", places, value);
  return text;
}

std::string Amount(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return Fixed(bytes, unit == 0 ? 0 : 1) + " " + units[unit];
}

std::string Length(double seconds) {
  if (seconds < 120) return Fixed(seconds, 1) + " s";
  if (seconds < 7200) return Fixed(seconds / 60, 1) + " min";
  return Fixed(seconds / 3600, 1) + " h";
}

std::string Percent(double share) {
  return Fixed(100 * share, 1) + " %";
}

/// What a terminal would take for more than text is not shown.
std::string Plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

/// Columns as wide as they need to be, the first one to the left.
class Table {
 public:
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void AppendTo(std::string& out) const {
    std::vector<size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
      out += "  ";
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string gap(widths[i] - row[i].size(), ' ');
        out += i == 0 ? row[i] + gap : "  " + gap + row[i];
      }
      while (out.ends_with(' ')) out.pop_back();
      out += '\n';
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Whole(const Json& j, const char* name) {
  return std::to_string(j.at(name).get<uint64_t>());
}

void Layers(std::string& out, const Json& j) {
  Table table;
  table.Row(
      {"answered by", "requests", "share", "errors", "sent", "p50 ms", "p95 ms", "encode saved"});
  for (const char* const group : {"layers", "others"}) {
    for (const auto& [name, layer] : j.at(group).items()) {
      if (layer.at("requests").get<uint64_t>() == 0) continue;
      const Json& latency = layer.at("latencyMs");
      table.Row({name, Whole(layer, "requests"),
                 layer.contains("share") ? Percent(layer["share"].get<double>()) : "-",
                 Whole(layer, "errors"), Amount(layer.at("bytes").get<double>()),
                 Fixed(latency.at("p50").get<double>(), 2),
                 Fixed(latency.at("p95").get<double>(), 2),
                 Length(layer.at("encodeSecondsSaved").get<double>())});
    }
  }
  table.AppendTo(out);
}

void Tallies(std::string& out, const char* title, const Json& rows, size_t most) {
  if (rows.empty()) return;
  Table table;
  table.Row({title, "requests", "hits", "errors", "sent", "encode spent", "saved"});
  size_t shown = 0;
  for (const auto& [name, row] : rows.items()) {
    if (shown++ == most) break;
    const std::string label = row.contains("key")    ? row["key"].get<std::string>()
                              : row.contains("path") ? row["path"].get<std::string>()
                                                     : name;
    table.Row({Plain(label), Whole(row, "requests"), Whole(row, "hits"), Whole(row, "errors"),
               Amount(row.at("bytes").get<double>()),
               Length(row.at("encodeSecondsSpent").get<double>()),
               Length(row.at("encodeSecondsSaved").get<double>())});
  }
  out += '\n';
  table.AppendTo(out);
}

std::string Rendered(const Json& j) {
  constexpr size_t kTop = 10;
  constexpr size_t kErrors = 10;
  const Json& totals = j.at("totals");
  const Json& rate = totals.at("hitRate");
  const Json& encode = totals.at("encodeSeconds");
  const Json& origin = totals.at("originBytes");
  std::string out = "Last " + Whole(j, "hours") + " h, by " +
                    j.at("resolution").get<std::string>() + ": " + Whole(totals, "requests") +
                    " requests, " + Whole(totals, "mediaRequests") + " of them for media\n";
  out += "  hit rate " + Percent(rate.at("all").get<double>()) + " (edge " +
         Percent(rate.at("edge").get<double>()) + ", KV of what came to it " +
         Percent(rate.at("kv").get<double>()) + ")\n";
  out += "  sent " + Amount(totals.at("bytes").get<double>()) + "; errors " +
         Whole(totals, "errors") + "; broken off " + Whole(totals, "incomplete") + "\n";
  out += "  encoding: " + Length(encode.at("spent").get<double>()) + " spent, " +
         Length(encode.at("saved").get<double>()) + " saved\n";
  out += "  origin: " + Amount(origin.at("read").get<double>()) + " read, " +
         Amount(origin.at("saved").get<double>()) + " saved\n\n";
  Layers(out, j);
  Tallies(out, "origin", j.at("origins"), kTop);
  Tallies(out, "derivative", j.at("derivatives"), kTop);
  Tallies(out, "format", j.at("formats"), kTop);
  Tallies(out, "status", j.at("statuses"), kTop);
  Tallies(out, "error code", j.at("errorCodes"), kTop);
  Tallies(out, "top variants", j.at("topVariants"), kTop);
  Tallies(out, "top sources", j.at("topSources"), kTop);
  const Json& storage = j.at("storage");
  const auto held = [](const Json& layer) {
    std::string text = Amount(layer.at("bytes").get<double>()) + " of " +
                       Amount(layer.at("maxBytes").get<double>()) + " in " +
                       Whole(layer, "entries") + " entries";
    if (layer.contains("maxEntries")) text += " (at most " + Whole(layer, "maxEntries") + ")";
    return text;
  };
  out += "\n  edge holds " + held(storage.at("edge")) + "\n  KV holds " + held(storage.at("kv")) +
         "\n";
  const Json& errors = j.at("recentErrors");
  if (!errors.empty()) {
    Table table;
    table.Row({"last errors", "status", "code", "target", "request id"});
    for (size_t i = 0; i < std::min(errors.size(), kErrors); ++i) {
      const Json& e = errors[i];
      const auto when = static_cast<std::time_t>(e.at("time").get<int64_t>() / 1000);
      std::tm parts{};
      ::gmtime_r(&when, &parts);
      char text[32];
      std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
      table.Row({text, Whole(e, "status"), Plain(e.at("code").get<std::string>()),
                 Plain(e.at("target").get<std::string>()),
                 Plain(e.at("requestId").get<std::string>())});
    }
    out += '\n';
    table.AppendTo(out);
  }
  return out;
}

}  // namespace

std::string RenderStats(std::string_view json) {
  const Json j = Json::parse(json, nullptr, false);
  if (!j.is_object()) return {};
  try {
    return Rendered(j);
  } catch (const Json::exception&) {
    return {};  // of another server, or another version of ours
  }
}

int RunStats(const Sources& sources, const cli::Command::Stats& asked) {
  std::string token;
  std::string address = asked.admin;
  if (!asked.token_variable.empty()) {
    const auto found = sources.environment.find(asked.token_variable);
    if (found == sources.environment.end() || found->second.empty()) {
      return Complain("the environment variable " + asked.token_variable + " is not set");
    }
    token = found->second;
  }
  if (token.empty() || address.empty()) {
    const LoadOutcome outcome = Load(sources);
    for (const config::Problem& p : outcome.problems) {
      std::fprintf(stderr, "%s\n", p.ToString().c_str());
    }
    if (!outcome.settings) return cli::kExitFailed;
    if (token.empty()) token = outcome.settings->admin.token;
    if (address.empty()) address = outcome.settings->admin.listen;
  }
  if (token.empty()) return Complain("there is no admin.token; name one, or use --token-env");
  if (address.ends_with(":0")) {
    return Complain("admin.listen has no fixed port; use --admin ADDRESS:PORT");
  }
  Result<std::unique_ptr<http::Client>> client = http::Client::Create({});
  if (!client.ok()) return Complain(client.error().ToLogString());
  http::ClientRequest request;
  request.url =
      "http://" + Reachable(address) + "/admin/analytics?hours=" + std::to_string(asked.hours);
  request.credentials.emplace_back("Authorization", "Bearer " + token);
  request.max_redirects = 0;
  request.max_body_bytes = kMaxAnswer;
  const auto answer = std::make_shared<Answer>();
  const std::shared_ptr<http::Transfer> transfer = (*client)->Prepare(std::move(request), answer);
  transfer->Start();
  const Result<http::WholeResponse> got = answer->Wait();
  if (!got.ok()) {
    return Complain("the admin listener at " + address +
                    " gives no answer: " + got.error().public_message);
  }
  if (!got->head.is_whole()) {
    const Json j = Json::parse(got->body, nullptr, false);
    const bool has_message = j.is_object() && j.contains("error") && j["error"].is_object() &&
                             j["error"].contains("message") && j["error"]["message"].is_string();
    return Complain("the server answers " + std::to_string(got->head.status) +
                    (has_message ? ": " + Plain(j["error"]["message"].get<std::string>()) : ""));
  }
  if (asked.json) {
    std::fwrite(got->body.data(), 1, got->body.size(), stdout);
    return cli::kExitDone;
  }
  const std::string text = RenderStats(got->body);
  if (text.empty()) return Complain("the answer is not one of GET /admin/analytics; try --json");
  std::fputs(text.c_str(), stdout);
  return cli::kExitDone;
}

}  // namespace vr::app
