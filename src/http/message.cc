#include "http/message.h"

#include <algorithm>
#include <atomic>

#include "http/ascii.h"
#include "http/message_stats.h"
#include "observe/log.h"

namespace vr::http {

namespace {

std::atomic<uint64_t> refused_fields{0};

bool IsSafe(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

uint64_t RefusedResponseFields() {
  return refused_fields.load(std::memory_order_relaxed);
}

std::optional<std::string_view> Request::Get(std::string_view name) const {
  for (const Field& field : fields) {
    if (EqualsNoCase(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::string Request::GetAll(std::string_view name) const {
  std::string all;
  bool first = true;
  for (const Field& field : fields) {
    if (!EqualsNoCase(field.name, name)) continue;
    if (!first) all += ", ";
    all += field.value;
    first = false;
  }
  return all;
}

void CopyCircumstances(const Request& from, Request& to) {
  to.method = from.method;
  to.minor_version = from.minor_version;
  to.peer_address = from.peer_address;
  to.client_address = from.client_address;
  to.is_tls = from.is_tls;
  to.id = from.id;
}

Request CloneHead(const Request& request) {
  size_t size = request.method_name.size() + request.target.size();
  for (const Field& field : request.fields) size += field.name.size() + field.value.size();
  Request clone;
  clone.storage = std::make_unique_for_overwrite<char[]>(size);
  char* at = clone.storage.get();
  const auto keep = [&at](std::string_view text) {
    char* const begin = at;
    at = std::copy(text.begin(), text.end(), at);
    return std::string_view(begin, text.size());
  };
  CopyCircumstances(request, clone);
  clone.method_name = keep(request.method_name);
  clone.target = keep(request.target);
  clone.path = clone.target.substr(0, request.path.size());
  if (!request.query.empty()) {
    clone.query = clone.target.substr(clone.target.size() - request.query.size());
  }
  clone.fields.reserve(request.fields.size());
  for (const Field& field : request.fields) {
    const std::string_view name = keep(field.name);
    clone.fields.push_back(Field{name, keep(field.value)});
  }
  return clone;
}

void Response::Add(std::string_view name, std::string_view value) {
  if (!IsToken(name) || !IsSafe(value)) {
    refused_fields.fetch_add(1, std::memory_order_relaxed);
    LogError("response_field_refused", {{"name", name.substr(0, 64)}});
    return;
  }
  fields.reserve(fields.size() + name.size() + value.size() + 4);
  fields += name;
  fields += ": ";
  fields += value;
  fields += "\r\n";
}

void Response::SetBody(std::string text) {
  const uint64_t size = text.size();
  std::vector<Piece> pieces;
  pieces.push_back(MemoryPiece{std::make_shared<const std::string>(std::move(text)), 0, size});
  body = std::move(pieces);
}

}  // namespace vr::http
