// Object: binds the members of one configuration object to the fields of a struct.
//
// One function per struct describes every field once:
//     void Bind(config::Object& o, EdgeOptions& edge) {
//       o.Bytes("maxBytes", edge.max_bytes, {.min = 0, .max = 1 TiB});
//     }
// and is used three ways: to read (kRead: defaults stay where nothing is set, every problem is
// collected, unknown members are reported), to print the effective values (kPrint, secrets masked)
// and to list all keys (kDescribe, for the documentation). Nothing here throws. Thread-compatible.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace vr::config {

/// One row of the reference: `path` is "origins[].sources[].type", "derivatives.*.width".
struct KeyInfo {
  std::string path;
  std::string type;
  std::string default_value;  ///< JSON; empty = none
  std::string allowed;
  bool secret = false;
  bool required = false;
};

enum class Mode { kRead, kPrint, kDescribe };

/// What all Objects of one walk share.
struct Session {
  Mode mode = Mode::kRead;
  bool show_secrets = false;                       ///< kPrint: for comparing only, never for output
  std::map<std::string, std::string> environment;  ///< for `${NAME}`
  std::vector<Problem> problems;
  std::vector<Problem> warnings;
  std::vector<KeyInfo> keys;  ///< kDescribe
};

inline constexpr std::string_view kMask = "********";

struct Text {
  bool raw = false;         ///< `${...}` is left as it is: the field is a template of its own
  bool secret = false;      ///< masked when printed and in problems
  bool warn_inline = true;  ///< a secret that is no reference earns a warning
  bool required = false;
  bool omit_empty =
      false;  ///< an empty value is not printed: it would mean something else than none
  size_t min_length = 0, max_length = 4096;  ///< bytes
  std::string allowed = "a string";
  std::function<bool(const std::string&)> check;  ///< false: not as `allowed` says
};
template <class T>
struct Range {
  T min{}, max{};
  bool required = false;
};
struct Size {
  uint64_t min = 0, max = uint64_t{1} << 60;
};
template <class D>
struct Span {
  D min{0}, max{D(std::chrono::hours(24 * 365))};
};
/// The map's members are put into the default one by one; null takes one away.
struct Merge {
  std::vector<std::string> removed;  ///< kPrint: names of the default that are not there any more
};
template <class E>
using Choices = std::vector<std::pair<std::string_view, E>>;

class Object {
 public:
  /// @param in   kRead: what to bind, an object (or an override's text); null = nothing is set
  /// @param out  kPrint: becomes an object
  /// @param place  where the object would be, when `in` is null
  Object(Session& session, const Node* in, Node* out, std::string pointer = "",
         std::string path = "", Place place = {});
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // --- leaves; a member that is not there leaves the value alone ---
  void Field(std::string_view key, std::string& value, const Text& rule = {});
  void Field(std::string_view key, std::optional<std::string>& value, const Text& rule = {});
  void Field(std::string_view key, bool& value);
  void Field(std::string_view key, std::optional<bool>& value);
  void Field(std::string_view key, double& value, Range<double> range);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  void Field(std::string_view key, T& value, Range<T> range) {
    int64_t wide = static_cast<int64_t>(value);
    if (Integer(key, wide, static_cast<int64_t>(range.min), static_cast<int64_t>(range.max),
                range.required)) {
      value = static_cast<T>(wide);
    }
  }
  void Bytes(std::string_view key, uint64_t& value, Size limits = {});
  template <class Rep, class Period>
  void Duration(std::string_view key, std::chrono::duration<Rep, Period>& value,
                std::type_identity_t<Span<std::chrono::duration<Rep, Period>>> limits = {}) {
    using D = std::chrono::duration<Rep, Period>;
    using Ms = std::chrono::milliseconds;
    Ms wide = std::chrono::duration_cast<Ms>(value);
    const Ms unit = std::max(Ms(1), std::chrono::duration_cast<Ms>(D(1)));
    if (Length(key, wide, std::chrono::duration_cast<Ms>(limits.min),
               std::chrono::duration_cast<Ms>(limits.max), unit, false)) {
      value = std::chrono::duration_cast<D>(wide);
    }
  }
  template <class D>
  void Duration(std::string_view key, std::optional<D>& value,
                std::type_identity_t<Span<D>> limits = {}) {
    using Ms = std::chrono::milliseconds;
    Ms wide = value ? std::chrono::duration_cast<Ms>(*value) : Ms(-1);
    const Ms unit = std::max(Ms(1), std::chrono::duration_cast<Ms>(D(1)));
    if (Length(key, wide, std::chrono::duration_cast<Ms>(limits.min),
               std::chrono::duration_cast<Ms>(limits.max), unit, true)) {
      value = std::chrono::duration_cast<D>(wide);
    }
  }
  template <class E>
  void Enum(std::string_view key, E& value, const std::type_identity_t<Choices<E>>& choices,
            bool required = false) {
    std::vector<std::string_view> names;
    int index = -1;
    for (size_t i = 0; i < choices.size(); ++i) {
      names.push_back(choices[i].first);
      if (choices[i].second == value && index < 0) index = static_cast<int>(i);
    }
    if (OneOf(key, index, names, required)) value = choices[static_cast<size_t>(index)].second;
  }
  /// A list replaces the default as a whole. From the environment: JSON, or comma-separated.
  void Strings(std::string_view key, std::vector<std::string>& values, const Text& each = {},
               size_t max_items = 1000);
  /// A value of several JSON types that a function of the caller's understands as text ("640",
  /// "true", "2s"). `set` returns what is allowed when the text is not; `print` returns nullopt
  /// when nothing is set.
  void Scalar(std::string_view key, std::string_view type, std::string_view allowed,
              const std::function<std::optional<std::string>(const std::string&)>& set,
              const std::function<std::optional<Node>()>& print);

