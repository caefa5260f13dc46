// Units in values: "64MiB", "1.5GB", "500ms", "1h30m", and how they are written back. Pure
// functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vr::config {

/// A JSON number or its text as a whole number; "1e3" is one, "1.5" is not.
std::optional<int64_t> ParseInteger(std::string_view text);
std::optional<double> ParseNumber(std::string_view text);
/// "true", "false", and what environments use for them: 1 0 yes no on off, any letter case.
std::optional<bool> ParseBool(std::string_view text);

/// Bytes: a plain number, or with one of B KB MB GB TB (powers of 1000) KiB MiB GiB TiB (powers of
/// 1024).
std::optional<uint64_t> ParseBytes(std::string_view text);
/// Shortest exact form: "64MiB", "1500B".
std::string FormatBytes(uint64_t bytes);

/// A length of time: a plain number of seconds, or numbers with ms s m h d, largest unit first
/// ("1h30m"). nullopt also when it is not a whole number of milliseconds, is negative or over 100
/// years.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
/// "30s", "1h30m", "500ms"; zero is "0s".
std::string FormatDuration(std::chrono::milliseconds duration);

}  // namespace vr::config
