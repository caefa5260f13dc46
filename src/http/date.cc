#include "http/date.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "http/ascii.h"

namespace vr::http {

namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::string_view kLongDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void Two(int value, char* out) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
}

/// Reads fixed-form text from the front; every step says whether it matched.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool Text(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  bool Number(size_t digits, int& out) {
    if (rest_.size() < digits) return false;
    out = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!IsDigit(rest_[i])) return false;
      out = out * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return true;
  }
  /// Day of the month in asctime: two digits, or a space and one.
  bool PaddedDay(int& out) {
    if (Text(" ")) return Number(1, out);
    return Number(2, out);
  }
  template <size_t N>
  bool OneOf(const std::string_view (&names)[N], int& out) {
    for (size_t i = 0; i < N; ++i) {
      if (Text(names[i])) {
        out = static_cast<int>(i);
        return true;
      }
    }
    return false;
  }
  bool TimeOfDay(int& h, int& m, int& s) {
    return Number(2, h) && Text(":") && Number(2, m) && Text(":") && Number(2, s);
  }
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Parts {
  int weekday = 0, day = 0, month = 0, year = 0, h = 0, m = 0, s = 0;

  std::optional<WallTime> ToTime() const {
    if (h > 23 || m > 59 || s > 60) return std::nullopt;
    const year_month_day date{std::chrono::year(year),
                              std::chrono::month(static_cast<unsigned>(month + 1)),
                              std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) return std::nullopt;
    sys_days midnight(date);
    if (std::chrono::weekday(midnight).c_encoding() != static_cast<unsigned>(weekday))
      return std::nullopt;
    // WallTime counts nanoseconds in 64 bit: 1677 to 2262. Dates outside mean "long ago" and
    // "never".
    midnight = std::clamp(midnight, sys_days(std::chrono::year(1678) / 1 / 1),
                          sys_days(std::chrono::year(2261) / 12 / 31));
    // A leap second has no place of its own in Unix time; it is the second before.
    return WallTime(midnight) + std::chrono::hours(h) + std::chrono::minutes(m) +
           std::chrono::seconds(std::min(s, 59));
  }
};

bool ReadFixdate(Reader r, Parts& p) {
  return r.OneOf(kDays, p.weekday) && r.Text(", ") && r.Number(2, p.day) && r.Text(" ") &&
         r.OneOf(kMonths, p.month) && r.Text(" ") && r.Number(4, p.year) && r.Text(" ") &&
         r.TimeOfDay(p.h, p.m, p.s) && r.Text(" GMT") && r.AtEnd();
}

bool ReadRfc850(Reader r, Parts& p) {
  return r.OneOf(kLongDays, p.weekday) && r.Text(", ") && r.Number(2, p.day) && r.Text("-") &&
         r.OneOf(kMonths, p.month) && r.Text("-") && r.Number(2, p.year) && r.Text(" ") &&
         r.TimeOfDay(p.h, p.m, p.s) && r.Text(" GMT") && r.AtEnd();
}

bool ReadAsctime(Reader r, Parts& p) {
  return r.OneOf(kDays, p.weekday) && r.Text(" ") && r.OneOf(kMonths, p.month) && r.Text(" ") &&
         r.PaddedDay(p.day) && r.Text(" ") && r.TimeOfDay(p.h, p.m, p.s) && r.Text(" ") &&
         r.Number(4, p.year) && r.AtEnd();
}

}  // namespace

void WriteDate(WallTime time, char* out) {
  const sys_days midnight = std::chrono::floor<days>(time);
  const year_month_day date(midnight);
  const auto seconds =
      static_cast<int>(std::chrono::floor<std::chrono::seconds>(time - midnight).count());
  const int year = std::clamp(static_cast<int>(date.year()), 0, 9999);
  std::memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", kDateLength);
  std::memcpy(out, kDays[std::chrono::weekday(midnight).c_encoding()].data(), 3);
  Two(static_cast<int>(static_cast<unsigned>(date.day())), out + 5);
  std::memcpy(out + 8, kMonths[static_cast<unsigned>(date.month()) - 1].data(), 3);
  Two(year / 100, out + 12);
  Two(year % 100, out + 14);
  Two(seconds / 3600, out + 17);
  Two(seconds / 60 % 60, out + 20);
  Two(seconds % 60, out + 23);
}

std::string FormatDate(WallTime time) {
  std::string text(kDateLength, ' ');
  WriteDate(time, text.data());
  return text;
}

std::optional<WallTime> ParseDate(std::string_view text, WallTime now) {
  Parts p;
  if (ReadFixdate(Reader(text), p)) return p.ToTime();
  p = Parts();
  if (ReadAsctime(Reader(text), p)) return p.ToTime();
  p = Parts();
  if (!ReadRfc850(Reader(text), p)) return std::nullopt;
  const int this_year = static_cast<int>(year_month_day(std::chrono::floor<days>(now)).year());
  p.year += this_year / 100 * 100;
  if (p.year > this_year + 50) p.year -= 100;
  return p.ToTime();
}

std::string_view CurrentDateLine() {
  struct Cache {
    time_t second = -1;
    std::array<char, 6 + kDateLength + 2> line{'D', 'a', 't', 'e', ':', ' '};
  };
  thread_local Cache cache;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != cache.second) {
    cache.second = now.tv_sec;
    WriteDate(WallTime(std::chrono::seconds(now.tv_sec)), cache.line.data() + 6);
    cache.line[6 + kDateLength] = '\r';
    cache.line[7 + kDateLength] = '\n';
  }
  return std::string_view(cache.line.data(), cache.line.size());
}

}  // namespace vr::http
