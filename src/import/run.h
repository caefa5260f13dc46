// Run: one import under way, and how its parts read values. Used inside of import/ only.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/jsonc.h"
#include "config/problem.h"
#include "import/draft.h"
#include "import/importer.h"
#include "import/report.h"

namespace vr::import {

using config::Node;

/// A key that we have no use for, and why.
struct DropRule {
  std::string_view key;
  std::string_view why;
};

class Run {
 public:
  explicit Run(const ImportRequest& request) : request(request) {}

  // --- reading; a value of another type is a problem with its place, null is not set ---

  /// The member, or null when it is absent or JSON's null.
  const Node* Get(const Node& object, std::string_view key);
  bool NeedObject(const Node& node);
  bool NeedArray(const Node& node);
  std::optional<std::string> Text(const Node& node);
  /// With `loose`, text that says it too: a variable's value.
  std::optional<bool> Bool(const Node& node, bool loose = false);
  std::optional<int64_t> Whole(const Node& node, int64_t min, int64_t max, bool loose = false);
  /// A list of texts; with `loose`, text with commas.
  std::optional<std::vector<std::string>> Texts(const Node& node, bool loose = false);
  std::optional<std::string> OneOf(const Node& node, const std::vector<std::string_view>& words,
                                   bool loose = false);
  void Wrong(const Node& node, std::string allowed);
  void Warn(const Node& node, std::string text);

  // --- writing ---

  /// Takes the value's place in the result; says so in the ledger when a stronger input has it.
  /// @return whether to set it
  bool Claim(const Node& node, const Draft::Path& path);
  /// Claim, set, and enter as converted (or, with `why`, as changed).
  void Set(const Node& node, const Draft::Path& path, Node value, std::string why = "");
  void DropKnown(const Node& object, const std::vector<DropRule>& rules);
  /// The variable for a secret that was written out: `name`, or with a number behind it where
  /// another secret has that name.
  std::string SecretVariable(const std::string& name, const std::string& secret);
  /// `${NAME}` for a variable's name, or nullopt after a problem.
  std::optional<std::string> Reference(const Node& name);

  /// Whether the four lifetimes of `ttl` were read into `out`.
  void Ttl(const Node& ttl, Draft& out, const Draft::Path& path, const std::string& to);

  const ImportRequest& request;
  std::deque<config::Parsed> documents;  ///< never moved: the ledger knows nodes by address
  Ledger ledger;
  Draft out;
  std::vector<config::Problem> problems;
  Report report;

  // --- what one part learns and another needs ---
  struct Default {
    const Node* node = nullptr;
    std::string value;
    bool is_used = false;
  };
  Default quality, compression;  ///< of every origin that has none of its own
  std::vector<std::string> formats{"mp4", "webm", "mov", "mkv", "avi",  "m4v",
                                   "3gp", "ogv",  "ts",  "flv", "mpeg", "gif"};
  bool passes_others = false;  ///< what is no video goes to the origin as it is
  const Node* passes_others_node = nullptr;
  /// R2 buckets: our name → what is known of it.
  struct Bucket {
    const Node* binding = nullptr;
    const Node* name = nullptr;
    std::string jurisdiction;
    bool is_used = false;
  };
  std::map<std::string, Bucket> buckets;
  const Node* account = nullptr;
  const Node* path_patterns = nullptr;           ///< of the wrangler file, text or list
  std::map<std::string, const Node*> variables;  ///< vars of the wrangler file
  std::set<std::string> origin_names;
  std::map<std::string, std::string> secrets;  ///< that were written out, by their variables
  // What is true of every matcher is said once.
  bool said_letter_case = false;
  std::set<std::string> said_unreachable;
};

// --- the parts ---
void ImportWorker(Run& run, const Node& root);
void ImportWrangler(Run& run, const Node& root);
/// PATH_PATTERNS of the wrangler file, when no worker configuration brought origins.
void ImportPathPatternsVariable(Run& run);
/// v1's pathPatterns and storage. @return whether there were any
bool ImportLegacy(Run& run, const Node* patterns, const Node* storage);
void ImportOrigins(Run& run, const Node& items);
/// What a binding's bucket is called here: v1 calls VIDEOS_BUCKET what v2 calls VIDEOS.
std::string BucketName(const std::string& binding);
/// The directory that --bucket-root gives a bucket of ours; null when it is a real one.
const std::string* FolderOf(const Run& run, const std::string& name);
/// Buckets that sources named or the wrangler file declares.
void WriteBuckets(Run& run);
void ImportCache(Run& run, const Node& cache);
// Settings that a file and a variable can say; `loose` is the variable.
void ImportBypass(Run& run, const Node& node, bool loose);
void ImportAddresses(Run& run, const Node& node, bool loose);
void ImportDebugEnabled(Run& run, const Node& node, bool loose);
void ImportLogLevel(Run& run, const Node& node, bool loose);
void ImportLogFormat(Run& run, const Node& node, bool loose);
void ImportBasePath(Run& run, const Node& node);
void ImportDebug(Run& run, const Node& debug);
void ImportLogging(Run& run, const Node& logging);

// --- pieces of origins that several parts use ---
/// The source that is being made.
struct SourceTarget {
  Draft& draft;
  const std::string& to;     ///< its pointer in the result, for the report
  const std::string& owner;  ///< its origin's name as part of a variable's
  bool takes_query = true;   ///< whether a URL's query can be sent
};
/// An `auth` object into a source. @return false: the source cannot be used
bool ConvertAuth(Run& run, const Node& auth, const SourceTarget& source);
/// Splits "https://host/a/${x}" into what may be a `url` and what must be a `path`.
/// @return false after a warning: it cannot be a source
bool ConvertUrl(Run& run, const Node& url, const SourceTarget& source, std::string& path_prefix,
                bool& has_placeholders);
/// An R2 binding as a source (without path).
Draft BucketSource(Run& run, const std::string& binding, const Node* from);
/// Appends to the result, with a name of its own.
void AppendOrigin(Run& run, Draft origin, std::string name, const Node* name_from);
std::string ConvertMatcher(Run& run, const Node& matcher);
/// Mistakes that worked by accident there: said, not mended.
void WarnAboutMatcher(Run& run, const Node& matcher, const std::string& text);
void WarnAboutTemplate(Run& run, const Node& path, const std::string& text,
                       const std::vector<std::string>& groups);
void SetDefaults(Run& run, Draft& origin);

/// Names of JSON keys joined: "/origins/3" + "url".
std::string At(const std::string& pointer, std::string_view key);
std::string Lower(std::string_view text);
/// A name that we accept: other characters become '-'.
std::string AsName(std::string_view text);
/// SOME_NAME of "some name".
std::string AsVariable(std::string_view text);
bool IsVariableName(std::string_view text);
/// Text of the input in a field of ours that reads `${...}`.
std::string Escaped(std::string_view text);

}  // namespace vr::import
