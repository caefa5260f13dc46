// wrangler.jsonc: bindings and variables. Its code, routes and triggers have no counterpart.
#include <algorithm>

#include "import/run.h"

namespace vr::import {
namespace {

using Kind = Node::Kind;

constexpr std::string_view kNoWorker = "there is no worker to deploy";
constexpr std::string_view kNoService = "the server needs no such service";

/// Keys that a section of "env" does not inherit: its own count, or none.
constexpr std::string_view kNotInherited[] = {"vars",
                                              "kv_namespaces",
                                              "r2_buckets",
                                              "d1_databases",
                                              "durable_objects",
                                              "queues",
                                              "services",
                                              "analytics_engine_datasets",
                                              "containers",
                                              "ai",
                                              "browser",
                                              "vectorize",
                                              "hyperdrive",
                                              "send_email",
                                              "tail_consumers",
                                              "define",
                                              "secrets_store_secrets",
                                              "media",
                                              "images",
                                              "workflows"};

/// What is said about a key that brings nothing.
constexpr DropRule kKeys[] = {
    {"$schema", "about the file itself"},
    {"name", kNoWorker},
    {"main", kNoWorker},
    {"compatibility_date", kNoWorker},
    {"compatibility_flags", kNoWorker},
    {"workers_dev", kNoWorker},
    {"preview_urls", kNoWorker},
    {"minify", kNoWorker},
    {"no_bundle", kNoWorker},
    {"build", kNoWorker},
    {"rules", kNoWorker},
    {"dev", kNoWorker},
    {"migrations", kNoWorker},
    {"upload_source_maps", kNoWorker},
    {"placement", kNoWorker},
    {"limits", kNoWorker},
    {"usage_model", kNoWorker},
    {"define", kNoWorker},
    {"alias", kNoWorker},
    {"route", "the server answers whatever host and path comes to it (listen, tls)"},
    {"routes", "the server answers whatever host and path comes to it (listen, tls)"},
    {"triggers", "nothing needs to be done by the clock"},
    {"assets", "the debug pages of the worker; ?debug=view answers here"},
    {"secrets_store_secrets", "secrets are variables of the server's environment"},
    {"vectorize", kNoService},
    {"hyperdrive", kNoService},
    {"send_email", kNoService},
    {"pipelines", kNoService},
    {"unsafe", kNoService},
    {"keep_vars", kNoWorker},
    {"legacy_env", kNoWorker},
    {"find_additional_modules", kNoWorker},
    {"base_dir", kNoWorker},
    {"preserve_file_names", kNoWorker},
    {"tsconfig", kNoWorker},
    {"send_metrics", kNoWorker},
    {"observability", "log lines and /metrics"},
    {"logpush", "log lines and /metrics"},
    {"d1_databases", "analytics are in /metrics"},
    {"analytics_engine_datasets", "analytics are in /metrics"},
    {"queues", "the queue of transforms is part of the server (transform.queue)"},
    {"containers", "workers are processes of the server (transform.workers)"},
    {"durable_objects", kNoService},
    {"services", kNoService},
    {"media", "media are transformed by our own workers"},
    {"images", kNoService},
    {"browser", kNoService},
    {"ai", kNoService},
    {"version_metadata", kNoService},
    {"workflows", kNoService},
    {"tail_consumers", kNoService},
};

class Wrangler {
 public:
  Wrangler(Run& run, const Node& root) : run_(run), root_(root) {}

  void Import() {
    ChooseEnvironment();
    if (!run_.problems.empty()) return;
    if (const Node* account = Effective("account_id")) {
      if (const auto id = run_.Text(*account)) Account(*account, *id);
    }
    const Node* vars = Effective("vars");
    if (vars != nullptr && run_.NeedObject(*vars)) {
      for (const config::Member& member : vars->members) {
        if (!member.value.is(Kind::kNull)) run_.variables.emplace(member.name, &member.value);
      }
    }
    if (const Node* buckets = Effective("r2_buckets")) Buckets(*buckets);
    if (const Node* namespaces = Effective("kv_namespaces")) Namespaces(*namespaces);
    if (vars != nullptr && vars->is(Kind::kObject)) Variables(*vars);
    for (const Node* section : {&root_, section_}) {
      if (section == nullptr) continue;
      for (const DropRule& rule : kKeys) {
        if (const Node* node = run_.Get(*section, rule.key))
          run_.ledger.Dropped(*node, std::string(rule.why));
      }
    }
  }

