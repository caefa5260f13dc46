// VideoProducer: how the cache has a variant made. Opens the source, then copies its bytes or has a
// worker transform them. One object per production; Produce() is called once.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "analytics/recorder.h"
#include "cache/orchestrator.h"
#include "delivery/derivation.h"
#include "delivery/snapshot.h"
#include "delivery/transform_group.h"
#include "io/blocking.h"
#include "observe/metrics.h"
#include "transform/planner.h"
#include "transform/rate_factors.h"
#include "transform/worker_pool.h"
#include "variant/variant_request.h"

namespace vr::delivery {

/// What all producers share. The referred objects outlive every production.
struct ProducerDeps {
  transform::WorkerPool& pool;
  cache::Staging& staging;
  io::Blocking& blocking;
  Metrics& metrics;
  transform::RateFactors& rate_factors;
  analytics::Recorder* recorder = nullptr;  ///< of productions; null: none
};

/// What is known before anything is opened.
struct ProductionSpec {
  SnapshotRef snapshot;
  variant::VariantRequest request;
  origin::Resolved resolved;
  transform::Plan plan;
  std::vector<std::string> tags;
  BaseFinder find_base;  ///< null: it is made of its source
  std::string client;  ///< on whose behalf, see http::ClientGroupOf; empty: nobody's in particular
};

/// Opens the source of `spec`; its redirects are made fit for our clients.
/// @errors as origin::Opener::Open
Task<Result<origin::SourceRef>> OpenSource(Context ctx, const ProductionSpec& spec);

/// The part of the metadata that follows from request and source alone.
cache::Metadata DescribeVariant(const ProductionSpec& spec, const origin::SourceInfo& source);

class VideoProducer final : public cache::Producer {
 public:
  /// @param seat  null, or its place among those that are made together
  VideoProducer(ProducerDeps deps, ProductionSpec spec,
                std::shared_ptr<TransformGroup::Seat> seat = nullptr)
      : deps_(deps), spec_(std::move(spec)), seat_(std::move(seat)) {}
  Task<Result<cache::Metadata>> Produce(Context ctx, cache::ProductionRef production,
                                        SharedFd stored) override;
  Task<Result<bool>> IsUnchanged(Context ctx, cache::Metadata known) override;

 private:
  Task<Result<cache::Metadata>> CopyOriginal(Context ctx, cache::ProductionRef production,
                                             SharedFd stored, origin::SourceRef source);
  Task<Result<cache::Metadata>> Transform(Context ctx, cache::ProductionRef production,
                                          SharedFd stored, Base base);
  /// Makes it of something that is held. @return nullopt: it has to be made of its source
  Task<std::optional<Result<cache::Metadata>>> Derive(Context ctx, cache::ProductionRef production,
                                                      SharedFd stored);
  /// What a finished transform tells.
  void Note(cache::Metadata& meta, const transform::protocol::Done& done,
            const std::string& factor_key) const;
  void Count(std::string_view result);
  void Tell(const Result<cache::Metadata>& made);

  const ProducerDeps deps_;
  const ProductionSpec spec_;
  std::shared_ptr<TransformGroup::Seat> seat_;
  std::atomic<bool> has_changed_{false};  ///< the source, as far as was seen: what is held is old
};

}  // namespace vr::delivery
