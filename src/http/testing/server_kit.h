// What tests of the server share: a client of raw bytes (plain or TLS), a handler, a growing body,
// the fixture.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "http/respond.h"
#include "http/server.h"
#include "http/testing/tls_end.h"
#include "io/notifier.h"
#include "io/timer.h"

namespace vr::http::testing {

using std::chrono::milliseconds;
inline constexpr milliseconds kPatience{20'000};

/// A blocking client socket with a deadline on everything.
class Client {
 public:
  /// Clients made from now on speak TLS. Tests of one program run one after the other.
  static inline bool uses_tls = false;

  explicit Client(const std::string& address, int receive_buffer = 0) {
    fd_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer > 0) {
      ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fd_.Reset();
    if (fd_ && uses_tls) tls_ = std::make_unique<TlsEnd>(fd_.get(), "");
  }
  bool connected() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  void Close() {
    if (tls_) tls_->Close();
    tls_.reset();
    fd_.Reset();
  }
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    tls_.reset();
    fd_.Reset();
  }
  bool Send(std::string_view bytes) {
    if (tls_) return tls_->Write(bytes);
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  enum class End { kData, kClosed, kReset, kTimeout };
  End ReadSome(std::string& out, milliseconds patience = kPatience) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (tls_ && !tls_->is_up()) return End::kReset;
    if ((!tls_ || !tls_->has_pending()) && ::poll(&p, 1, static_cast<int>(patience.count())) <= 0)
      return End::kTimeout;
    char buffer[65536];
    const ssize_t n = tls_ ? tls_->Read(buffer, sizeof buffer, patience)
                           : ::recv(fd_.get(), buffer, sizeof buffer, 0);
    // What made it readable may have been TLS's own.
    if (tls_ && n == TlsEnd::kNothing) return End::kTimeout;
    if (n == 0) return End::kClosed;
    if (n < 0) return End::kReset;
    out.append(buffer, static_cast<size_t>(n));
    return End::kData;
  }
  /// Everything until the server ends the connection.
  End ReadAll(std::string& out) {
    for (;;) {
      const End end = ReadSome(out);
      if (end != End::kData) return end;
    }
  }
  /// Up to and including `marker`; what came behind it waits for the next call.
  std::string ReadUntil(std::string_view marker) {
    for (;;) {
      const size_t at = pending_.find(marker);
      if (at != std::string::npos) return Cut(at + marker.size());
      if (ReadSome(pending_) != End::kData) return {};
    }
  }
  std::string ReadExactly(size_t n) {
    while (pending_.size() < n) {
      if (ReadSome(pending_) != End::kData) return {};
    }
    return Cut(n);
  }
  struct Answer {
    int status = 0;
    std::string head;
    std::string body;
    bool Has(const std::string& line) const {
      return head.find(line + "\r\n") != std::string::npos;
    }
  };
  /// One answer with Content-Length (or without body).
  Answer ReadAnswer(bool has_body = true) {
    Answer answer;
    answer.head = ReadUntil("\r\n\r\n");
    if (answer.head.size() < 12) return answer;
    answer.status = std::stoi(answer.head.substr(9, 3));
    const size_t at = answer.head.find("Content-Length: ");
    if (has_body && at != std::string::npos)
      answer.body = ReadExactly(std::stoul(answer.head.substr(at + 16)));
    return answer;
  }
  Answer Ask(const std::string& path, const std::string& lines = "", const char* method = "GET") {
    Send(std::string(method) + " " + path + " HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n");
    return ReadAnswer(std::string_view(method) != "HEAD");
  }

 private:
  std::string Cut(size_t n) {
    std::string part = pending_.substr(0, n);
    pending_.erase(0, n);
    return part;
  }
  UniqueFd fd_;
  std::unique_ptr<TlsEnd> tls_;  // goes before its descriptor
  std::string pending_;
};

/// A file that grows as the test says, read by as many streams as there are requests.
struct Growing {
  Growing() : file(std::make_shared<const UniqueFd>(::fileno(std::tmpfile()))) {}
  void Append(std::string_view bytes) {
    ASSERT_EQ(::pwrite(file->get(), bytes.data(), bytes.size(), static_cast<off_t>(size.load())),
              static_cast<ssize_t>(bytes.size()));
    size += bytes.size();
    notifier.NotifyAll();
  }
  void End(bool is_good) {
    (is_good ? ended : failed) = true;
    notifier.NotifyAll();
  }
  SharedFd file;
  std::atomic<uint64_t> size{0};
  std::atomic<bool> ended{false};
  std::atomic<bool> failed{false};
  std::atomic<int> streams{0};
  io::Notifier notifier;
};

class GrowingStream final : public BodyStream {
 public:
  explicit GrowingStream(std::shared_ptr<Growing> growing) : growing_(std::move(growing)) {
    ++growing_->streams;
  }
  ~GrowingStream() override {
    --growing_->streams;
    growing_->notifier.NotifyAll();
  }
  Task<Result<std::optional<Piece>>> Next(Context) override {
    for (;;) {
      const uint64_t ticket = growing_->notifier.ticket();
      if (growing_->failed) co_return Error(Code::kUnavailable, "failed", "as the test said");
      const uint64_t size = growing_->size;
      if (size > offset_) {
        FilePiece piece{growing_->file, offset_, size - offset_};
        offset_ = size;
        std::optional<Piece> next(std::move(piece));
        co_return next;
      }
      if (growing_->ended) co_return std::optional<Piece>();
      co_await growing_->notifier.WaitChange(ticket);
    }
  }

