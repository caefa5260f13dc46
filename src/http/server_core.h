// What a server's acceptor and its connections share. Lives as long as the last of them.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "http/message.h"
#include "http/server.h"
#include "io/loop.h"
#include "observe/metrics.h"

namespace vr::http {

class LiveConnection;

/// One loop's connections. `all` is touched on the loop's thread only.
struct LoopShare {
  explicit LoopShare(io::Loop& l) : loop(l) {}
  io::Loop& loop;
  std::atomic<int> count{0};  ///< with those on their way to the loop
  std::unordered_set<LiveConnection*> all;
};

/// Thread-safe.
struct ServerCore {
  ServerCore(ServerOptions o, Handler& h, io::LoopPool& loops, Metrics& metrics);

  LoopShare& LeastLoaded();
  void ConnectionOpened(LoopShare& share);
  void ConnectionClosed(LoopShare& share);
  /// Counts a refusal by its error code or reason.
  void CountRefused(std::string_view reason);

  const ServerOptions options;
  Handler& handler;
  Gauge open_connections;
  Counter total_connections;
  std::vector<std::pair<std::string, Counter>> refused;
  std::vector<std::unique_ptr<LoopShare>> shares;
  std::atomic<bool> is_draining{false};
  std::atomic<bool> is_closed{false};
  std::atomic<size_t> connections{0};
  std::mutex mutex;  ///< for `all_gone` only
  std::condition_variable all_gone;
};

}  // namespace vr::http
