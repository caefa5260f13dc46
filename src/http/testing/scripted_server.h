// A small HTTP server on loopback that behaves as badly as a test wants. One thread per connection,
// raw sockets. Nothing in it waits for time: slow answers stop at a Gate that the test opens.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vr::http::testing {

/// Closed until Open(). Thread-safe.
class Gate {
 public:
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  /// Blocks until `n` parties have come to Wait().
  void AwaitArrivals(int n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= n; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

/// One request and the raw connection to answer on. Used by one thread.
class Exchange {
 public:
  std::string method, target;
  std::map<std::string, std::string> fields;  ///< names in lower case

  std::string Get(const std::string& name) const {
    const auto it = fields.find(name);
    return it == fields.end() ? "" : it->second;
  }
  /// @return false when the client has gone
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void Respond(const std::string& status, const std::string& fields_text, std::string_view body) {
    Send("HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         fields_text + "\r\n");
    Send(body);
  }
  /// Parses "bytes=a-b". @return false when there is no such field
  bool Range(uint64_t& first, uint64_t& last) const {
    unsigned long long a = 0, b = 0;
    if (std::sscanf(Get("range").c_str(), "bytes=%llu-%llu", &a, &b) != 2) return false;
    first = a;
    last = b;
    return true;
  }
  /// Ends the connection after this answer.
  void Close() { close_ = true; }
  /// Ends it with a reset.
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close_ = true;
  }

 private:
  friend class ScriptedServer;
  int fd_ = -1;
  bool close_ = false;
};

class ScriptedServer {
 public:
  using Script = std::function<void(Exchange&)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 256) != 0) {
      std::abort();
    }
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  /// Gates must be open by now.
  ~ScriptedServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    {
      std::lock_guard lock(mutex_);
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }

  int port() const { return port_; }
  std::string url(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  int requests() const { return requests_; }
  int connections() const { return connections_; }
  std::vector<std::map<std::string, std::string>> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void Accept() {
    while (!stopping_) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::lock_guard lock(mutex_);
      ++connections_;
      open_.insert(fd);
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }
  void Serve(int fd) {
    std::string input;
    while (!stopping_) {
      size_t end = 0;
      bool gone = false;
      while ((end = input.find("\r\n\r\n")) == std::string::npos) {
        char buffer[4096];
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) {
          gone = true;
          break;
        }
        input.append(buffer, static_cast<size_t>(n));
      }
      if (gone) break;
      Exchange exchange;
      exchange.fd_ = fd;
      Parse(input.substr(0, end + 2), exchange);
      input.erase(0, end + 4);
      {
        std::lock_guard lock(mutex_);
        seen_.push_back(exchange.fields);
      }
      ++requests_;
      script_(exchange);
      if (exchange.close_) break;
    }
    std::lock_guard lock(mutex_);
    open_.erase(fd);
    ::close(fd);
  }
  static void Parse(const std::string& head, Exchange& exchange) {
    size_t at = head.find("\r\n");
    const std::string line = head.substr(0, at);
    const size_t a = line.find(' '), b = line.rfind(' ');
    exchange.method = line.substr(0, a);
    exchange.target = line.substr(a + 1, b - a - 1);
    exchange.fields[":target"] = exchange.target;
    at += 2;
    while (at < head.size()) {
      const size_t end = head.find("\r\n", at);
      const std::string field = head.substr(at, end - at);
      at = end + 2;
      const size_t colon = field.find(':');
      if (colon == std::string::npos) continue;
      std::string name = field.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      size_t value = colon + 1;
      while (value < field.size() && field[value] == ' ') ++value;
      exchange.fields[name] = field.substr(value);
    }
  }

  const Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0}, connections_{0};
  mutable std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::map<std::string, std::string>> seen_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace vr::http::testing
