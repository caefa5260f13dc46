// The configurations of others that tests import.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "import/importer.h"

namespace vr::import::testing {

inline std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::filesystem::path Data(const std::string& name) {
  return std::filesystem::path(VR_SOURCE_DIR) / "tests/data/import" / name;
}

inline Document Shipped(const std::string& name) {
  Document document{name, ReadAll(Data(name))};
  EXPECT_FALSE(document.text.empty()) << name;
  return document;
}

}  // namespace vr::import::testing
