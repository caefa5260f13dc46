// The canonical forms of AWS Signature Version 4 on any bytes: sorted, independent of the order
// they came in, decodable to what they were made of, and no byte of a path, query or value can add
// a line to what is signed. Build with the `fuzz` preset.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/ascii.h"
#include "http/aws_sigv4.h"

namespace {

using namespace vr::http;  // NOLINT: a fuzz target is its own world

bool IsUnreserved(char c) {
  const char lower = ToLower(c);
  return IsDigit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

void CheckEncoded(std::string_view text, std::string_view plain) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const auto is_digit = [&](size_t at) {
        return at < text.size() && (IsDigit(text[at]) || (text[at] >= 'A' && text[at] <= 'F'));
      };
      if (!is_digit(i + 1) || !is_digit(i + 2)) std::abort();
      i += 2;
    } else if (!IsUnreserved(text[i]) && plain.find(text[i]) == std::string_view::npos) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // path, then name and value in turn, one per NUL
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next = [&] {
    const size_t end = rest.find('\0');
    const std::string_view piece = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return std::string(piece);
  };
  AwsRequest request;
  request.host = "bucket.example:9000";
  request.path = "/" + next();
  while (!rest.empty() && request.query.size() < 20) {
    std::string name = next();
    request.query.emplace_back(std::move(name), next());
  }

  const std::string path = AwsSigner::EncodePath(request.path);
  CheckEncoded(path, "/");
  const auto decoded = PercentDecode(path);
  if (!decoded.ok() || *decoded != request.path) std::abort();
  if (std::all_of(request.path.begin(), request.path.end(),
                  [](char c) { return c == '/' || IsUnreserved(c); }) &&
      path != request.path) {
    std::abort();
  }

  const std::string query = AwsSigner::EncodeQuery(request.query);
  CheckEncoded(query, "=&");
  AwsRequest turned = request;
  std::reverse(turned.query.begin(), turned.query.end());
  if (AwsSigner::EncodeQuery(turned.query) != query) std::abort();
  const auto pairs = SplitQuery(query);
  if (!pairs.ok() || AwsSigner::EncodeQuery(*pairs) != query) std::abort();
  QueryPairs sorted = request.query;
  std::sort(sorted.begin(), sorted.end());
  QueryPairs back = *pairs;
  std::sort(back.begin(), back.end());
  if (back != sorted) std::abort();
  std::string last;
  for (const auto& [name, value] : *pairs) {
    std::string name_now = PercentEncode(name);
    if (name_now < last) std::abort();
    last = std::move(name_now);
  }

  const FieldList fields = {{"Host", request.host}, {"x-amz-date", " 20130524T000000Z  x "}};
  const std::string canonical =
      AwsSigner::CanonicalRequest("GET", request.path, query, fields, AwsSigner::kNoBody);
  if (std::count(canonical.begin(), canonical.end(), '\n') != 7) std::abort();

  static const AwsSigner signer({"AKID", "secret", "token"}, "auto");
  const vr::WallTime now = vr::FromUnixMillis(1369353600000);
  const FieldList signed_fields = signer.SignFields(request, now);
  if (signer.SignFields(turned, now) != signed_fields) std::abort();
  for (const auto& [name, value] : signed_fields) {
    if (!IsToken(name) || !IsFieldValue(value) || value.find("secret") != std::string::npos)
      std::abort();
  }
  const std::string presigned = signer.Presign(request, now, std::chrono::seconds(60));
  CheckEncoded(presigned, "=&");
  if (signer.Presign(turned, now, std::chrono::seconds(60)) != presigned) std::abort();
  const auto presigned_pairs = SplitQuery(presigned);
  if (!presigned_pairs.ok() || presigned_pairs->size() != request.query.size() + 7) std::abort();
  return 0;
}
