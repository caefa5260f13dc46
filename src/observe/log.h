// Structured log: one JSON object per line on stderr (or human-readable text), written by a
// background thread (LogWriter): warnings and errors at once, the rest within 50 ms. While nobody
// reads, lines beyond 4 MiB are dropped and counted: logging never stops a request. All functions
// are thread-safe and never throw.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "base/text_buffer.h"

namespace vr {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = true;
};

/// name → value; the value is borrowed for the duration of the call.
struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double, bool> value;
  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  template <class I>
    requires(std::is_integral_v<I> && !std::is_same_v<I, bool>)
  LogField(std::string_view n, I v) : name(n), value(static_cast<int64_t>(v)) {}
};

void InitLog(LogOptions options);
/// Writes out what is queued; waits a second at most. Call before exit.
void FlushLog();
bool LogEnabled(LogLevel level);
uint64_t LogLinesDropped();

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
/// A line whose JSON object body (`"a":1,"b":"x"`, already escaped) the caller has rendered.
void LogRendered(LogLevel level, std::string_view event, std::string_view json_members);
/// Appends `text` as a JSON string with quotes; invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string& out, std::string_view text);
void AppendJsonString(TextBuffer& out, std::string_view text);

inline void LogDebug(std::string_view event, std::initializer_list<LogField> fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, event, fields);
}
inline void LogWarn(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarn, event, fields);
}
inline void LogError(std::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, event, fields);
}

}  // namespace vr
