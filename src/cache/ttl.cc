#include "cache/ttl.h"

namespace vr::cache {

std::chrono::seconds TtlFor(int status, const TtlOptions& options) {
  switch (status / 100) {
    case 2:
      return options.ok;
    case 3:
      return options.redirects;
    case 4:
      return options.client_error;
    case 5:
      return options.server_error;
    default:
      return std::chrono::seconds(0);
  }
}

}  // namespace vr::cache
