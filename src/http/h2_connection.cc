#include "http/h2_connection.h"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 at -O2 sees Asio's frame allocator inlined but not its match in operator delete (a false
// positive).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "http/date.h"
#include "http/respond.h"
#include "http/status.h"
#include "observe/log.h"

namespace vr::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr size_t kRecord = 16 * 1024;
/// Output is made in portions of this: whole TLS records, several frames in each.
constexpr size_t kOutput = 4 * kRecord;
/// Sent and read before other connections get their turn.
constexpr size_t kBytesPerTurn = 1024 * 1024;
constexpr int kReadsPerTurn = 8;
/// Frames that may wait for a client that takes nothing, before it is read no further.
constexpr size_t kMaxQueued = 300;
/// Bodies of requests that are arriving, all streams together, in request body limits.
constexpr uint64_t kBodiesHeld = 4;
/// Per stream that may be open at once. A person who seeks, scrolls and closes resets a few dozen;
/// CVE-2023-44487 thousands.
constexpr double kResetBurst = 4;
constexpr double kResetsPerSecond = 0.4;
/// Frames that ask for nothing: pings, settings, priorities, empty data. (Those of unknown type are
/// skipped before anybody is asked, and cost what their bytes cost.)
constexpr double kNuisanceBurst = 2000;
constexpr double kNuisancesPerSecond = 100;
/// A window this small makes us send crumbs.
constexpr size_t kCrumb = 64;
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::chrono::milliseconds kLeastTick{10};
constexpr ParseError kTimeout{408, "REQUEST_TIMEOUT", "the request did not arrive in time"};

std::vector<nghttp2_nv> NamesAndValues(const H2Fields& fields) {
  std::vector<nghttp2_nv> out;
  for (const auto& [name, value] : fields.entries()) {
    nghttp2_nv nv{};
    nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
    nv.namelen = name.size();
    nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
    nv.valuelen = value.size();
    nv.flags = NGHTTP2_NV_FLAG_NONE;
    out.push_back(nv);
  }
  return out;
}

std::string_view Text(const uint8_t* data, size_t length) {
  return {reinterpret_cast<const char*>(data), length};
}

}  // namespace

/// Bound to the connection's loop.
struct H2Connection::Stream final : public InterimSender,
                                    public std::enable_shared_from_this<Stream> {
  Stream(H2Connection& c, int32_t stream_id)
      : connection(c), id(stream_id), builder(LimitsOf(c.core_->options)), begun(SteadyNow()) {}

  Task<void> SendInterim(int status, std::string fields) override {
    connection.SendInterim(*this, status, fields);
    co_return;
  }

  H2Connection& connection;  ///< outlives: whoever runs for a stream holds its connection
  const int32_t id;
  H2RequestBuilder builder;
  Request request;
  Response response;
  H2Body body;
  asio::cancellation_signal cancel;  ///< of the BodyStream's Next()
  const SteadyTime begun;
  SteadyTime head_end;       ///< of the request
  SteadyTime asked;          ///< the request was complete
  SteadyTime progress;       ///< the client took bytes, or there were none to take
  SteadyTime finished_time;  ///< of the last byte
  std::optional<SteadyTime> first_byte;
  uint64_t held = 0;         ///< of connection.body_bytes_held_
  std::string_view failure;  ///< why the answer was not sent completely
  std::optional<ParseError> refusal;
  bool has_head = false;
  bool is_over_budget = false;  ///< its connection holds too much of unfinished requests
  bool is_complete = false;     ///< all of the request is here, or enough to refuse it
  bool is_asked = false;        ///< between Build() and Finished()
  bool is_answered = false;     ///< the answer was handed to nghttp2
  bool is_pulling = false;
  bool is_sent = false;  ///< with its END_STREAM
  bool is_closed = false;
};

struct H2Connection::PullState {
  std::optional<Result<std::optional<Piece>>> next;
};

namespace {

template <class State>
Task<void> Pull(std::shared_ptr<BodyStream> stream, Context ctx, std::shared_ptr<State> state) {
  state->next.emplace(co_await stream->Next(ctx));
}

}  // namespace

