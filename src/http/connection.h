// One client connection: reads requests, asks the handler, writes answers, one after the other.
// What is read ahead is bounded by the input buffer; nothing is read while a request is being
// answered.
//
// Bound to its loop. Keeps itself alive until its coroutine has ended.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "http/parser.h"
#include "http/server_core.h"
#include "http/writer.h"
#include "io/task.h"

namespace vr::http {

class Connection : public std::enable_shared_from_this<Connection>, public InterimSender {
 public:
  Connection(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address);
  ~Connection() override;

  /// Takes a connected, non-blocking socket.
  void Start(UniqueFd fd, bool is_v6);
  /// Ends now when idle, else after the running answer.
  void Drain();
  /// Ends as soon as possible; an answer under way is cut.
  void Cut();

  Task<void> SendInterim(int status, std::string fields) override;

 private:
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, io::Executor>;
  using Timer = boost::asio::basic_waitable_timer<
      std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, io::Executor>;
  using Progress = ResponseWriter::Progress;
  /// What the timer is for.
  enum class Waiting { kNothing, kIdle, kHeader, kBody, kWrite, kClient, kLinger };

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

  ssize_t Receive();
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
  Timer timer_;
  boost::asio::cancellation_signal stream_cancel_;
  int fd_ = -1;

  RequestParser parser_;
  ResponseWriter writer_;
  Request request_;
  Response response_;
  SteadyTime request_time_;
  std::string_view failure_;  ///< why the answer was not sent completely

  bool read_filled_buffer_ = false;
  bool is_answering_ = false;  ///< between a request and its Finished()
  bool is_streaming_ = false;
  bool is_client_gone_ = false;
  bool is_watching_ = false;
  bool must_poll_client_ =
      false;  ///< unread bytes hide the end of the stream: look for it by timer
  bool is_cut_ = false;
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
