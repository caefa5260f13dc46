#include "http/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "base/check.h"
#include "base/mutex.h"
#include "http/ascii.h"
#include "http/date.h"
#include "http/location.h"
#include "io/notifier.h"

namespace vr::http {

namespace {

/// The most of a redirect's body that is read so that its connection can be used again.
constexpr uint64_t kMaxRedirectBody = 64 << 10;
constexpr long kReceiveBuffer = 256 << 10;
constexpr int kMaxPollMs = 1'000;
/// The longest Location that is followed, in bytes.
constexpr size_t kMaxLocation = 8 << 10;
/// A forwarded request is never sent twice, so a kept connection that the origin has just closed
/// costs it its answer: only those are used again that were in use a moment ago.
constexpr long kForwardedIdleSeconds = 1;
constexpr const char* kUnreachable = "the origin could not be reached";
constexpr const char* kKeptConnectionLost = "a kept connection ended without an answer";
constexpr const char* kQueueTimeout = "no connection became free in time";

bool ParseNumber(std::string_view text, uint64_t& out) {
  if (text.empty() || !IsDigit(text.front())) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<std::string_view> ResponseHead::Get(std::string_view name) const {
  return FirstValue(fields, name);
}

std::optional<ReceivedRange> ResponseHead::content_range() const {
  const auto value = Get("Content-Range");
  if (!value) return std::nullopt;
  return ParseContentRange(*value);
}

bool ResponseHead::is_coded() const {
  return std::any_of(fields.begin(), fields.end(), [](const auto& field) {
    return EqualsNoCase(field.first, "Content-Encoding") && !Trim(field.second).empty() &&
           !EqualsNoCase(Trim(field.second), "identity");
  });
}

int64_t ResponseHead::last_modified_ms() const {
  const auto value = Get("Last-Modified");
  if (!value) return 0;
  const auto time = ParseDate(*value);
  return time ? ToUnixMillis(*time) : 0;
}

std::optional<std::chrono::seconds> ResponseHead::retry_after(WallTime now) const {
  const auto value = Get("Retry-After");
  if (!value) return std::nullopt;
  uint64_t seconds = 0;
  if (ParseNumber(Trim(*value), seconds)) {
    return std::chrono::seconds(std::min<uint64_t>(seconds, 1u << 30));
  }
  const auto date = ParseDate(Trim(*value), now);
  if (!date) return std::nullopt;
  return std::max(std::chrono::seconds(0), std::chrono::ceil<std::chrono::seconds>(*date - now));
}

std::optional<ReceivedRange> ParseContentRange(std::string_view value) {
  value = Trim(value);
  if (value.size() < 6 || !EqualsNoCase(value.substr(0, 6), "bytes ")) return std::nullopt;
  value = Trim(value.substr(6));
  const size_t slash = value.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view range = value.substr(0, slash), total = value.substr(slash + 1);
  ReceivedRange out;
  if (total != "*") {
    uint64_t n = 0;
    if (!ParseNumber(total, n)) return std::nullopt;
    out.total = n;
  }
  if (range == "*") return out.total ? std::optional(out) : std::nullopt;
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  ByteRange bytes;
  if (!ParseNumber(range.substr(0, dash), bytes.first) ||
      !ParseNumber(range.substr(dash + 1), bytes.last) || bytes.last < bytes.first ||
      (out.total && bytes.last >= *out.total)) {
    return std::nullopt;
  }
  out.range = bytes;
  return out;
}

namespace {

bool IsPrivate4(uint32_t a) {  // host byte order
  const auto in = [a](uint32_t net, int bits) {
    return (a >> (32 - bits)) == (net >> (32 - bits));
  };
  return in(0x00000000, 8) || in(0x0a000000, 8) || in(0x64400000, 10) || in(0x7f000000, 8) ||
         in(0xa9fe0000, 16) || in(0xac100000, 12) || in(0xc0000000, 24) || in(0xc0000200, 24) ||
         in(0xc0a80000, 16) || in(0xc6120000, 15) || in(0xc6336400, 24) || in(0xcb007100, 24) ||
         in(0xe0000000, 4) || in(0xf0000000, 4);
}

bool IsPrivate6(const uint8_t* a) {
  const auto v4 = [a](int at) {
    return IsPrivate4(static_cast<uint32_t>(a[at]) << 24 | a[at + 1] << 16 | a[at + 2] << 8 |
                      a[at + 3]);
  };
  static constexpr uint8_t kZero[12] = {};
  if (std::memcmp(a, kZero, 10) == 0 && a[10] == 0xff && a[11] == 0xff) return v4(12);  // mapped
  if (a[0] == 0 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b)  // NAT64, of which /96 is global
    return std::memcmp(a + 4, kZero, 8) != 0 || v4(12);
  if (a[0] == 0x20 && a[1] == 0x02) return v4(2);             // 6to4
  if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 2) return true;  // 2001::/23: Teredo, ORCHID, ...
  if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) return true;  // documentation
  if (a[0] == 0x3f && a[1] == 0xff && a[2] < 0x10) return true;                   // documentation
  return (a[0] & 0xe0) != 0x20;  // everything outside 2000::/3 is not global unicast
}

}  // namespace

bool IsPrivateAddress(const void* address) {
  sockaddr head;
  std::memcpy(&head, address, sizeof head);
  if (head.sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    return IsPrivate4(ntohl(v4.sin_addr.s_addr));
  }
  if (head.sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    return IsPrivate6(v6.sin6_addr.s6_addr);
  }
  return true;
}

bool IsUnreachable(const Error& error) {
  return error.code == Code::kUnavailable && error.public_message == kUnreachable;
}

bool IsKeptConnectionLost(const Error& error) {
  return error.code == Code::kUnavailable && error.detail == kKeptConnectionLost;
}

class TransferImpl;

namespace {

/// More idle connections than are ever kept; names of closed ones stay until then.
constexpr size_t kMaxKept = 1024;

std::string ConnectionName(const char* remote, long remote_port, long local_port) {
  return std::string(remote == nullptr ? "" : remote) + ' ' + std::to_string(remote_port) + ' ' +
         std::to_string(local_port);
}

}  // namespace

/// The thread, the multi handle, and the transfers it drives. Lock order: none, mutex_ is a leaf.
class Client::Core : public std::enable_shared_from_this<Client::Core> {
 public:
  enum class What { kStart, kCancel, kResume };

