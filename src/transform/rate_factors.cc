#include "transform/rate_factors.h"

namespace vr::transform {

std::string RateFactorKey(std::string_view source_identity, std::string_view validator,
                          const protocol::Job& job) {
  if (validator.empty()) return {};
  std::string key(source_identity);
  key += '\0';
  key += validator;
  key += '\0';
  key += std::to_string(static_cast<int>(job.format));
  key += ' ';
  key += std::to_string(job.target_ssim);
  return key;
}

double RateFactors::Get(const std::string& key) const {
  if (key.empty()) return 0;
  MutexLock lock(mutex_);
  const auto found = factors_.find(key);
  return found != factors_.end() ? found->second : 0;
}

void RateFactors::Put(const std::string& key, double factor) {
  if (key.empty() || max_entries_ == 0) return;
  MutexLock lock(mutex_);
  if (factors_.size() >= max_entries_ && factors_.count(key) == 0) factors_.clear();
  factors_[key] = factor;
}

}  // namespace vr::transform
