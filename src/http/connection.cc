#include "http/connection.h"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 at -O2 sees Asio's frame allocator inlined but not its match in operator delete (a false
// positive).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "http/status.h"
#include "io/draining_read.h"
#include "observe/log.h"

namespace vr::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

/// How often to look for the end of a client whose unread bytes hide it.
constexpr std::chrono::milliseconds kPollClient{500};
constexpr std::chrono::seconds kLingerTime{2};
constexpr size_t kLingerBytes = 4 * 1024 * 1024;
/// Pipelined requests answered before other connections get their turn.
constexpr int kAnswersPerTurn = 64;
constexpr ParseError kTimeout{408, "REQUEST_TIMEOUT", "the request did not arrive in time"};

SteadyTime Now() {
  return SteadyNow();
}

/// One BodyStream::Next() running as a coroutine of its own, so that it can be cancelled without
/// the connection's. Outlives whichever of the two ends first.
struct PullState {
  explicit PullState(io::Executor executor) : ended(executor) {
    ended.expires_at(SteadyTime::max());
  }
  std::optional<Result<std::optional<Piece>>> next;
  std::exception_ptr failure;
  bool is_done = false;
  LoopTimer ended;  ///< cancelled = done
};

Task<void> Pull(std::shared_ptr<BodyStream> stream, Context ctx, std::shared_ptr<PullState> state) {
  state->next.emplace(co_await stream->Next(ctx));
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address)
    : core_(std::move(core)),
      share_(share),
      peer_address_(std::move(peer_address)),
      socket_(share.loop.executor()),
      timer_(share.loop.executor()),
      parser_(LimitsOf(core_->options)) {}

Connection::~Connection() = default;

void Connection::Start(UniqueFd fd, bool is_v6) {
  boost::system::error_code error;
  fd_ = fd.get();
  socket_.assign(is_v6 ? tcp::v6() : tcp::v4(), fd_, error);
  if (error) {
    core_->ConnectionClosed(share_);
    return;
  }
  fd.Release();
  io::TellWhatIsLeft(fd_);
  Spawn();
}

void Connection::StartTls(Socket socket, std::unique_ptr<TlsStream> tls) {
  socket_ = std::move(socket);
  fd_ = socket_.native_handle();
  tls_ = std::move(tls);
  writer_.UseTls(tls_.get());
  Spawn();
}

void Connection::Spawn() {
  share_.all.insert(this);
  idle_since_ = Now();
  auto self = shared_from_this();
  asio::co_spawn(socket_.get_executor(), Run(),
                 [self](std::exception_ptr failure) { self->OnEnd(failure); });
}

void Connection::OnEnd(std::exception_ptr failure) {
  if (failure)
    LogError("connection_failed", {{"what", WhatOf(failure)}, {"request_id", request_.id}});
  if (is_answering_) {
    if (failure) failure_ = "internal";
    if (is_cut_) failure_ = "server_closing";
    Finish(false, failure_.empty() ? "client_gone" : failure_);
    Abort();
  }
  boost::system::error_code ignored;
  timer_.cancel();
  if (tls_ && !is_aborted_) tls_->Close();
  socket_.close(ignored);
  fd_ = -1;
  share_.all.erase(this);
  core_->ConnectionClosed(share_);
}

void Connection::Abort() {
  is_aborted_ = true;
  ResetOnClose(fd_);
}

void Connection::Drain() {
  if (waiting_ == Waiting::kIdle) socket_.cancel();
}

