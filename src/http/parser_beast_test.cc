// Differential test: Boost.Beast as the oracle of RFC 9112. We may refuse more than it does, but
// whatever we accept it must accept too, with the same method, target, fields, body and end: else
// one of us can be smuggled past. The only translation unit that includes Beast (it compiles
// slowly).
#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstring>
#include <map>
#include <random>

#include "http/ascii.h"
#include "http/parser.h"

namespace vr::http {
namespace {

namespace beast = boost::beast::http;

using FieldsByName = std::map<std::string, std::vector<std::string>>;

struct Reading {
  bool accepted = false;
  std::string method, target, body;
  int minor = 0;
  FieldsByName fields;
  size_t consumed = 0;
  std::string why;
};

std::string Lower(std::string_view text) {
  std::string out;
  for (char c : text) out += ToLower(c);
  return out;
}

Reading ReadOurs(std::string_view wire) {
  ParseLimits limits;
  RequestParser parser(limits);
  Reading out;
  size_t done = 0;
  for (;;) {
    const auto step = parser.Next();
    if (step == RequestParser::Step::kContinue) continue;
    if (step == RequestParser::Step::kError) return out;
    if (step == RequestParser::Step::kReady) break;
    if (done == wire.size()) return out;
    const auto space = parser.Prepare();
    const size_t n = std::min(space.size(), wire.size() - done);
    std::memcpy(space.data(), wire.data() + done, n);
    parser.Commit(n);
    done += n;
  }
  Request request;
  parser.TakeInto(request);
  out.accepted = true;
  out.method = request.method_name;
  out.target = request.target;
  out.minor = request.minor_version;
  out.body = request.body;
  for (const Field& f : request.fields) out.fields[Lower(f.name)].emplace_back(f.value);
  out.consumed = done - parser.input_size();
  return out;
}

Reading ReadBeasts(std::string_view wire) {
  beast::request_parser<beast::string_body> parser;
  parser.header_limit(1 << 20);
  parser.body_limit(1 << 20);
  parser.eager(true);
  Reading out;
  boost::system::error_code error;
  while (!parser.is_done() && out.consumed < wire.size()) {
    const size_t n = parser.put(
        boost::asio::buffer(wire.data() + out.consumed, wire.size() - out.consumed), error);
    if (error == beast::error::need_more && n > 0) error = {};
    if (error) {
      out.why = error.message();
      return out;
    }
    out.consumed += n;
  }
  if (!parser.is_done()) {
    out.why = "incomplete";
    return out;
  }
  out.accepted = true;
  const auto& message = parser.get();
  out.method = std::string(message.method_string());
  out.target = std::string(message.target());
  out.minor = static_cast<int>(message.version() % 10);
  out.body = message.body();
  for (const auto& f : message) out.fields[Lower(f.name_string())].emplace_back(f.value());
  return out;
}

/// Where we differ on purpose, in being more lenient and still unambiguous.
bool IsKnownDifference(std::string_view wire, const Reading& ours, const Reading& beasts) {
  if (wire.starts_with('\r')) return true;  // empty lines in front of a request
  const size_t end = wire.find("\r\n");
  const std::string_view line = wire.substr(0, end);
  if (line.size() > 1 && line.back() > '1') return true;  // HTTP/1.2 is answered as 1.1
  // These lists say nothing about framing; words in them that are no tokens are passed over.
  return beasts.why == "bad value" &&
         (ours.fields.contains("connection") || ours.fields.contains("upgrade") ||
          ours.fields.contains("proxy-connection"));
}

/// Empty when both agree or we refuse.
std::string Disagreement(const std::string& wire) {
  const Reading ours = ReadOurs(wire);
  if (!ours.accepted) return {};
  const Reading beasts = ReadBeasts(wire);
  if (IsKnownDifference(wire, ours, beasts)) return {};
  if (!beasts.accepted) return "only we accept it: " + beasts.why;
  if (ours.method != beasts.method) return "method " + beasts.method;
  if (ours.minor != beasts.minor) return "version";
  if (ours.body != beasts.body) return "body: " + ours.body + " / " + beasts.body;
  if (ours.consumed != beasts.consumed) return "end";
  const bool is_absolute = !beasts.target.starts_with('/') && beasts.target != "*";
  if (!is_absolute && ours.target != beasts.target) return "target " + beasts.target;
  if (is_absolute && ours.target != "/" && !beasts.target.ends_with(ours.target.substr(1)))
    return "absolute target";
  for (const auto& [name, values] : ours.fields) {
    if (is_absolute && name == "host") continue;  // replaced by the target's authority
    const auto found = beasts.fields.find(name);
    if (found == beasts.fields.end()) return "field " + name;
    // Beast adds trailers behind the fields of the head.
    std::vector<std::string> theirs = found->second;
    if (theirs.size() < values.size()) return "count of " + name;
    theirs.resize(values.size());
    if (theirs != values) return "value of " + name;
  }
  return {};
}

std::vector<std::string> Table() {
  const std::string host = "Host: a.example:80\r\n";
  return {
      "GET / HTTP/1.1\r\n" + host + "\r\n",
      "GET /a/b?c=d&e=%20f HTTP/1.1\r\n" + host + "Range: bytes=0-1\r\nAccept: */*\r\n\r\n",
      "HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "GET http://h/x?y HTTP/1.1\r\n" + host + "\r\n",
      "OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
      "GET / HTTP/1.1\r\n" + host + "A: b\r\nA: c\r\nX:\r\nY: \t z \r\n\r\nGET /next",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhelloGET",
      "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\n" + host +
          "Transfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\\\"e\"\r\nhello\r\n0\r\nT: u\r\n\r\nX",
      "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
      "PUT /u HTTP/1.1\r\n" + host +
          "Connection: close, x\r\nTransfer-Encoding: "
          "chunked\r\n\r\n0a\r\n0123456789\r\n00\r\n\r\n",
      "POST / HTTP/1.1\r\n" + host +
          "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  };
}

TEST(ParserAgainstBeast, AgreeOnTheTable) {
  size_t accepted = 0;
  for (const std::string& wire : Table()) {
    EXPECT_EQ(Disagreement(wire), "") << wire;
    accepted += ReadOurs(wire).accepted;
  }
  EXPECT_EQ(accepted, Table().size() - 1);
}

TEST(ParserAgainstBeast, AgreeOnMutations) {
  const uint32_t seed = 20240607;
  std::mt19937 random(seed);
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::vector<std::string> snippets = {"\r\n",
                                             "\r",
                                             "\n",
                                             " ",
                                             "\t",
                                             ":",
                                             ",",
                                             ";",
                                             "=",
                                             "\"",
                                             "\\",
                                             "0",
                                             "5",
                                             "a",
                                             "%",
                                             "/",
                                             "?",
                                             "#",
                                             "\x7f",
                                             "\xff",
                                             std::string(1, '\0'),
                                             "\x0b",
                                             "chunked",
                                             "Transfer-Encoding: chunked\r\n",
                                             "Content-Length: 5\r\n",
                                             "Content-Length:",
                                             "Host: b\r\n",
                                             "Connection: close\r\n",
                                             "X: y\r\n z\r\n",
                                             "HTTP/1.1",
                                             "HTTP/1.0",
                                             "\r\n\r\n",
                                             ", ",
                                             "Upgrade: h2c\r\n",
                                             "identity",
                                             "0\r\n\r\n",
                                             "ffff",
                                             "+"};
  const std::vector<std::string> table = Table();
  size_t accepted = 0;
  const int rounds = 150'000;
  for (int i = 0; i < rounds; ++i) {
    std::string wire = table[pick(table.size())];
    for (size_t n = 1 + pick(3); n > 0; --n) {
      const size_t at = pick(wire.size() + 1);
      const size_t length = std::min(pick(6) + 1, wire.size() - at);
      switch (pick(5)) {
        case 0:
          wire.erase(at, length);
          break;
        case 1:
          wire.insert(at, snippets[pick(snippets.size())]);
          break;
        case 2:
          wire.replace(at, length, snippets[pick(snippets.size())]);
          break;
        case 3:
          wire.insert(pick(wire.size() + 1), wire.substr(at, length));
          break;
        default:
          if (at < wire.size()) wire[at] = static_cast<char>(random());
      }
    }
    accepted += ReadOurs(wire).accepted;
    const std::string disagreement = Disagreement(wire);
    ASSERT_EQ(disagreement, "") << "seed " << seed << " round " << i << "\n"
                                << ::testing::PrintToString(wire);
  }
  EXPECT_GT(accepted, static_cast<size_t>(rounds / 20));  // the mutations must not all be nonsense
}

}  // namespace
}  // namespace vr::http