 private:
  void ChooseEnvironment() {
    const Node* env = run_.Get(root_, "env");
    const std::string& wanted = run_.request.environment;
    if (env != nullptr && !run_.NeedObject(*env)) return;
    std::string names;
    if (env != nullptr) {
      for (const config::Member& member : env->members) {
        names += (names.empty() ? "" : ", ") + member.name;
        if (!wanted.empty() && member.name == wanted) section_ = &member.value;
      }
    }
    if (!wanted.empty() && section_ == nullptr) {
      run_.problems.push_back({env == nullptr ? root_.place : env->place, "/env",
                               "no section " + config::Quote(wanted) + " (--env)",
                               names.empty() ? "none: there are no sections" : "one of: " + names});
      return;
    }
    if (section_ != nullptr && !run_.NeedObject(*section_)) return;
    if (env != nullptr) {
      for (const config::Member& member : env->members) {
        if (&member.value == section_) continue;
        run_.ledger.Dropped(member.value, wanted.empty()
                                              ? "not asked for (--env " + member.name + ")"
                                              : "another section (--env " + member.name + ")");
      }
    }
    if (section_ != nullptr) {
      for (const std::string_view key : kNotInherited) {
        const Node* node = run_.Get(root_, key);
        if (node != nullptr)
          run_.ledger.Dropped(
              *node, "sections of env do not inherit it: " + wanted + " has its own or none");
      }
    } else if (env != nullptr && !env->members.empty()) {
      const bool has_top = run_.Get(root_, "vars") != nullptr ||
                           run_.Get(root_, "kv_namespaces") != nullptr ||
                           run_.Get(root_, "r2_buckets") != nullptr;
      run_.Warn(*env, has_top ? "the top level was taken; these sections were not: " + names +
                                    " (choose with --env)"
                              : "bindings and variables stand in sections only: " + names +
                                    " (choose with --env)");
    }
  }

  const Node* Effective(std::string_view key) {
    if (section_ != nullptr) {
      if (const Node* own = run_.Get(*section_, key)) return own;
      if (std::find(std::begin(kNotInherited), std::end(kNotInherited), key) !=
          std::end(kNotInherited))
        return nullptr;
    }
    return run_.Get(root_, key);
  }

  void Account(const Node& node, const std::string& id) {
    const bool is_id = !id.empty() && std::all_of(id.begin(), id.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    });
    if (!is_id) {
      run_.ledger.Dropped(node, "no account id; set R2_ACCOUNT_ID");
      return;
    }
    run_.account = &node;
    run_.ledger.Changed(node, "/buckets/*/endpoint", "part of the endpoint of R2 buckets");
  }

  void Buckets(const Node& list) {
    if (!run_.NeedArray(list)) return;
    for (const Node& item : list.items) {
      if (!run_.NeedObject(item)) continue;
      const Node* binding = run_.Get(item, "binding");
      const Node* name = run_.Get(item, "bucket_name");
      if (binding == nullptr) {
        run_.problems.push_back(
            {item.place, At(run_.ledger.PointerOf(item), "binding"), "nothing", "required"});
        continue;
      }
      const auto text = run_.Text(*binding);
      if (!text || (name != nullptr && !run_.Text(*name))) continue;
      const std::string ours = BucketName(*text);
      if (run_.buckets.contains(ours)) {
        run_.ledger.Dropped(item, "there is another bucket called " + ours);
        continue;
      } else {
        Run::Bucket& bucket = run_.buckets[ours];
        bucket.binding = binding;
        bucket.name = name;
        if (*text == ours) {
          run_.ledger.Converted(*binding, "/buckets/" + ours);
        } else {
          run_.ledger.Changed(*binding, "/buckets/" + ours, "called " + ours + " here");
        }
        if (const Node* zone = run_.Get(item, "jurisdiction")) {
          if (const auto where = run_.Text(*zone)) {
            bucket.jurisdiction = AsName(*where);
            run_.ledger.Converted(*zone, "/buckets/" + ours + "/endpoint");
          }
        }
      }
      run_.DropKnown(item, {{"preview_bucket_name", "there is no preview"},
                            {"remote", kNoWorker},
                            {"experimental_remote", kNoWorker}});
    }
  }

