// One request and its answer on an HTTP/2 connection, without the connection: fields to Request,
// Response to fields and bytes. Knows no frames. Bound to its connection's loop.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"
#include "http/parser.h"

namespace vr::http {

/// Collects what arrives of a request. In the end it is written as HTTP/1.1 and read by the one
/// RequestParser, so that one rule says what a valid request is, whichever way it came.
class H2RequestBuilder {
 public:
  explicit H2RequestBuilder(const ParseLimits& limits) : limits_(limits) {}
  /// Pseudo-fields (":path") too. What goes over the limits is dropped and remembered.
  void AddField(std::string_view name, std::string_view value);
  /// @return false when the body is too long; the rest need not be given
  bool AddBody(std::string_view bytes);
  bool expects_continue() const { return expects_continue_; }
  uint64_t body_size() const { return body_.size(); }
  /// Moves all into `request` (nothing about peer or id). @return why it is refused; `request` then
  /// has what could be read of it
  std::optional<ParseError> Build(Request& request);

 private:
  std::optional<ParseError> Check();

  const ParseLimits limits_;
  std::string method_, scheme_, authority_, path_;
  std::string host_;    ///< of a Host field
  std::string cookie_;  ///< its fields joined (RFC 9113 §8.2.3)
  std::string lines_;   ///< the others, as lines
  std::string body_;
  uint64_t head_bytes_ = 0;
  std::optional<ParseError> error_;
  bool expects_continue_ = false;
};

/// What an answer's fields are in HTTP/2: lower-case names, nothing that speaks of a connection
/// (RFC 9113 §8.2). The views live as long as this.
class H2Fields {
 public:
  explicit H2Fields(int status);
  /// "Name: value\r\n" lines.
  void AddLines(std::string_view lines);
  void Add(std::string_view name, std::string_view value);
  using Entry = std::pair<std::string_view, std::string_view>;
  /// Valid until the next Add.
  std::vector<Entry> entries() const;

 private:
  std::string text_;
  std::vector<std::pair<size_t, size_t>> sizes_;
};

/// The body of an answer, given out in portions of whatever size is asked for: each reader at its
/// own pace, and nothing is kept but the piece under way.
class H2Body {
 public:
  enum class Step {
    kMore,    ///< there may be more
    kEnd,     ///< that was all
    kWait,    ///< nothing there yet: AddPiece() or End() will follow
    kFailed,  ///< a file ended early or could not be read
  };
  /// `response` must stay as it is. @return whether there is a body to send
  bool Start(const Response& response, bool is_head);
  Step Read(std::span<char> space, size_t& n);
  /// The stream's next bytes, when all before were read. @return false: longer than announced
  bool AddPiece(Piece piece);
  /// @return false: shorter than announced
  bool End();
  /// More has to be asked of the stream.
  bool is_hungry() const { return is_stream_ && !is_ended_ && next_ == pieces().size(); }
  /// Bytes are here that were not read yet, or the end.
  bool has_something() const { return !is_hungry(); }
  std::optional<uint64_t> length() const { return length_; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  const std::vector<Piece>& pieces() const { return all_ != nullptr ? *all_ : own_; }

  const std::vector<Piece>* all_ = nullptr;  ///< the response's; null for a stream
  std::vector<Piece> own_;                   ///< the one under way of a stream
  size_t next_ = 0;
  uint64_t offset_ = 0;  ///< in pieces()[next_]
  std::optional<uint64_t> length_;
  uint64_t stream_left_ = 0;
  uint64_t bytes_read_ = 0;
  bool is_stream_ = false;
  bool is_ended_ = false;
};

}  // namespace vr::http
