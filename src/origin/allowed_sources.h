// AllowedSources: which absolute URLs a client may name as a source, by host and path. Immutable,
// thread-safe, no I/O.
//
// An entry is "host", "*.host" (everything below it, not itself), each with ":port" and
// "/path-prefix" (whole segments) as wanted. Only https, unless it is written with "http://", which
// allows both. Without a port: the scheme's own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vr::origin {

class AllowedSources {
 public:
  /// What an entry may look like, for messages.
  static constexpr std::string_view kGrammar =
      R"(a host name or "*.example.com" for all below it, perhaps with ":port", "/path-prefix" and "http://" before it)";
  static bool IsEntry(std::string_view entry);

  /// Entries that are none are skipped.
  explicit AllowedSources(const std::vector<std::string>& entries);

  bool empty() const { return entries_.empty(); }
  /// @param scheme "https" or "http"; `host` lower case; `port` empty: the scheme's own; `path`
  /// decoded, without leading slash
  bool Allow(std::string_view scheme, std::string_view host, std::string_view port,
             std::string_view path) const;
  /// The same for a whole URL, such as a redirect's.
  bool AllowUrl(const std::string& url) const;

 private:
  struct Entry {
    bool plain = false;  ///< http too
    bool below = false;  ///< "*.host"
    std::string host, port, path;
  };
  static std::optional<Entry> Read(std::string_view text);

  std::vector<Entry> entries_;
};

}  // namespace vr::origin
