// The load of the benchmarks: `bench_client load` asks for one target over and over, `bench_client
// hold` keeps idle and slow connections open. Bodies are thrown away by the kernel (MSG_TRUNC), so
// that the client is not what is measured: wrk copies and parses them, and is slower than the
// servers from 64 KiB on.
//
//   bench_client load --port P --target T [--header "Name: value"]... [--connections 16] [--seconds
//   1] [--status 200] [--length N]
//   With --targets FILE (one on each line) every request asks for any of them, all as likely; each
//   is asked once first.
//       Connects, asks once on each connection, prints "ready", waits for a line on stdin,
//       measures, prints one line of JSON.
//   bench_client hold --port P --target T [--idle N] [--slow N] [--slow-target T] [--rate
//   BYTES_PER_SECOND]
//       Prints "ready" when all connections are open, keeps them until stdin ends, then prints how
//       many are still alive.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "native/histogram.h"
#include "native/response_reader.h"
#include "native/sockets.h"

namespace vr::bench {
namespace {

struct Options {
  std::uint16_t port = 0;
  std::vector<std::string> targets;
  std::string slow_target;
  std::vector<std::string> headers;
  int connections = 16;
  double seconds = 1;
  int status = 200;
  std::optional<std::uint64_t> length;
  int idle = 0;
  int slow = 0;
  std::uint64_t rate = 16 << 10;  // bytes per second of a slow reader
};

Options Parse(int argc, char** argv) {
  Options o;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--port") {
      o.port = static_cast<std::uint16_t>(std::atoi(value));
    } else if (name == "--target") {
      o.targets.emplace_back(value);
    } else if (name == "--targets") {
      std::ifstream file(value);
      for (std::string line; std::getline(file, line);) o.targets.push_back(line);
    } else if (name == "--slow-target") {
      o.slow_target = value;
    } else if (name == "--header") {
      o.headers.emplace_back(value);
    } else if (name == "--connections") {
      o.connections = std::atoi(value);
    } else if (name == "--seconds") {
      o.seconds = std::atof(value);
    } else if (name == "--status") {
      o.status = std::atoi(value);
    } else if (name == "--length") {
      o.length = std::strtoull(value, nullptr, 10);
    } else if (name == "--idle") {
      o.idle = std::atoi(value);
    } else if (name == "--slow") {
      o.slow = std::atoi(value);
    } else if (name == "--rate") {
      o.rate = std::strtoull(value, nullptr, 10);
    } else {
      errno = EINVAL;
      Require(false, std::string(name));
    }
  }
  errno = EINVAL;
  Require(o.port != 0 && argc % 2 == 0 && !o.targets.empty(), "arguments");
  return o;
}

std::string RequestFor(const std::string& target, const std::vector<std::string>& headers) {
  std::string text =
      "GET " + target +
      " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench_client\r\nAccept: */*\r\n";
  for (const auto& h : headers) text += h + "\r\n";
  return text + "\r\n";
}

/// Tells the harness that all is set up, and waits until it has noted the server's CPU time.
void MeetHarness() {
  std::puts("ready");
  std::fflush(stdout);
  char line[16];
  (void)!std::fgets(line, sizeof(line), stdin);
}

