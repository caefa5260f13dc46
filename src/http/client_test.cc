#include "http/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace vr::http {
namespace {

TEST(ContentRange, TakesWellFormedRangesOnly) {
  const auto ok = ParseContentRange("bytes 0-99/1234");
  ASSERT_TRUE(ok && ok->range && ok->total);
  EXPECT_EQ(ok->range->first, 0u);
  EXPECT_EQ(ok->range->last, 99u);
  EXPECT_EQ(*ok->total, 1234u);
  const auto unknown = ParseContentRange("bytes 5-9/*");
  ASSERT_TRUE(unknown && unknown->range);
  EXPECT_FALSE(unknown->total);
  const auto unsatisfied = ParseContentRange("bytes */0");
  ASSERT_TRUE(unsatisfied && unsatisfied->total);
  EXPECT_FALSE(unsatisfied->range);
  EXPECT_EQ(*unsatisfied->total, 0u);
  for (const char* bad : {"", "bytes", "bytes ", "bytes 0-99", "bytes 99-0/100", "bytes 0-100/100",
                          "bytes -5/100", "bytes 0-/100", "bytes a-b/c", "bytes */*", "lines 0-1/2",
                          "bytes 0-1/2,3", "bytes 0-+1/2", "bytes 0-99999999999999999999999/*"}) {
    EXPECT_FALSE(ParseContentRange(bad)) << bad;
  }
}

bool IsPrivate(const char* text) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    return IsPrivateAddress(&v4);
  }
  EXPECT_EQ(::inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
  v6.sin6_family = AF_INET6;
  return IsPrivateAddress(&v6);
}

TEST(PrivateAddress, CoversWhatIsNotTheOpenInternet) {
  for (const char* a : {"127.0.0.1",
                        "127.255.0.9",
                        "10.1.2.3",
                        "172.16.0.1",
                        "172.31.255.255",
                        "192.168.1.1",
                        "169.254.169.254",
                        "100.64.0.1",
                        "0.0.0.0",
                        "224.0.0.1",
                        "255.255.255.255",
                        "198.18.0.1",
                        "::1",
                        "::",
                        "fe80::1",
                        "fc00::1",
                        "fd12::1",
                        "ff02::1",
                        "::ffff:127.0.0.1",
                        "::ffff:10.0.0.1",
                        "::127.0.0.1",
                        "64:ff9b::7f00:1",
                        "64:ff9b:1::1",
                        "2002:7f00:1::",
                        "2001::1",
                        "2001:20::1",
                        "2001:db8::1",
                        "3fff::1",
                        "64:ff9b::1:0:808:808",
                        "fd00:ec2::254",
                        "::ffff:169.254.169.254",
                        "64:ff9b::a9fe:a9fe",
                        "2002:a9fe:a9fe::",
                        "fec0::1",
                        "192.0.0.192",
                        "240.0.0.1"}) {
    EXPECT_TRUE(IsPrivate(a)) << a;
  }
  for (const char* a : {"1.1.1.1", "8.8.8.8", "172.32.0.1", "172.15.0.1", "100.128.0.1",
                        "192.169.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
                        "2002:808:808::1", "2001:4860::8888"}) {
    EXPECT_FALSE(IsPrivate(a)) << a;
  }
}

}  // namespace
}  // namespace vr::http