  explicit Core(ClientOptions options) : options_(std::move(options)) {}
  ~Core() { VR_CHECK(!thread_.joinable()); }

  bool Init();
  void Stop();
  void Send(What what, std::shared_ptr<TransferImpl> transfer);
  const ClientOptions& options() const { return options_; }

 private:
  friend class ::vr::http::TransferImpl;
  using Ref = std::shared_ptr<TransferImpl>;

  void Remember(CURL* easy);
  bool IsQuiet(const std::string& connection);

  void Run();
  void Obey(What what, const Ref& transfer);
  void StartQueued();
  void Launch(const Ref& transfer);
  void Leave(TransferImpl& transfer);
  void CurlDone(const Ref& transfer, CURLcode code);
  void NextHop(const Ref& transfer);
  void Finish(const Ref& transfer, Result<void> result);
  int CheckTimers();

  const ClientOptions options_;

  Mutex mutex_;
  std::vector<std::pair<What, Ref>> inbox_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;

  // The client's thread only.
  CURLM* multi_ = nullptr;
  std::unordered_set<Ref> live_;         ///< started, not finished
  std::map<std::string, int> per_host_;  ///< running, by authority
  int running_ = 0;
  std::deque<Ref> queue_;            ///< waiting for a connection
  std::map<std::string, int> kept_;  ///< sockets of idle connections, by ConnectionName()

  std::thread thread_;
};

/// All members but `core`, `request` and `sink` belong to the client's thread.
class TransferImpl final : public Transfer, public std::enable_shared_from_this<TransferImpl> {
 public:
  TransferImpl(std::shared_ptr<Client::Core> c, ClientRequest r, std::shared_ptr<BodySink> s)
      : core(std::move(c)), request(std::move(r)), sink(std::move(s)) {}
  ~TransferImpl() override { DropCurl(); }

  void Start() override { core->Send(Client::Core::What::kStart, shared_from_this()); }
  void Cancel() override { core->Send(Client::Core::What::kCancel, shared_from_this()); }
  void Resume() override { core->Send(Client::Core::What::kResume, shared_from_this()); }

  void DropCurl() {
    if (easy != nullptr) ::curl_easy_cleanup(easy);
    if (list != nullptr) ::curl_slist_free_all(list);
    easy = nullptr;
    list = nullptr;
  }
  bool Configure();