struct Connection {
  int fd = -1;
  std::uint64_t asked = 0;
  ResponseReader reader;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (const auto& target : options.targets) {
      requests_.push_back(RequestFor(target, options.headers));
    }
  }

  int Run() {
    Open();
    // One round before the clock starts; large bodies on a few connections only, or that round
    // would be longer than the measured one.
    const bool large = options_.length.value_or(0) > (4 << 20);
    asking_ = false;
    to_warm_ = requests_.size() == 1 ? 0 : requests_.size();
    for (std::size_t i = 0;
         i < (large ? std::min<std::size_t>(connections_.size(), 4) : connections_.size()); ++i)
      Ask(connections_[i]);
    while (open_ > 0) Turn();
    MeetHarness();
    histogram_ = {};
    body_bytes_ = 0;
    asking_ = true;
    const double cpu = OwnCpuSeconds();
    const std::uint64_t begin = Now();
    end_ = begin + static_cast<std::uint64_t>(options_.seconds * 1e9);
    for (auto& c : connections_) Ask(c);
    while (Now() < end_) Turn();
    const double seconds = static_cast<double>(Now() - begin) / 1e9;
    std::printf(
        "{\"seconds\": %.6f, \"requests\": %llu, \"body_bytes\": %llu, \"p50_us\": %.1f, "
        "\"p99_us\": %.1f, \"max_us\": %.1f, "
        "\"client_cpu_seconds\": %.4f}\n",
        seconds, static_cast<unsigned long long>(histogram_.count()),
        static_cast<unsigned long long>(body_bytes_),
        static_cast<double>(histogram_.Percentile(0.5)) / 1e3,
        static_cast<double>(histogram_.Percentile(0.99)) / 1e3,
        static_cast<double>(histogram_.max()) / 1e3, OwnCpuSeconds() - cpu);
    std::fflush(stdout);
    return 0;
  }

 private:
  void Open() {
    connections_.resize(static_cast<std::size_t>(options_.connections));
    for (auto& c : connections_) {
      c.fd = Connect(options_.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &c;
      Require(::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) == 0, "epoll_ctl");
    }
  }

  void Ask(Connection& c) {
    c.reader.Reset();
    c.asked = Now();
    ++open_;
    Require(SendAll(c.fd, Next()), "send");
  }

  /// Every target once, in order, before the clock starts; then any of them, all as likely.
  const std::string& Next() {
    if (requests_.size() == 1) return requests_.front();
    if (!asking_ && to_warm_ > 0) return requests_[--to_warm_];
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return requests_[(random_ >> 20) % requests_.size()];
  }

  void Turn() {
    std::array<epoll_event, 256> events;
    const int n = ::epoll_wait(epoll_, events.data(), events.size(), 20);
    for (int i = 0; i < n; ++i)
      Read(*static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr));
  }

  void Read(Connection& c) {
    using State = ResponseReader::State;
    State state = c.reader.state();
    if (state == State::kHead) {
      char buffer[4096];
      const ssize_t got = ::recv(c.fd, buffer, sizeof(buffer), 0);
      if (got < 0 && errno == EAGAIN) return;
      Require(got > 0, "the server closed a connection");
      state = c.reader.Feed({buffer, static_cast<std::size_t>(got)});
      if (state == State::kBody || state == State::kDone) {
        Check(c.reader);
        body_bytes_ += c.reader.length() - c.reader.left();
      }
    }
    if (state == State::kBody) {
      const ssize_t got = ::recv(c.fd, nullptr, c.reader.left(), MSG_TRUNC);
      if (got < 0 && errno == EAGAIN) return;
      Require(got > 0, "the server cut a body short");
      body_bytes_ += static_cast<std::uint64_t>(got);
      state = c.reader.Skip(static_cast<std::uint64_t>(got));
    }
    errno = EPROTO;
    Require(state != State::kFailed, "not an answer we understand");
    if (state == State::kDone) {
      --open_;
      histogram_.Record(Now() - c.asked);
      if (asking_ || to_warm_ > 0) {
        Ask(c);
      } else {
        c.reader.Reset();
      }
    }
  }

  void Check(const ResponseReader& reader) const {
    errno = EPROTO;
    Require(reader.status() == options_.status, "status " + std::to_string(reader.status()));
    if (options_.length)
      Require(reader.length() == *options_.length, "length " + std::to_string(reader.length()));
  }

  const Options& options_;
  std::vector<std::string> requests_;
  std::size_t to_warm_ = 0;  // targets that were not yet asked for, of several
  std::uint64_t random_ = 42;
  const int epoll_;
  std::vector<Connection> connections_;
  Histogram histogram_;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t end_ = 0;
  int open_ = 0;  // requests without their whole answer
  bool asking_ = false;
};

/// Reads the answer to one request to its end, blocking.
void AskOnce(int fd, const std::string& request) {
  Require(SendAll(fd, request), "send");
  ResponseReader reader;
  char buffer[16384];
  while (reader.state() == ResponseReader::State::kHead ||
         reader.state() == ResponseReader::State::kBody) {
    pollfd p{fd, POLLIN, 0};
    ::poll(&p, 1, 10'000);
    const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
    Require(got > 0, "no answer");
    if (reader.state() == ResponseReader::State::kHead) {
      reader.Feed({buffer, static_cast<std::size_t>(got)});
    } else {
      reader.Skip(static_cast<std::uint64_t>(got));
    }
  }
  errno = EPROTO;
  Require(reader.state() == ResponseReader::State::kDone, "answer");
}

/// @return bytes thrown away, 0 when nothing is there, -1 when the peer has closed
long long Discard(int fd, std::size_t most) {
  const ssize_t got = ::recv(fd, nullptr, most, MSG_TRUNC);
  if (got > 0) return got;
  return got < 0 && errno == EAGAIN ? 0 : -1;
}

int Hold(const Options& options) {
  const std::string request = RequestFor(options.targets.front(), options.headers);
  const std::string slow_request = RequestFor(options.slow_target, options.headers);
  std::vector<int> idle, slow;
  for (int i = 0; i < options.idle; ++i) {
    idle.push_back(Connect(options.port));
    AskOnce(idle.back(), request);
  }
  for (int i = 0; i < options.slow; ++i) {
    slow.push_back(Connect(options.port, 16 << 10));
    Require(SendAll(slow.back(), slow_request), "send");
  }
  std::puts("ready");
  std::fflush(stdout);

  unsigned long long bytes = 0;
  std::vector<bool> gone(slow.size(), false);
  const std::size_t step = static_cast<std::size_t>(options.rate / 10);  // ten times a second
  pollfd input{0, POLLIN, 0};
  while (::poll(&input, 1, 100) == 0) {
    for (std::size_t i = 0; i < slow.size(); ++i) {
      if (gone[i]) continue;
      const long long got = Discard(slow[i], step);
      if (got < 0) gone[i] = true;
      bytes += static_cast<unsigned long long>(std::max(got, 0LL));
    }
  }
  const auto alive =
      std::count_if(idle.begin(), idle.end(), [](int fd) { return Discard(fd, 1) == 0; });
  std::printf("{\"idle_alive\": %lld, \"slow_alive\": %lld, \"slow_bytes\": %llu}\n",
              static_cast<long long>(alive),
              static_cast<long long>(std::count(gone.begin(), gone.end(), false)), bytes);
  return 0;
}

}  // namespace
}  // namespace vr::bench

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode != "load" && mode != "hold") {
    std::fputs(
        "bench_client load|hold --port P --target T ...; bench/native/load_client.cc tells all\n",
        stderr);
    return 2;
  }
  vr::bench::RaiseDescriptorLimit();
  const auto options = vr::bench::Parse(argc, argv);
  return mode == "load" ? vr::bench::Load(options).Run() : vr::bench::Hold(options);
}
