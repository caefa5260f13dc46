#include "http/aws_sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "base/check.h"
#include "http/ascii.h"

namespace vr::http {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    out += kDigits[u >> 4];
    out += kDigits[u & 15];
  }
  return out;
}

std::string Sha256(std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  VR_CHECK(::EVP_Digest(text.data(), text.size(), out, &size, ::EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<char*>(out), size};
}

std::string Hmac(std::string_view key, std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  VR_CHECK(::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(text.data()), text.size(), out,
                  &size) != nullptr);
  return {reinterpret_cast<char*>(out), size};
}

/// "20130524T000000Z".
std::string LongDate(WallTime now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

/// Without white space around it, and with one space for every run of it.
std::string Collapsed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool is_space = c == ' ' || c == '\t';
    if (!is_space)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// Values by lower-case name, as they are signed.
std::map<std::string, std::string> CanonicalFields(const FieldList& fields) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : fields) {
    std::string lower = name;
    for (char& c : lower) c = ToLower(c);
    const auto [at, is_new] = out.try_emplace(std::move(lower), Collapsed(value));
    if (!is_new) at->second += "," + Collapsed(value);
  }
  return out;
}

/// "host;x-amz-date".
std::string SignedNames(const FieldList& fields) {
  std::string out;
  for (const auto& [name, value] : CanonicalFields(fields)) out += (out.empty() ? "" : ";") + name;
  return out;
}

}  // namespace

std::string AwsSigner::EncodePath(std::string_view path) {
  return PercentEncode(path, "/");
}

std::string AwsSigner::EncodeQuery(const QueryPairs& query) {
  QueryPairs encoded;
  for (const auto& [name, value] : query)
    encoded.emplace_back(PercentEncode(name), PercentEncode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name + "=" + value;
  }
  return out;
}

std::string AwsSigner::CanonicalRequest(std::string_view method, std::string_view path,
                                        std::string_view encoded_query, const FieldList& fields,
                                        std::string_view payload_hash) {
  std::string out(method);
  out += '\n';
  out += EncodePath(path);
  out += '\n';
  out += encoded_query;
  out += '\n';
  for (const auto& [name, value] : CanonicalFields(fields)) out += name + ":" + value + "\n";
  out += '\n';
  out += SignedNames(fields);
  out += '\n';
  out += payload_hash;
  return out;
}

std::string AwsSigner::Scope(const std::string& date) const {
  return date.substr(0, 8) + "/" + region_ + "/" + service_ + "/aws4_request";
}

std::string AwsSigner::Signature(std::string_view canonical_request,
                                 const std::string& date) const {
  std::string text(kAlgorithm);
  text += "\n" + date + "\n" + Scope(date) + "\n" + Hex(Sha256(canonical_request));
  std::string key = Hmac("AWS4" + credentials_.secret_key, std::string_view(date).substr(0, 8));
  for (const std::string_view step :
       {std::string_view(region_), std::string_view(service_), std::string_view("aws4_request")}) {
    key = Hmac(key, step);
  }
  return Hex(Hmac(key, text));
}

FieldList AwsSigner::SignFields(const AwsRequest& request, WallTime now,
                                std::string_view payload_hash) const {
  const std::string date = LongDate(now);
  FieldList ours = {{"x-amz-date", date}, {"x-amz-content-sha256", std::string(payload_hash)}};
  if (!credentials_.session_token.empty())
    ours.emplace_back("x-amz-security-token", credentials_.session_token);
  FieldList fields = request.fields;
  fields.emplace_back("host", request.host);
  fields.insert(fields.end(), ours.begin(), ours.end());
  const std::string canonical = CanonicalRequest(request.method, request.path,
                                                 EncodeQuery(request.query), fields, payload_hash);
  std::string proof(kAlgorithm);
  proof += " Credential=" + credentials_.access_key + "/" + Scope(date) +
           ", SignedHeaders=" + SignedNames(fields) + ", Signature=" + Signature(canonical, date);
  ours.emplace_back("Authorization", std::move(proof));
  return ours;
}

std::string AwsSigner::Presign(const AwsRequest& request, WallTime now,
                               std::chrono::seconds expires) const {
  const std::string date = LongDate(now);
  FieldList fields = request.fields;
  fields.emplace_back("host", request.host);
  QueryPairs query = request.query;
  query.emplace_back("X-Amz-Algorithm", std::string(kAlgorithm));
  query.emplace_back("X-Amz-Credential", credentials_.access_key + "/" + Scope(date));
  query.emplace_back("X-Amz-Date", date);
  query.emplace_back("X-Amz-Expires", std::to_string(expires.count()));
  query.emplace_back("X-Amz-SignedHeaders", SignedNames(fields));
  if (!credentials_.session_token.empty())
    query.emplace_back("X-Amz-Security-Token", credentials_.session_token);
  std::string encoded = EncodeQuery(query);
  const std::string canonical =
      CanonicalRequest(request.method, request.path, encoded, fields, kUnsignedPayload);
  encoded += "&X-Amz-Signature=" + Signature(canonical, date);
  return encoded;
}

}  // namespace vr::http