  static size_t OnHeaderLine(char* data, size_t size, size_t count, void* self) {
    return static_cast<TransferImpl*>(self)->HeaderLine(std::string_view(data, size * count))
               ? size * count
               : 0;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    return static_cast<TransferImpl*>(self)->Body(std::string_view(data, size * count));
  }
  static int OnPrereq(void* self, char* remote, char*, int remote_port, int local_port) {
    auto* t = static_cast<TransferImpl*>(self);
    if (!t->core->IsQuiet(ConnectionName(remote, remote_port, local_port))) {
      t->needs_fresh = true;
      return CURL_PREREQFUNC_ABORT;
    }
    // libcurl sends a request once more when a kept connection ends without an answer.
    if (t->connected && t->request.forwarded) {
      t->resend_refused = true;
      return CURL_PREREQFUNC_ABORT;
    }
    t->connected = true;
    t->last_activity = std::chrono::steady_clock::now();
    t->sink->OnConnected();
    return CURL_PREREQFUNC_OK;
  }
  static curl_socket_t OnOpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
    auto* t = static_cast<TransferImpl*>(self);
    if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
    if (t->restricted && IsPrivateAddress(&address->addr)) {
      t->address_refused = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  const std::shared_ptr<Client::Core> core;
  const ClientRequest request;
  std::shared_ptr<BodySink> sink;

  CURL* easy = nullptr;
  curl_slist* list = nullptr;
  char error_text[CURL_ERROR_SIZE] = {};
  UrlParts first, now;
  std::string redirect_to;
  int hops = 0;
  bool started = false, finished = false;
  bool in_multi = false, holds_slot = false;
  bool restricted = false;  ///< this hop must not reach private addresses
  bool left_home = false;   ///< a hop went elsewhere: credentials are not sent any more
  bool address_refused = false;
  bool connected = false;
  bool resend_refused = false;
  bool needs_fresh = false;  ///< the kept connection had something to say before it was asked
  bool redirecting = false;
  bool redirect_cut = false;
  bool head_done = false;
  bool want_pause = false, paused = false;
  std::optional<Error> verdict;  ///< why a callback of ours stopped it
  ResponseHead head;
  size_t head_bytes = 0;
  uint64_t body_bytes = 0;
  SteadyTime last_activity, paused_since, total_deadline = SteadyTime::max();

 private:
  bool Refuse(Error error) {
    verdict = std::move(error);
    return false;
  }
  /// Method, target and body of a request that is passed on. @param set sets an option
  void ConfigureForwarded(const auto& set) {
    const Forwarded& f = *request.forwarded;
    if (f.body) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(f.body->size()));
      set(CURLOPT_POSTFIELDS, f.body->data());
    }
    if (f.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else {
      set(CURLOPT_CUSTOMREQUEST, f.method.c_str());
    }
    set(CURLOPT_REQUEST_TARGET, f.target.c_str());
    set(CURLOPT_MAXAGE_CONN, kForwardedIdleSeconds);
  }
  bool HeaderLine(std::string_view line);
  bool HeadComplete();
  size_t Body(std::string_view bytes);
};

bool TransferImpl::Configure() {
  if (easy == nullptr) easy = ::curl_easy_init();
  if (easy == nullptr) return false;
  ::curl_easy_reset(easy);
  if (list != nullptr) ::curl_slist_free_all(std::exchange(list, nullptr));
  bool ok = true;
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!IsToken(name) || !IsFieldValue(value)) {
      ok = false;
      return;
    }
    std::string line(name);
    // libcurl's syntax for a field with an empty value is a semicolon.
    line += value.empty() ? ";" : ": ";
    line += value;
    curl_slist* grown = ::curl_slist_append(list, line.c_str());
    if (grown == nullptr)
      ok = false;
    else
      list = grown;
  };
  if (request.forwarded) {
    // What libcurl adds of its own accord is taken back, unless the client said it.
    for (const char* name : {"Accept", "User-Agent", "Content-Type", "Expect"}) {
      if (!HasField(request.fields, name))
        list = ::curl_slist_append(list, (std::string(name) + ':').c_str());
    }
  } else {
    add("Accept-Encoding", "identity");
    add("Accept", "*/*");
    add("User-Agent", core->options().user_agent);
    const bool has_via = !request.via.empty() && IsFieldValue(request.via);
    add("Via", has_via ? request.via + ", " + core->options().via : core->options().via);
  }
  if (request.range) {
    add("Range", "bytes=" + std::to_string(request.range->first) + "-" +
                     std::to_string(request.range->last));
  }
  for (const auto& [name, value] : request.fields) add(name, value);
  if (!left_home) {
    for (const auto& [name, value] : request.credentials) add(name, value);
  }
  std::string url = now.url;
  if (request.signer && hops == 0) {
    const RequestSigner::Proof proof = request.signer->Sign(request.method);
    for (const auto& [name, value] : proof.fields) add(name, value);
    if (!proof.query.empty()) url += "?" + proof.query;
  }
  if (!ok) return false;

  const auto set = [&](CURLoption option, auto value) {
    if (::curl_easy_setopt(easy, option, value) != CURLE_OK) ok = false;
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_HTTPHEADER, list);
  if (request.forwarded) {
    ConfigureForwarded(set);
  } else {
    set(CURLOPT_NOBODY, request.method == Method::kHead ? 1L : 0L);
  }
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // do not join a resolver thread that hangs in DNS
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_BUFFERSIZE, kReceiveBuffer);
  set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::max<int64_t>(1, request.connect_timeout.count())));
  set(CURLOPT_ERRORBUFFER, error_text);
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_HEADERFUNCTION, &TransferImpl::OnHeaderLine);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &TransferImpl::OnBody);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_PREREQFUNCTION, &TransferImpl::OnPrereq);
  set(CURLOPT_PREREQDATA, this);
  set(CURLOPT_OPENSOCKETFUNCTION, &TransferImpl::OnOpenSocket);
  set(CURLOPT_OPENSOCKETDATA, this);
  if (restricted) {
    // A pooled connection has passed no address check of ours, or another one.
    set(CURLOPT_FORBID_REUSE, 1L);
  }
  const bool is_fresh = request.forwarded && request.forwarded->is_fresh;
  set(CURLOPT_FRESH_CONNECT, restricted || needs_fresh || is_fresh ? 1L : 0L);
  error_text[0] = 0;
  address_refused = connected = redirecting = redirect_cut = false;
  head = ResponseHead{};
  head.redirects = hops;
  head_bytes = body_bytes = 0;
  return ok;
}

