// TLS as its users meet it: certificates that can and cannot be used, their replacement, clients
// that speak something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <filesystem>
#include <fstream>

#include "http/testing/server_kit.h"
#include "http/tls.h"

namespace vr::http {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class TlsTest : public ServerTest {
 protected:
  TlsTest() { UseTls(true); }
  void StartTls() {
    Start();
    Client::uses_tls = false;  // this suite makes its own ends
  }
  std::string DetailOf(const TlsFiles& files) {
    auto loaded = TlsCredentials::Load(files, true);
    EXPECT_FALSE(loaded.ok());
    return loaded.ok() ? "" : loaded.error().detail;
  }
};

void WriteText(const std::string& path, std::string_view text) {
  std::ofstream(path) << text;
}

TEST_F(TlsTest, SaysWhichFieldAndFileCannotBeUsed) {
  const TlsFiles good = files_.Write("good");
  const TlsFiles other = files_.Write("other");
  const std::string none = files_.Path("none.pem");
  EXPECT_EQ(DetailOf({none, good.key}),
            "/tls/certificate: " + none + ": No such file or directory");
  EXPECT_EQ(DetailOf({good.certificate, none}),
            "/tls/key: " + none + ": No such file or directory");
  const std::string text = files_.Path("text.pem");
  WriteText(text, "hello\n");
  EXPECT_THAT(DetailOf({text, good.key}),
              HasSubstr("/tls/certificate: " + text + ": not a PEM certificate chain"));
  EXPECT_THAT(DetailOf({good.certificate, text}),
              HasSubstr("/tls/key: " + text + ": not an unencrypted PEM private key"));
  EXPECT_EQ(
      DetailOf({good.certificate, other.key}),
      "/tls/key: " + other.key + ": does not belong to the certificate in " + good.certificate);
  const std::string empty = files_.Path("empty.pem");
  WriteText(empty, "");
  EXPECT_EQ(DetailOf({empty, good.key}), "/tls/certificate: " + empty + ": the file is empty");
  EXPECT_THAT(DetailOf({files_.Path(""), good.key}), HasSubstr("/tls/certificate: "));
}

TEST_F(TlsTest, ANewCertificateIsShownToNewConnectionsAndABrokenOneIsNot) {
  const TlsFiles first = files_.Write("first");
  auto loaded = TlsCredentials::Load(first, true);
  ASSERT_TRUE(loaded.ok());
  options_.tls = *loaded;
  StartTls();
  Client old(server_->address());
  TlsEnd old_end(old.fd(), "http/1.1");
  EXPECT_EQ(old_end.peer_name(), "first");

  WriteText(first.key, "broken");
  EXPECT_FALSE(options_.tls->Reload(first).ok());
  Client meanwhile(server_->address());
  EXPECT_EQ(TlsEnd(meanwhile.fd(), "").peer_name(), "first");

  EXPECT_TRUE(options_.tls->Reload(files_.Write("second")).ok());
  Client fresh(server_->address());
  EXPECT_EQ(TlsEnd(fresh.fd(), "").peer_name(), "second");
  // Who is connected notices nothing.
  EXPECT_TRUE(old_end.Write("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  char buffer[4096];
  const ssize_t n = old_end.Read(buffer, sizeof buffer, kPatience);
  ASSERT_GT(n, 12);
  EXPECT_EQ(std::string_view(buffer, 12), "HTTP/1.1 200");
}

TEST_F(TlsTest, SpeaksTls12And13AndNothingOlder) {
  StartTls();
  Client a(server_->address()), b(server_->address()), c(server_->address());
  EXPECT_EQ(TlsEnd(a.fd(), "").version(), "TLSv1.3");
  EXPECT_EQ(TlsEnd(b.fd(), "", TLS1_2_VERSION).version(), "TLSv1.2");
  EXPECT_FALSE(TlsEnd(c.fd(), "", TLS1_1_VERSION).is_up());
  WaitFor(
      [&] { return Metric("video_resizer_http_refused_total{reason=\"tls_handshake\"}") == 1; });
}

TEST_F(TlsTest, ChoosesTheProtocolByAlpn) {
  StartTls();
  Client a(server_->address()), b(server_->address()), c(server_->address()), d(server_->address());
  EXPECT_EQ(TlsEnd(a.fd(), "h2").alpn(), "h2");
  EXPECT_EQ(TlsEnd(b.fd(), "http/1.1").alpn(), "http/1.1");
  EXPECT_EQ(TlsEnd(c.fd(), "").alpn(), "");
  EXPECT_FALSE(TlsEnd(d.fd(), "gopher").is_up());
}

TEST_F(TlsTest, WithoutHttp2AlpnOffersHttp11Only) {
  auto loaded = TlsCredentials::Load(files_.Write("plain"), false);
  ASSERT_TRUE(loaded.ok());
  options_.tls = *loaded;
  StartTls();
  Client a(server_->address()), b(server_->address());
  EXPECT_FALSE(TlsEnd(a.fd(), "h2").is_up());
  EXPECT_EQ(TlsEnd(b.fd(), "http/1.1").alpn(), "http/1.1");
}

TEST_F(TlsTest, PlainHttpGetsAPlainAnswer) {
  StartTls();
  for (const char* method : {"GET", "OPTIONS", "PROPFIND"}) {
    Client client(server_->address());
    client.Send(std::string(method) + " /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string all;
    EXPECT_EQ(client.ReadAll(all), Client::End::kClosed);
    EXPECT_EQ(all.substr(0, 13), "HTTP/1.1 400 ");
    EXPECT_THAT(all, HasSubstr("\"code\":\"TLS_REQUIRED\""));
  }
  EXPECT_EQ(Metric("video_resizer_http_refused_total{reason=\"tls_plain_http\"}"), 3);
}

TEST_F(TlsTest, NonsenseEndsAtOnceAndSilenceAfterTheHandshakeTimeout) {
  options_.handshake_timeout = milliseconds(100);
  StartTls();
  std::string all;
  Client nonsense(server_->address());
  nonsense.Send("\x80\x2e\x01\x00\x02 what is this");
  EXPECT_NE(nonsense.ReadAll(all), Client::End::kTimeout);
  Client silent(server_->address());
  EXPECT_NE(silent.ReadAll(all), Client::End::kTimeout);
  Client half(server_->address());
  half.Send(std::string("\x16\x03\x01\x00", 4));
  EXPECT_NE(half.ReadAll(all), Client::End::kTimeout);
  WaitFor([&] { return server_->connections() == 0; });
  EXPECT_EQ(Metric("video_resizer_http_refused_total{reason=\"tls_timeout\"}"), 2);
}

TEST_F(TlsTest, DrainAndCloseEndHandshakes) {
  StartTls();
  Client silent(server_->address());
  WaitFor([&] { return server_->connections() == 1; });
  server_->Drain();
  std::string all;
  EXPECT_NE(silent.ReadAll(all), Client::End::kTimeout);
  WaitFor([&] { return server_->connections() == 0; });
}

TEST_F(TlsTest, TheHandlerLearnsThatItWasTls) {
  handler_.now["/tls"] = [](const Request& request) {
    Response response;
    response.SetBody(request.is_tls ? "tls" : "plain");
    return std::optional<Response>(std::move(response));
  };
  Start();
  Client client(server_->address());
  EXPECT_EQ(client.Ask("/tls").body, "tls");
}

}  // namespace
}  // namespace vr::http
