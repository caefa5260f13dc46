#include "observe/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cmath>

#include "base/text_scan.h"
#include "observe/log_writer.h"

namespace vr {

namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};
std::atomic<bool> as_json{true};

std::string DescribeDropped(uint64_t lines);

LogWriter& TheWriter() {
  // Never destroyed: other threads may log until the very end.
  static LogWriter* const writer =
      new LogWriter(STDERR_FILENO, LogWriter::Limits{}, DescribeDropped);
  return *writer;
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

/// RFC 3339 with milliseconds. The seconds are rendered once for all lines of a second.
void AppendNow(TextBuffer& out) {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  struct Rendered {
    int64_t second = -1;
    char text[24];
    size_t length = 0;
  };
  thread_local Rendered last;
  if (last.second != ms / 1000) {
    last.second = ms / 1000;
    const auto end = fmt::format_to_n(last.text, sizeof last.text, "{:%Y-%m-%dT%H:%M:%S}.",
                                      fmt::gmtime(static_cast<std::time_t>(last.second)));
    last.length = end.size;
  }
  out.Append(std::string_view(last.text, last.length));
  const auto rest = static_cast<int>(ms % 1000);
  const char digits[] = {static_cast<char>('0' + rest / 100),
                         static_cast<char>('0' + rest / 10 % 10),
                         static_cast<char>('0' + rest % 10), 'Z'};
  out.Append(std::string_view(digits, sizeof digits));
}

void Render(TextBuffer& line, LogLevel level, std::string_view event, std::string_view members) {
  if (as_json.load(std::memory_order_relaxed)) {
    line.Append("{\"time\":\"");
    AppendNow(line);
    line.Append("\",\"level\":\"");
    line.Append(Name(level));
    line.Append("\",\"event\":");
    AppendJsonString(line, event);
    if (!members.empty()) {
      line.Append(',');
      line.Append(members);
    }
    line.Append('}');
    return;
  }
  AppendNow(line);
  line.Append(' ');
  line.Append(Name(level));
  line.Append(' ');
  line.Append(event);
  line.Append(' ');
  line.Append(members);
}

std::string DescribeDropped(uint64_t lines) {
  TextBuffer line;
  Render(line, LogLevel::kWarn, "log_lines_dropped", "\"lines\":" + std::to_string(lines));
  return std::string(line.view());
}

void Write(LogLevel level, std::string_view event, std::string_view members) {
  try {
    constexpr size_t kKept = 4096;
    thread_local TextBuffer line;
    line.Clear(kKept);
    Render(line, level, event, members);
    TheWriter().Add(line.view(), level >= LogLevel::kWarn);
  } catch (...) {  // logging never fails a request
  }
}

}  // namespace

void InitLog(LogOptions options) {
  current_level = options.level;
  as_json = options.json;
}

void FlushLog() {
  constexpr std::chrono::seconds kMost{1};
  TheWriter().Flush(kMost);
}

bool LogEnabled(LogLevel level) {
  return level >= current_level.load(std::memory_order_relaxed);
}

uint64_t LogLinesDropped() {
  return TheWriter().dropped();
}

namespace {

/// Length of the part at the beginning of `text` that stands in a JSON string as it is.
size_t PlainLength(std::string_view text) {
  return GoodPrefix(
      text,
      [](EightBytes bytes) { return bytes.outside(0x20) | bytes.equal('"') | bytes.equal('\\'); },
      [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
}

}  // namespace

void AppendJsonString(TextBuffer& out, std::string_view text) {
  if (PlainLength(text) == text.size()) {
    out.Append('"');
    out.Append(text);
    out.Append('"');
    return;
  }
  std::string escaped;
  AppendJsonString(escaped, text);
  out.Append(escaped);
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  const size_t plain = PlainLength(text);  // nearly always all of it
  out += text.substr(0, plain);
  for (size_t i = plain; i < text.size(); ++i) {
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
