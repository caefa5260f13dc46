// One client connection: reads requests, asks the handler, writes answers, one after the other.
// What is read ahead is bounded by the input buffer; nothing is read while a request is being
// answered.
//
// Bound to its loop. Keeps itself alive until its coroutine has ended.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "http/live_connection.h"
#include "http/parser.h"
#include "http/server_core.h"
#include "http/tls.h"
#include "http/writer.h"
#include "io/task.h"

namespace vr::http {

class Connection final : public std::enable_shared_from_this<Connection>,
                         public LiveConnection,
                         public InterimSender {
 public:
  Connection(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address);
  ~Connection() override;

  /// Takes a connected, non-blocking socket.
  void Start(UniqueFd fd, bool is_v6);
  /// Takes one whose TLS handshake is done.
  void StartTls(Socket socket, std::unique_ptr<TlsStream> tls);
  void Drain() override;
  void Cut() override;

  Task<void> SendInterim(int status, std::string fields) override;

 private:
  using Progress = ResponseWriter::Progress;
  /// What the timer is for.
  enum class Waiting { kNothing, kIdle, kHeader, kBody, kWrite, kClient, kLinger };

  void Spawn();
  Task<void> Run();
  /// Sends "100 Continue". @return false when the connection is broken
  Task<bool> SendContinue();
  Task<void> AskHandler();
  /// Goes on after a first Push() that did not finish.
  Task<Progress> Drive(Progress progress);
  Task<Progress> SendStream();
  Task<void> Refuse(ParseError error);
  /// Says no more and waits a little for the client's end: a close with unread bytes would reset
  /// the connection and could take the answer with it (RFC 9112 §9.6).
  Task<void> Linger();

  /// Where a read that waits may put what comes: an idle connection keeps no buffer but the first
  /// few bytes of the next request.
  boost::asio::mutable_buffer SpaceForMore();
  /// Gives the parser what such a read has brought.
  void Take(size_t received);
  /// As recv() into the parser's buffer.
  ssize_t Receive();
  /// What to wait for after a call that would have blocked; TLS may have to write to read.
  Socket::wait_type WaitFor(Socket::wait_type usual) const;
  void IdentifyRequest();
  std::optional<Response> TryNow();
  void Finish(bool is_complete, std::string_view error);
  void Abort();
  void OnEnd(std::exception_ptr failure);

  void ArmRead();
  void Arm(Waiting what, SteadyTime deadline);
  void StartTimer();
  void OnTimer();
  void OnWriteTimer();
  void StopWaiting(Waiting what);

  /// Watches for the client's leaving while nothing is read from it.
  void StartWatch();
  void OnReadable();
  void OnClientGone();

  const std::shared_ptr<ServerCore> core_;
  LoopShare& share_;
  const std::string peer_address_;
  Socket socket_;
  LoopTimer timer_;
  boost::asio::cancellation_signal stream_cancel_;
  int fd_ = -1;
  std::unique_ptr<TlsStream> tls_;  ///< null: plain

  std::array<char, RequestParser::kInitialBuffer> first_bytes_;
  RequestParser parser_;
  ResponseWriter writer_;
  Request request_;
  Response response_;
  SteadyTime request_time_;
  SteadyTime idle_since_;     ///< the beginning, or the end of the last answer
  std::string_view failure_;  ///< why the answer was not sent completely

  bool read_filled_buffer_ = false;  ///< there may be more that no wait would tell of
  bool is_answering_ = false;        ///< between a request and its Finished()
  bool is_streaming_ = false;
  bool is_client_gone_ = false;
  bool is_watching_ = false;
  bool must_poll_client_ =
      false;  ///< unread bytes hide the end of the stream: look for it by timer
  bool is_cut_ = false;
  bool is_aborted_ = false;
  bool is_interim_torn_ = false;  ///< an interim answer could not be sent whole: nothing may follow
  bool has_expired_ = false;

  Waiting waiting_ = Waiting::kNothing;
  Waiting reading_ = Waiting::kNothing;
  SteadyTime read_deadline_;
  SteadyTime deadline_;
  SteadyTime timer_expiry_;
  bool is_timer_armed_ = false;
  int unsent_ = 0;  ///< bytes the client's side had not acknowledged at the last look
};

}  // namespace vr::http
