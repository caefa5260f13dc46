#include "delivery/production_stream.h"

#include <algorithm>

namespace vr::delivery {

Task<Result<std::optional<http::Piece>>> ProductionStream::Next(Context ctx) {
  for (;;) {
    const uint64_t ticket = production_->ticket();
    const cache::Production::View view = production_->Look();
    if (view.phase == cache::Production::Phase::kFailed) co_return Error(*production_->error());
    const uint64_t ready = std::min(view.watermark, end_);
    if (ready > next_) {
      http::FilePiece piece{head_->file, next_, ready - next_};
      next_ = ready;
      co_return std::optional<http::Piece>(std::move(piece));
    }
    if (next_ >= end_) co_return std::optional<http::Piece>();
    if (view.phase == cache::Production::Phase::kDone) co_return std::optional<http::Piece>();
    const bool changed = co_await production_->WaitChange(ticket, ctx.deadline);
    if (!changed) co_return Error(Code::kDeadlineExceeded, "the production did not go on in time");
  }
}

}  // namespace vr::delivery