/// What nghttp2 calls, inside of its functions: they only take notes, because most of its functions
/// must not be called from here, and let no exception through.
struct H2Connection::Callbacks {
  static H2Connection& Of(void* user) { return *static_cast<H2Connection*>(user); }

  template <class F>
  static int Guard(F&& f) noexcept {
    try {
      return f();
    } catch (...) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  static StreamRef Find(H2Connection& self, int32_t id) {
    const auto found = self.streams_.find(id);
    return found == self.streams_.end() ? nullptr : found->second;
  }
  static void Ready(H2Connection& self, const StreamRef& stream) {
    if (stream->is_complete) return;
    stream->is_complete = true;
    self.ready_.push_back(stream);
  }

  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    H2Connection& self = Of(user);
    switch (head->type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_RST_STREAM:  // has a budget of its own
      case NGHTTP2_WINDOW_UPDATE:
        return 0;
      case NGHTTP2_DATA:
        if (head->length > 0 || (head->flags & NGHTTP2_FLAG_END_STREAM) != 0) return 0;
        break;
      default:
        break;
    }
    if (!self.nuisances_.Take(SteadyNow())) self.is_flooded_ = true;
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    return Guard([&] {
      H2Connection& self = Of(user);
      const int32_t id = frame->hd.stream_id;
      self.streams_.emplace(id, std::make_shared<Stream>(self, id));
      return 0;
    });
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    // Trailers are dropped, as those of HTTP/1.1.
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    return Guard([&] {
      const StreamRef stream = Find(Of(user), frame->hd.stream_id);
      if (stream) stream->builder.AddField(Text(name, name_length), Text(value, value_length));
      return 0;
    });
  }

  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                             const uint8_t*, size_t, uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // not skipped: the stream is reset
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    return Guard([&] {
      H2Connection& self = Of(user);
      if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
      const StreamRef stream = Find(self, frame->hd.stream_id);
      if (!stream) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS && !stream->has_head) {
        stream->has_head = true;
        stream->head_end = SteadyNow();
      }
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        Ready(self, stream);
      } else if (stream->builder.expects_continue() && frame->hd.type == NGHTTP2_HEADERS &&
                 frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        const H2Fields fields(100);
        const std::vector<nghttp2_nv> nva = NamesAndValues(fields);
        nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, stream->id, nullptr, nva.data(),
                               nva.size(), nullptr);
      }
      return 0;
    });
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t length,
                    void* user) {
    return Guard([&] {
      H2Connection& self = Of(user);
      const StreamRef stream = Find(self, id);
      if (!stream || stream->is_complete) return 0;
      stream->held += length;
      self.body_bytes_held_ += length;
      if (!stream->builder.AddBody(Text(data, length))) Ready(self, stream);
      const uint64_t most = kBodiesHeld * (self.core_->options.max_body_bytes + kRecord);
      if (self.body_bytes_held_ > most) {
        stream->is_over_budget = true;
        Ready(self, stream);
      }
      return 0;
    });
  }

  static int OnSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    return Guard([&] {
      const StreamRef stream = Find(Of(user), frame->hd.stream_id);
      if (!stream || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
      // Up to kOutput bytes may still wait for the socket: as with the kernel's buffer, what
      // becomes of them is not known here.
      stream->is_sent = true;
      stream->finished_time = SteadyNow();
      if (!stream->first_byte) stream->first_byte = stream->finished_time;
      // RFC 9113 §8.1: what the client still wants to send is of no use any more.
      if (nghttp2_session_get_stream_remote_close(session, stream->id) == 0) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
      }
      return 0;
    });
  }

  static int OnNotSent(nghttp2_session* session, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    return Guard([&] {
      const StreamRef stream = Find(Of(user), frame->hd.stream_id);
      if (!stream) return 0;
      // A head that is too large: without it the stream would hang.
      stream->failure = "internal";
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
      return 0;
    });
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    return Guard([&] {
      H2Connection& self = Of(user);
      const auto found = self.streams_.find(id);
      if (found == self.streams_.end()) return 0;
      self.closed_.emplace_back(found->second, error);
      self.streams_.erase(found);
      if (self.streams_.empty()) self.idle_since_ = SteadyNow();
      return 0;
    });
  }

  static ssize_t OnRead(nghttp2_session*, int32_t, uint8_t* space, size_t length, uint32_t* flags,
                        nghttp2_data_source* source, void* user) {
    H2Connection& self = Of(user);
    auto& stream = *static_cast<Stream*>(source->ptr);
    size_t n = 0;
    const H2Body::Step step =
        stream.body.Read(std::span(reinterpret_cast<char*>(space), length), n);
    const SteadyTime now = SteadyNow();
    if (step == H2Body::Step::kFailed) {
      stream.failure = "body_failed";
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream.progress = self.data_time_ = now;
    if (n > 0 && !stream.first_byte) stream.first_byte = now;
    if (n == length && length < kCrumb && step == H2Body::Step::kMore &&
        !self.nuisances_.Take(now)) {
      self.is_flooded_ = true;
    }
    if (step == H2Body::Step::kEnd) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (stream.body.is_hungry() && !stream.is_pulling) {
      const int noted = Guard([&] {
        self.hungry_.push_back(stream.shared_from_this());
        return 0;
      });
      if (noted != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
      stream.is_pulling = true;
    }
    if (step == H2Body::Step::kWait) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(n);
  }
};

bool H2Connection::Budget::Take(SteadyTime now) {
  if (last_ != SteadyTime()) left_ = std::min(burst_, left_ + SecondsBetween(last_, now) * rate_);
  last_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

H2Connection::H2Connection(std::shared_ptr<ServerCore> core, LoopShare& share,
                           std::string peer_address)
    : core_(std::move(core)),
      share_(share),
      peer_address_(std::move(peer_address)),
      tick_(
          std::max(kLeastTick, std::min({core_->options.header_timeout, core_->options.body_timeout,
                                         core_->options.write_timeout}) /
                                   2)),
      socket_(share.loop.executor()),
      timer_(share.loop.executor()),
      resets_(kResetBurst * core_->options.max_concurrent_streams,
              kResetsPerSecond * core_->options.max_concurrent_streams),
      nuisances_(kNuisanceBurst, kNuisancesPerSecond) {}

H2Connection::~H2Connection() {
  nghttp2_session_del(session_);
}

bool H2Connection::MakeSession() {
  nghttp2_session_callbacks* raw_callbacks = nullptr;
  nghttp2_option* raw_option = nullptr;
  if (nghttp2_session_callbacks_new(&raw_callbacks) != 0) return false;
  const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)>
      callbacks(raw_callbacks, nghttp2_session_callbacks_del);
  if (nghttp2_option_new(&raw_option) != 0) return false;
  const std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> option(raw_option,
                                                                              nghttp2_option_del);
  nghttp2_session_callbacks_set_on_begin_frame_callback(raw_callbacks, Callbacks::OnBeginFrame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(raw_callbacks, Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(raw_callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_invalid_header_callback(raw_callbacks,
                                                           Callbacks::OnInvalidHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(raw_callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw_callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_send_callback(raw_callbacks, Callbacks::OnSent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(raw_callbacks, Callbacks::OnNotSent);
  nghttp2_session_callbacks_set_on_stream_close_callback(raw_callbacks, Callbacks::OnStreamClose);
  // Closed streams are remembered for priorities only, which nobody sends any more.
  nghttp2_option_set_no_closed_streams(raw_option, 1);
  if (nghttp2_session_server_new2(&session_, raw_callbacks, this, raw_option) != 0) return false;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       static_cast<uint32_t>(core_->options.max_concurrent_streams)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<uint32_t>(std::min<uint64_t>(core_->options.max_head_bytes, UINT32_MAX))},
  };
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0;
}

void H2Connection::Start(Socket socket, std::unique_ptr<TlsStream> tls) {
  socket_ = std::move(socket);
  fd_ = socket_.native_handle();
  tls_ = std::move(tls);
  share_.all.insert(this);
  idle_since_ = SteadyNow();
  const auto self = shared_from_this();
  if (!MakeSession()) return End("internal");
  if (core_->is_draining.load(std::memory_order_relaxed)) return Drain();
  Turn();
}

void H2Connection::Drain() {
  if (is_ended_ || is_terminating_) return;
  const auto self = shared_from_this();
  // Requests behind this one were not looked at: the client may repeat them elsewhere.
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  Turn();
}

void H2Connection::Cut() {
  is_cut_ = true;
  End("server_closing");
}

// ---- moving bytes ----

void H2Connection::Turn() {
  if (is_in_turn_) {
    wants_turn_ = true;
    return;
  }
  if (is_ended_) return;
  const auto self = shared_from_this();
  is_in_turn_ = true;
  wants_turn_ = false;
  bool is_alive = true;
  try {
    is_alive = ReadSome();
    // What was read makes answers, and they make output; what is sent makes room for more.
    if (is_alive) TakeNotes();
    is_alive = is_alive && !is_ended_ && WriteSome();
    if (is_alive) TakeNotes();
  } catch (const std::exception& e) {
    LogError("connection_failed", {{"what", e.what()}, {"peer", peer_address_}});
    is_alive = false;
  }
  is_in_turn_ = false;
  if (!is_alive) return End({});
  if (!is_ended_) Wait();
}

bool H2Connection::MayRead() const {
  return !is_blocked_ || nghttp2_session_get_outbound_queue_size(session_) < kMaxQueued;
}

bool H2Connection::ReadSome() {
  thread_local std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(kRecord);
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (!is_lingering_ && !MayRead()) return true;
    const ssize_t n = tls_->Read(std::span(buffer.get(), kRecord));
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (tls_->wants_write()) WaitWritable();
      return true;
    }
    if (n <= 0) return false;
    if (is_lingering_ || is_terminating_) continue;
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(buffer.get()), static_cast<size_t>(n));
    if (taken == NGHTTP2_ERR_FLOODED) core_->CountRefused("h2_flood");
    if (taken < 0) return false;
    if (is_flooded_) Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "h2_flood");
    if (!ready_.empty() || !closed_.empty()) TakeNotes();
    if (is_ended_) return false;
    if (static_cast<size_t>(n) < kRecord && !tls_->has_pending()) return true;
  }
  wants_turn_ = true;
  return true;
}

bool H2Connection::WriteSome() {
  if (is_lingering_) return true;
  size_t sent = 0;
  for (;;) {
    if (out_.size() - out_at_ < kRecord) {
      out_.erase(0, out_at_);
      out_at_ = 0;
      while (out_.size() < kOutput) {
        const uint8_t* data = nullptr;
        const ssize_t n = nghttp2_session_mem_send(session_, &data);
        if (n < 0) return false;
        if (n == 0) break;
        out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      }
    }
    if (out_.size() == out_at_) break;
    const ssize_t n = tls_->Write(std::string_view(out_).substr(out_at_));
    if (n <= 0) {
      if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return false;
      if (!is_blocked_) {
        is_blocked_ = true;
        progress_ = SteadyNow();
        unsent_ = UnsentBytes(fd_).value_or(0);
      }
      if (tls_->wants_write()) WaitWritable();
      return true;
    }
    is_blocked_ = false;
    out_at_ += static_cast<size_t>(n);
    sent += static_cast<size_t>(n);
    if (sent >= kBytesPerTurn) {
      wants_turn_ = true;
      return true;
    }
  }
  is_blocked_ = false;
  out_.clear();
  out_at_ = 0;
  if (streams_.empty()) out_.shrink_to_fit();
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0)
    Linger();
  return true;
}

