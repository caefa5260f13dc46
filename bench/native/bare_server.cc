// What the kernel allows: a minimal epoll loop that answers from memory with one writev, or from a
// descriptor with sendfile. No parser worth the name, no log, no limits, no timeouts. The
// benchmarks state how near a real server comes to it.
//
//   bench_limit --files DIR [--sendfile-from BYTES]
//       Serves DIR's files as /name on a free port of 127.0.0.1; prints {"port": P}. Files of at
//       least so many bytes by sendfile. `Range: bytes=a-b` is a 206, any If-None-Match a 304. Ends
//       with SIGTERM.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>

#include "native/sockets.h"

namespace vr::bench {
namespace {

constexpr std::size_t kTurn = 1 << 20;  // bytes of one connection before the next one's turn

struct File {
  std::string bytes;
  int fd = -1;  // -1: from memory
  std::string head200;
};

struct Connection {
  int fd = -1;
  std::string in;
  const File* file = nullptr;  // being sent; null: between two requests
  std::string own_head;        // of a 206
  std::string_view head;       // what is left of it
  std::size_t at = 0, end = 0;
  bool waits_for_room = false;
};

std::string Head(std::string_view status, std::size_t length, std::string_view more) {
  return "HTTP/1.1 " + std::string(status) +
         "\r\nContent-Type: video/mp4\r\nContent-Length: " + std::to_string(length) +
         "\r\nETag: \"bench\"\r\nAccept-Ranges: bytes\r\nCache-Control: public, max-age=86400\r\n" +
         std::string(more) + "\r\n";
}

class Bare {
 public:
  Bare(const std::string& folder, std::size_t sendfile_from)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream in(entry.path(), std::ios::binary);
      File f;
      f.bytes.assign(std::istreambuf_iterator<char>(in), {});
      f.head200 = Head("200 OK", f.bytes.size(), "");
      if (f.bytes.size() >= sendfile_from)
        f.fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      files_.emplace("/" + entry.path().filename().string(), std::move(f));
    }
    not_modified_.head200 =
        "HTTP/1.1 304 Not Modified\r\nETag: \"bench\"\r\nCache-Control: public, "
        "max-age=86400\r\n\r\n";
  }