bool TransferImpl::HeaderLine(std::string_view line) {
  if (head_done) return true;  // trailers
  head_bytes += line.size();
  if (head_bytes > core->options().max_head_bytes) {
    return Refuse(
        Error(Code::kUnavailable, "the origin's answer is malformed", "response head too large"));
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {
    head.fields.clear();
    const size_t code = line.find(' ');
    const size_t phrase = code == std::string_view::npos ? code : line.find(' ', code + 1);
    head.reason = phrase == std::string_view::npos ? std::string_view() : line.substr(phrase + 1);
    return true;
  }
  if (line.empty()) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    // Nobody asked for another protocol; libcurl would take what follows for a body.
    if (status == 101) {
      return Refuse(Error(Code::kUnavailable, "the origin's answer is malformed",
                          "protocol switch nobody asked for"));
    }
    if (status < 200) {  // another head follows
      head.status = static_cast<int>(status);
      sink->OnInterim(head);
      return true;
    }
    head.status = static_cast<int>(status);
    last_activity =
        std::chrono::steady_clock::now();  // not before: a head that drips is late all the same
    return HeadComplete();
  }
  if ((line.front() == ' ' || line.front() == '\t') && !head.fields.empty()) {  // obs-fold
    head.fields.back().second += " ";
    head.fields.back().second += Trim(line);
    return true;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  // White space in front of the colon is not passed on (RFC 9112 §5.1).
  head.fields.emplace_back(std::string(Trim(line.substr(0, colon))),
                           std::string(Trim(line.substr(colon + 1))));
  return true;
}

bool TransferImpl::HeadComplete() {
  const auto coding = head.Get("Transfer-Encoding");
  const bool chunked = coding.has_value();
  if (chunked && !EqualsNoCase(*coding, "chunked")) {
    // RFC 9112 §6.1: where its body ends and what it holds, we cannot know.
    return Refuse(
        Error(Code::kUnavailable, "the origin's answer is malformed", "unknown transfer coding"));
  }
  for (const auto& [name, value] : head.fields) {
    if (!EqualsNoCase(name, "Content-Length") || chunked) continue;
    uint64_t length = 0;
    if (!ParseNumber(value, length) || (head.content_length && *head.content_length != length)) {
      return Refuse(Error(Code::kUnavailable, "the origin's answer is malformed",
                          "Content-Length makes no sense"));
    }
    head.content_length = length;
  }
  if (head.is_redirect() && request.max_redirects > 0) {
    redirecting = true;
    redirect_to = *head.Get("Location");
    return true;
  }
  head_done = true;
  Result<void> verdict_of_sink = sink->OnHead(head);
  if (!verdict_of_sink.ok()) return Refuse(std::move(verdict_of_sink).error());
  return true;
}

size_t TransferImpl::Body(std::string_view bytes) {
  if (redirecting) {
    body_bytes += bytes.size();
    if (body_bytes <= kMaxRedirectBody) return bytes.size();
    redirect_cut = true;
    return 0;
  }
  if (!head_done) {
    Refuse(Error(Code::kUnavailable, "the origin's answer is malformed", "body without a head"));
    return 0;
  }
  last_activity = std::chrono::steady_clock::now();
  if (want_pause) {
    paused = true;
    paused_since = last_activity;
    return CURL_WRITEFUNC_PAUSE;
  }
  body_bytes += bytes.size();
  if (body_bytes > request.max_body_bytes) {
    Refuse(Error(Code::kResourceExhausted, "the origin's answer is too large",
                 "body limit of the request"));
    return 0;
  }
  Result<BodySink::Flow> flow = sink->OnData(bytes);
  if (!flow.ok()) {
    Refuse(std::move(flow).error());
    return 0;
  }
  if (*flow == BodySink::Flow::kPause) want_pause = true;
  return bytes.size();
}

bool Client::Core::Init() {
  static const bool ready = ::curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  if (!ready) return false;
  multi_ = ::curl_multi_init();
  if (multi_ == nullptr) return false;
  ::curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.max_connections));
  try {
    thread_ = std::thread([self = shared_from_this()] { self->Run(); });
  } catch (const std::system_error&) {
    ::curl_multi_cleanup(std::exchange(multi_, nullptr));
    return false;
  }
  return true;
}