  // --- containers; `bind` gets (Object&) or (Object&, T&) ---
  template <class F>
  void Nested(std::string_view key, F bind) {
    Walk(key, [&](Object& child) { bind(child); });
  }
  /// Present only when the file says so: printed only when it has a value.
  template <class T, class F>
  void Optional(std::string_view key, std::optional<T>& value, F bind) {
    if (session_.mode == Mode::kPrint && !value) return;
    if (session_.mode == Mode::kRead && Look(key) == nullptr) return;
    T inner = value.value_or(T{});
    Walk(key, [&](Object& child) { bind(child, inner); });
    if (session_.mode == Mode::kRead) value = std::move(inner);
  }
  template <class T, class F>
  void List(std::string_view key, std::vector<T>& values, F bind, size_t max_items = 10000) {
    const auto each = [&](Object& child, size_t i) {
      if (session_.mode == Mode::kRead) values.resize(i + 1);
      if (session_.mode == Mode::kDescribe) {
        T sample{};
        bind(child, sample);
      } else {
        bind(child, values[i]);
      }
    };
    WalkList(
        key, values.size(), max_items, [&] { values.clear(); }, each);
  }
  /// A map of the file replaces the default as a whole, or, with `merge`, member by member.
  template <class T, class F>
  void Map(std::string_view key, std::map<std::string, T, std::less<>>& values, F bind,
           const std::optional<Merge>& merge = std::nullopt) {
    const auto each = [&](Object& child, const std::string& name) {
      if (session_.mode == Mode::kPrint) {
        bind(child, values.at(name));
        return;
      }
      T made{};
      bind(child, made);
      if (session_.mode == Mode::kRead) values.insert_or_assign(name, std::move(made));
    };
    std::vector<std::string> names;
    for (const auto& [name, value] : values) names.push_back(name);
    WalkMap(
        key, names, merge, [&] { values.clear(); },
        [&](const std::string& name) { values.erase(name); }, each);
  }
  /// Name → string, replaced as a whole.
  void Texts(std::string_view key, std::map<std::string, std::string, std::less<>>& values,
             const Text& each);

  // --- for checks between fields ---
  bool reading() const { return session_.mode == Mode::kRead; }
  /// Whether the member is set (file, environment or flag).
  bool Has(std::string_view key) const;
  /// Reports a problem (or a warning) at the member, or at the object when the member is not set.
  void Complain(std::string_view key, std::string found, std::string allowed);
  void Warn(std::string_view key, std::string found, std::string allowed);
  /// kRead: reports the members nobody has asked for. Called once, after binding.
  void Finish();
  const std::string& pointer() const { return pointer_; }

 private:
  /// What differs between the types of leaves.
  struct Leaf {
    std::string_view type;
    std::string allowed;
    std::function<bool(const Node&)> read;  ///< sets the value; false: it is not as `allowed` says
    std::function<std::optional<Node>()> print;  ///< nullopt: nothing is set
    bool raw = false;
    bool secret = false;
    bool warn_inline = true;
    bool required = false;
  };
  bool Integer(std::string_view key, int64_t& value, int64_t min, int64_t max, bool required);
  bool Length(std::string_view key, std::chrono::milliseconds& value, std::chrono::milliseconds min,
              std::chrono::milliseconds max, std::chrono::milliseconds unit, bool optional);
  bool OneOf(std::string_view key, int& index, const std::vector<std::string_view>& names,
             bool required);
  /// @return true when a value was read
  bool Visit(std::string_view key, const Leaf& leaf);
  bool Read(const Node& node, const std::string& pointer, const Leaf& leaf);
  void Walk(std::string_view key, const std::function<void(Object&)>& bind);
  void WalkList(std::string_view key, size_t count, size_t max_items,
                const std::function<void()>& clear,
                const std::function<void(Object&, size_t)>& each);
  void WalkMap(std::string_view key, const std::vector<std::string>& names,
               const std::optional<Merge>& merge, const std::function<void()>& clear,
               const std::function<void(const std::string&)>& erase,
               const std::function<void(Object&, const std::string&)>& each);
  const Member* Look(std::string_view key);
  /// `node` as a container of `kind`; an override's text is parsed. Null after a problem.
  const Node* Container(const Node& node, Node::Kind kind, const std::string& pointer,
                        Node& parsed);
  /// The text with every `${NAME}` replaced; nullopt after a problem.
  std::optional<std::string> Resolve(const Node& node, const std::string& pointer);
  void Report(const Place& place, std::string pointer, std::string found, std::string allowed);
  std::string PathOf(std::string_view key) const;
  Place PlaceOfMember(std::string_view key) const;

  Session& session_;
  const Node* in_;
  Node* out_;
  std::string pointer_;
  std::string path_;
  Place place_;
  std::vector<std::string> known_;
};

/// The place of the value at `pointer`, or of its nearest ancestor that is written anywhere.
Place PlaceAt(const Node& root, std::string_view pointer);

/// The candidate nearest to `name` when it is near enough to be what was meant, else empty.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace vr::config
