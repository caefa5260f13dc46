#include "observe/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>

namespace vr {

namespace {

struct Sink {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::logger> logger;
};

std::atomic<LogLevel> current_level{LogLevel::kInfo};
std::atomic<bool> as_json{true};

Sink& TheSink() {
  static Sink* sink = [] {
    auto* s = new Sink;  // never destroyed: other threads may log until the very end
    s->pool = std::make_shared<spdlog::details::thread_pool>(8192, 1);
    auto out = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto logger = std::make_shared<spdlog::async_logger>(
        "vr", out, s->pool, spdlog::async_overflow_policy::overrun_oldest);
    logger->set_pattern("%v");
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::info);
    s->logger = std::move(logger);
    return s;
  }();
  return *sink;
}

std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      break;
  }
  return "off";
}

void AppendNow(std::string& out) {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  fmt::format_to(std::back_inserter(out), "{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                 fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

void Write(LogLevel level, std::string_view event, std::string_view members) {
  try {
    std::string line;
    line.reserve(96 + members.size());
    if (as_json.load(std::memory_order_relaxed)) {
      line += "{\"time\":\"";
      AppendNow(line);
      line += "\",\"level\":\"";
      line += Name(level);
      line += "\",\"event\":";
      AppendJsonString(line, event);
      if (!members.empty()) {
        line += ',';
        line += members;
      }
      line += '}';
    } else {
      AppendNow(line);
      line += ' ';
      line += Name(level);
      line += ' ';
      line += event;
      line += ' ';
      line += members;
    }
    TheSink().logger->log(spdlog::level::info, line);
  } catch (...) {  // logging never fails a request
  }
}

}  // namespace

void InitLog(LogOptions options) {
  current_level = options.level;
  as_json = options.json;
}

void FlushLog() {
  // Destroying nothing: push a flush and wait until the queue has been worked off.
  auto& sink = TheSink();
  sink.logger->flush();
  for (int i = 0; i < 200 && sink.pool->queue_size() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool LogEnabled(LogLevel level) {
  return level >= current_level.load(std::memory_order_relaxed);
}

uint64_t LogLinesDropped() {
  return TheSink().pool->overrun_counter();
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      default:
        break;
    }
    if (c < 0x20 || c == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    } else if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      const int length = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
      bool valid = length != 0 && c < 0xf5 && i + static_cast<size_t>(length) <= text.size();
      for (int k = 1; valid && k < length; ++k) {
        valid = (static_cast<unsigned char>(text[i + static_cast<size_t>(k)]) & 0xc0) == 0x80;
      }
      if (valid && length >= 3) {  // overlong forms, surrogates, beyond U+10FFFF
        const unsigned char d = static_cast<unsigned char>(text[i + 1]);
        valid = !((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
                  (c == 0xf4 && d > 0x8f));
      }
      if (valid) {
        out.append(text.substr(i, static_cast<size_t>(length)));
        i += static_cast<size_t>(length) - 1;
      } else {
        out += "\xef\xbf\xbd";
      }
    }
  }
  out += '"';
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::string members;
  for (const LogField& field : fields) {
    if (!members.empty()) members += ',';
    AppendJsonString(members, field.name);
    members += ':';
    if (const auto* s = std::get_if<std::string_view>(&field.value)) {
      AppendJsonString(members, *s);
    } else if (const auto* n = std::get_if<int64_t>(&field.value)) {
      members += std::to_string(*n);
    } else if (const auto* d = std::get_if<double>(&field.value)) {
      members += std::isfinite(*d) ? fmt::format("{:.6g}", *d) : "null";
    } else {
      members += std::get<bool>(field.value) ? "true" : "false";
    }
  }
  Write(level, event, members);
}

void LogRendered(LogLevel level, std::string_view event, std::string_view json_members) {
  if (LogEnabled(level)) Write(level, event, json_members);
}

}  // namespace vr
