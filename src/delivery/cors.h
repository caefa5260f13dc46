// Answers that scripts of other origins may read (Fetch standard, "HTTP-CORS protocol").
// Thread-safe after construction.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "delivery/access_options.h"
#include "http/message.h"

namespace vr::delivery {

/// Whether `text` may stand in CorsOptions::allow_origins.
bool IsOriginPattern(std::string_view text);

class Cors {
 public:
  explicit Cors(CorsOptions options);
  /// Nothing is added to any answer.
  bool is_off() const { return !is_on_ && always_.empty(); }
  /// Cross-origin access is configured: preflights are answered.
  bool is_on() const { return is_on_; }

  /// OPTIONS with Origin and Access-Control-Request-Method.
  static bool IsPreflight(const http::Request& request);
  http::Response AnswerPreflight(const http::Request& request) const;
  /// Adds the fields that `request` is owed. What the answer says of CORS itself (a passed-through
  /// origin's) is left alone.
  void Apply(const http::Request& request, http::Response& response) const;

 private:
  /// The value of Access-Control-Allow-Origin; empty: this origin is not allowed.
  std::string_view AllowedFor(std::string_view origin) const;

  const CorsOptions options_;
  bool is_on_ = false;
  bool is_any_ = false;
  std::string exposed_;  ///< line of Access-Control-Expose-Headers
  std::string always_;   ///< lines that do not depend on the origin
};

}  // namespace vr::delivery
