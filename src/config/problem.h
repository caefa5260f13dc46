// Problem: one thing that is wrong with a setting, said so that an operator can put it right
// without guessing: where it is written, which field, what was found there and what is allowed.
//
// Problems are collected, never thrown: whoever loads a configuration sees all of them at once.
// Plain values; thread-compatible.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vr::config {

/// Where something was written: a file with a position, or "environment NAME", or "flag --name".
struct Place {
  std::string source;
  int line = 0;    ///< 1-based; 0 = the source has no lines (environment, flag)
  int column = 0;  ///< 1-based, in characters
};

struct Problem {
  Place place;
  std::string pointer;  ///< JSON pointer (RFC 6901) of the field; "" = the whole document
  std::string found;    ///< as a piece of sentence: `"abc"`, `-1`, `nothing`; never a secret
  std::string allowed;  ///< as a piece of sentence: `whole numbers 0..10`

  /// `conf.jsonc:3:14: /cache/kvTtl/ok: found "abc", allowed: whole seconds ...`, on one line
  /// whatever was found.
  std::string ToString() const;
};

/// `pointer` + "/" + `name`, escaped by RFC 6901.
std::string AppendPointer(std::string_view pointer, std::string_view name);
/// The names along a pointer, unescaped.
std::vector<std::string> SplitPointer(std::string_view pointer);

}  // namespace vr::config
