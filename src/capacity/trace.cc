#include "capacity/trace.h"

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "base/hash.h"
#include "capacity/item_table.h"

namespace vr::capacity {

namespace {

using Json = nlohmann::json;

/// Of the log's field "status".
constexpr int kWholeAnswer = 200;
constexpr int kFirstFailure = 400;

Error Complaint(uint64_t line, std::string_view field, std::string_view what) {
  std::string text = "line " + std::to_string(line);
  if (!field.empty()) text += ", " + std::string(field);
  return Error(Code::kInvalidArgument, text + ": " + std::string(what));
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 40;
  return "\"" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "…" : "") + "\"";
}

template <class Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// --- CSV

class CsvReader {
 public:
  explicit CsvReader(bool keep_names) : keep_names_(keep_names) {}
  Result<void> Take(std::string_view line, uint64_t number) {
    if (line.empty() || line.starts_with('#')) return {};
    std::array<std::string_view, 4> fields;
    size_t count = 0;
    for (std::string_view rest = line;; ++count) {
      const size_t comma = rest.find(',');
      if (count < fields.size()) fields[count] = Trim(rest.substr(0, comma));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
    ++count;
    if (count < 3) return Complaint(number, "", "expects timestamp,id,size[,cost]");
    const auto seconds = ParseNumber<double>(fields[0]);
    if (!seconds && !is_begun_) {
      is_begun_ = true;  // the header
      return {};
    }
    is_begun_ = true;
    constexpr double kMaxSeconds = 1e12;
    if (!seconds || !(std::abs(*seconds) <= kMaxSeconds)) {
      return Complaint(number, "timestamp", Quoted(fields[0]) + " is no number of seconds");
    }
    if (fields[1].empty()) return Complaint(number, "id", "is empty");
    const auto bytes = ParseNumber<uint64_t>(fields[2]);
    if (!bytes) return Complaint(number, "size", Quoted(fields[2]) + " is no number of bytes");
    double cost = 1;
    if (count > 3) {
      const auto given = ParseNumber<double>(fields[3]);
      if (!given || !(*given >= 0) || !std::isfinite(*given)) {
        return Complaint(number, "cost", Quoted(fields[3]) + " is no number of seconds");
      }
      cost = *given;
      trace_.has_cost = true;
    }
    const auto millis = static_cast<int64_t>(std::llround(*seconds * 1000));
    const uint64_t id = Hash64Of(fields[1]);
    if (keep_names_) trace_.names.try_emplace(id, fields[1]);
    trace_.requests.push_back({millis, id, *bytes, cost});
    return {};
  }
  Trace Finish() { return std::move(trace_); }

 private:
  const bool keep_names_;
  Trace trace_;
  bool is_begun_ = false;
};

// --- the access log

/// "2026-11-27T12:34:56.789Z"
std::optional<int64_t> ParseTime(std::string_view text) {
  if (text.size() < 20 || text.back() != 'Z' || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const auto part = [&](size_t at, size_t size) { return ParseNumber<int>(text.substr(at, size)); };
  const auto year = part(0, 4), month = part(5, 2), day = part(8, 2);
  const auto hour = part(11, 2), minute = part(14, 2);
  const auto second = ParseNumber<double>(text.substr(17, text.size() - 18));
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || !(*second >= 0 && *second < 61)) {
    return std::nullopt;
  }
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + *hour) * 60 + *minute) * 60'000 + std::llround(*second * 1000);
}

