#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "http/ascii.h"
#include "http/connection.h"
#include "http/handshake.h"
#include "http/server_core.h"
#include "io/timer.h"
#include "observe/log.h"

namespace vr::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr int kBacklog = 4096;
/// Accepted before the loop's other work gets its turn.
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kNoDescriptorsPause{100};
/// Unsent bytes the kernel keeps per connection; enough for a fast path, bounded for many slow
/// clients.
constexpr int kNotSentLowWater = 512 * 1024;
constexpr std::chrono::seconds kCutTime{1};

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

Error BadListen(const std::string& listen) {
  return Error(Code::kInvalidArgument, "the listen address is invalid",
               "listen address \"" + listen + "\"");
}

Result<Address> ParseListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return BadListen(listen);
  std::string host = listen.substr(0, colon);
  uint16_t port = 0;
  const char* end = listen.data() + listen.size();
  const auto parsed = std::from_chars(listen.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return BadListen(listen);
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (host == "localhost") host = "127.0.0.1";
  Address address{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    host = host.substr(1, host.size() - 2);
    if (::inet_pton(AF_INET6, host.c_str(), &address.v6.sin6_addr) != 1) return BadListen(listen);
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    if (::inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) != 1) return BadListen(listen);
  }
  return address;
}

std::string HostOf(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.any.sa_family == AF_INET6) {
    const in6_addr& v6 = address.v6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      ::inet_ntop(AF_INET, v6.s6_addr + 12, text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &v6, text, sizeof text);
    }
  } else if (address.any.sa_family == AF_INET) {
    ::inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
  }
  return text;
}

