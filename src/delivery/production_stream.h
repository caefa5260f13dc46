// ProductionStream: one client's view of a growing body. Bound to the connection's loop.
#pragma once

#include "cache/production.h"
#include "http/message.h"

namespace vr::delivery {

class ProductionStream final : public http::BodyStream {
 public:
  /// Sends the growing file from byte 0 to its end. Keeps it (and its disk space) until the client
  /// is done.
  explicit ProductionStream(cache::ProductionRef production)
      : production_(std::move(production)), head_(production_->head()) {}
  Task<Result<std::optional<http::FilePiece>>> Next(Context ctx) override;

 private:
  const cache::ProductionRef production_;
  const std::shared_ptr<const cache::StreamHead> head_;
  uint64_t sent_ = 0;
};

}  // namespace vr::delivery
