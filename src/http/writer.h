// ResponseWriter: puts one response at a time on a non-blocking socket. A plain state machine, no
// coroutine: the connection calls Push() until it is done and waits in between as Push() says.
//
// Memory goes out by sendmsg with the head in front, files by sendfile in turns of kTurnBytes; no
// byte of a body is copied in user space. With TLS both go through a buffer of the thread's into
// records. Bound to its connection's loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace vr::http {

class TlsStream;

class ResponseWriter {
 public:
  /// File bytes sent before other connections get their turn.
  static constexpr uint64_t kTurnBytes = 1024 * 1024;

  enum class Progress {
    kDone,     ///< everything queued was handed to the kernel
    kBlocked,  ///< wait until the socket is writable
    kTurn,     ///< let others run, then go on
    kFailed,   ///< the connection is broken
    kShort,    ///< a file ended early or could not be read: cut the connection
  };
  struct HeadOptions {
    bool is_head = false;   ///< HEAD: no body
    int minor_version = 1;  ///< of the request
    bool close = false;     ///< say "Connection: close"
  };

  /// From now on everything goes through `tls`, which is borrowed; null: to the socket.
  void UseTls(TlsStream* tls) { tls_ = tls; }

  /// Queues head and body pieces. `response` must live unchanged until the last Push(). For a
  /// StreamBody only the head is queued: bytes follow by AddStreamPiece(), the end by EndStream().
  /// @return whether the connection must be closed afterwards to mark the end of the body
  bool Start(const Response& response, const HeadOptions& options);
  /// Queues raw bytes that live until sent: "100 Continue".
  void StartRaw(std::string_view bytes);

  /// Queues the next bytes of the StreamBody. Only when all before is sent. `piece` is kept.
  /// @return false when they exceed the announced length (nothing is queued)
  bool AddStreamPiece(Piece piece);
  /// Queues the end. @return false when bytes are missing of the announced length: cut the
  /// connection.
  bool EndStream();

  Progress Push(int fd);
  /// Sends a head that the kernel holds back for the first bytes of a stream, up to 200 ms: they
  /// are not there yet. To be called when all is pushed. (tcp(7): setting TCP_NODELAY flushes.)
  void Uncork(int fd);

  uint64_t body_bytes() const { return body_bytes_; }
  bool anything_sent() const { return anything_sent_; }
  /// Time of the first body byte handed to the kernel, or of the last head byte when there is no
  /// body yet.
  std::optional<SteadyTime> first_byte_time() const { return first_byte_time_; }
  /// All that was queued went with the first byte, at its time.
  bool is_sent_at_once() const { return is_sent_at_once_; }
  /// The body's length as announced; nullopt when chunked or until close.
  std::optional<uint64_t> announced_length() const { return length_; }

 private:
  struct Segment {
    const char* data = nullptr;  ///< memory, or null for a file
    int fd = -1;
    uint64_t offset = 0;
    uint64_t length = 0;
    bool is_body = false;
  };
  void AddMemory(std::string_view bytes, bool is_body);
  void AddPiece(const Piece& piece);
  /// One system call. @return kDone when it sent something
  Progress PushMemory(int fd);
  Progress PushFile(int fd, uint64_t& turn_left);
  Progress PushTls();
  /// The next bytes to send, in memory: those of the segment or, gathered, of several. Empty when a
  /// file ended early.
  std::string_view NextForTls();
  void Sent(uint64_t n);
  /// Whether the kernel is to hold back part packets (tcp(7), TCP_CORK). Each call of sendfile ends
  /// with one otherwise, whatever follows.
  void Cork(int fd, bool is_wanted);

  TlsStream* tls_ = nullptr;
  std::vector<Segment> segments_;
  size_t next_ = 0;
  std::string status_line_;  ///< of another server's answer
  char head_[192];           ///< status line, framing and connection fields of this response
  char chunk_[40];           ///< end of the last chunk and head of the next
  Piece stream_piece_;
  std::optional<uint64_t> length_;
  uint64_t stream_left_ = 0;
  bool chunked_ = false;
  bool more_follows_ =
      false;  ///< a stream's next bytes come right behind: let the kernel hold a part packet
  bool is_chunk_open_ = false;  ///< its end goes out with what follows
  uint64_t body_bytes_ = 0;
  bool anything_sent_ = false;
  std::optional<SteadyTime> first_byte_time_;
  bool is_sent_at_once_ = false;
  bool is_corked_ = false;
};

}  // namespace vr::http
