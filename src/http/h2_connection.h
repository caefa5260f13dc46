// One client connection that speaks HTTP/2 (RFC 9113): nghttp2 does frames, header compression and
// flow control, this class moves its bytes, asks the handler and keeps the limits.
//
// No coroutine of its own: whatever happens (socket, timer, an answer, a piece of a body) ends in
// Turn(), which reads, writes and deals with what came of it. Memory is bounded per stream by the
// piece under way and per connection by one output buffer; while the client takes nothing, what it
// may make us queue is bounded too.
//
// Bound to its loop. Keeps itself alive while it waits for anything.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/h2_stream.h"
#include "http/live_connection.h"
#include "http/tls.h"

typedef struct nghttp2_session nghttp2_session;

namespace vr::http {

class H2Connection final : public std::enable_shared_from_this<H2Connection>,
                           public LiveConnection {
 public:
  H2Connection(std::shared_ptr<ServerCore> core, LoopShare& share, std::string peer_address);
  ~H2Connection() override;

  /// Takes one whose TLS handshake is done and chose "h2".
  void Start(Socket socket, std::unique_ptr<TlsStream> tls);
  void Drain() override;
  void Cut() override;

 private:
  struct Stream;
  struct Callbacks;
  using StreamRef = std::shared_ptr<Stream>;

  /// Permits that come back with time: a client may do a thing now and then, not as a habit.
  class Budget {
   public:
    Budget(double burst, double per_second) : burst_(burst), rate_(per_second), left_(burst) {}
    /// @return false when there is none
    bool Take(SteadyTime now);

   private:
    const double burst_;
    const double rate_;
    double left_;
    SteadyTime last_{};
  };

  bool MakeSession();
  void Turn();
  /// Each returns false when the connection has ended.
  bool ReadSome();
  bool WriteSome();
  bool MayRead() const;
  /// What the callbacks noted while nghttp2 was at work.
  void TakeNotes();
  void Wait();
  void WaitReadable();
  void WaitWritable();
  /// Says goodbye with `error` and ends once that is sent.
  void Terminate(uint32_t error, std::string_view counted);
  /// All is said: waits a little for the client's end, so that no reset overtakes it.
  void Linger();
  void End(std::string_view why);
  void CountDown();

  void Answer(const StreamRef& stream);
  void Refuse(const StreamRef& stream, const ParseError& error);
  Task<void> Ask(StreamRef stream);
  void OnAnswer(const StreamRef& stream, std::exception_ptr failure);
  void Submit(const StreamRef& stream);
  void StartPull(const StreamRef& stream);
  struct PullState;
  void OnPulled(const StreamRef& stream, PullState& state, std::exception_ptr failure);
  void Fail(const StreamRef& stream, uint32_t error, std::string_view why);
  void Closed(const StreamRef& stream, uint32_t error);
  void Finish(Stream& stream);
  void SendInterim(Stream& stream, int status, std::string_view fields);

  void ArmTimer(SteadyTime when);
  void OnTimer();
  void CheckStream(const StreamRef& stream, SteadyTime now);

  const std::shared_ptr<ServerCore> core_;
  LoopShare& share_;
  const std::string peer_address_;
  const std::chrono::milliseconds tick_;  ///< how often limits are looked at while there is work
  Socket socket_;
  LoopTimer timer_;
  int fd_ = -1;
  std::unique_ptr<TlsStream> tls_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<int32_t, StreamRef> streams_;

  // Notes of the callbacks.
  std::vector<StreamRef> ready_;                        ///< requests that arrived or are refused
  std::vector<std::pair<StreamRef, uint32_t>> closed_;  ///< with the error code
  std::vector<StreamRef> hungry_;                       ///< their next piece is wanted

  std::string out_;  ///< made by nghttp2, not yet taken by TLS
  size_t out_at_ = 0;
  uint64_t body_bytes_held_ = 0;  ///< of requests that are still arriving
  int running_ = 0;               ///< handlers at work, also for streams that were reset
  Budget resets_;
  Budget nuisances_;

  bool is_in_turn_ = false;
  bool wants_turn_ = false;
  bool is_blocked_ = false;  ///< the socket takes no more
  bool is_waiting_read_ = false;
  bool is_waiting_write_ = false;
  bool is_flooded_ = false;
  bool is_terminating_ = false;
  bool is_lingering_ = false;
  bool is_cut_ = false;
  bool is_ended_ = false;
  bool is_counted_down_ = false;
  SteadyTime idle_since_;
  SteadyTime data_time_;  ///< when bytes of any body were last made into a frame
  SteadyTime progress_;   ///< when the client's side last took something, while blocked
  int unsent_ = 0;
  SteadyTime linger_end_;
  SteadyTime timer_expiry_;
  bool is_timer_armed_ = false;
};

}  // namespace vr::http
