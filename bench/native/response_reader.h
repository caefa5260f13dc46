#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vr::bench {

/// Follows one HTTP/1.1 response after the other on a keep-alive connection, as little as a load
/// client needs: status, Content-Length, where the head ends. Bodies are counted, never looked at:
/// the caller may have the kernel throw them away. Chunked bodies are not understood (Failed). Not
/// thread-safe.
class ResponseReader {
 public:
  enum class State { kHead, kBody, kDone, kFailed };

  /// Takes bytes of the head, and of the body when it came along with it. Call while state() is
  /// kHead.
  State Feed(std::string_view bytes);

  /// `count` bytes of the body were received (and thrown away). At most left() of them.
  State Skip(std::uint64_t count);

  /// Ready for the next response.
  void Reset();

  State state() const { return state_; }
  int status() const { return status_; }
  std::uint64_t length() const { return length_; }
  /// Bytes of the body still to come.
  std::uint64_t left() const { return left_; }

 private:
  State Fail();
  bool ParseHead(std::string_view head);

  std::string partial_;  // of a head that came in pieces
  State state_ = State::kHead;
  int status_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t left_ = 0;
};

}  // namespace vr::bench