  void Namespaces(const Node& list) {
    if (!run_.NeedArray(list)) return;
    std::string wanted = "VIDEO_TRANSFORMATIONS_CACHE";
    if (const auto it = run_.variables.find("CACHE_KV_NAME"); it != run_.variables.end()) {
      if (it->second->is(Kind::kString) && !it->second->text.empty()) wanted = it->second->text;
      run_.ledger.Changed(*it->second, "/cache/kvNamespace", "chooses which binding it is");
    }
    for (const Node& item : list.items) {
      if (!run_.NeedObject(item)) continue;
      const Node* binding = run_.Get(item, "binding");
      if (binding == nullptr) {
        run_.problems.push_back(
            {item.place, At(run_.ledger.PointerOf(item), "binding"), "nothing", "required"});
        continue;
      }
      const auto text = run_.Text(*binding);
      if (!text) continue;
      if (*text != wanted) {
        run_.ledger.Dropped(item, WhyNot(*text));
        continue;
      }
      if (IsNamespace(*text)) {
        run_.Set(*binding, {"cache", "kvNamespace", "binding"}, Node::String(*text));
      } else {
        run_.ledger.Dropped(*binding, "no name of A-Z a-z 0-9 - _");
      }
      if (const Node* id = run_.Get(item, "id")) {
        const auto value = run_.Text(*id);
        if (value && IsNamespace(*value)) {
          run_.Set(*id, {"cache", "kvNamespace", "id"}, Node::String(*value));
        } else if (value) {
          run_.Warn(*id, "no id of a namespace; the binding's name tells it apart");
          run_.ledger.Dropped(*id, "no id of A-Z a-z 0-9 - _");
        }
      }
      run_.DropKnown(item, {{"preview_id", "there is no preview"},
                            {"remote", kNoWorker},
                            {"experimental_remote", kNoWorker}});
    }
  }

  static bool IsNamespace(const std::string& text) {
    return !text.empty() && text.size() <= 64 && AsName(text) == text &&
           text.find('.') == std::string::npos;
  }

  static std::string WhyNot(const std::string& binding) {
    if (binding.find("CONFIG") != std::string::npos)
      return "the configuration is a file here, not a KV value";
    if (binding.find("VERSION") != std::string::npos)
      return "versions of entries need no store: a changed preset or origin makes a miss";
    if (binding.find("PRESIGN") != std::string::npos)
      return "requests to buckets are signed one by one";
    return "it is not the binding of the cache";
  }

  void Number(const Node& node, const Draft::Path& path) {
    if (const auto seconds = run_.Whole(node, 0, 31536000, true))
      run_.Set(node, path, Node::Number(std::to_string(*seconds)));
  }

  void Default(const Node& node, Run::Default& slot) {
    const auto level = run_.OneOf(node, {"low", "medium", "high", "auto"}, true);
    if (!level) return;
    slot.node = &node;
    slot.value = *level;
  }

  /// A default that is ours too needs nothing.
  void FixedDefault(const Node& node, std::string_view ours) {
    if ((node.is(Kind::kBool) && node.boolean && ours == "true") ||
        (node.is(Kind::kString) && Lower(node.text) == ours)) {
      run_.ledger.Converted(node, "our default too");
      return;
    }
    run_.Warn(node, "a default for every request cannot be set here; use a derivative");
    run_.ledger.Dropped(node, "only quality and compression have configurable defaults");
  }