void SetInt(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

/// A listening socket; accepted sockets inherit the TCP options set here.
Result<UniqueFd> Listen(const ServerOptions& options, Address address) {
  const bool is_v6 = address.any.sa_family == AF_INET6;
  UniqueFd fd(::socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError(errno, "socket for " + options.listen);
  SetInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  SetInt(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(fd.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kNotSentLowWater);
  if (options.congestion_control != "system" &&
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, options.congestion_control.data(),
                   static_cast<socklen_t>(options.congestion_control.size())) != 0) {
    return Error(
        Code::kInvalidArgument, "the congestion control is not available",
        "congestion control \"" + options.congestion_control + "\": " + std::strerror(errno));
  }
  if (is_v6) SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const socklen_t length = is_v6 ? sizeof address.v6 : sizeof address.v4;
  if (::bind(fd.get(), &address.any, length) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    Error error = ErrnoError(errno, "listening on " + options.listen);
    error.code = Code::kUnavailable;
    error.public_message = "the address cannot be listened on";
    return error;
  }
  return fd;
}

class ServerImpl final : public Server {
 public:
  using Acceptor = asio::basic_socket_acceptor<tcp, io::Executor>;

  ServerImpl(std::shared_ptr<ServerCore> core, std::shared_ptr<Acceptor> acceptor,
             std::string address)
      : core_(std::move(core)), acceptor_(std::move(acceptor)), address_(std::move(address)) {}
  ~ServerImpl() override {
    if (!core_->is_closed.load()) CloseAll();
  }

  std::string address() const override { return address_; }
  size_t connections() const override { return core_->connections.load(); }

  void Drain() override {
    core_->is_draining.store(true);
    StopAccepting();
    for (auto& share : core_->shares) {
      asio::post(share->loop.context(), [core = core_, share = share.get()] {
        // A copy: who ends at once takes itself out.
        const std::vector<LiveConnection*> all(share->all.begin(), share->all.end());
        for (LiveConnection* connection : all) connection->Drain();
      });
    }
  }

  void CloseAll() override {
    core_->is_draining.store(true);
    core_->is_closed.store(true);
    StopAccepting();
    for (auto& share : core_->shares) {
      asio::post(share->loop.context(), [core = core_, share = share.get()] {
        const std::vector<LiveConnection*> all(share->all.begin(), share->all.end());
        for (LiveConnection* connection : all) connection->Cut();
      });
    }
    if (io::Loop::Current() != nullptr) return;
    std::unique_lock lock(core_->mutex);
    core_->all_gone.wait_for(lock, kCutTime, [this] { return core_->connections.load() == 0; });
  }

 private:
  void StopAccepting() {
    asio::post(acceptor_->get_executor(), [acceptor = acceptor_] {
      boost::system::error_code ignored;
      acceptor->close(ignored);
    });
  }

  const std::shared_ptr<ServerCore> core_;
  const std::shared_ptr<Acceptor> acceptor_;
  const std::string address_;
};

template <class First>
void HandOverTo(const std::shared_ptr<ServerCore>& core, UniqueFd fd, const Address& peer) {
  LoopShare& share = core->LeastLoaded();
  const bool is_v6 = peer.any.sa_family == AF_INET6;
  auto connection = std::make_shared<First>(core, share, HostOf(peer));
  // The descriptor waits in a shared_ptr: when the loop never runs the closure, it is closed all
  // the same.
  auto kept = std::make_shared<UniqueFd>(std::move(fd));
  core->ConnectionOpened(share);  // behind what can throw: nobody would count it down again
  auto start = [connection, kept, core, is_v6] {
    connection->Start(std::move(*kept), is_v6);
    if (core->is_closed.load()) connection->Cut();
  };
  if (io::Loop::Current() == &share.loop) {
    start();
  } else {
    asio::post(share.loop.context(), std::move(start));
  }
}

void HandOver(const std::shared_ptr<ServerCore>& core, UniqueFd fd, const Address& peer) {
  if (core->options.tls) {
    HandOverTo<Handshake>(core, std::move(fd), peer);
  } else {
    HandOverTo<Connection>(core, std::move(fd), peer);
  }
}

enum class Accepted { kOne, kNone, kNoDescriptors, kClosed };

Accepted AcceptOne(const std::shared_ptr<ServerCore>& core, int listener) {
  Address peer{};
  socklen_t length = sizeof peer;
  UniqueFd fd(::accept4(listener, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) {
    switch (errno) {
      case EAGAIN:
        return Accepted::kNone;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return Accepted::kNoDescriptors;
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
        return Accepted::kClosed;
      default:
        return Accepted::kOne;  // that client's own network trouble
    }
  }
  if (core->connections.load() >= static_cast<size_t>(core->options.max_connections)) {
    core->CountRefused("max_connections");
    return Accepted::kOne;
  }
  try {
    HandOver(core, std::move(fd), peer);
  } catch (const std::exception& e) {
    LogError("accept_failed", {{"what", e.what()}});
    return Accepted::kNoDescriptors;  // out of memory: the same pause
  }
  return Accepted::kOne;
}

Task<void> AcceptAll(std::shared_ptr<ServerCore> core,
                     std::shared_ptr<ServerImpl::Acceptor> acceptor) {
  const auto token = asio::as_tuple(io::kUseTask);
  while (acceptor->is_open()) {
    const auto [error] = co_await acceptor->async_wait(tcp::acceptor::wait_read, token);
    if (error || !acceptor->is_open()) co_return;
    Accepted accepted = Accepted::kOne;
    for (int i = 0; i < kAcceptsPerTurn && accepted == Accepted::kOne; ++i) {
      accepted = AcceptOne(core, acceptor->native_handle());
    }
    if (accepted == Accepted::kClosed) co_return;
    if (accepted == Accepted::kNoDescriptors) {
      // The listener stays readable: without a pause this would spin.
      core->CountRefused("no_descriptors");
      LogWarn("accept_paused",
              {{"what", "no descriptors or memory"}, {"connections", core->connections.load()}});
      co_await io::SleepUntil(std::chrono::steady_clock::now() + kNoDescriptorsPause);
    }
  }
}

}  // namespace

ServerCore::ServerCore(ServerOptions o, Handler& h, io::LoopPool& loops, Metrics& metrics)
    : options(std::move(o)),
      handler(h),
      open_connections(
          metrics.GetGauge("video_resizer_http_connections", "Open client connections")),
      total_connections(metrics.GetCounter("video_resizer_http_connections_total",
                                           "Client connections accepted")) {
  for (const char* reason :
       {"max_connections", "no_descriptors", "bad_request", "invalid_url", "uri_too_long",
        "headers_too_large", "body_too_large", "expectation_failed", "transfer_coding_unsupported",
        "method_unsupported", "version_unsupported", "request_timeout", "tls_handshake",
        "tls_timeout", "tls_plain_http", "h2_resets", "h2_flood", "h2_streams"}) {
    MetricLabels labels;
    labels["reason"] = reason;
    refused.emplace_back(
        reason,
        metrics.GetCounter("video_resizer_http_refused_total",
                           "Connections and requests refused by the server itself", labels));
  }
  for (size_t i = 0; i < loops.size(); ++i) shares.push_back(std::make_unique<LoopShare>(loops[i]));
}

LoopShare& ServerCore::LeastLoaded() {
  LoopShare* best = shares.front().get();
  for (auto& share : shares) {
    if (share->count.load(std::memory_order_relaxed) <
        best->count.load(std::memory_order_relaxed)) {
      best = share.get();
    }
  }
  return *best;
}

void ServerCore::ConnectionOpened(LoopShare& share) {
  share.count.fetch_add(1, std::memory_order_relaxed);
  connections.fetch_add(1);
  open_connections.Add(1);
  total_connections.Add();
}

void ServerCore::ConnectionClosed(LoopShare& share) {
  share.count.fetch_sub(1, std::memory_order_relaxed);
  open_connections.Add(-1);
  std::lock_guard lock(mutex);
  if (connections.fetch_sub(1) == 1) all_gone.notify_all();
}

void ServerCore::CountRefused(std::string_view reason) {
  for (auto& [name, counter] : refused) {
    if (EqualsNoCase(name, reason)) counter.Add();
  }
}

Result<std::unique_ptr<Server>> Server::Create(ServerOptions options, Handler& handler,
                                               io::LoopPool& loops, Metrics& metrics) {
  // sendfile has no MSG_NOSIGNAL: a client that left must be an error, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  TRY(const Address address, ParseListen(options.listen));
  TRY(UniqueFd fd, Listen(options, address));
  Address bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(fd.get(), &bound.any, &length) != 0) return ErrnoError(errno, "getsockname");
  const bool is_v6 = bound.any.sa_family == AF_INET6;
  const int port = ntohs(is_v6 ? bound.v6.sin6_port : bound.v4.sin_port);
  const std::string host = is_v6 ? "[" + HostOf(bound) + "]" : HostOf(bound);

  auto core = std::make_shared<ServerCore>(std::move(options), handler, loops, metrics);
  auto acceptor = std::make_shared<ServerImpl::Acceptor>(loops[0].executor());
  boost::system::error_code error;
  acceptor->assign(is_v6 ? tcp::v6() : tcp::v4(), fd.get(), error);
  if (error) return Error(Code::kUnavailable, "the address cannot be listened on", error.message());
  fd.Release();
  asio::co_spawn(loops[0].executor(), AcceptAll(core, acceptor), [](std::exception_ptr failure) {
    if (failure) LogError("accept_stopped", {{"what", "exception in the accept loop"}});
  });
  std::unique_ptr<Server> server =
      std::make_unique<ServerImpl>(core, acceptor, host + ":" + std::to_string(port));
  return server;
}

}  // namespace vr::http