void H2Connection::TakeNotes() {
  while (!is_ended_ && (!ready_.empty() || !closed_.empty() || !hungry_.empty())) {
    // Each of these may note more.
    const auto closed = std::exchange(closed_, {});
    for (const auto& [stream, error] : closed) Closed(stream, error);
    const auto ready = std::exchange(ready_, {});
    for (const StreamRef& stream : ready) {
      if (!stream->is_closed) Answer(stream);
    }
    const auto hungry = std::exchange(hungry_, {});
    for (const StreamRef& stream : hungry) {
      if (!stream->is_closed) StartPull(stream);
    }
  }
  if (is_flooded_ && !is_terminating_) Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "h2_flood");
}

void H2Connection::Wait() {
  if (wants_turn_) {
    asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Turn(); });
    return;
  }
  if (is_lingering_ || MayRead()) WaitReadable();
  if (is_blocked_ && (tls_->wants_write() || !is_waiting_read_)) WaitWritable();
  const SteadyTime now = SteadyNow();
  if (is_lingering_) {
    ArmTimer(linger_end_);
  } else if (streams_.empty() && !is_blocked_) {
    ArmTimer(idle_since_ + core_->options.idle_timeout);
  } else {
    ArmTimer(now + tick_);
  }
}

void H2Connection::WaitReadable() {
  if (is_waiting_read_) return;
  is_waiting_read_ = true;
  socket_.async_wait(tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->is_waiting_read_ = false;
                       if (!error) self->Turn();
                     });
}

