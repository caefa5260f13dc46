// RateFactors: what solving a source's quality came to, remembered so that its other variants need
// no trial encodes. Losing one costs those seconds again and changes no byte: the answer depends on
// source, codec and target alone. Bounded, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"
#include "transform/protocol/messages.h"

namespace vr::transform {

/// Names a source's version, a codec and a target; empty when the source has no validator, and then
/// nothing is remembered.
std::string RateFactorKey(std::string_view source_identity, std::string_view validator,
                          const protocol::Job& job);

class RateFactors {
 public:
  explicit RateFactors(size_t max_entries = 10'000) : max_entries_(max_entries) {}

  /// @return 0 = not known
  double Get(const std::string& key) const;
  /// When full, what is there goes: the hot ones are soon back.
  void Put(const std::string& key, double factor);

 private:
  const size_t max_entries_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, double> factors_ GUARDED_BY(mutex_);
};

}  // namespace vr::transform
