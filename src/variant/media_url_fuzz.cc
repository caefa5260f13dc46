// /cdn-cgi/media/<options>/<source> of any bytes ("path?query"): never crashes; a source that comes
// out is a clean path or a whole http(s) URL that no reader takes for another place, and its
// canonical form is one. Build with the `fuzz` preset.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "variant/key.h"
#include "variant/media_url.h"

namespace {

using namespace vr::variant;  // NOLINT: a fuzz target is its own world

void CheckPath(std::string_view path) {
  if (path.empty() || path.starts_with('/') || path.ends_with('/')) std::abort();
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..") std::abort();
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Options options;
  const std::string text =
      "/cdn-cgi/media/" + std::string(reinterpret_cast<const char*>(data), size);
  const size_t mark = text.find('?');
  const std::string_view path = std::string_view(text).substr(0, mark);
  const std::string_view query =
      mark == std::string::npos ? std::string_view() : std::string_view(text).substr(mark + 1);
  if (!IsMediaUrl(path)) std::abort();
  const auto url = ParseMediaUrl(path, query, options);
  if (!url.ok()) {
    if (url.error().reason.empty() || url.error().public_message.empty()) std::abort();
    return 0;
  }
  CheckPath(url->path);
  std::string source = url->path;
  if (url->is_absolute()) {
    if (url->scheme != "http" && url->scheme != "https") std::abort();
    if (url->host.empty() || url->host.find_first_of("@/\\?#% \t\r\n") != std::string::npos)
      std::abort();
    source = url->canonical();
    for (const char c : source) {
      if (c <= ' ' || c >= 0x7f) std::abort();
    }
    if (source.find('#') != std::string::npos) std::abort();
    // What names the source names it again.
    const size_t its_query = source.find('?');
    const auto again = ParseMediaUrl("/cdn-cgi/media/width=10/" + source.substr(0, its_query),
                                     its_query == std::string::npos
                                         ? std::string_view()
                                         : std::string_view(source).substr(its_query + 1),
                                     options);
    if (!again.ok() || again->canonical() != source) std::abort();
  } else if (!url->host.empty() || !url->port.empty()) {
    std::abort();
  }
  const auto parsed = ParseMediaOptions(url->options, source,
                                        url->is_absolute() ? std::string_view() : query, options);
  if (!parsed.ok()) return 0;
  for (const char c : RenderWarnings(parsed->warnings)) {
    if (c < 0x20 || c == 0x7f) std::abort();
  }
  const std::string key = KeyOf(parsed->request);
  if (key.size() > kMaxKeyBytes) std::abort();
  for (const char c : key) {
    if (c <= ' ' || c == 0x7f || static_cast<unsigned char>(c) >= 0x80) std::abort();
  }
  if (parsed->request.source_path != source) std::abort();
  return 0;
}
