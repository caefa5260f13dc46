// Canonicalisation for SigV4 on any bytes: what is encoded decodes to what it was and holds nothing
// but what RFC 3986 leaves unreserved, and no path, query or field adds a line to what is signed.
// Build with the `fuzz` preset.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "http/ascii.h"
#include "http/aws_sigv4.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vr::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t mark = text.find('?');
  AwsRequest request;
  request.host = "h";
  request.path = "/" + std::string(text.substr(0, mark));
  std::string_view rest = mark == text.npos ? std::string_view() : text.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), piece.size() + 1));
    const size_t equals = std::min(piece.find('='), piece.size());
    request.query.emplace_back(piece.substr(0, equals),
                               piece.substr(std::min(piece.size(), equals + 1)));
  }
  const auto is_strict = [](std::string_view encoded, std::string_view more) {
    return std::all_of(encoded.begin(), encoded.end(), [&](char c) {
      const char lower = ToLower(c);
      return (lower >= 'a' && lower <= 'z') || IsDigit(c) ||
             std::string_view("-._~%").find(c) != std::string_view::npos ||
             more.find(c) != std::string_view::npos;
    });
  };
  const std::string path = AwsSigner::EncodePath(request.path);
  const auto decoded = PercentDecode(path);
  if (!is_strict(path, "/") || !decoded.ok() || *decoded != request.path) std::abort();
  const std::string query = AwsSigner::EncodeQuery(request.query);
  if (!is_strict(query, "=&")) std::abort();
  auto pairs = SplitQuery(query);
  if (!pairs.ok()) std::abort();
  QueryPairs wanted = request.query;
  std::sort(pairs->begin(), pairs->end());
  std::sort(wanted.begin(), wanted.end());
  if (*pairs != wanted) std::abort();

  const std::string canonical =
      AwsSigner::CanonicalRequest("GET", request.path, query, {{"host", "h"}}, AwsSigner::kNoBody);
  if (std::count(canonical.begin(), canonical.end(), '\n') != 6) std::abort();
  const AwsSigner signer({"id", "secret", ""}, "us-east-1");
  const vr::WallTime now = vr::FromUnixMillis(1'770'091'506'000);
  const FieldList fields = signer.SignFields(request, now);
  for (const auto& [name, value] : fields) {
    if (!IsToken(name) || !IsFieldValue(value)) std::abort();
  }
  if (!is_strict(signer.Presign(request, now, std::chrono::seconds(60)), "=&")) std::abort();
  return 0;
}
