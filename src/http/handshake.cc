#include "http/handshake.h"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 at -O2 sees Asio's frame allocator inlined but not its match in operator delete (a false
// positive).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <cerrno>

#include "http/connection.h"
#include "http/h2_connection.h"
#include "http/respond.h"
#include "http/writer.h"
#include "observe/log.h"

namespace vr::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

/// First byte of a client that shakes hands (RFC 8446 §5.1). Without this look OpenSSL would wait
/// for the rest of what might be SSL 2.
constexpr char kHandshakeRecord = 22;
constexpr ParseError kPlain{400, "TLS_REQUIRED", "this port speaks HTTPS only"};
/// What a client that is refused may still send before the connection is closed.
constexpr size_t kLingerBytes = 256 * 1024;

bool IsUpperCase(char c) {
  return c >= 'A' && c <= 'Z';
}

}  // namespace

Handshake::Handshake(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address)
    : core_(std::move(core)),
      share_(share),
      peer_address_(std::move(peer_address)),
      socket_(share.loop.executor()),
      timer_(share.loop.executor()) {}

void Handshake::Start(UniqueFd fd, bool is_v6) {
  boost::system::error_code error;
  socket_.assign(is_v6 ? tcp::v6() : tcp::v4(), fd.get(), error);
  if (error) {
    core_->ConnectionClosed(share_);
    return;
  }
  fd.Release();
  share_.all.insert(this);
  timer_.expires_after(core_->options.handshake_timeout);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& e) {
    if (e) return;
    self->core_->CountRefused("tls_timeout");
    self->Cut();
  });
  auto self = shared_from_this();
  asio::co_spawn(socket_.get_executor(), Run(), [self](std::exception_ptr failure, bool is_done) {
    self->OnEnd(failure, is_done);
  });
}

void Handshake::Cut() {
  is_cut_ = true;
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

Task<bool> Handshake::WaitFor(Socket::wait_type what) {
  if (is_cut_) co_return false;
  const auto token = asio::as_tuple(io::kUseTask);
  const auto [error] = co_await socket_.async_wait(what, token);
  co_return !error && !is_cut_;
}

Task<bool> Handshake::Run() {
  const int fd = socket_.native_handle();
  char first = 0;
  for (;;) {
    const ssize_t n = ::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) break;
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) co_return false;
    const bool is_ready = co_await WaitFor(tcp::socket::wait_read);
    if (!is_ready) co_return false;
  }
  if (IsUpperCase(first)) {
    core_->CountRefused("tls_plain_http");
    co_await RefusePlain();
    co_return false;
  }
  if (first != kHandshakeRecord) {
    core_->CountRefused("tls_handshake");
    co_return false;
  }
  tls_ = std::make_unique<TlsStream>(core_->options.tls->context(), fd);
  for (;;) {
    const TlsStream::Step step = tls_->Handshake();
    if (step == TlsStream::Step::kDone) co_return true;
    if (step == TlsStream::Step::kFailed) {
      core_->CountRefused("tls_handshake");
      LogDebug("tls_handshake_failed", {{"what", TakeTlsError()}, {"peer", peer_address_}});
      // The alert that says why is on its way: no reset behind it.
      ::shutdown(fd, SHUT_WR);
      co_return false;
    }
    const bool is_ready =
        co_await WaitFor(tls_->wants_write() ? tcp::socket::wait_write : tcp::socket::wait_read);
    if (!is_ready) co_return false;
  }
}

Task<void> Handshake::RefusePlain() {
  const int fd = socket_.native_handle();
  const Response response = RefusalOf(kPlain);
  ResponseWriter writer;
  ResponseWriter::HeadOptions head;
  head.close = true;
  writer.Start(response, head);
  writer.Push(fd);  // a few hundred bytes into an empty buffer
  ::shutdown(fd, SHUT_WR);
  // Closing with unread bytes would reset the connection and could take the answer with it.
  char scratch[4096];
  size_t total = 0;
  while (total < kLingerBytes) {
    const ssize_t n = ::recv(fd, scratch, sizeof scratch, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) co_return;
    if (n > 0) {
      total += static_cast<size_t>(n);
      continue;
    }
    const bool is_ready = co_await WaitFor(tcp::socket::wait_read);
    if (!is_ready) co_return;
  }
}

void Handshake::OnEnd(std::exception_ptr failure, bool is_done) {
  if (failure) LogError("connection_failed", {{"what", WhatOf(failure)}, {"peer", peer_address_}});
  timer_.cancel();
  share_.all.erase(this);
  boost::system::error_code ignored;
  if (failure || !is_done || is_cut_) {
    socket_.close(ignored);
    core_->ConnectionClosed(share_);
    return;
  }
  // What follows takes the socket and its place in the count.
  try {
    if (tls_->has_chosen_h2()) {
      auto next = std::make_shared<H2Connection>(core_, share_, peer_address_);
      next->Start(std::move(socket_), std::move(tls_));
    } else {
      auto next = std::make_shared<Connection>(core_, share_, peer_address_);
      next->StartTls(std::move(socket_), std::move(tls_));
    }
  } catch (const std::exception& e) {
    LogError("connection_failed", {{"what", e.what()}, {"peer", peer_address_}});
    socket_.close(ignored);
    core_->ConnectionClosed(share_);
  }
}

}  // namespace vr::http