 private:
  const std::shared_ptr<Growing> growing_;
  uint64_t offset_ = 0;
};

class TestHandler final : public Handler {
 public:
  using Now = std::function<std::optional<Response>(const Request&)>;
  using Later = std::function<Task<Response>(const Request&)>;

  std::optional<Response> TryNow(const Request& request) override {
    const auto found = now.find(std::string(request.path));
    return found == now.end() ? std::nullopt : found->second(request);
  }
  Task<Response> Handle(Context, const Request& request) override {
    const auto found = later.find(std::string(request.path));
    if (found == later.end()) {
      Response response = ErrorResponse(404, "NOT_FOUND", "nothing here");
      co_return response;
    }
    Response response = co_await found->second(request);
    co_return response;
  }
  struct End {
    std::string path;
    std::string id;
    int status;
    Sent sent;
  };
  void Finished(const Request& request, const Response& response, const Sent& sent) override {
    std::lock_guard lock(mutex_);
    ends_.push_back(End{std::string(request.path), request.id, response.status, sent});
    changed_.notify_all();
  }
  /// Waits until `n` answers ended.
  std::vector<End> WaitEnds(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return ends_.size() >= n; });
    return ends_;
  }

  std::map<std::string, Now> now;
  std::map<std::string, Later> later;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<End> ends_;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    options_.listen = "127.0.0.1:0";
    handler_.now["/hello"] = [](const Request& request) {
      Response response;
      response.Add("Content-Type", "text/plain");
      response.Add("X-Request-ID", request.id);
      response.SetBody("hello " + std::string(request.query) + request.body);
      return std::optional<Response>(std::move(response));
    };
    handler_.later["/later"] = [](const Request&) -> Task<Response> {
      co_await io::SleepUntil(std::chrono::steady_clock::now() + milliseconds(5));
      Response response;
      response.SetBody("later");
      co_return response;
    };
  }
  ~ServerTest() override {
    if (server_) server_->CloseAll();
    loops_.Stop();
    Client::uses_tls = false;
  }
  void UseTls(bool is_wanted) {
    Client::uses_tls = is_wanted;
    if (!is_wanted) return;
    auto loaded = TlsCredentials::Load(files_.Write("localhost"), true);
    ASSERT_TRUE(loaded.ok()) << loaded.error().ToLogString();
    options_.tls = *loaded;
  }
  void Start() {
    loops_.Start();
    auto made = Server::Create(options_, handler_, loops_, metrics_);
    ASSERT_TRUE(made.ok()) << made.error().ToLogString();
    server_ = std::move(*made);
  }
  /// Serves `growing` at /stream.
  void ServeStream(std::shared_ptr<Growing> growing,
                   std::optional<uint64_t> length = std::nullopt) {
    handler_.later["/stream"] = [growing, length](const Request&) -> Task<Response> {
      Response response;
      StreamBody body;
      body.stream = std::make_shared<GrowingStream>(growing);
      body.length = length;
      response.body = std::move(body);
      co_return response;
    };
  }
  void WaitFor(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds(1));
    EXPECT_TRUE(condition());
  }
  double Metric(const std::string& line) {
    const std::string text = metrics_.Render();
    const size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }

  TestCertificates files_;
  ServerOptions options_;
  Metrics metrics_;
  TestHandler handler_;
  io::LoopPool loops_{2};
  std::unique_ptr<Server> server_;
};

}  // namespace vr::http::testing
