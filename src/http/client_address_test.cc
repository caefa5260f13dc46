#include "http/client_address.h"

#include <gtest/gtest.h>

#include "http/testing/make_request.h"

namespace vr::http {
namespace {

std::vector<AddressBlock> Blocks(std::initializer_list<const char*> texts) {
  std::vector<AddressBlock> out;
  for (const char* text : texts) out.push_back(ParseAddressBlock(text).value());
  return out;
}

std::string ClientOf(std::string_view lines, std::string peer = "10.0.0.1",
                     ProxyHeader header = ProxyHeader::kXForwardedFor) {
  Request request = testing::MakeGet(lines);
  request.peer_address = std::move(peer);
  return ClientAddressOf(request, Blocks({"10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"}), header);
}

TEST(AddressBlock, ContainsWhatSharesItsBits) {
  const auto in = [](const char* block, const char* address) {
    return ParseAddressBlock(block).value().Contains(ParseIpAddress(address).value());
  };
  EXPECT_TRUE(in("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(in("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(in("192.168.4.0/22", "192.168.7.255"));
  EXPECT_FALSE(in("192.168.4.0/22", "192.168.8.0"));
  EXPECT_TRUE(in("10.1.2.3", "10.1.2.3"));
  EXPECT_FALSE(in("10.1.2.3", "10.1.2.4"));
  EXPECT_TRUE(in("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(in("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(in("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(in("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(in("::/0", "8.8.8.8"));
}

TEST(AddressBlock, OtherTextIsNone) {
  for (const char* text : {"", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
                           "2001:db8::/129", "[::1]", "localhost", "10.0.0.0.0", "/8"}) {
    EXPECT_FALSE(ParseAddressBlock(text)) << text;
  }
}

TEST(ClientAddress, IsThePeerUnlessThePeerIsTrusted) {
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4", "9.9.9.9"), "9.9.9.9");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ClientOf(""), "10.0.0.1");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4", "2001:db8:1::5"), "1.2.3.4");
}

TEST(ClientAddress, IsTheRightmostThatIsNotTrusted) {
  EXPECT_EQ(ClientOf("X-Forwarded-For: 6.6.6.6, 1.2.3.4"), "1.2.3.4") << "the left one is forged";
  EXPECT_EQ(ClientOf("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.3.3.3, 192.0.2.7"), "1.2.3.4");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 10.1.1.1, 10.2.2.2"), "10.1.1.1") << "all are trusted";
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4:5678"), "1.2.3.4");
  EXPECT_EQ(ClientOf("X-Forwarded-For: [2001:db8::9]:1, 10.1.1.1"), "2001:db8::9");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 2001:DB8::9"), "2001:db8::9");
}

TEST(ClientAddress, NonsenseEndsTheSearchAtTheLastTrustedOne) {
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4, unknown"), "10.0.0.1");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4, , 10.5.5.5"), "10.5.5.5");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.4, 10.5.5.5, \"x"), "10.0.0.1");
  EXPECT_EQ(ClientOf("X-Forwarded-For: 1.2.3.400"), "10.0.0.1");
}

TEST(ClientAddress, OnlyTheConfiguredHeaderCounts) {
  const auto kF = ProxyHeader::kForwarded;
  EXPECT_EQ(ClientOf("Forwarded: for=6.6.6.6\nX-Forwarded-For: 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ClientOf("Forwarded: for=1.2.3.4\nX-Forwarded-For: 6.6.6.6", "10.0.0.1", kF),
            "1.2.3.4");
  EXPECT_EQ(ClientOf("Forwarded: for=6.6.6.6, For=\"[2001:db8::9]:47\";proto=https;by=10.0.0.1",
                     "10.0.0.1", kF),
            "2001:db8::9");
  EXPECT_EQ(
      ClientOf("Forwarded: for=1.2.3.4;host=\"a,b;for=7.7.7.7\", for=10.1.1.1", "10.0.0.1", kF),
      "1.2.3.4");
  EXPECT_EQ(ClientOf("Forwarded: for=1.2.3.4, for=_hidden", "10.0.0.1", kF), "10.0.0.1");
  EXPECT_EQ(ClientOf("Forwarded: proto=http", "10.0.0.1", kF), "10.0.0.1");
}

TEST(ClientGroup, IsTheNetworkOfAnIpv6Customer) {
  EXPECT_EQ(ClientGroupOf("1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ClientGroupOf("::ffff:1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ClientGroupOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(ClientGroupOf("2001:db8:1:2::9"), "2001:db8:1:2::/64");
  EXPECT_EQ(ClientGroupOf("?"), "?");
}

}  // namespace
}  // namespace vr::http
