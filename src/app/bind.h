// How each room's options are written in the configuration: one function per struct, one line per
// field. The fields' order is the order of `config print` and of docs/configuration.md. Used by
// settings.cc only.
#pragma once

#include "app/settings.h"
#include "config/object.h"

namespace vr::app {

/// Everything. Limits that other fields are checked against come first.
void BindSettings(config::Object& o, Settings& settings);

/// Room by room; bind_origins.cc, bind_buckets.cc and bind_variant.cc.
void BindOrigin(config::Object& o, origin::OriginOptions& origin);
void BindBucket(config::Object& o, origin::BucketOptions& bucket);
void BindDerivative(config::Object& o, variant::Derivative& derivative,
                    const variant::Limits& limits);

/// `quality` and `compression` as a URL has them, for defaults of an origin.
void BindEncodingDefault(config::Object& o, std::string_view key,
                         std::optional<std::string>& value);

// Shapes of strings that more than one section has.
config::Text ListenAddress();
config::Text HttpUrl();
config::Text IpAddress();
config::Text Name();
config::Text CacheTag();

}  // namespace vr::app
