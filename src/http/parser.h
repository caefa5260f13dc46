// Request parser for HTTP/1.1 and 1.0 (RFC 9112), strict: what it accepts has one reading only, so
// that nothing can be smuggled past it.
//
// It owns the connection's input buffer. The caller fills Prepare(), says Commit(n) and asks
// Next(), with any number of bytes at a time; work is linear in the bytes. Bytes behind a complete
// request stay in the buffer until the next request is asked for. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "http/message.h"

namespace vr::http {

struct ParseLimits {
  uint64_t max_head_bytes =
      32 * 1024;  ///< request line and fields; also each chunked body's trailer section
  uint64_t max_target_bytes = 16 * 1024;
  uint64_t max_body_bytes = 1024 * 1024;
  size_t max_fields = 128;
};

/// Why a request is refused. All text is static.
struct ParseError {
  int status = 400;
  std::string_view code;
  std::string_view message;
};

class RequestParser {
 public:
  /// Bytes of the first buffer: most requests fit, and allocators have a fast way for it.
  static constexpr size_t kInitialBuffer = 1024;

  explicit RequestParser(ParseLimits limits) : limits_(limits) {}

  enum class Step {
    kNeedMore,  ///< read more
    kContinue,  ///< send "100 Continue", then go on as after kNeedMore; given at most once per
                ///< request
    kReady,     ///< TakeInto()
    kError,     ///< error(); nothing more can be read from this connection
  };

  /// Where the next bytes go; never empty while Next() says kNeedMore or kContinue.
  std::span<char> Prepare();
  void Commit(size_t n) { end_ += n; }
  Step Next();

  /// Moves the complete request out: head, fields and body. Fills nothing about peer or id.
  /// `request` may be a used one, its memory is reused.
  void TakeInto(Request& request);
  /// Gives a finished request's memory back for the next one.
  void Recycle(Request& request);
  /// Frees the buffer if no byte is in it.
  void ReleaseIfEmpty();

  /// Valid after kReady: the client's wish, by version and Connection field (RFC 9112 §9.3).
  bool keep_alive() const { return keep_alive_; }
  const ParseError& error() const { return error_; }
  /// Bytes of a request have arrived, but not all of them.
  bool in_head() const { return state_ == State::kHead && end_ > begin_; }
  bool in_body() const { return state_ != State::kHead && state_ != State::kReady; }
  bool has_input() const { return end_ > begin_; }
  /// Nothing of the next request has arrived, and nothing of this one is missing.
  bool is_between_requests() const { return !has_input() && !in_body(); }
  /// Bytes received and not consumed: those behind a complete request.
  size_t input_size() const { return end_ - begin_; }
  size_t buffer_size() const { return capacity_; }

 private:
  enum class State {
    kHead,
    kFixedBody,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailers,
    kReady,
    kError
  };

  Step Fail(const ParseError& error);
  Step NextHead();
  Step NextBody();
  /// Moves or copies the complete head [begin_, head_end) into request_.storage. @return where it
  /// begins
  char* KeepHead(size_t head_end);
  /// Each returns false with error_ set.
  bool ParseHead(char* head, size_t length);
  bool ParseRequestLine(char* line, size_t length);
  bool ParseTarget(char* target, size_t length);
  bool ParseFields(std::string_view lines);
  bool NoteField(const Field& field);
  bool AddContentLength(std::string_view value);
  bool AddTransferEncoding(std::string_view value);
  bool DecideFraming();
  bool ParseChunkSize(std::string_view line);
  /// Takes a line up to CRLF from begin_. @return kReady when `line` (valid until Prepare) is set
  Step TakeLine(uint64_t limit, const ParseError& too_long, std::string_view& line);
  bool Refuse(const ParseError& error) {
    error_ = error;
    return false;
  }

  const ParseLimits limits_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t begin_ = 0;  ///< first byte not consumed
  size_t end_ = 0;    ///< behind the last byte received
  size_t scan_ = 0;   ///< no line end between line_start_ and here
  size_t line_start_ = 0;
  int lines_ = 0;        ///< complete lines of the head so far
  int blank_lines_ = 0;  ///< empty lines in front of the request line
  State state_ = State::kHead;

  Request request_;            ///< being built
  size_t spare_capacity_ = 0;  ///< size of the storage handed out, when it was our buffer
  /// What the fields said about framing and persistence (RFC 9112 §6, §9).
  struct Facts {
    int hosts = 0;
    size_t host_index = 0;
    std::string_view authority;  ///< of an absolute-form target
    bool close = false;
    bool keep_alive = false;
    bool expects_continue = false;
    bool chunked = false;
    bool has_transfer_encoding = false;
    bool has_length = false;
    uint64_t length = 0;
  };
  Facts facts_;
  bool keep_alive_ = true;
  uint64_t body_left_ = 0;  ///< of the fixed body or of the chunk
  uint64_t trailer_bytes_ = 0;
  ParseError error_;
};

/// "name: value" without CRLF, as strict as the parser. For tests and trailers.
bool ParseFieldLine(std::string_view line, Field& field);

}  // namespace vr::http
