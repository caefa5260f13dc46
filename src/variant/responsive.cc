#include "variant/responsive.h"

#include <algorithm>

#include "variant/values.h"

namespace vr::variant {

namespace {

enum Asked : uint8_t {
  kViewportWidth = 1 << 0,
  kWidth = 1 << 1,
  kChDpr = 1 << 2,
  kDpr = 1 << 3,
  kDeviceType = 1 << 4,
  kUserAgent = 1 << 5,
  kSaveData = 1 << 6,
};

constexpr Decimal kOne{1'000'000};

enum class Device { kMobile, kTablet, kDesktop };
constexpr std::string_view kDeviceNames[] = {"mobile", "tablet", "desktop"};

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// Breakpoint by index; the one behind the last is the default.
size_t IndexOfWidth(const Responsive& responsive, uint64_t width, Decimal density) {
  // Both are below 10^9, so the product fits.
  const uint64_t millionths = width * static_cast<uint64_t>(density.millionths);
  size_t i = 0;
  for (; i < responsive.breakpoints.size(); ++i) {
    if (millionths <= responsive.breakpoints[i].max_width * uint64_t{1'000'000}) break;
  }
  return i;
}

// A preset that bears the class's name wins; else the first two breakpoints and the default.
size_t IndexOfDevice(const Responsive& responsive, Device device) {
  const std::string_view name = kDeviceNames[static_cast<size_t>(device)];
  const auto& points = responsive.breakpoints;
  const auto named = std::find_if(points.begin(), points.end(),
                                  [&](const Breakpoint& b) { return b.derivative == name; });
  if (named != points.end()) return static_cast<size_t>(named - points.begin());
  if (responsive.default_derivative == name) return points.size();
  if (device == Device::kDesktop) return points.size();
  return std::min(points.size(), static_cast<size_t>(device));
}

const DerivativeTable::value_type* DerivativeAt(const Options& options, size_t index) {
  const Responsive& responsive = options.responsive;
  const std::string& name = index < responsive.breakpoints.size()
                                ? responsive.breakpoints[index].derivative
                                : responsive.default_derivative;
  const auto found = options.derivatives.find(name);
  return found == options.derivatives.end() ? nullptr : &*found;
}

std::optional<Device> DeviceNamed(std::string_view text) {
  for (size_t i = 0; i < std::size(kDeviceNames); ++i) {
    if (EqualsLower(Trim(text), kDeviceNames[i])) return static_cast<Device>(i);
  }
  return std::nullopt;
}

Device DeviceOfAgent(std::string_view agent) {
  const auto has = [&](std::string_view word) { return agent.find(word) != agent.npos; };
  if (has("iPad") || has("Tablet") || has("Kindle") || has("Silk/") ||
      (has("Android") && !has("Mobi"))) {
    return Device::kTablet;
  }
  if (has("Mobi") || has("iPhone") || has("iPod") || has("Opera Mini")) return Device::kMobile;
  return Device::kDesktop;
}

// Asks the fields one by one and notes which were asked.
class FieldReader {
 public:
  explicit FieldReader(const RequestFields& fields) : fields_(fields) {}

  std::optional<std::string_view> Get(Asked bit) {
    vary_ |= bit;
    size_t index = 0;
    while ((bit >> index) != 1) ++index;
    return fields_.Get(kChoosingFields[index]);
  }
  std::optional<uint64_t> Pixels(Asked bit) {
    const auto text = Get(bit);
    const auto number = text ? ParseUint(Trim(*text)) : std::nullopt;
    return number && *number > 0 ? number : std::nullopt;
  }
  Decimal Density() {
    for (const Asked bit : {kChDpr, kDpr}) {
      const auto text = Get(bit);
      const auto number = text ? ParseDecimal(Trim(*text)) : std::nullopt;
      if (number && number->millionths > 0 && number->millionths <= kMaxDensity.millionths) {
        return *number;
      }
    }
    return kOne;
  }
  bool SavesData() {
    const auto text = Get(kSaveData);
    return text && EqualsLower(Trim(text->substr(0, text->find(';'))), "on");
  }
  uint8_t vary() const { return vary_; }

 private:
  const RequestFields& fields_;
  uint8_t vary_ = 0;
};

}  // namespace

Chosen ChooseByWidth(const Options& options, uint64_t width, Decimal density, std::string_view by) {
  Chosen chosen;
  chosen.derivative = DerivativeAt(options, IndexOfWidth(options.responsive, width, density));
  if (chosen.derivative) chosen.selection.by = by;
  return chosen;
}

Chosen ChooseByFields(const Options& options, const RequestFields& fields) {
  const Responsive& responsive = options.responsive;
  Chosen chosen;
  if (responsive.headers == ResponsiveHeaders::kOff) return chosen;
  FieldReader reader(fields);
  std::optional<size_t> index;
  for (const Asked bit : {kViewportWidth, kWidth}) {
    if (index) break;
    const auto width = reader.Pixels(bit);
    if (!width) continue;
    index = IndexOfWidth(responsive, *width, reader.Density());
    chosen.selection.by = kChoosingFields[bit == kViewportWidth ? 0 : 1];
  }
  if (!index) {
    const auto text = reader.Get(kDeviceType);
    if (const auto device = text ? DeviceNamed(*text) : std::nullopt) {
      index = IndexOfDevice(responsive, *device);
      chosen.selection.by = kChoosingFields[4];
    }
  }
  if (!index && responsive.headers == ResponsiveHeaders::kAll) {
    const std::string_view agent = Trim(reader.Get(kUserAgent).value_or(""));
    index = agent.empty() ? responsive.breakpoints.size()
                          : IndexOfDevice(responsive, DeviceOfAgent(agent));
    chosen.selection.by = agent.empty() ? "default" : kChoosingFields[5];
  }
  if (index && *index > 0 && responsive.save_data && reader.SavesData()) --*index;
  if (index) chosen.derivative = DerivativeAt(options, *index);
  if (!chosen.derivative) chosen.selection.by = {};
  chosen.selection.vary = reader.vary();
  return chosen;
}

}  // namespace vr::variant
