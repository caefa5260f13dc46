#include "app/sign_command.h"

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "base/clock.h"
#include "config/units.h"
#include "http/url_signature.h"

namespace vr::app {
namespace {

int Complain(const std::string& what) {
  std::fprintf(stderr, "video-resizer sign: %s\n", what.c_str());
  return cli::kExitFailed;
}

/// "https://host/path?query" in two: the second begins with the path.
std::pair<std::string, std::string> SplitUrl(const std::string& url) {
  const size_t scheme = url.find("://");
  if (url.starts_with('/') || scheme == std::string::npos) return {"", url};
  const size_t path = url.find_first_of("/?", scheme + 3);
  if (path == std::string::npos) return {url, "/"};
  const std::string rest = url.substr(path);
  return {url.substr(0, path), rest.starts_with('/') ? rest : "/" + rest};
}

}  // namespace

int RunSign(const Sources& sources, const cli::Command::Sign& asked) {
  std::string id = asked.key_id;
  std::string secret;
  if (!asked.secret_variable.empty()) {
    const auto found = sources.environment.find(asked.secret_variable);
    if (found == sources.environment.end() || found->second.empty()) {
      return Complain("the environment variable " + asked.secret_variable + " is not set");
    }
    if (id.empty()) return Complain("--key-id is needed with --secret-env");
    secret = found->second;
  } else {
    const LoadOutcome outcome = Load(sources);
    for (const config::Problem& p : outcome.problems) {
      std::fprintf(stderr, "%s\n", p.ToString().c_str());
    }
    if (!outcome.settings) return cli::kExitFailed;
    const auto& keys = outcome.settings->access.signing_keys;
    if (id.empty() && keys.size() == 1) id = keys.begin()->first;
    if (id.empty()) return Complain("--key-id is needed: there is not exactly one key");
    const auto key = keys.find(id);
    if (key == keys.end()) {
      return Complain("access.signing.keys has no key \"" + id + "\"; or use --secret-env");
    }
    secret = key->second;
  }

  std::optional<int64_t> expires;
  if (asked.expires.starts_with('@')) {
    expires = config::ParseInteger(asked.expires.substr(1));
    if (!expires || *expires < 0) return Complain("--expires: no Unix seconds behind \"@\"");
  } else if (!asked.expires.empty()) {
    const auto length = config::ParseDuration(asked.expires);
    if (!length || length->count() <= 0) return Complain("--expires: no length of time such as 1h");
    const int64_t now = ToUnixMillis(SystemClock::Get().Now()) / 1000;
    expires = now + std::chrono::ceil<std::chrono::seconds>(*length).count();
  }

  const auto [base, target] = SplitUrl(asked.url);
  const Result<std::string> made = http::SignTarget(target, id, secret, expires);
  if (!made.ok()) return Complain(made.error().public_message);
  std::printf("%s%s\n", base.c_str(), made->c_str());
  return cli::kExitDone;
}

}  // namespace vr::app