void H2Connection::WaitWritable() {
  if (is_waiting_write_) return;
  is_waiting_write_ = true;
  socket_.async_wait(tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->is_waiting_write_ = false;
                       if (!error) self->Turn();
                     });
}

void H2Connection::Terminate(uint32_t error, std::string_view counted) {
  if (is_terminating_) return;
  is_terminating_ = true;
  if (!counted.empty()) {
    core_->CountRefused(counted);
    LogWarn("h2_connection_refused", {{"why", counted}, {"peer", peer_address_}});
  }
  nghttp2_session_terminate_session(session_, error);
}

void H2Connection::Linger() {
  if (is_lingering_) return;
  is_lingering_ = true;
  // There are some only when the client was told that it goes too far.
  const auto left = std::exchange(streams_, {});
  for (const auto& [id, stream] : left) {
    if (stream->failure.empty()) stream->failure = "client_gone";
    Closed(stream, NGHTTP2_CANCEL);
  }
  linger_end_ = SteadyNow() + kLingerTime;
  tls_->Close();
  ::shutdown(fd_, SHUT_WR);
  wants_turn_ = true;
}

void H2Connection::End(std::string_view why) {
  if (is_ended_) return;
  is_ended_ = true;
  const auto self = shared_from_this();
  const auto left = std::exchange(streams_, {});
  bool is_unfinished = false;
  for (const auto& [id, stream] : left) {
    is_unfinished = is_unfinished || stream->is_asked;
    if (stream->failure.empty()) stream->failure = is_cut_ ? "server_closing" : why;
    Closed(stream, NGHTTP2_CANCEL);
  }
  const auto closed = std::exchange(closed_, {});
  for (const auto& [stream, error] : closed) Closed(stream, error);
  timer_.cancel();
  // An answer that is cut must look so: no farewell, but a reset.
  if (is_unfinished || out_at_ < out_.size()) {
    ResetOnClose(fd_);
  } else if (!is_lingering_) {
    tls_->Close();
  }
  boost::system::error_code ignored;
  socket_.close(ignored);
  share_.all.erase(this);
  CountDown();
}

