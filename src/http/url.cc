#include "http/url.h"

#include "http/ascii.h"

namespace vr::http {

namespace {

Result<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+' && plus_is_space) {
      out += ' ';
    } else if (c != '%') {
      out += c;
    } else {
      const int high = i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexValue(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return Error(Code::kInvalidArgument, "the URL has an invalid percent escape")
            .WithReason("INVALID_URL");
      }
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

bool IsUnreserved(char c) {
  const char lower = ToLower(c);
  return (lower >= 'a' && lower <= 'z') || IsDigit(c) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

}  // namespace

Result<std::string> PercentDecode(std::string_view text) {
  return Decode(text, false);
}
Result<std::string> QueryDecode(std::string_view text) {
  return Decode(text, true);
}

std::string PercentEncode(std::string_view text, std::string_view also_allowed) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (IsUnreserved(c) || also_allowed.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto u = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[u >> 4];
    out += kHex[u & 15];
  }
  return out;
}

Result<QueryPairs> SplitQuery(std::string_view query) {
  QueryPairs pairs;
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view piece = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (piece.empty()) continue;
    const size_t equals = piece.find('=');
    TRY(std::string name, QueryDecode(piece.substr(0, equals)));
    std::string value;
    if (equals != std::string_view::npos) {
      TRY(value, QueryDecode(piece.substr(equals + 1)));
    }
    pairs.emplace_back(std::move(name), std::move(value));
  }
  return pairs;
}

}  // namespace vr::http
