// What libav has to say: kept, not printed. The first lines go into a failure's detail; corrupt
// sources print hundreds. Thread-safe (decoder threads log too).
#pragma once

#include <string>

namespace vr::worker {

/// Installs the callback; once, before any thread.
void InstallAvLog();
/// The first few error lines since the start, one line.
std::string AvLogLines();
/// libav refused a picture for its size.
bool AvLogSawTooManyPixels();
/// libav refused a stream for their number.
bool AvLogSawTooManyStreams();

}  // namespace vr::worker