void Client::Core::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (multi_ != nullptr) ::curl_multi_wakeup(multi_);
  }
  if (thread_.joinable()) thread_.join();
}

void Client::Core::Send(What what, std::shared_ptr<TransferImpl> transfer) {
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      inbox_.emplace_back(what, std::move(transfer));
      ::curl_multi_wakeup(multi_);
      return;
    }
  }
  // The thread is gone or going. Only a transfer it has never seen is still ours to end.
  if (what != What::kStart) return;
  if (auto sink = std::exchange(transfer->sink, nullptr)) {
    sink->OnDone(Error(Code::kCancelled, "the server is shutting down", "http client stopped"));
  }
}

void Client::Core::Run() {
  ::pthread_setname_np(::pthread_self(), "http-client");
  std::vector<std::pair<What, Ref>> orders;
  for (;;) {
    bool stop = false;
    orders.clear();
    {
      MutexLock lock(mutex_);
      orders.swap(inbox_);
      stop = stopping_;
    }
    for (const auto& [what, transfer] : orders) Obey(what, transfer);
    if (stop) break;
    StartQueued();
    int still_running = 0;
    ::curl_multi_perform(multi_, &still_running);
    bool progressed = false;
    int left = 0;
    while (CURLMsg* message = ::curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      char* self = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
      const CURLcode code = message->data.result;
      CurlDone(reinterpret_cast<TransferImpl*>(self)->shared_from_this(), code);
      progressed = true;
    }
    const int wait_ms = CheckTimers();
    ::curl_multi_poll(multi_, nullptr, 0, progressed && !queue_.empty() ? 0 : wait_ms, nullptr);
  }
  const std::vector<Ref> rest(live_.begin(), live_.end());
  for (const Ref& transfer : rest) {
    Finish(transfer, Error(Code::kCancelled, "the server is shutting down", "http client stopped"));
  }
  queue_.clear();
  // stopping_ was seen together with the last orders: nothing can be in the inbox any more.
  MutexLock lock(mutex_);
  ::curl_multi_cleanup(std::exchange(multi_, nullptr));
}