/// Handlers may still be at work for streams of a connection that is gone; it counts until they
/// are not.
void H2Connection::CountDown() {
  if (!is_ended_ || running_ > 0 || is_counted_down_) return;
  is_counted_down_ = true;
  core_->ConnectionClosed(share_);
}

// ---- the story of a stream ----

void H2Connection::Answer(const StreamRef& stream) {
  body_bytes_held_ -= std::exchange(stream->held, 0);
  if (running_ >= 2 * core_->options.max_concurrent_streams || stream->is_over_budget) {
    // Those it reset are still being worked for.
    core_->CountRefused("h2_streams");
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  stream->asked = SteadyNow();
  std::optional<ParseError> error = stream->builder.Build(stream->request);
  if (stream->refusal) error = stream->refusal;
  Request& request = stream->request;
  request.id = RequestIdFor(request);
  request.peer_address = peer_address_;
  request.is_tls = true;
  request.received_at = stream->asked;
  request.interim = stream.get();
  stream->is_asked = true;
  if (error) return Refuse(stream, *error);
  std::optional<Response> now;
  try {
    now = core_->handler.TryNow(request);
  } catch (...) {
    LogError("handler_failed",
             {{"what", WhatOf(std::current_exception())}, {"request_id", request.id}});
    now = InternalError();
  }
  if (now) {
    stream->response = std::move(*now);
    return Submit(stream);
  }
  ++running_;
  asio::co_spawn(socket_.get_executor(), Ask(stream),
                 [self = shared_from_this(), stream](std::exception_ptr failure) {
                   self->OnAnswer(stream, failure);
                 });
}

void H2Connection::Refuse(const StreamRef& stream, const ParseError& error) {
  core_->CountRefused(error.code);
  stream->response = RefusalOf(error);
  stream->response.Add("X-Request-ID", stream->request.id);
  Submit(stream);
}

Task<void> H2Connection::Ask(StreamRef stream) {
  Context ctx;
  ctx.request_id = stream->request.id;
  stream->response = co_await core_->handler.Handle(ctx, stream->request);
}

void H2Connection::OnAnswer(const StreamRef& stream, std::exception_ptr failure) {
  --running_;
  if (failure) {
    LogError("handler_failed", {{"what", WhatOf(failure)}, {"request_id", stream->request.id}});
    stream->response = InternalError();
  }
  if (stream->is_closed) {
    Finish(*stream);
    CountDown();
    return;
  }
  Submit(stream);
  Turn();
}

void H2Connection::Submit(const StreamRef& stream) {
  Response& response = stream->response;
  const bool has_body = stream->body.Start(response, stream->request.is_head());
  H2Fields fields(response.status);
  if (!response.has_date) fields.AddLines(CurrentDateLine());
  if (const auto length = stream->body.length())
    fields.Add("content-length", std::to_string(*length));
  fields.AddLines(response.fields);
  if (response.shared_fields) fields.AddLines(*response.shared_fields);
  const std::vector<nghttp2_nv> nva = NamesAndValues(fields);
  nghttp2_data_provider provider{};
  provider.source.ptr = stream.get();
  provider.read_callback = Callbacks::OnRead;
  stream->is_answered = true;
  stream->progress = SteadyNow();
  const int failed = nghttp2_submit_response(session_, stream->id, nva.data(), nva.size(),
                                             has_body ? &provider : nullptr);
  if (failed != 0) Fail(stream, NGHTTP2_INTERNAL_ERROR, "internal");
}

void H2Connection::StartPull(const StreamRef& stream) {
  stream->is_pulling = true;
  const std::shared_ptr<BodyStream> body = std::get<StreamBody>(stream->response.body).stream;
  Context ctx;
  ctx.request_id = stream->request.id;
  auto state = std::make_shared<PullState>();
  auto when_done = [self = shared_from_this(), stream, state](std::exception_ptr failure) {
    self->OnPulled(stream, *state, failure);
  };
  asio::co_spawn(socket_.get_executor(), Pull(body, ctx, state),
                 asio::bind_cancellation_slot(stream->cancel.slot(), std::move(when_done)));
}

void H2Connection::OnPulled(const StreamRef& stream, PullState& state, std::exception_ptr failure) {
  stream->is_pulling = false;
  if (stream->is_closed || is_ended_) return;
  auto& next = state.next;
  stream->progress = SteadyNow();
  if (failure || !next || !next->ok()) {
    const std::string what = failure ? WhatOf(failure)
                             : !next ? "no answer"
                                     : next->error().ToLogString();
    LogWarn("body_failed", {{"what", what}, {"request_id", stream->request.id}});
    Fail(stream, NGHTTP2_INTERNAL_ERROR, "body_failed");
  } else {
    const bool is_end = !next->value().has_value();
    const bool fits =
        is_end ? stream->body.End() : stream->body.AddPiece(std::move(*next->value()));
    if (fits) {
      nghttp2_session_resume_data(session_, stream->id);
    } else {
      LogError("body_length_wrong", {{"request_id", stream->request.id},
                                     {"announced", stream->body.length().value_or(0)}});
      Fail(stream, NGHTTP2_INTERNAL_ERROR, "body_failed");
    }
  }
  Turn();
}

/// Nobody may take what was sent for the whole: no END_STREAM, but RST_STREAM.
void H2Connection::Fail(const StreamRef& stream, uint32_t error, std::string_view why) {
  stream->failure = why;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, error);
}

