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

TEST(Forwarding, ViaIsAppendedAndFound) {
  FieldList fields{{"Via", "1.0 fred"}, {"A", "1"}, {"via", "1.1 p (Apache)"}};
  AppendVia(fields, 1, "me");
  EXPECT_EQ(JoinedValues(fields, "Via"), "1.0 fred, 1.1 p (Apache), 1.1 me");
  EXPECT_TRUE(ViaHas("1.0 fred, 1.1 p (Apache), 1.1 me", "me"));
  EXPECT_TRUE(ViaHas("1.1 me (a, \"b\")", "me"));
  EXPECT_FALSE(ViaHas("1.1 mine, me", "me"));
}

TEST(Forwarding, VaryNamesAreSortedAndAnyStarIsAll) {
  EXPECT_EQ(VaryNames({{"Vary", "Foo, BAR"}, {"Vary", "foo,"}}),
            (std::vector<std::string>{"bar", "foo"}));
  EXPECT_EQ(VaryNames({}), std::vector<std::string>());
  for (const char* vary : {"*", "*, *", ", *", "Foo, *"}) {
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
}

}  // namespace
}  // namespace vr::http
