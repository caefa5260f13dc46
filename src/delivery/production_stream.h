// ProductionStream: one client's view of a growing body. Bound to the connection's loop.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "cache/production.h"
#include "http/message.h"

namespace vr::delivery {

class ProductionStream final : public http::BodyStream {
 public:
  /// Sends the growing file from byte `first` to its end, or `length` bytes of it. Keeps it (and
  /// its disk space) until the client is done.
  ProductionStream(cache::ProductionRef production, std::shared_ptr<const cache::Waiter> waiter,
                   uint64_t first = 0, std::optional<uint64_t> length = std::nullopt)
      : production_(std::move(production)),
        waiter_(std::move(waiter)),
        head_(production_->head()),
        next_(first),
        end_(length ? first + *length : std::numeric_limits<uint64_t>::max()) {}
  Task<Result<std::optional<http::Piece>>> Next(Context ctx) override;

 private:
  const cache::ProductionRef production_;
  const std::shared_ptr<const cache::Waiter> waiter_;  ///< held: somebody reads it
  const std::shared_ptr<const cache::StreamHead> head_;
  uint64_t next_;
  const uint64_t end_;
};

}  // namespace vr::delivery