void Connection::Cut() {
  is_cut_ = true;
  stream_cancel_.emit(asio::cancellation_type::terminal);
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

// ---- the story of a connection ----

Task<void> Connection::Run() {
  const auto token = asio::as_tuple(io::kUseTask);
  bool may_read = true;
  int answers = 0;
  for (;;) {
    reading_ = Waiting::kNothing;
    auto step = parser_.Next();
    while (step == RequestParser::Step::kNeedMore || step == RequestParser::Step::kContinue) {
      if (step == RequestParser::Step::kContinue) {
        const bool is_sent = co_await SendContinue();
        if (!is_sent) co_return;
      }
      if (may_read) {
        const ssize_t n = Receive();
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) co_return;
        may_read = n > 0 && read_filled_buffer_;
        if (n > 0) {
          step = parser_.Next();
          continue;
        }
      }
      if (is_cut_ ||
          (core_->is_draining.load(std::memory_order_relaxed) && parser_.is_between_requests())) {
        co_return;
      }
      parser_.ReleaseIfEmpty();
      ArmRead();
      boost::system::error_code error;
      size_t received = 0;
      if (tls_) {
        std::tie(error) = co_await socket_.async_wait(WaitFor(tcp::socket::wait_read), token);
      } else {
        // Waiting alone would cost an epoll_ctl() each time; a read that waits does not.
        const io::DrainingBuffer space(SpaceForMore());
        std::tie(error, received) = co_await socket_.async_read_some(space, token);
        may_read = received == space.size();
      }
      StopWaiting(reading_);
      if (is_cut_) co_return;
      if (error) {
        if (!has_expired_ || reading_ == Waiting::kIdle) co_return;
        co_await Refuse(kTimeout);
        co_return;
      }
      answers = 0;
      if (tls_) {
        may_read = true;
        step = RequestParser::Step::kNeedMore;
      } else {
        Take(received);
        step = parser_.Next();
      }
    }
    if (step == RequestParser::Step::kError) {
      co_await Refuse(parser_.error());
      co_return;
    }

    request_time_ = Now();
    parser_.TakeInto(request_);
    IdentifyRequest();
    request_.received_at = request_time_;
    is_answering_ = true;
    must_poll_client_ = false;
    std::optional<Response> now = TryNow();
    if (now) {
      response_ = std::move(*now);
    } else {
      co_await AskHandler();
    }
    if (is_cut_ || is_interim_torn_) co_return;

    ResponseWriter::HeadOptions head;
    head.is_head = request_.is_head();
    head.minor_version = request_.minor_version;
    head.close = response_.close || !parser_.keep_alive() ||
                 core_->is_draining.load(std::memory_order_relaxed);
    const bool must_close = writer_.Start(response_, head);
    Progress progress = writer_.Push(fd_);
    if (progress != Progress::kDone) progress = co_await Drive(progress);
    if (progress == Progress::kDone && std::holds_alternative<StreamBody>(response_.body) &&
        !head.is_head && !HasNoBody(response_.status)) {
      progress = co_await SendStream();
    }
    if (progress == Progress::kShort) failure_ = "body_failed";
    if (progress != Progress::kDone) co_return;
    Finish(true, {});
    if (must_close) {
      // A client that asked for the close sends nothing more.
      if (parser_.keep_alive()) co_await Linger();
      co_return;
    }
    if (++answers >= kAnswersPerTurn) {
      answers = 0;
      co_await asio::post(socket_.get_executor(), io::kUseTask);
    }
  }
}

asio::mutable_buffer Connection::SpaceForMore() {
  if (parser_.is_between_requests()) return asio::buffer(first_bytes_);
  const std::span<char> space = parser_.Prepare();
  return {space.data(), space.size()};
}

void Connection::Take(size_t received) {
  if (parser_.is_between_requests()) {
    const std::span<char> space = parser_.Prepare();
    std::memcpy(space.data(), first_bytes_.data(), received);
  }
  parser_.Commit(received);
}

ssize_t Connection::Receive() {
  const std::span<char> space = parser_.Prepare();
  if (tls_) {
    const ssize_t n = tls_->Read(space);
    if (n > 0) parser_.Commit(static_cast<size_t>(n));
    read_filled_buffer_ = tls_->has_pending();
    return n;
  }
  for (;;) {
    const ssize_t n = ::recv(fd_, space.data(), space.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) parser_.Commit(static_cast<size_t>(n));
    read_filled_buffer_ = n > 0 && static_cast<size_t>(n) == space.size();
    return n;
  }
}

Socket::wait_type Connection::WaitFor(Socket::wait_type usual) const {
  if (!tls_) return usual;
  return tls_->wants_write() ? tcp::socket::wait_write : tcp::socket::wait_read;
}

void Connection::IdentifyRequest() {
  request_.id = RequestIdFor(request_);
  request_.peer_address = peer_address_;
  request_.is_tls = tls_ != nullptr;
  request_.interim = this;
}

std::optional<Response> Connection::TryNow() {
  try {
    return core_->handler.TryNow(request_);
  } catch (...) {
    LogError("handler_failed",
             {{"what", WhatOf(std::current_exception())}, {"request_id", request_.id}});
    return InternalError();
  }
}

Task<bool> Connection::SendContinue() {
  writer_.StartRaw("HTTP/1.1 100 Continue\r\n\r\n");
  Progress progress = writer_.Push(fd_);
  if (progress != Progress::kDone) progress = co_await Drive(progress);
  co_return progress == Progress::kDone;
}

Task<void> Connection::SendInterim(int status, std::string fields) {
  if (request_.minor_version == 0 || is_cut_ || is_client_gone_ || is_interim_torn_) co_return;
  std::string text = "HTTP/1.1 " + std::to_string(status) + ' ';
  text += ReasonPhrase(status);
  text += "\r\n" + fields + "\r\n";
  writer_.StartRaw(text);
  Progress progress = writer_.Push(fd_);
  if (progress != Progress::kDone) progress = co_await Drive(progress);
  is_interim_torn_ = progress != Progress::kDone;
  if (must_poll_client_) Arm(Waiting::kClient, Now() + kPollClient);
}

