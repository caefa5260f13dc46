// Still encoder: one picture as JPEG, PNG or WebP, for frames and spritesheets.
#pragma once

#include "base/result.h"
#include "transform/protocol/messages.h"
#include "worker/av.h"
#include "worker/job_files.h"
#include "worker/picture_graph.h"

namespace vr::worker {

/// What a picture must become before it is encoded. JPEG has no transparency, PNG and WebP keep it.
/// @param keep_alpha false: flattened on black whatever the format
PictureTarget StillTarget(transform::protocol::OutputFormat format, const PictureShape& shape,
                          bool keep_alpha);

/// Longest side of a picture in this format, pixels.
int LongestSide(transform::protocol::OutputFormat format);

/// @param frame as StillTarget says
/// @errors SOURCE_TOO_LARGE (a side the format has no number for), TRANSFORM_FAILED
Result<AvPtr<AVPacket>> EncodeStill(const transform::protocol::Job& job, AVFrame& frame);

/// "mjpeg", "png", "webp"
const char* StillCodec(transform::protocol::OutputFormat format);

/// Writes the whole result. @errors SOURCE_TOO_LARGE (limits), TRANSFORM_FAILED
Result<void> StoreResult(const transform::protocol::Job& job, const JobFiles& files,
                         const uint8_t* bytes, size_t size);

/// One picture through a graph of its own.
Result<AvPtr<AVFrame>> FilterOne(AvPtr<AVFrame> frame, const PictureShape& shape,
                                 const Placement& placement, const PictureTarget& target);

}  // namespace vr::worker
