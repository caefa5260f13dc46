// Per-title quality: which rate factor gives the wanted structural similarity on this very source.
//
// Similarity in decibels falls linearly with the rate factor (measured, findings §6), so two short
// trial encodes at a fixed small size give the line, and the line gives the factor. The trial
// depends on source, codec and target alone, never on the variant's size or part: one answer per
// source, the same whenever and for whichever variant it is asked.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/reporter.h"
#include "worker/source_io.h"

namespace vr::worker {

/// @param duration of the source, seconds, 0 = unknown
/// @return a rate factor of the job's codec (RateFactorsOf); 0 when the source does not let itself
/// be tried: it has too few pictures, or none that decode
/// @errors SOURCE_FAILED, TRANSFORM_FAILED
Result<double> SolveRateFactor(const transform::protocol::Job& job, SourceIo& source,
                               double duration, Reporter& reporter);

/// The factor on the line through two trials. Pure. @param ssim_a, ssim_b similarity at factors a <
/// b, within (0, 1)
double FactorFor(double target_ssim, double a, double ssim_a, double b, double ssim_b);

}  // namespace vr::worker