Task<void> Connection::AskHandler() {
  StartWatch();
  Context ctx;
  ctx.request_id = request_.id;
  std::exception_ptr failure;
  try {
    response_ = co_await core_->handler.Handle(ctx, request_);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  LogError("handler_failed", {{"what", WhatOf(failure)}, {"request_id", request_.id}});
  response_ = InternalError();
}

Task<Connection::Progress> Connection::Drive(Progress progress) {
  const auto token = asio::as_tuple(io::kUseTask);
  unsent_ = 0;
  for (;;) {
    if (progress == Progress::kTurn) {
      co_await asio::post(socket_.get_executor(), io::kUseTask);
    } else if (progress == Progress::kBlocked) {
      unsent_ = UnsentBytes(fd_).value_or(unsent_);
      has_expired_ = false;
      Arm(Waiting::kWrite, Now() + core_->options.write_timeout);
      const auto [error] = co_await socket_.async_wait(WaitFor(tcp::socket::wait_write), token);
      StopWaiting(Waiting::kWrite);
      if (error && has_expired_) failure_ = "write_timeout";
      if (error) co_return Progress::kFailed;
    } else {
      co_return progress;
    }
    if (is_cut_ || (is_streaming_ && is_client_gone_)) co_return Progress::kFailed;
    progress = writer_.Push(fd_);
  }
}

Task<Connection::Progress> Connection::SendStream() {
  const std::shared_ptr<BodyStream> stream = std::get<StreamBody>(response_.body).stream;
  const io::Executor executor = socket_.get_executor();
  const auto token = asio::as_tuple(io::kUseTask);
  Context ctx;
  ctx.request_id = request_.id;
  is_streaming_ = true;
  for (;;) {
    if (is_cut_ || is_client_gone_) co_return Progress::kFailed;
    StartWatch();
    if (must_poll_client_) Arm(Waiting::kClient, Now() + kPollClient);
    auto state = std::make_shared<PullState>(executor);
    auto when_done = [state](std::exception_ptr failure) {
      state->failure = failure;
      state->is_done = true;
      state->ended.cancel();
    };
    asio::co_spawn(executor, Pull(stream, ctx, state),
                   asio::bind_cancellation_slot(stream_cancel_.slot(), std::move(when_done)));
    if (!state->is_done) {
      writer_.Uncork(fd_);
      co_await state->ended.async_wait(token);
    }
    StopWaiting(Waiting::kClient);
    if (is_cut_ || is_client_gone_) co_return Progress::kFailed;
    auto& next = state->next;
    if (state->failure || !next || !next->ok()) {
      const std::string what = state->failure ? WhatOf(state->failure)
                               : !next        ? "no answer"
                                              : next->error().ToLogString();
      LogWarn("body_failed", {{"what", what}, {"request_id", request_.id}});
      failure_ = "body_failed";
      co_return Progress::kFailed;
    }
    const bool is_end = !next->value().has_value();
    const bool fits =
        is_end ? writer_.EndStream() : writer_.AddStreamPiece(std::move(*next->value()));
    if (!fits) {
      LogError("body_length_wrong", {{"request_id", request_.id},
                                     {"announced", writer_.announced_length().value_or(0)}});
      failure_ = "body_failed";
      co_return Progress::kFailed;
    }
    Progress progress = writer_.Push(fd_);
    if (progress != Progress::kDone) progress = co_await Drive(progress);
    if (is_end || progress != Progress::kDone) co_return progress;
  }
}

Task<void> Connection::Refuse(ParseError error) {
  request_time_ = Now();
  parser_.TakeInto(request_);
  IdentifyRequest();
  is_answering_ = true;
  core_->CountRefused(error.code);
  response_ = RefusalOf(error);
  response_.Add("X-Request-ID", request_.id);
  ResponseWriter::HeadOptions head;
  head.is_head = request_.is_head();
  head.close = true;
  writer_.Start(response_, head);
  Progress progress = writer_.Push(fd_);
  if (progress != Progress::kDone) progress = co_await Drive(progress);
  if (progress != Progress::kDone) co_return;
  Finish(true, {});
  co_await Linger();
}

Task<void> Connection::Linger() {
  if (tls_) tls_->Close();
  ::shutdown(fd_, SHUT_WR);
  const auto token = asio::as_tuple(io::kUseTask);
  const SteadyTime end = Now() + kLingerTime;
  size_t total = 0;
  char scratch[4096];
  while (total < kLingerBytes && !is_cut_) {
    const ssize_t n = ::recv(fd_, scratch, sizeof scratch, MSG_DONTWAIT);
    if (n > 0) {
      total += static_cast<size_t>(n);
      continue;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) co_return;
    Arm(Waiting::kLinger, end);
    const auto [error] = co_await socket_.async_wait(tcp::socket::wait_read, token);
    StopWaiting(Waiting::kLinger);
    if (error) co_return;
  }
}

/// Tells the handler how it ended, once per request, and gets ready for the next one.
void Connection::Finish(bool is_complete, std::string_view error) {
  const bool is_end_known = is_complete && !is_streaming_ && writer_.is_sent_at_once();
  is_answering_ = is_streaming_ = false;
  const SteadyTime now = is_end_known ? *writer_.first_byte_time() : Now();
  idle_since_ = now;
  Sent sent;
  sent.body_bytes = writer_.body_bytes();
  sent.complete = is_complete;
  sent.error = error;
  sent.seconds = SecondsBetween(request_time_, now);
  sent.first_byte_seconds = SecondsBetween(request_time_, writer_.first_byte_time().value_or(now));
  try {
    core_->handler.Finished(request_, response_, sent);
  } catch (...) {
    LogError("handler_failed",
             {{"what", WhatOf(std::current_exception())}, {"request_id", request_.id}});
  }
  response_ = Response();
  parser_.Recycle(request_);
}

// ---- time ----

void Connection::ArmRead() {
  const auto& options = core_->options;
  Waiting what = Waiting::kIdle;
  std::chrono::milliseconds timeout = options.idle_timeout;
  if (parser_.in_body()) {
    what = Waiting::kBody;
    timeout = options.body_timeout;
  } else if (parser_.in_head()) {
    what = Waiting::kHeader;
    timeout = options.header_timeout;
  }
  // The limit is for the whole head or body, however many reads it takes.
  if (reading_ != what) {
    reading_ = what;
    read_deadline_ = (what == Waiting::kIdle ? idle_since_ : Now()) + timeout;
  }
  has_expired_ = false;
  Arm(what, read_deadline_);
}

void Connection::Arm(Waiting what, SteadyTime deadline) {
  waiting_ = what;
  deadline_ = deadline;
  // A timer that fires too early only looks again; so most waits touch no timer at all.
  if (!is_timer_armed_ || timer_expiry_ > deadline) StartTimer();
}

void Connection::StopWaiting(Waiting what) {
  if (waiting_ == what) waiting_ = Waiting::kNothing;
}

void Connection::StartTimer() {
  is_timer_armed_ = true;
  timer_expiry_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;  // replaced by an earlier one, or the end
    self->is_timer_armed_ = false;
    if (self->waiting_ == Waiting::kNothing || self->fd_ < 0) return;
    if (Now() < self->deadline_) {
      self->StartTimer();
    } else {
      self->OnTimer();
    }
  });
}

