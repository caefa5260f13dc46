// R2 bindings as buckets of ours.
#include "import/run.h"

namespace vr::import {
namespace {

constexpr std::string_view kR2Account = "R2_ACCOUNT_ID";
constexpr std::string_view kR2AccessKey = "R2_ACCESS_KEY_ID";
constexpr std::string_view kR2SecretKey = "R2_SECRET_ACCESS_KEY";

}  // namespace

std::string BucketName(const std::string& binding) {
  return binding == "VIDEOS_BUCKET" ? "VIDEOS" : AsName(binding);
}

const std::string* FolderOf(const Run& run, const std::string& name) {
  for (const std::string& key : {name, std::string(name == "VIDEOS" ? "VIDEOS_BUCKET" : "")}) {
    const auto root = run.request.bucket_roots.find(key);
    if (root != run.request.bucket_roots.end()) return &root->second;
  }
  return nullptr;
}

Draft BucketSource(Run& run, const std::string& binding, const Node* from) {
  const std::string name = BucketName(binding);
  Draft source;
  source.Set({"type"}, Node::String("s3"), from);
  source.Set({"bucket"}, Node::String(name), from);
  Run::Bucket& bucket = run.buckets[name];
  bucket.is_used = true;
  if (bucket.binding == nullptr) bucket.binding = from;
  return source;
}

void WriteBuckets(Run& run) {
  for (auto& [name, bucket] : run.buckets) {
    const Draft::Path path{"buckets", name};
    if (run.out.Has(path)) continue;
    Draft entry;
    if (const std::string* root = FolderOf(run, name)) {
      entry.Set({"root"}, Node::String(Escaped(*root)), bucket.binding);
      run.out.Put(path, std::move(entry));
      run.out.Comment(path, "--bucket-root: its objects are files below this directory.");
      if (bucket.name != nullptr)
        run.ledger.Changed(*bucket.name, "/buckets/" + name + "/root",
                           "--bucket-root: a directory");
      continue;
    }
    std::string account = "${" + std::string(kR2Account) + "}";
    if (run.account != nullptr) account = run.account->text;
    const std::string zone = bucket.jurisdiction.empty() ? "" : "." + bucket.jurisdiction;
    entry.Set({"endpoint"}, Node::String("https://" + account + zone + ".r2.cloudflarestorage.com"),
              bucket.binding);
    if (bucket.name != nullptr) {
      entry.Set({"bucket"}, Node::String(Escaped(bucket.name->text)), bucket.name);
    } else {
      const std::string variable = AsVariable(name) + "_BUCKET_NAME";
      entry.Set({"bucket"}, Node::String("${" + variable + "}"), bucket.binding);
      run.Warn(*bucket.binding,
               "the name of the bucket stands in the wrangler file: import it too "
               "(--wrangler), or set " +
                   variable);
    }
    entry.Set({"region"}, Node::String("auto"));
    entry.Set({"accessKey"}, Node::String("${" + std::string(kR2AccessKey) + "}"));
    entry.Set({"secretKey"}, Node::String("${" + std::string(kR2SecretKey) + "}"));
    run.out.Put(path, std::move(entry));
    run.out.Comment(path,
                    "R2 by its S3 protocol. The keys are those of an R2 API token with read "
                    "access.");
    if (bucket.name != nullptr) run.ledger.Converted(*bucket.name, "/buckets/" + name + "/bucket");
  }
}

}  // namespace vr::import
