// Draft: a piece of the configuration that is being written: values, comments for whoever reads
// the file, and from where in the input each value came. Plain values; thread-compatible.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"

namespace vr::import {

class Draft {
 public:
  using Path = std::vector<std::string>;

  Draft() : node_(config::Node::Object()) {}

  bool Has(const Path& path) const;
  /// Whose value stands at `path`; null when it is ours or nobody's.
  const config::Node* FromAt(const Path& path) const;
  /// Objects along the path are made. A value that is there already is replaced.
  /// @return the JSON pointer
  std::string Set(const Path& path, config::Node value, const config::Node* from = nullptr);
  std::string Put(const Path& path, Draft object);
  /// Appends to the list at `path`, which is made. @return the JSON pointer of the new item
  std::string Append(const Path& path, Draft item);
  /// A comment above the value at `path`; lines are joined when there are several.
  void Comment(const Path& path, const std::string& text);

  const config::Node& node() const { return node_; }
  const std::map<std::string, const config::Node*>& from() const { return from_; }

  /// JSON with comments; the members of the root in the order of docs/configuration.md.
  std::string Write(const std::vector<std::string>& head) const;

 private:
  void Adopt(const std::string& pointer, Draft& other);

  config::Node node_;
  std::map<std::string, std::string> comments_;      ///< by JSON pointer
  std::map<std::string, const config::Node*> from_;  ///< by JSON pointer
};

}  // namespace vr::import
