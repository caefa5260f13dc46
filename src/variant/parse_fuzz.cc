// Parse() on any bytes: never crashes, and what it takes is canonical: asked again, its own path
// and key come out the same. Build with the `fuzz` preset.
#include <cstdint>
#include <cstdlib>

#include "variant/key.h"
#include "variant/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vr::variant;
  static const Options options;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t mark = text.find('?');
  const std::string_view path = text.substr(0, mark);
  const std::string_view query =
      mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1);
  const auto parsed = Parse(path, query, options);
  if (!parsed.ok()) return 0;
  const VariantRequest& request = parsed->request;
  const std::string key = KeyOf(request);
  if (key.size() > kMaxKeyBytes) std::abort();
  for (const char c : key) {
    if (c <= ' ' || c == 0x7f || static_cast<unsigned char>(c) >= 0x80) std::abort();
  }
  std::string encoded;
  AppendEncoded(encoded, request.source_path);
  const auto again = Parse(encoded, query, options);
  if (!again.ok() || again->request != request || KeyOf(again->request) != key) std::abort();
  if (TagsOf(request, {}).size() < 3 || DigestOf(request, "s", "r").is_zero()) std::abort();
  return 0;
}
