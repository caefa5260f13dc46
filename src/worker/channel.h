// Channel: whole protocol frames, with descriptors, over one Unix stream socket.
//
// Blocking; one user. Zygote and worker speak through the same class; only the zygote asks before
// it reads (`Fill` once per readiness).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "transform/protocol/messages.h"

namespace vr::worker {

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  /// @errors kUnavailable: the other side is gone
  Result<void> Send(const transform::protocol::Message& message);
  /// Blocks until a whole frame is there. @return nullopt when the other side closed.
  Result<std::optional<transform::protocol::Message>> Receive();

  /// Waits for bytes once. @return false at the end of the stream.
  Result<bool> Fill();
  /// The next whole frame of what `Fill` brought, if any.
  Result<std::optional<transform::protocol::Message>> Next();

  /// The oldest descriptor that came and was not taken; invalid when there is none.
  UniqueFd TakeDescriptor();

 private:
  UniqueFd socket_;
  std::string buffer_;
  std::vector<UniqueFd> descriptors_;
};

}  // namespace vr::worker