class LogReader {
 public:
  explicit LogReader(bool keep_names) : keep_names_(keep_names) {}
  Result<void> Take(std::string_view line, uint64_t number) {
    if (Trim(line).empty()) return {};
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object()) return Complaint(number, "", "is no JSON object");
    const auto key = entry.find("key");
    if (entry.value("event", Json()) != "request" || key == entry.end() || IsFailure(entry)) {
      ++trace_.skipped;
      return {};
    }
    if (!key->is_string()) return Complaint(number, "key", "is no string");
    const auto time = entry.find("time");
    const auto millis = time != entry.end() && time->is_string()
                            ? ParseTime(time->get_ref<const std::string&>())
                            : std::nullopt;
    if (!millis) return Complaint(number, "time", "is no time such as 2026-11-27T12:00:00.000Z");
    const std::string& name = key->get_ref<const std::string&>();
    TraceRequest request{*millis, Hash64Of(name), 0, 0};
    if (keep_names_) trace_.names.try_emplace(request.id, name);
    const auto bytes = entry.find("entity_bytes");
    const bool is_told = bytes != entry.end();
    if (is_told) {
      if (!bytes->is_number_unsigned()) {
        return Complaint(number, "entity_bytes", "is no number of bytes");
      }
      request.bytes = bytes->get<uint64_t>();
      const auto cost = entry.find("encode_ms");
      if (cost == entry.end() || !cost->is_number() || cost->get<double>() < 0) {
        return Complaint(number, "encode_ms", "is no number of milliseconds");
      }
      request.cost_seconds = cost->get<double>() / 1000;
    } else {
      Guess(entry, request);
    }
    trace_.requests.push_back(request);
    is_told_.push_back(is_told);
    return {};
  }

  Trace Finish() {
    FillFrom(trace_.requests.size(), -1);  // from what a later line tells
    FillFrom(0, 1);                        // else from an earlier one
    size_t kept = 0;
    for (size_t n = 0; n < trace_.requests.size(); ++n) {
      if (is_told_[n] || trace_.requests[n].bytes > 0) trace_.requests[kept++] = trace_.requests[n];
    }
    trace_.skipped += trace_.requests.size() - kept;
    trace_.requests.resize(kept);
    trace_.has_cost = true;
    return std::move(trace_);
  }

 private:
  static bool IsFailure(const Json& entry) {
    const auto status = entry.find("status");
    return status != entry.end() && status->is_number() && status->get<double>() >= kFirstFailure;
  }
  /// A production that was sent whole while it ran: as many bytes, and about as much time.
  static void Guess(const Json& entry, TraceRequest& request) {
    const Json status = entry.value("status", Json()), bytes = entry.value("bytes", Json());
    const Json millis = entry.value("ms", Json());
    if (entry.value("layer", Json()) != "transform" || status != kWholeAnswer ||
        entry.value("complete", Json()) != true || !bytes.is_number_unsigned() ||
        !millis.is_number() || millis.get<double>() < 0) {
      return;
    }
    request.bytes = bytes.get<uint64_t>();
    request.cost_seconds = millis.get<double>() / 1000;
  }
  /// Walks all requests, forwards from 0 or backwards from the end.
  void FillFrom(size_t begin, int step) {
    boost::unordered_flat_map<uint64_t, size_t, IdHash> told;
    const size_t count = trace_.requests.size();
    for (size_t n = 0; n < count; ++n) {
      const size_t at = step > 0 ? begin + n : begin - 1 - n;
      TraceRequest& request = trace_.requests[at];
      if (is_told_[at]) {
        told[request.id] = at;
      } else if (const auto found = told.find(request.id); found != told.end()) {
        request.bytes = trace_.requests[found->second].bytes;
        request.cost_seconds = trace_.requests[found->second].cost_seconds;
        is_told_[at] = true;
      }
    }
  }

  const bool keep_names_;
  Trace trace_;
  std::vector<bool> is_told_;
};

template <class Reader>
Result<Trace> ReadWith(Reader reader, std::istream& in, std::string line) {
  uint64_t number = 1;
  do {
    CHECK_OK(reader.Take(line, number));
    ++number;
  } while (std::getline(in, line));
  Trace trace = reader.Finish();
  if (trace.requests.empty()) {
    return Error(Code::kInvalidArgument, "the trace has no request that could be replayed");
  }
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const auto& a, const auto& b) { return a.time_ms < b.time_ms; });
  return trace;
}

}  // namespace

Result<Trace> ReadTrace(std::istream& in, TraceFormat format, bool keep_names) {
  std::string first;
  if (!std::getline(in, first)) return Error(Code::kInvalidArgument, "the trace is empty");
  if (format == TraceFormat::kAuto) {
    format = Trim(first).starts_with('{') ? TraceFormat::kLog : TraceFormat::kCsv;
  }
  if (format == TraceFormat::kLog) return ReadWith(LogReader(keep_names), in, std::move(first));
  return ReadWith(CsvReader(keep_names), in, std::move(first));
}

void WriteTrace(std::ostream& out, const std::vector<TraceRequest>& requests) {
  out << "timestamp,id,size,cost\n";
  char line[128];
  for (const TraceRequest& r : requests) {
    const int size = std::snprintf(
        line, sizeof line, "%lld.%03lld,%llu,%llu,%.4f\n", static_cast<long long>(r.time_ms / 1000),
        static_cast<long long>(r.time_ms % 1000), static_cast<unsigned long long>(r.id),
        static_cast<unsigned long long>(r.bytes), r.cost_seconds);
    out.write(line, size);
  }
}

}  // namespace vr::capacity
