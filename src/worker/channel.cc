#include "worker/channel.h"

#include "transform/protocol/fd_passing.h"

namespace vr::worker {

namespace protocol = transform::protocol;

Result<void> Channel::Send(const protocol::Message& message) {
  return protocol::SendAll(socket_.get(), protocol::Encode(message));
}

Result<bool> Channel::Fill() {
  TRY(const protocol::Received received, protocol::Receive(socket_.get(), buffer_, descriptors_));
  return received == protocol::Received::kData;
}

Result<std::optional<protocol::Message>> Channel::Next() {
  return protocol::TakeFrame(buffer_);
}

Result<std::optional<protocol::Message>> Channel::Receive() {
  for (;;) {
    TRY(std::optional<protocol::Message> message, Next());
    if (message) return message;
    TRY(const bool more, Fill());
    if (!more) return std::optional<protocol::Message>();
  }
}

UniqueFd Channel::TakeDescriptor() {
  if (descriptors_.empty()) return UniqueFd();
  UniqueFd fd = std::move(descriptors_.front());
  descriptors_.erase(descriptors_.begin());
  return fd;
}

}  // namespace vr::worker
