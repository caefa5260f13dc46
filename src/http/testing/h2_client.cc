#include "http/testing/h2_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace vr::http::testing {

struct H2Client::Callbacks {
  static H2Client& Of(void* user) { return *static_cast<H2Client*>(user); }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    Answer& answer = Of(user).answers_[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_length);
    const std::string text(reinterpret_cast<const char*>(value), value_length);
    if (key == ":status") {
      const int status = std::stoi(text);
      if (status < 200) {
        answer.interim.push_back(status);
      } else {
        answer.status = status;
      }
    } else {
      answer.fields[key] = text;
    }
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t length,
                    void* user) {
    Of(user).answers_[id].body.append(reinterpret_cast<const char*>(data), length);
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Client& self = Of(user);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      self.has_goaway_ = true;
      self.goaway_error_ = frame->goaway.error_code;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      self.answers_[frame->hd.stream_id].is_complete = true;
    }
    return 0;
  }
  static int OnClose(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    Answer& answer = Of(user).answers_[id];
    answer.is_closed = true;
    answer.error = error;
    return 0;
  }
  static ssize_t OnRead(nghttp2_session*, int32_t id, uint8_t* space, size_t length,
                        uint32_t* flags, nghttp2_data_source*, void* user) {
    auto& [body, at] = Of(user).bodies_[id];
    const size_t n = std::min(length, body.size() - at);
    std::memcpy(space, body.data() + at, n);
    at += n;
    if (at == body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }
};

H2Client::H2Client(const std::string& address, uint32_t window, bool manual_windows) {
  fd_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return;
  tls_ = std::make_unique<TlsEnd>(fd_.get(), "h2");
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  if (manual_windows) nghttp2_option_set_no_auto_window_update(option, 1);
  // What the server must refuse has to leave us first.
  nghttp2_option_set_no_http_messaging(option, 1);
  nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
                                             {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
  // So that only the streams' windows matter.
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 1 << 30);
  Flush();
}

H2Client::~H2Client() {
  nghttp2_session_del(session_);
}

int32_t H2Client::Ask(const std::string& path, const Fields& more, const std::string& method,
                      const std::string* body, const std::string& authority) {
  Fields fields{{":method", method}, {":scheme", "https"}, {":path", path}};
  if (!authority.empty()) fields.emplace_back(":authority", authority);
  fields.insert(fields.end(), more.begin(), more.end());
  return AskRaw(fields, body);
}

int32_t H2Client::AskRaw(const Fields& fields, const std::string* body) {
  std::vector<nghttp2_nv> nva;
  for (const auto& [name, value] : fields) {
    nghttp2_nv nv{};
    nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
    nv.namelen = name.size();
    nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
    nv.valuelen = value.size();
    nva.push_back(nv);
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::OnRead;
  const int32_t id = nghttp2_submit_request(session_, nullptr, nva.data(), nva.size(),
                                            body != nullptr ? &provider : nullptr, nullptr);
  if (body != nullptr) bodies_[id] = {*body, 0};
  Flush();
  return id;
}

void H2Client::Reset(int32_t stream, uint32_t error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error);
  Flush();
}

void H2Client::OpenWindow(int32_t stream, int bytes) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream, bytes);
  Flush();
}

void H2Client::SendRaw(std::string_view bytes) {
  if (!tls_->Write(bytes)) is_ended_ = true;
}

std::string H2Client::Frame(uint8_t type, uint8_t flags, uint32_t stream,
                            std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift & 0xff);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
  out += payload;
  return out;
}

void H2Client::Flush() {
  for (;;) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n <= 0) return;
    SendRaw(std::string_view(reinterpret_cast<const char*>(data), static_cast<size_t>(n)));
  }
}

bool H2Client::RunUntil(const std::function<bool()>& done, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (is_ended_ || left.count() <= 0) return done();
    char buffer[65536];
    const ssize_t n = tls_->Read(buffer, sizeof buffer, left);
    if (n == TlsEnd::kNothing) continue;
    if (n <= 0 || nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(buffer),
                                           static_cast<size_t>(n)) < 0) {
      is_ended_ = true;
      continue;
    }
    Flush();
  }
  return true;
}

const H2Client::Answer& H2Client::Get(int32_t stream) {
  Answer& answer = answers_[stream];
  RunUntil([&] { return answer.is_closed; });
  return answer;
}

uint32_t H2Client::max_streams() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void H2Client::Close() {
  tls_->Close();
  tls_.reset();
  fd_.Reset();
}

}  // namespace vr::http::testing
