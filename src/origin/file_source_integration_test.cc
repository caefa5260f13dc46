#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/testing/run_sync.h"
#include "origin/file_source.h"

namespace vr::origin {
namespace {

namespace fs = std::filesystem;

class FileSourceTest : public ::testing::Test {
 protected:
  FileSourceTest() {
    std::string name = (fs::temp_directory_path() / "vr-file-source-XXXXXX").string();
    top_ = ::mkdtemp(name.data());
    fs::create_directories(top_ / "root/dir");
    Write("root/dir/a.mp4", "hello");
    Write("secret", "secret");
  }
  ~FileSourceTest() override { fs::remove_all(top_); }
  void Write(const std::string& path, const std::string& text) {
    std::ofstream(top_ / path) << text;
  }
  Result<SourceRef> Open(std::string path, SymlinkPolicy policy = SymlinkPolicy::kWithinRoot,
                         uint64_t max = UINT64_MAX) {
    FileRequest request;
    request.root = (top_ / "root").string();
    request.path = std::move(path);
    request.follow_symlinks = policy;
    request.max_bytes = max;
    request.origin_name = "o";
    return OpenFileSource(request);
  }
  Code CodeOf(const std::string& path, SymlinkPolicy policy = SymlinkPolicy::kWithinRoot) {
    auto opened = Open(path, policy);
    EXPECT_FALSE(opened.ok()) << path;
    return opened.ok() ? Code::kInternal : opened.error().code;
  }
  fs::path top_;
};

TEST_F(FileSourceTest, OpensARegularFile) {
  auto opened = Open("dir/a.mp4");
  ASSERT_TRUE(opened.ok()) << opened.error().ToLogString();
  Source& source = **opened;
  EXPECT_EQ(source.info().size, 5u);
  EXPECT_EQ(source.info().type, "file");
  EXPECT_EQ(source.info().origin_name, "o");
  EXPECT_GT(source.info().last_modified_ms, 0);
  EXPECT_TRUE(source.is_complete());
  char text[6] = {};
  EXPECT_EQ(::pread(source.file()->get(), text, 5, 0), 5);
  EXPECT_STREQ(text, "hello");
  EXPECT_EQ(::fcntl(source.file()->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  const auto ensure = [&](uint64_t offset, uint64_t length) {
    return *io::testing::RunSync(source.Ensure(Context(), offset, length));
  };
  EXPECT_EQ(ensure(0, 1), 5u);
  EXPECT_EQ(ensure(4, 100), 1u);
  EXPECT_EQ(ensure(5, 1), 0u);
  EXPECT_EQ(ensure(UINT64_MAX, 1), 0u);
}

TEST_F(FileSourceTest, TheValidatorTellsVersionsApart) {
  const std::string first = (*Open("dir/a.mp4"))->info().validator;
  EXPECT_EQ(first, (*Open("dir/a.mp4"))->info().validator);
  const timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000, 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (top_ / "root/dir/a.mp4").c_str(), times, 0), 0);
  const std::string touched = (*Open("dir/a.mp4"))->info().validator;
  EXPECT_NE(touched, first);
  Write("root/dir/b.mp4", "HELLO");
  ASSERT_EQ(::utimensat(AT_FDCWD, (top_ / "root/dir/b.mp4").c_str(), times, 0), 0);
  fs::rename(top_ / "root/dir/b.mp4", top_ / "root/dir/a.mp4");
  EXPECT_NE((*Open("dir/a.mp4"))->info().validator, touched);  // same size and time, other inode
}

TEST_F(FileSourceTest, WhatIsNoRegularFileIsNotFoundAndNeverHangs) {
  ASSERT_EQ(::mkfifo((top_ / "root/fifo.mp4").c_str(), 0600), 0);
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const UniqueFd holder(s);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (top_ / "root/sock.mp4").string();
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (const char* name :
       {"fifo.mp4", "sock.mp4", "dir", "absent.mp4", "dir/a.mp4/x", "absent/x", ""}) {
    EXPECT_EQ(CodeOf(name), Code::kNotFound) << name;
  }
  EXPECT_EQ(CodeOf(std::string(5000, 'x')), Code::kNotFound);
  EXPECT_EQ(CodeOf(std::string(300, 'x')), Code::kNotFound);
}

TEST_F(FileSourceTest, NothingOutsideOfTheRootIsReachable) {
  // Paths come normalised; this is the second wall.
  for (const char* path :
       {"../secret", "dir/../../secret", "/etc/passwd", "dir/../../root/../secret"}) {
    EXPECT_EQ(CodeOf(path), Code::kNotFound) << path;
  }
  EXPECT_EQ(CodeOf((top_ / "secret").string()), Code::kNotFound);
}

TEST_F(FileSourceTest, LinksFollowThePolicy) {
  fs::create_symlink("a.mp4", top_ / "root/dir/inside");
  fs::create_symlink("../dir", top_ / "root/dir/dirlink");
  fs::create_symlink("../../secret", top_ / "root/dir/outside");
  fs::create_symlink(top_ / "root/dir/a.mp4", top_ / "root/absolute");
  fs::create_symlink("loop", top_ / "root/loop");
  fs::create_symlink("/proc/self/root", top_ / "root/magic");
  EXPECT_TRUE(Open("dir/inside").ok());
  EXPECT_TRUE(Open("dir/dirlink/a.mp4").ok());
  EXPECT_EQ(CodeOf("dir/outside"), Code::kNotFound);
  EXPECT_EQ(CodeOf("absolute"), Code::kNotFound);
  EXPECT_EQ(CodeOf("loop"), Code::kNotFound);
  EXPECT_EQ(CodeOf("magic/etc/passwd"), Code::kNotFound);
  for (const char* path : {"dir/inside", "dir/dirlink/a.mp4", "dir/outside", "absolute", "loop"}) {
    EXPECT_EQ(CodeOf(path, SymlinkPolicy::kNever), Code::kNotFound) << path;
  }
  EXPECT_TRUE(Open("dir/a.mp4", SymlinkPolicy::kNever).ok());
  for (const char* path : {"dir/inside", "dir/outside", "absolute"}) {
    EXPECT_TRUE(Open(path, SymlinkPolicy::kAlways).ok()) << path;
  }
  EXPECT_EQ(CodeOf("magic/etc/passwd", SymlinkPolicy::kAlways), Code::kNotFound);
}

TEST_F(FileSourceTest, AnUnreadableFileIsDenied) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  fs::permissions(top_ / "root/dir/a.mp4", fs::perms::none);
  EXPECT_EQ(CodeOf("dir/a.mp4"), Code::kPermissionDenied);
}

TEST_F(FileSourceTest, AnUnreadableFileIsDeniedToWhoIsNotRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "covered by the test before";
  fs::permissions(top_ / "root/dir/a.mp4", fs::perms::none);
  fs::permissions(top_, fs::perms::all);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    auto opened = Open("dir/a.mp4");
    ::_exit(!opened.ok() && opened.error().code == Code::kPermissionDenied ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(FileSourceTest, TheSizeLimitIsCheckedBeforeAnythingIsRead) {
  EXPECT_TRUE(Open("dir/a.mp4", SymlinkPolicy::kWithinRoot, 5).ok());
  auto opened = Open("dir/a.mp4", SymlinkPolicy::kWithinRoot, 4);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kResourceExhausted);
  EXPECT_EQ(opened.error().reason, "SOURCE_TOO_LARGE");
  const std::vector<std::pair<std::string, std::string>> facts = {
      {"limit", "bytes"}, {"value", "5"}, {"allowed", "4"}};
  EXPECT_EQ(opened.error().facts, facts);
}

TEST_F(FileSourceTest, AMissingRootIsTheOriginsFailureNotAMissingSource) {
  fs::rename(top_ / "root", top_ / "gone");
  EXPECT_EQ(CodeOf("dir/a.mp4"), Code::kUnavailable);
}

}  // namespace
}  // namespace vr::origin
