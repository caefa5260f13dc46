// LabelTable: tallies by label, of a bounded number of labels: whoever comes when it is full is
// counted as "other". Plain value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "analytics/tally.h"

namespace vr::analytics {

inline constexpr std::string_view kOtherLabel = "other";
inline constexpr size_t kMaxLabelBytes = 64;

class LabelTable {
 public:
  struct Row {
    std::string label;
    Tally tally;
    bool operator==(const Row&) const = default;
  };

  /// @param most labels, "other" not counted
  void Add(std::string_view label, const Tally& more, size_t most) {
    if (label.empty()) return;
    label = label.substr(0, kMaxLabelBytes);
    for (Row& row : rows_) {
      if (row.label == label) return row.tally.Add(more);
    }
    if (rows_.size() >= most && label != kOtherLabel) return Add(kOtherLabel, more, most);
    rows_.push_back(Row{std::string(label), more});
  }
  void Merge(const LabelTable& more, size_t most) {
    for (const Row& row : more.rows_) Add(row.label, row.tally, most);
  }
  const std::vector<Row>& rows() const { return rows_; }
  bool operator==(const LabelTable&) const = default;

 private:
  std::vector<Row> rows_;
};

}  // namespace vr::analytics