void Client::Core::Obey(What what, const Ref& transfer) {
  TransferImpl& t = *transfer;
  if (t.finished) return;
  if (what == What::kCancel) {
    if (!t.started) {
      t.verdict = Error(Code::kCancelled, "cancelled", "before its start");  // Start will see it
      return;
    }
    Finish(transfer, Error(Code::kCancelled, "cancelled", "transfer cancelled"));
  } else if (what == What::kResume) {
    t.want_pause = false;
    if (!t.paused) return;
    t.paused = false;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (t.total_deadline != SteadyTime::max()) t.total_deadline += now - t.paused_since;
    t.last_activity = now;
    ::curl_easy_pause(t.easy, CURLPAUSE_CONT);  // may call Body() at once
  } else {
    if (t.started) return;
    t.started = true;
    live_.insert(transfer);
    if (t.verdict) return Finish(transfer, std::move(*t.verdict));
    const SteadyTime now = std::chrono::steady_clock::now();
    t.last_activity = now;
    if (t.request.total_timeout.count() > 0 &&
        t.request.total_timeout < std::chrono::hours(24 * 365)) {
      t.total_deadline = now + t.request.total_timeout;
    }
    auto parts = ResolveUrl({}, t.request.url);
    if (!parts)
      return Finish(transfer, Error(Code::kInvalidArgument, "bad URL", "not an http(s) URL"));
    t.restricted = t.request.refuse_private_addresses;
    t.first = t.now = std::move(*parts);
    queue_.push_back(transfer);
  }
}

void Client::Core::StartQueued() {
  for (size_t i = 0; i < queue_.size() && running_ < options_.max_connections;) {
    const Ref transfer = queue_[i];
    if (transfer->finished) {
      queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(i));
      continue;
    }
    int& here = per_host_[transfer->now.authority()];
    if (here >= options_.max_connections_per_host) {
      ++i;
      continue;
    }
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(i));
    ++here;
    ++running_;
    transfer->holds_slot = true;
    Launch(transfer);
  }
}

void Client::Core::Launch(const Ref& transfer) {
  TransferImpl& t = *transfer;
  if (!t.Configure()) {
    return Finish(transfer, Error(Code::kInvalidArgument, "bad request to the origin",
                                  "field or option refused"));
  }
  t.last_activity = std::chrono::steady_clock::now();
  if (::curl_multi_add_handle(multi_, t.easy) != CURLM_OK) {
    return Finish(transfer,
                  Error(Code::kInternal, "the request could not be sent", "curl_multi_add_handle"));
  }
  t.in_multi = true;
}

void Client::Core::Leave(TransferImpl& t) {
  if (t.in_multi) ::curl_multi_remove_handle(multi_, t.easy);
  t.in_multi = false;
  if (!std::exchange(t.holds_slot, false)) return;
  --running_;
  const auto it = per_host_.find(t.now.authority());
  if (it != per_host_.end() && --it->second == 0) per_host_.erase(it);
}

void Client::Core::Finish(const Ref& transfer, Result<void> result) {
  const Ref keep = transfer;
  TransferImpl& t = *keep;
  if (t.finished) return;
  t.finished = true;
  Leave(t);
  t.DropCurl();
  live_.erase(keep);
  if (auto sink = std::exchange(t.sink, nullptr)) sink->OnDone(std::move(result));
}

void Client::Core::NextHop(const Ref& transfer) {
  TransferImpl& t = *transfer;
  Leave(t);
  const auto refuse = [&](const char* why) {
    Finish(transfer, Error(Code::kPermissionDenied,
                           "the origin redirects to a place that is not allowed", why));
  };
  if (t.redirect_to.size() > kMaxLocation) return refuse("redirect is too long");
  auto next = ResolveUrl(t.now.url, t.redirect_to);
  if (!next) return refuse("redirect is no http(s) URL");
  if (IsDowngrade(t.now, *next)) return refuse("redirect from https to http");
  if (t.request.may_follow && !t.request.may_follow(next->url))
    return refuse("not an allowed place");
  if (++t.hops > t.request.max_redirects) {
    return Finish(transfer,
                  Error(Code::kUnavailable, "the origin redirects too often", "redirect limit"));
  }
  const bool home = SamePlace(t.first, *next);
  t.left_home = t.left_home || !home;
  t.restricted =
      t.request.refuse_private_addresses || (!home && !t.request.allow_private_redirects);
  t.now = std::move(*next);
  queue_.push_back(transfer);
}