void H2Connection::Closed(const StreamRef& stream, uint32_t error) {
  stream->is_closed = true;
  body_bytes_held_ -= std::exchange(stream->held, 0);
  // Whoever resets costs us what was begun; also when it made us send the reset.
  if (!stream->is_sent && stream->failure.empty() && error != NGHTTP2_NO_ERROR && !is_ended_ &&
      !resets_.Take(SteadyNow())) {
    Terminate(NGHTTP2_ENHANCE_YOUR_CALM, "h2_resets");
  }
  if (stream->is_asked && (stream->is_answered || stream->is_sent)) Finish(*stream);
  stream->cancel.emit(asio::cancellation_type::terminal);
}

/// Tells the handler how it ended, once per request.
void H2Connection::Finish(Stream& stream) {
  if (!stream.is_asked) return;
  stream.is_asked = false;
  const SteadyTime now = SteadyNow();
  Sent sent;
  sent.body_bytes = stream.body.bytes_read();
  sent.complete = stream.is_sent && stream.failure.empty();
  if (!sent.complete) sent.error = stream.failure.empty() ? "client_gone" : stream.failure;
  sent.seconds = SecondsBetween(stream.asked, stream.is_sent ? stream.finished_time : now);
  sent.first_byte_seconds = SecondsBetween(stream.asked, stream.first_byte.value_or(now));
  try {
    core_->handler.Finished(stream.request, stream.response, sent);
  } catch (...) {
    LogError("handler_failed",
             {{"what", WhatOf(std::current_exception())}, {"request_id", stream.request.id}});
  }
  stream.body = H2Body();
  stream.response = Response();
}