  void Variables(const Node& vars) {
    constexpr std::string_view kTtl = "CACHE_KV_TTL_";
    for (const config::Member& member : vars.members) {
      const std::string& name = member.name;
      const Node& node = member.value;
      if (node.is(Kind::kNull)) continue;
      if (name == "CACHE_ENABLE_KV") {
        if (const auto on = run_.Bool(node, true))
          run_.Set(node, {"cache", "enableKVCache"}, Node::Bool(*on));
      } else if (name == std::string(kTtl) + "OK") {
        Number(node, {"cache", "kvTtl", "ok"});
      } else if (name == std::string(kTtl) + "REDIRECTS") {
        Number(node, {"cache", "kvTtl", "redirects"});
      } else if (name == std::string(kTtl) + "CLIENT_ERROR") {
        Number(node, {"cache", "kvTtl", "clientError"});
      } else if (name == std::string(kTtl) + "SERVER_ERROR") {
        Number(node, {"cache", "kvTtl", "serverError"});
      } else if (name == "CACHE_BYPASS_PARAMS") {
        ImportBypass(run_, node, true);
      } else if (name == "DEBUG_ENABLED") {
        ImportDebugEnabled(run_, node, true);
      } else if (name == "DEBUG_ALLOWED_IPS") {
        ImportAddresses(run_, node, true);
      } else if (name == "LOG_LEVEL") {
        ImportLogLevel(run_, node, true);
      } else if (name == "LOG_FORMAT") {
        ImportLogFormat(run_, node, true);
      } else if (name == "VIDEO_DEFAULT_QUALITY") {
        Default(node, run_.quality);
      } else if (name == "VIDEO_DEFAULT_COMPRESSION") {
        Default(node, run_.compression);
      } else if (name == "VIDEO_DEFAULT_AUDIO") {
        FixedDefault(node, "true");
      } else if (name == "VIDEO_DEFAULT_FIT") {
        FixedDefault(node, "contain");
      } else if (name == "PATH_PATTERNS") {
        run_.path_patterns = &node;
      } else if (name == "CDN_CGI_BASE_PATH") {
        ImportBasePath(run_, node);
      } else {
        DropVariable(name, node);
      }
    }
  }

  void DropVariable(const std::string& name, const Node& node) {
    constexpr std::string_view kHeaders = "the diagnostic headers are the same on every answer";
    constexpr std::string_view kLog = "log lines have one form: time, level, event and fields";
    static constexpr DropRule kKnown[] = {
        {"ENVIRONMENT", "nothing depends on it"},
        {"VERSION", "about the worker"},
        {"CONFIG_KV_NAME", "the configuration is a file here, not a KV value"},
        {"VERSION_KV_NAME", "versions of entries need no store"},
        {"PRESIGNED_KV_NAME", "requests to buckets are signed one by one"},
        {"CACHE_KV_READ_CACHE_TTL", "the store is consistent: reads need no cache"},
        {"CONFIG_API_TOKEN",
         "there is no upload of configurations: SIGHUP reads the file again; admin.token guards "
         "the admin routes"},
        {"SENTRY_DSN", "errors are lines of the log and counted in /metrics"},
        {"CACHE_DEFAULT_TTL",
         "max-age is what is left of the entry's lifetime (kvTtl); origins[].cacheControl says "
         "another"},
        {"CACHE_RESPECT_ORIGIN", "lifetimes of variants come from kvTtl"},
        {"CACHE_EVERYTHING", "every good variant is cached"},
        {"CACHE_ENABLE_TAGS", "answers always carry Cache-Tag; a proxy in front can take it off"},
        {"CACHE_PURGE_ON_UPDATE", "a changed preset or origin makes old entries misses"},
        {"CACHE_DEBUG", "debug flags of a request say it: ?debug=view"},
        {"CACHE_METHOD", "both layers, edge and KV, are there"},
        {"DEBUG_VERBOSE", kHeaders},
        {"DEBUG_INCLUDE_HEADERS", kHeaders},
        {"DEBUG_PERFORMANCE", "Server-Timing is always there"},
        {"DEBUG_EXCLUDED_PATHS", "only media paths have debug answers"},
        {"LOG_INCLUDE_TIMESTAMPS", kLog},
        {"LOG_INCLUDE_COMPONENT", kLog},
        {"LOG_COLORIZE", kLog},
        {"LOG_ENABLED_COMPONENTS", kLog},
        {"LOG_DISABLED_COMPONENTS", kLog},
        {"LOG_SAMPLE_RATE", "every request has its line"},
        {"LOG_PERFORMANCE", "the request's line has its times"},
        {"LOG_PERFORMANCE_THRESHOLD", "the request's line has its times"},
    };
    if (run_.ledger.HasVerdict(node)) return;
    for (const DropRule& rule : kKnown) {
      if (rule.key != name) continue;
      run_.ledger.Dropped(node, std::string(rule.why));
      return;
    }
    // A source may refer to it: Run::Reference() says so then. Else it is dropped at the end.
  }

  Run& run_;
  const Node& root_;
  const Node* section_ = nullptr;
};

}  // namespace

void ImportWrangler(Run& run, const Node& root) {
  Wrangler(run, root).Import();
}

}  // namespace vr::import
