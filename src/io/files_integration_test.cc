#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "io/files.h"

namespace vr::io {
namespace {

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    std::string name = std::filesystem::temp_directory_path() / "vr-files-XXXXXX";
    dir_ = ::mkdtemp(name.data());
  }
  ~FilesTest() override { std::filesystem::remove_all(dir_); }
  Files& files_ = Files::System();
  std::string dir_;
};

TEST_F(FilesTest, WritesAndReadsBack) {
  Result<UniqueFd> fd = files_.Open(dir_ + "/a", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_TRUE(fd.ok());
  EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(files_.WriteAt(fd->get(), "world", 6).ok());
  ASSERT_TRUE(files_.WriteAt(fd->get(), "hello ", 0).ok());
  EXPECT_TRUE(files_.Sync(fd->get()).ok());
  EXPECT_EQ(*SizeOf(fd->get()), 11u);
  EXPECT_EQ(*ReadAt(fd->get(), 3, 5), "lo wo");
  Result<std::string> beyond = ReadAt(fd->get(), 8, 4);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, Code::kCorruption);
}

TEST_F(FilesTest, SaysWhatIsNotThere) {
  Result<UniqueFd> fd = files_.Open(dir_ + "/none", O_RDONLY);
  ASSERT_FALSE(fd.ok());
  EXPECT_EQ(fd.error().code, Code::kNotFound);
  EXPECT_TRUE(files_.Remove(dir_ + "/none").ok()) << "gone already is no error";
  EXPECT_FALSE(files_.Remove(dir_).ok());
  EXPECT_FALSE(ListDirectory(dir_ + "/none").ok());
}

TEST_F(FilesTest, MakesListsAndSyncsDirectories) {
  EXPECT_TRUE(MakeDirectory(dir_ + "/d").ok());
  EXPECT_TRUE(MakeDirectory(dir_ + "/d").ok());
  EXPECT_FALSE(MakeDirectory(dir_ + "/x/y").ok());
  ASSERT_TRUE(files_.Open(dir_ + "/d/one", O_RDWR | O_CREAT).ok());
  ASSERT_TRUE(files_.Open(dir_ + "/d/two", O_RDWR | O_CREAT).ok());
  Result<std::vector<std::string>> names = ListDirectory(dir_ + "/d");
  ASSERT_TRUE(names.ok());
  std::sort(names->begin(), names->end());
  EXPECT_EQ(*names, (std::vector<std::string>{"one", "two"}));
  Result<UniqueFd> folder = files_.Open(dir_ + "/d", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(folder.ok());
  EXPECT_TRUE(files_.Sync(folder->get()).ok());
  Result<Files::Space> space = files_.SpaceAt(dir_);
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->total, space->free);
}

TEST_F(FilesTest, AFullDiskIsAnExhaustedResource) {
  Result<UniqueFd> full = files_.Open("/dev/full", O_WRONLY);
  if (!full.ok()) GTEST_SKIP() << "no /dev/full here";
  Result<void> written = files_.WriteAt(full->get(), "x", 0);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace vr::io
