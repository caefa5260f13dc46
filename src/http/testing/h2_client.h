// A client that speaks HTTP/2 over TLS, for tests: well-behaved requests through nghttp2, and raw
// frames for what no library would send.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "http/testing/tls_end.h"

typedef struct nghttp2_session nghttp2_session;

namespace vr::http::testing {

class H2Client {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Answer {
    int status = 0;
    std::map<std::string, std::string> fields;
    std::vector<int> interim;
    std::string body;
    bool is_closed = false;
    bool is_complete = false;  ///< ended by END_STREAM
    uint32_t error = 0;
  };

  /// @param window of each stream; with manual_windows nothing is given back by itself
  explicit H2Client(const std::string& address, uint32_t window = 1 << 20,
                    bool manual_windows = false);
  ~H2Client();
  bool is_up() const { return tls_ != nullptr && tls_->is_up() && tls_->alpn() == "h2"; }

  int32_t Ask(const std::string& path, const Fields& more = {}, const std::string& method = "GET",
              const std::string* body = nullptr, const std::string& authority = "a");
  /// All pseudo-fields are the caller's.
  int32_t AskRaw(const Fields& fields, const std::string* body = nullptr);
  void Reset(int32_t stream, uint32_t error = 8);
  void OpenWindow(int32_t stream, int bytes);
  void SendRaw(std::string_view bytes);
  static std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
  /// Reads and writes until `done`, the connection's end or the time's. @return whether `done`
  bool RunUntil(const std::function<bool()>& done,
                std::chrono::milliseconds patience = std::chrono::milliseconds(20'000));
  /// The whole answer.
  const Answer& Get(int32_t stream);
  Answer& at(int32_t stream) { return answers_[stream]; }
  bool is_ended() const { return is_ended_; }
  bool has_goaway() const { return has_goaway_; }
  uint32_t goaway_error() const { return goaway_error_; }
  uint32_t max_streams() const;
  void Close();

 private:
  struct Callbacks;
  void Flush();
  UniqueFd fd_;
  std::unique_ptr<TlsEnd> tls_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Answer> answers_;
  std::map<int32_t, std::pair<std::string, size_t>> bodies_;
  bool is_ended_ = false;
  bool has_goaway_ = false;
  uint32_t goaway_error_ = 0;
};

}  // namespace vr::http::testing
