// Over-long UTF-8: characters written with more bytes than they need. Invalid (RFC 3629 §3), yet
// some readers take it for the character, and a path that climbs may hide in it.
#pragma once

#include <cstddef>
#include <string_view>

namespace vr {

struct Overlong {
  char character = 0;  ///< '.', '/' or '\\'
  size_t bytes = 0;    ///< how many of the text are that character; 0: none is there
};

/// Whether `text` begins with an over-long form (two, three or four bytes) of '.', '/' or '\\'.
Overlong OverlongAtStart(std::string_view text);

}  // namespace vr