/// Notes the socket that a finished transfer leaves in libcurl's pool.
void Client::Core::Remember(CURL* easy) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  char* remote = nullptr;
  long remote_port = 0, local_port = 0;
  ::curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
  ::curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &remote);
  ::curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &remote_port);
  ::curl_easy_getinfo(easy, CURLINFO_LOCAL_PORT, &local_port);
  if (socket == CURL_SOCKET_BAD) return;
  if (kept_.size() >= kMaxKept) kept_.clear();
  kept_[ConnectionName(remote, remote_port, local_port)] = socket;
}

/// Whether a connection may be asked. What an origin sent beyond its last answer would be taken for
/// the next one (RFC 9112 §9.2); libcurl before 8.0 looks for that only in what it has read
/// already.
bool Client::Core::IsQuiet(const std::string& connection) {
  const auto it = kept_.find(connection);
  if (it == kept_.end()) return true;  // a new one
  const int socket = it->second;
  kept_.erase(it);
  sockaddr_storage local;
  socklen_t length = sizeof local;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &length) != 0) return true;
  const in_port_t port = local.ss_family == AF_INET6
                             ? reinterpret_cast<const sockaddr_in6*>(&local)->sin6_port
                             : reinterpret_cast<const sockaddr_in*>(&local)->sin_port;
  // The descriptor may be another one's by now; then that one was closed, and this one is new.
  if (!connection.ends_with(' ' + std::to_string(ntohs(port)))) return true;
  char byte = 0;
  const ssize_t n = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Client::Core::CurlDone(const Ref& transfer, CURLcode code) {
  TransferImpl& t = *transfer;
  if (t.needs_fresh && !t.connected && !t.verdict) {
    // Nothing was sent yet.
    ::curl_multi_remove_handle(multi_, t.easy);
    t.in_multi = false;
    Launch(transfer);
    t.needs_fresh = false;
    return;
  }
  if (code == CURLE_OK) Remember(t.easy);
  if (t.verdict) return Finish(transfer, std::move(*t.verdict));
  if (t.redirecting && (code == CURLE_OK || t.redirect_cut)) return NextHop(transfer);
  if (code == CURLE_OK) {
    if (t.head_done) return Finish(transfer, Result<void>());
    return Finish(transfer, Error(Code::kUnavailable, "the origin's answer is malformed",
                                  "no response head"));
  }
  if (t.address_refused) {
    const bool is_redirect = t.hops > 0;
    return Finish(
        transfer,
        Error(Code::kPermissionDenied,
              is_redirect ? "the origin redirects to a place that is not allowed"
                          : "the source is at a place that is not allowed",
              is_redirect ? "redirect to a private address" : std::string(kPrivateAddress)));
  }
  std::string detail = ::curl_easy_strerror(code);
  if (t.error_text[0] != 0) detail = detail + ": " + t.error_text;
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return Finish(transfer, Error(Code::kDeadlineExceeded, "the origin did not answer in time",
                                  std::move(detail)));
  }
  if (t.resend_refused) {
    return Finish(transfer, Error(Code::kUnavailable, "the origin closed the connection",
                                  kKeptConnectionLost));
  }
  const bool in_head = t.connected && !t.head_done;
  if (code == CURLE_OUT_OF_MEMORY && in_head) {  // what libcurl says to a line over 100 KB
    return Finish(transfer, Error(Code::kUnavailable, "the origin's answer is malformed",
                                  "response head too large"));
  }
  if (code == CURLE_OUT_OF_MEMORY) {
    return Finish(transfer,
                  Error(Code::kResourceExhausted, "the server is busy", std::move(detail)));
  }
  Finish(transfer,
         Error(Code::kUnavailable, t.head_done ? "the origin's answer broke off" : kUnreachable,
               std::move(detail)));
}