  void Run() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    Require(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                ::listen(listener_, 4096) == 0,
            "listen");
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    Watch(listener_, nullptr, EPOLLIN, EPOLL_CTL_ADD);
    std::printf("{\"port\": %d}\n", ntohs(address.sin_port));
    std::fflush(stdout);
    while (true) {
      std::array<epoll_event, 256> events;
      const int n = ::epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < n; ++i) {
        auto* c = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (c == nullptr) {
          Accept();
        } else if (!(c->file != nullptr ? Send(*c) : Receive(*c))) {
          ::close(c->fd);
          delete c;
        }
      }
    }
  }

 private:
  void Watch(int fd, Connection* c, std::uint32_t what, int operation) {
    epoll_event event{};
    event.events = what;
    event.data.ptr = c;
    Require(::epoll_ctl(epoll_, operation, fd, &event) == 0, "epoll_ctl");
  }

  void Accept() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      auto* c = new Connection;
      c->fd = fd;
      Watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
    }
  }

  bool Receive(Connection& c) {
    char buffer[8192];
    const ssize_t got = ::recv(c.fd, buffer, sizeof(buffer), 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    std::string_view request(buffer, static_cast<std::size_t>(got));
    if (!c.in.empty()) {
      c.in.append(request);
      request = c.in;
    }
    if (!request.ends_with("\r\n\r\n")) {
      if (c.in.empty()) c.in = request;
      return true;
    }
    const bool ok = Choose(c, request);
    c.in.clear();
    return ok && Send(c);
  }

  bool Choose(Connection& c, std::string_view request) {
    if (!request.starts_with("GET ")) return false;
    const auto found = files_.find(std::string(request.substr(4, request.find(' ', 4) - 4)));
    if (found == files_.end()) return false;
    const File& f = found->second;
    c.file = &f;
    c.head = f.head200;
    c.at = 0;
    c.end = f.bytes.size();
    if (request.find("\r\nIf-None-Match:") != std::string_view::npos) {
      c.file = &not_modified_;
      c.head = not_modified_.head200;
      c.end = 0;
    } else if (const auto range = request.find("\r\nRange: bytes=");
               range != std::string_view::npos) {
      const char* stop = request.data() + request.size();
      std::size_t last = 0;
      const auto first = std::from_chars(request.data() + range + 15, stop, c.at);
      if (std::from_chars(first.ptr + 1, stop, last).ec != std::errc() || last < c.at ||
          last >= f.bytes.size())
        return false;
      c.end = last + 1;
      c.own_head = Head("206 Partial Content", c.end - c.at,
                        "Content-Range: bytes " + std::to_string(c.at) + "-" +
                            std::to_string(last) + "/" + std::to_string(f.bytes.size()) + "\r\n");
      c.head = c.own_head;
    }
    return true;
  }

  /// Sends what fits, or a turn's worth. @return false when the connection is to be closed
  bool Send(Connection& c) {
    std::size_t turn = kTurn;
    while (!c.head.empty() || c.at < c.end) {
      if (turn == 0) return Wait(c);
      const std::size_t most = std::min(c.end - c.at, turn);
      const ssize_t sent = SendSome(c, most);
      if (sent < 0) return errno == EAGAIN && Wait(c);
      turn -= std::min(turn, static_cast<std::size_t>(sent));
    }
    c.file = nullptr;
    if (c.waits_for_room) Watch(c.fd, &c, EPOLLIN, EPOLL_CTL_MOD);
    c.waits_for_room = false;
    return true;
  }

  static ssize_t SendSome(Connection& c, std::size_t most) {
    ssize_t sent = 0;
    if (c.file->fd >= 0) {
      if (!c.head.empty()) {
        sent = ::send(c.fd, c.head.data(), c.head.size(), MSG_NOSIGNAL | MSG_MORE);
        if (sent > 0) c.head.remove_prefix(static_cast<std::size_t>(sent));
        return sent;
      }
      off_t offset = static_cast<off_t>(c.at);
      sent = ::sendfile(c.fd, c.file->fd, &offset, most);
      if (sent > 0) c.at += static_cast<std::size_t>(sent);
      return sent;
    }
    iovec parts[2] = {{const_cast<char*>(c.head.data()), c.head.size()},
                      {const_cast<char*>(c.file->bytes.data()) + c.at, most}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    sent = ::sendmsg(c.fd, &message, MSG_NOSIGNAL);
    if (sent > 0) {
      const auto of_head = std::min(static_cast<std::size_t>(sent), c.head.size());
      c.head.remove_prefix(of_head);
      c.at += static_cast<std::size_t>(sent) - of_head;
    }
    return sent;
  }

  bool Wait(Connection& c) {
    if (!c.waits_for_room) Watch(c.fd, &c, EPOLLOUT, EPOLL_CTL_MOD);
    c.waits_for_room = true;
    return true;
  }

  const int epoll_;
  int listener_ = -1;
  std::unordered_map<std::string, File> files_;
  File not_modified_;
};

}  // namespace
}  // namespace vr::bench

int main(int argc, char** argv) {
  std::string folder;
  std::size_t sendfile_from = SIZE_MAX;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--files") folder = argv[i + 1];
    if (name == "--sendfile-from") sendfile_from = std::strtoull(argv[i + 1], nullptr, 10);
  }
  if (folder.empty()) {
    std::fputs("bench_limit --files DIR [--sendfile-from BYTES]\n", stderr);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);  // sendfile to a client that has gone
  vr::bench::RaiseDescriptorLimit();
  vr::bench::Bare(folder, sendfile_from).Run();
}
