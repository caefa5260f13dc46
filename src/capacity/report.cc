#include "capacity/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <set>

namespace vr::capacity {

namespace {

std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string Format(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

std::string Percent(double share) {
  return Format("%.2f %%", share * 100);
}

std::string ShowBytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return Format("%.3g %s", value, kUnits[unit]);
}

const SimulationRow* FindLru(const std::vector<SimulationRow>& rows, uint64_t max_bytes) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const SimulationRow& row) {
    return row.policy == "lru" && row.max_bytes == max_bytes;
  });
  return found == rows.end() ? nullptr : &*found;
}

std::string AgainstLru(const SimulationRow& row, const SimulationRow* lru) {
  if (lru == nullptr || lru->outcome.seconds_saved <= 0) return "";
  return Format("%+.1f %%", (row.outcome.seconds_saved / lru->outcome.seconds_saved - 1) * 100);
}

/// Cells padded so that the table reads well as text too.
std::string Align(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths(lines.front().size());
  for (const auto& line : lines) {
    for (size_t n = 0; n < line.size(); ++n) widths[n] = std::max(widths[n], line[n].size());
  }
  std::string out;
  for (size_t row = 0; row < lines.size(); ++row) {
    for (size_t n = 0; n < widths.size(); ++n) {
      const std::string pad(widths[n] - lines[row][n].size(), ' ');
      out += "| " + (n == 0 ? lines[row][n] + pad : pad + lines[row][n]) + " ";
    }
    out += "|\n";
    if (row > 0) continue;
    for (size_t n = 0; n < widths.size(); ++n) {
      out += "|" + std::string(widths[n] + 1, '-') + (n == 0 ? "-" : ":");
    }
    out += "|\n";
  }
  return out;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
  }
  return out;
}

/// One panel: a share from 0 to `top` over the logarithm of the size.
class Panel {
 public:
  Panel(double left, const std::vector<SimulationRow>& rows, double (Outcome::*share)() const)
      : left_(left), share_(share) {
    for (const SimulationRow& row : rows) {
      sizes_.insert(row.max_bytes);
      top_ = std::max(top_, (row.outcome.*share)());
    }
    top_ = std::min(1.0, std::ceil(top_ * 10) / 10);
  }
  static constexpr double kWidth = 380, kHeight = 260, kTop = 66;

  std::string Frame(const std::string& title) const {
    std::string out = Format("<text x=\"%.0f\" y=\"%.0f\" font-size=\"13\">%s</text>\n", left_,
                             kTop - 10, title.c_str());
    for (int n = 0; n <= 5; ++n) {
      const double share = top_ * n / 5;
      out += Format(
          "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e4e4e4\"/>"
          "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n",
          left_, left_ + kWidth, Y(share), Y(share), left_ - 6, Y(share) + 4, share * 100);
    }
    for (const uint64_t size : sizes_) {
      out += Format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", X(size),
                    kTop + kHeight + 18, ShowBytes(size).c_str());
    }
    return out;
  }
  std::string Line(const std::vector<const SimulationRow*>& rows, const char* colour) const {
    std::string points, dots;
    for (const SimulationRow* row : rows) {
      const double share = (row->outcome.*share_)();
      points += Format("%.1f,%.1f ", X(row->max_bytes), Y(share));
      dots += Format(
          "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s, %s: %s</title>"
          "</circle>\n",
          X(row->max_bytes), Y(share), colour, row->policy.c_str(),
          ShowBytes(row->max_bytes).c_str(), Percent(share).c_str());
    }
    return "<polyline points=\"" + points + "\" fill=\"none\" stroke=\"" + colour +
           "\" stroke-width=\"2\"/>\n" + dots;
  }

 private:
  double X(uint64_t size) const {
    if (sizes_.size() < 2) return left_ + kWidth / 2;
    const double low = std::log(static_cast<double>(*sizes_.begin()));
    const double high = std::log(static_cast<double>(*sizes_.rbegin()));
    return left_ + kWidth * (std::log(static_cast<double>(size)) - low) / (high - low);
  }
  double Y(double share) const { return kTop + kHeight * (1 - share / top_); }

  double left_;
  double (Outcome::*share_)() const;
  std::set<uint64_t> sizes_;
  double top_ = 0.1;
};

}  // namespace

std::string FormatTable(const std::vector<SimulationRow>& rows) {
  std::vector<std::vector<std::string>> lines{{"policy", "size", "hit rate", "byte hit rate",
                                               "seconds saved", "of all", "vs lru", "evicted",
                                               "not admitted"}};
  for (const SimulationRow& row : rows) {
    const Outcome& o = row.outcome;
    lines.push_back({row.policy, ShowBytes(row.max_bytes), Percent(o.hit_rate()),
                     Percent(o.byte_hit_rate()), Format("%.0f", o.seconds_saved),
                     Percent(o.saved_rate()), AgainstLru(row, FindLru(rows, row.max_bytes)),
                     std::to_string(o.evictions), std::to_string(o.refusals)});
  }
  return Align(lines);
}

std::string PlotSvg(const std::vector<SimulationRow>& rows, const std::string& title) {
  constexpr std::array<const char*, 6> kColours{"#b07d3c", "#1f6f8b", "#7f7f7f",
                                                "#b03030", "#4f8f4f", "#8a5fb0"};
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 360\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"900\" height=\"360\" fill=\"white\"/>\n"
      "<text x=\"50\" y=\"18\" font-size=\"14\">" +
      Escaped(title) + "</text>\n";
  const Panel saved(50, rows, &Outcome::saved_rate);
  const Panel hits(500, rows, &Outcome::hit_rate);
  out += saved.Frame("encode seconds saved, of all") + hits.Frame("hit rate");
  std::vector<std::string> names;
  std::map<std::string, std::vector<const SimulationRow*>> lines;
  for (const SimulationRow& row : rows) {
    if (lines[row.policy].empty()) names.push_back(row.policy);
    lines[row.policy].push_back(&row);
  }
  for (size_t n = 0; n < names.size(); ++n) {
    auto& line = lines[names[n]];
    std::stable_sort(line.begin(), line.end(),
                     [](const auto* a, const auto* b) { return a->max_bytes < b->max_bytes; });
    const char* colour = kColours[n % kColours.size()];
    out += saved.Line(line, colour) + hits.Line(line, colour);
    const double x = 50 + 110 * static_cast<double>(n);
    out += Format(
        "<rect x=\"%.0f\" y=\"28\" width=\"10\" height=\"10\" fill=\"%s\"/>"
        "<text x=\"%.0f\" y=\"37\">%s</text>\n",
        x, colour, x + 14, Escaped(names[n]).c_str());
  }
  return out + "</svg>\n";
}

}  // namespace vr::capacity