void Connection::OnTimer() {
  switch (waiting_) {
    case Waiting::kNothing:
      return;
    case Waiting::kWrite:
      return OnWriteTimer();
    case Waiting::kClient: {
      pollfd look{fd_, POLLRDHUP, 0};
      if (::poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
        return OnClientGone();
      return Arm(Waiting::kClient, Now() + kPollClient);
    }
    default: {
      has_expired_ = true;
      boost::system::error_code ignored;
      socket_.cancel(ignored);
    }
  }
}

/// A slow client frees the socket's buffer in large steps, and the wait ends only after such a
/// step: progress is what its side has acknowledged meanwhile.
void Connection::OnWriteTimer() {
  const std::optional<int> unsent = UnsentBytes(fd_);
  if (unsent && *unsent < unsent_) {
    unsent_ = *unsent;
    return Arm(Waiting::kWrite, Now() + core_->options.write_timeout);
  }
  has_expired_ = true;
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

// ---- has the client left? ----

void Connection::StartWatch() {
  if (is_watching_ || is_client_gone_ || must_poll_client_) return;
  is_watching_ = true;
  socket_.async_wait(tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->is_watching_ = false;
                       if (!error && self->is_answering_) self->OnReadable();
                     });
}

void Connection::OnReadable() {
  char byte = 0;
  const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) {
    must_poll_client_ = true;
    // A client that leaves in the way of TLS sends a farewell in front of its end.
    pollfd look{fd_, POLLRDHUP, 0};
    if (tls_ && ::poll(&look, 1, 0) > 0 && (look.revents & POLLRDHUP) != 0) return OnClientGone();
    if (waiting_ == Waiting::kNothing) Arm(Waiting::kClient, Now() + kPollClient);
  } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    StartWatch();
  } else {
    OnClientGone();
  }
}

void Connection::OnClientGone() {
  is_client_gone_ = true;
  waiting_ = Waiting::kNothing;
  if (!is_streaming_) return;
  stream_cancel_.emit(asio::cancellation_type::terminal);
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

}  // namespace vr::http
