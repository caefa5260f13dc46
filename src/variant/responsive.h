// Responsive choice: which derivative a screen gets when neither a size nor a derivative was asked
// for. By sizes in the URL (imwidth and its like), else by what the client tells of itself in its
// request fields. Pure functions; docs/urls.md has the table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "variant/options.h"

namespace vr::variant {

/// The request's fields, asked by name (ASCII case-insensitive). Values are borrowed.
class RequestFields {
 public:
  virtual ~RequestFields() = default;
  virtual std::optional<std::string_view> Get(std::string_view name) const = 0;
};

/// The request fields that can have a say, in the order they are asked: bits of Selection::vary.
inline constexpr std::array<std::string_view, 7> kChoosingFields = {
    "Sec-CH-Viewport-Width", "Width",      "Sec-CH-DPR", "DPR",
    "CF-Device-Type",        "User-Agent", "Save-Data"};

/// For Accept-CH (RFC 8942): what we would like to be told.
inline constexpr std::string_view kAcceptedHints = "Sec-CH-Viewport-Width, Sec-CH-DPR, Width, DPR";

struct Selection {
  std::string_view by;  ///< what decided: "imwidth", "Width", "default"; empty: nothing. Static
  uint8_t vary = 0;     ///< bits of kChoosingFields: those that were asked, absent ones included
  bool operator==(const Selection&) const = default;
};

struct Chosen {
  const DerivativeTable::value_type* derivative = nullptr;  ///< null: none
  Selection selection;
};

/// The derivative for `width` pixels times `density`: exact, nothing is rounded.
Chosen ChooseByWidth(const Options& options, uint64_t width, Decimal density, std::string_view by);

/// Asks viewport or picture width (times DPR), the device type, and, as Responsive::headers
/// allows, the User-Agent; then the default. Save-Data takes one step down.
Chosen ChooseByFields(const Options& options, const RequestFields& fields);

}  // namespace vr::variant