/// Ends what is late. @return milliseconds until the next deadline
int Client::Core::CheckTimers() {
  const SteadyTime now = std::chrono::steady_clock::now();
  SteadyTime next = now + std::chrono::milliseconds(kMaxPollMs);
  std::vector<std::pair<Ref, const char*>> late;
  for (const Ref& transfer : live_) {
    const TransferImpl& t = *transfer;
    if (t.paused) continue;
    SteadyTime deadline = t.total_deadline;
    const char* why = "total timeout";
    if (!t.in_multi && t.total_deadline == SteadyTime::max()) {
      // Somebody waits for it now, and it has no total timeout.
      deadline = std::min(deadline, t.last_activity + t.request.connect_timeout);
      why = kQueueTimeout;
    }
    if (t.in_multi && t.connected) {
      const bool body = t.head_done || t.redirecting;
      const SteadyTime step =
          t.last_activity + (body ? t.request.idle_timeout : t.request.first_byte_timeout);
      if (step < deadline) {
        deadline = step;
        why = body ? "idle timeout" : "first byte timeout";
      }
    }
    if (deadline <= now)
      late.emplace_back(transfer, why);
    else
      next = std::min(next, deadline);
  }
  for (const auto& [transfer, why] : late) {
    if (why == kQueueTimeout) {
      Finish(transfer, Error(Code::kResourceExhausted, "too many requests to the origin", why));
      continue;
    }
    Finish(transfer, Error(Code::kDeadlineExceeded, "the origin did not answer in time", why));
  }
  if (!late.empty()) return 0;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - now).count());
}

Result<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  auto core = std::make_shared<Core>(std::move(options));
  if (!core->Init())
    return Error(Code::kUnavailable, "the HTTP client could not be started", "libcurl or thread");
  return std::unique_ptr<Client>(new Client(std::move(core)));
}

Client::Client(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Client::~Client() {
  core_->Stop();
}

std::shared_ptr<Transfer> Client::Prepare(ClientRequest request, std::shared_ptr<BodySink> sink) {
  return std::make_shared<TransferImpl>(core_, std::move(request), std::move(sink));
}

namespace {

/// Cancels a transfer whose waiter is gone.
class CancelOnExit {
 public:
  explicit CancelOnExit(std::shared_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}
  ~CancelOnExit() {
    if (transfer_) transfer_->Cancel();
  }
  CancelOnExit(const CancelOnExit&) = delete;
  CancelOnExit& operator=(const CancelOnExit&) = delete;
  void Dismiss() { transfer_.reset(); }

 private:
  std::shared_ptr<Transfer> transfer_;
};

class MemorySink final : public BodySink {
 public:
  Result<void> OnHead(const ResponseHead& head) override {
    whole_.head = head;
    return {};
  }
  Result<Flow> OnData(std::string_view bytes) override {
    whole_.body += bytes;
    return Flow::kMore;
  }
  void OnDone(Result<void> result) override {
    if (result.ok())
      done.Set(std::move(whole_));
    else
      done.Set(std::move(result).error());
  }
  io::OneShot<Result<WholeResponse>> done;

 private:
  WholeResponse whole_;
};

class FileSink final : public BodySink {
 public:
  FileSink(SharedFd file, uint64_t offset) : file_(std::move(file)), offset_(offset) {}
  Result<void> OnHead(const ResponseHead& head) override {
    head_ = head;
    return {};
  }
  Result<Flow> OnData(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n =
          ::pwrite(file_->get(), bytes.data(), bytes.size(), static_cast<off_t>(offset_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "writing a fetched body");
      offset_ += static_cast<uint64_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return Flow::kMore;
  }
  void OnDone(Result<void> result) override {
    if (result.ok())
      done.Set(std::move(head_));
    else
      done.Set(std::move(result).error());
  }
  io::OneShot<Result<ResponseHead>> done;

 private:
  const SharedFd file_;
  uint64_t offset_;
  ResponseHead head_;
};

template <class Sink, class T>
io::Task<Result<T>> Await(Context ctx, std::shared_ptr<Transfer> transfer,
                          std::shared_ptr<Sink> sink) {
  CancelOnExit guard(transfer);
  transfer->Start();
  std::optional<Result<T>> result = co_await sink->done.Wait(ctx.deadline);
  if (!result)
    co_return Error(Code::kDeadlineExceeded, "the origin did not answer in time",
                    "caller's deadline");
  guard.Dismiss();
  co_return std::move(*result);
}

}  // namespace

io::Task<Result<WholeResponse>> Client::Fetch(Context ctx, ClientRequest request) {
  auto sink = std::make_shared<MemorySink>();
  return Await<MemorySink, WholeResponse>(std::move(ctx), Prepare(std::move(request), sink), sink);
}

io::Task<Result<ResponseHead>> Client::FetchToFile(Context ctx, ClientRequest request,
                                                   SharedFd file, uint64_t offset) {
  auto sink = std::make_shared<FileSink>(std::move(file), offset);
  return Await<FileSink, ResponseHead>(std::move(ctx), Prepare(std::move(request), sink), sink);
}

}  // namespace vr::http
