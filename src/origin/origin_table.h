// OriginTable: which origin a path belongs to, and where its source may be. Compiled from
// OriginOptions.
//
// The first origin whose matcher is found in the path wins. Each of its sources gives one Location
// by its path template. No path that leaves here can climb: dot segments and NUL are refused, also
// when they hide behind further percent-encodings or backslashes, before matching and again after
// substitution. Matching takes linear time (RE2).
//
// Immutable, thread-safe. No I/O.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "origin/options.h"
#include "origin/source.h"

namespace vr::origin {

/// One thing wrong with the settings.
struct Problem {
  std::string field;    ///< JSON pointer below the root: "/origins/0/sources/1/path"
  std::string found;    ///< the value; never a secret
  std::string allowed;  ///< what may stand there instead
};

class OriginTable {
 public:
  /// Everything that is wrong with `origins`, in order; empty when they can be used.
  static std::vector<Problem> Check(const std::vector<OriginOptions>& origins);
  /// @errors kInvalidArgument: the problems of Check() as facts (field → "found …, allowed: …")
  static Result<std::unique_ptr<const OriginTable>> Create(std::vector<OriginOptions> origins);
  ~OriginTable();

  /// @param decoded_path percent-decoded once, with or without the leading slash; repeated and
  /// trailing slashes do not count
  /// @return nullopt when no origin matches, when the path climbs, or when a substitution gives a
  /// path that would
  /// @param only of this mode; nullopt = any
  std::optional<Resolved> Match(std::string_view decoded_path,
                                std::optional<OriginMode> only = std::nullopt) const;

  /// By Resolved::origin_index.
  const OriginOptions& origin(size_t index) const;
  size_t size() const;

 private:
  struct Impl;
  explicit OriginTable(std::unique_ptr<const Impl> impl);
  const std::unique_ptr<const Impl> impl_;
};

/// "a/b": no leading, trailing or repeated slashes. nullopt for NUL and for dot segments, also for
/// those that appear after decoding %XX again (any number of times), when '\' is taken for '/',
/// when over-long UTF-8 is taken for the character, or without a segment's parameters (`..;x`).
std::optional<std::string> NormalizePath(std::string_view path);

}  // namespace vr::origin
