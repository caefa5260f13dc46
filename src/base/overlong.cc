#include "base/overlong.h"

namespace vr {

Overlong OverlongAtStart(std::string_view text) {
  size_t lead = 0;  // bytes before the last one
  if (text.starts_with("\xc0") || text.starts_with("\xc1"))
    lead = 1;
  else if (text.starts_with("\xe0\x80") || text.starts_with("\xe0\x81"))
    lead = 2;
  else if (text.starts_with("\xf0\x80\x80") || text.starts_with("\xf0\x80\x81"))
    lead = 3;
  if (lead == 0 || lead >= text.size()) return {};
  const auto c = static_cast<char>((text[lead - 1] & 1) << 6 | (text[lead] & 0x3f));
  if (c != '.' && c != '/' && c != '\\') return {};
  return {c, lead + 1};
}

}  // namespace vr
