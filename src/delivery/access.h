// AccessGate: stands before all handlers of the main listener and decides who may ask at all.
//
// What it does, in this order: admin routes (when configured) go to the admin handler; the client's
// address is found out behind trusted proxies; preflights are answered; signatures are checked.
// What goes on to the next handler is the request without its signature, and the answer to a signed
// URL is never fresh for longer than the signature. A redirect that stays with the same source is
// signed as the request was. With all of it off a request costs one look at a flag. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "cache/orchestrator.h"
#include "delivery/access_options.h"
#include "delivery/cors.h"
#include "delivery/rate_limit.h"
#include "delivery/snapshot.h"
#include "http/message.h"
#include "http/url_signature.h"

namespace vr::delivery {

/// The rules of one configuration. Immutable.
struct AccessPolicy {
  bool signing_required = false;
  http::SigningKeys keys;
  std::vector<http::AddressBlock> trusted_proxies;
  http::ProxyHeader proxy_header = http::ProxyHeader::kXForwardedFor;
  ProductionLimit productions;
  Cors cors;

  bool has_signing() const { return signing_required || !keys.empty(); }
};

/// @return null when there is nothing to do
/// @errors kInvalidArgument (an address block, a required signature without keys)
Result<std::shared_ptr<const AccessPolicy>> MakeAccessPolicy(const AccessOptions& access,
                                                             const CorsOptions& cors);

class AccessGate final : public http::Handler {
 public:
  /// @param admin  gets what is under /admin and /client/v4; null: nobody does
  AccessGate(SnapshotHolder& snapshots, http::Handler& next, http::Handler* admin,
             const Clock& clock)
      : snapshots_(snapshots), next_(next), admin_(admin), clock_(clock) {}

  std::optional<http::Response> TryNow(const http::Request& request) override;
  Task<http::Response> Handle(Context ctx, const http::Request& request) override;
  void Finished(const http::Request& request, const http::Response& response,
                const http::Sent& sent) override;

 private:
  struct Admitted;
  static Admitted* AdmittedOf(const http::Request& request);
  bool IsAdmins(const http::Request& request) const;
  std::optional<http::Response> TryGuarded(const http::Request& request);
  Task<http::Response> HandleGuarded(Context ctx, const http::Request& request,
                                     SnapshotRef snapshot);
  void Complete(const http::Request& request, const AccessPolicy& policy,
                http::Response& response) const;
  int64_t NowSeconds() const;

  SnapshotHolder& snapshots_;
  http::Handler& next_;
  http::Handler* const admin_;
  const Clock& clock_;
};

/// Has a production that `query` starts counted against the client's limit.
void LimitProductions(cache::Query& query, const Snapshot& snapshot, const std::string& client,
                      RateLimiter* limiter);

/// `value` of Cache-Control for an answer that is `age` old and must not be fresh for longer than
/// `remaining` from now: max-age and s-maxage are cut, nothing may be used stale; without a
/// lifetime that could be cut: no-cache.
std::string CappedCacheControl(std::string_view value, std::chrono::seconds age,
                               std::chrono::seconds remaining);
/// The same for a whole answer, wherever its fields are.
void CapLifetime(http::Response& response, std::chrono::seconds remaining);

/// Signs the Location of an answer whose note says that it stays within what was asked
/// (RequestNote::is_redirect_within), with the key and the expiry of the request's own signature.
void SignLocation(http::Response& response, const http::SigningKeys& keys, std::string_view key_id,
                  std::optional<int64_t> expires);

}  // namespace vr::delivery
