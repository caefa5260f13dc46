#include "http/forwarding.h"

#include <gtest/gtest.h>

#include "http/testing/make_request.h"

namespace vr::http {
namespace {

using testing::MakeGet;

TEST(Forwarding, DropsWhatIsOfOneConnectionAndKeepsTheRestInOrder) {
  const FieldList in{{"B", "1"},
                     {"Connection", "close, X-Drop"},
                     {"x-drop", "2"},
                     {"A", "3"},
                     {"B", "4"},
                     {"Keep-Alive", "5"},
                     {"TE", "6"},
                     {"Transfer-Encoding", "chunked"},
                     {"Upgrade", "h2c"},
                     {"Trailer", "A"},
                     {"Proxy-Authorization", "7"},
                     {"Content-Length", "8"}};
  EXPECT_EQ(EndToEndFields(in), (FieldList{{"B", "1"}, {"A", "3"}, {"B", "4"}}));
}

TEST(Forwarding, DropsWhatIsNoField) {
  EXPECT_EQ(EndToEndFields(FieldList{{"A b", "1"}, {"C", "x\ry"}, {"D", "2"}}),
            (FieldList{{"D", "2"}}));
}

TEST(Forwarding, ViaIsAppendedAndFound) {
  FieldList fields{{"Via", "1.0 fred"}, {"A", "1"}, {"via", "1.1 p (Apache)"}};
  AppendVia(fields, 1, "me");
  EXPECT_EQ(JoinedValues(fields, "Via"), "1.0 fred, 1.1 p (Apache), 1.1 me");
  EXPECT_TRUE(ViaHas("1.0 fred, 1.1 p (Apache), 1.1 me", "me"));
  EXPECT_TRUE(ViaHas("1.1 me (a, \"b\")", "me"));
  EXPECT_FALSE(ViaHas("1.1 mine, me", "me"));
  EXPECT_EQ(ViaHops(""), 0);
  EXPECT_EQ(ViaHops(" , ,"), 0);
  EXPECT_EQ(ViaHops("1.1 a"), 1);
  EXPECT_EQ(ViaHops("1.0 fred, 1.1 p (a),1.1 me,"), 3);
  EXPECT_EQ(ViaHops("\", 1.1 a, 1.1 b"), 3);
}

TEST(Forwarding, OnlyNeighboursAreBelievedWhoTheyForwardFor) {
  Request request = MakeGet();
  const std::string host(request.Get("Host").value_or(""));
  const FieldList said{
      {"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-Host", "evil"}, {"X-Forwarded-Proto", "https"}};
  for (const char* peer : {"10.0.0.7", "127.0.0.1", "::1"}) {
    FieldList fields = said;
    request.peer_address = peer;
    SetForwardedFields(fields, request);
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-For"), std::string("1.1.1.1, ") + peer);
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-Proto"), "https");
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-Host"), "evil");
  }
  for (const char* peer : {"8.8.8.8", "2001:4860:4860::8888"}) {
    FieldList fields = said;
    request.peer_address = peer;
    SetForwardedFields(fields, request);
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-For"), peer);
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-Proto"), "http");
    EXPECT_EQ(FirstValue(fields, "X-Forwarded-Host").value_or(""), host);
  }
}

TEST(Forwarding, VaryNamesAreSortedAndAnyStarIsAll) {
  EXPECT_EQ(VaryNames({{"Vary", "Foo, BAR"}, {"Vary", "foo,"}}),
            (std::vector<std::string>{"bar", "foo"}));
  EXPECT_EQ(VaryNames({}), std::vector<std::string>());
  for (const char* vary : {"*", "*, *", ", *", "Foo, *", "X-Forwarded-For"}) {
    EXPECT_EQ(VaryNames({{"Vary", vary}}), std::nullopt) << vary;
  }
}

TEST(Forwarding, SelectingValuesAreNormalized) {
  const Request request =
      MakeGet("Foo: 1,2\r\nfoo:  3 , 4\r\nAccept-Language: en ;q=0.5, DE\r\nEmpty:\r\n");
  EXPECT_EQ(SelectingValue(request, "foo"), "1,2,3,4");
  EXPECT_EQ(SelectingValue(request, "accept-language"),
            SelectingValue(MakeGet("Accept-Language: de,eN;q=0.5\r\n"), "accept-language"));
  EXPECT_EQ(SelectingValue(request, "empty"), "");
  EXPECT_EQ(SelectingValue(request, "absent"), std::nullopt);
  EXPECT_EQ(SelectingValue(MakeGet("Foo: 1\nConnection: close, foo"), "foo"), std::nullopt)
      << "the origin never saw it";
}

}  // namespace
}  // namespace vr::http
