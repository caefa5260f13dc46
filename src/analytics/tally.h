// Tally: what is summed up for one label, one layer or one top entry. Integers only, so that sums
// are exact whatever the order. Plain value.
#pragma once

#include <cstdint>

namespace vr::analytics {

struct Tally {
  uint64_t requests = 0;
  uint64_t hits = 0;
  uint64_t errors = 0;
  uint64_t bytes = 0;          ///< of bodies, sent
  uint64_t saved_micros = 0;   ///< CPU time of encoding that hits saved
  uint64_t saved_bytes = 0;    ///< of sources, that hits saved reading
  uint64_t encode_micros = 0;  ///< CPU time of encoding what was made

  void Add(const Tally& more) {
    requests += more.requests;
    hits += more.hits;
    errors += more.errors;
    bytes += more.bytes;
    saved_micros += more.saved_micros;
    saved_bytes += more.saved_bytes;
    encode_micros += more.encode_micros;
  }
  bool operator==(const Tally&) const = default;
};

}  // namespace vr::analytics