void H2Connection::SendInterim(Stream& stream, int status, std::string_view lines) {
  if (is_ended_ || stream.is_closed || stream.is_answered) return;
  H2Fields fields(status);
  fields.AddLines(lines);
  const std::vector<nghttp2_nv> nva = NamesAndValues(fields);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, nva.data(), nva.size(),
                         nullptr);
  Turn();
}

// ---- time ----

void H2Connection::ArmTimer(SteadyTime when) {
  // One that fires too early only looks again.
  if (is_timer_armed_ && timer_expiry_ <= when) return;
  is_timer_armed_ = true;
  timer_expiry_ = when;
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;  // replaced by an earlier one, or the end
    self->is_timer_armed_ = false;
    if (!self->is_ended_) self->OnTimer();
  });
}

void H2Connection::OnTimer() {
  const SteadyTime now = SteadyNow();
  const ServerOptions& options = core_->options;
  if (is_lingering_ && now >= linger_end_) return End({});
  if (is_blocked_) {
    // What the client's side acknowledged counts, as in Connection::OnWriteTimer().
    const std::optional<int> unsent = UnsentBytes(fd_);
    if (unsent && *unsent < unsent_) {
      unsent_ = *unsent;
      progress_ = now;
    } else if (now - progress_ >= options.write_timeout) {
      return End("write_timeout");
    }
  }
  if (!is_terminating_ && !is_lingering_) {
    if (streams_.empty() && now - idle_since_ >= options.idle_timeout) {
      Terminate(NGHTTP2_NO_ERROR, {});
    }
    std::vector<StreamRef> all;
    for (const auto& [id, stream] : streams_) all.push_back(stream);
    for (const StreamRef& stream : all) CheckStream(stream, now);
  }
  Turn();
}

void H2Connection::CheckStream(const StreamRef& stream, SteadyTime now) {
  const ServerOptions& options = core_->options;
  if (!stream->has_head) {
    // Until its end nothing else can arrive on this connection.
    if (now - stream->begun >= options.header_timeout) Terminate(NGHTTP2_ENHANCE_YOUR_CALM, {});
  } else if (!stream->is_complete) {
    if (now - stream->head_end < options.body_timeout) return;
    stream->is_complete = true;
    stream->refusal = kTimeout;
    ready_.push_back(stream);
  } else if (stream->is_answered && !stream->is_sent && !is_blocked_ &&
             stream->body.has_something() && now - stream->progress >= options.write_timeout &&
             stream->failure.empty()) {
    // No room in the socket is missing, so it is a window that the client does not open: this
    // stream's, or everybody's.
    const bool is_own = nghttp2_session_get_stream_remote_window_size(session_, stream->id) <= 0;
    if (is_own || now - data_time_ >= options.write_timeout)
      Fail(stream, NGHTTP2_CANCEL, "write_timeout");
  }
}

}  // namespace vr::http
