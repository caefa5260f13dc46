#include "admin/admin_handler.h"

#include "http/codes.h"
#include "observe/log.h"

namespace vr::admin {

namespace {

http::Response Text(int status, std::string_view type, std::string body) {
  http::Response response;
  response.status = status;
  response.Add("Content-Type", type);
  response.Add("Cache-Control", "no-store");
  response.Add("X-Content-Type-Options", "nosniff");
  response.SetBody(std::move(body));
  return response;
}

}  // namespace

std::optional<http::Response> AdminHandler::TryNow(const http::Request& request) {
  const bool is_read =
      request.method == http::Method::kGet || request.method == http::Method::kHead;
  if (!is_read) {
    http::Response refused = Text(
        http::kMethodNotAllowed, "application/json",
        R"({"error":{"code":"METHOD_NOT_ALLOWED","message":"only GET and HEAD are answered here"}})"
        "\n");
    refused.Add("Allow", "GET, HEAD");
    return refused;
  }
  if (request.path == "/metrics") {
    return Text(http::kOk, "text/plain; version=0.0.4; charset=utf-8", metrics_.Render());
  }
  if (request.path == "/healthz") return Text(http::kOk, "text/plain; charset=utf-8", "ok\n");
  if (request.path == "/readyz") {
    const std::optional<std::string> why = not_ready_();
    if (!why) return Text(http::kOk, "text/plain; charset=utf-8", "ok\n");
    return Text(http::kServiceUnavailable, "text/plain; charset=utf-8",
                "not ready: " + *why + "\n");
  }
  return Text(http::kNotFound, "application/json",
              R"({"error":{"code":"NOT_FOUND","message":"no such admin route"}})"
              "\n");
}

Task<http::Response> AdminHandler::Handle(Context, const http::Request& request) {
  co_return *TryNow(request);  // every route answers at once
}

void AdminHandler::Finished(const http::Request& request, const http::Response& response,
                            const http::Sent& sent) {
  LogDebug("admin_request",
           {{"target", request.target}, {"status", response.status}, {"bytes", sent.body_bytes}});
}

}  // namespace vr::admin
