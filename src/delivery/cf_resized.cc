#include "delivery/cf_resized.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "delivery/head.h"
#include "delivery/request_log.h"

namespace vr::delivery {

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kCodes{{
    {"INVALID_PARAMETER", "9401"},  // options
    {"TIME_OUT_OF_RANGE", "9401"},
    {"METHOD_NOT_ALLOWED", "9401"},
    {"SOURCE_TOO_LARGE", "9402"},  // too large
    {"LOOP_DETECTED", "9403"},     // loop
    {"NOT_FOUND", "9404"},         // not found
    {"NO_MATCHING_ORIGIN", "9404"},
    {"INVALID_URL", "9406"},  // URL
    {"SOURCE_NOT_ALLOWED", "9406"},
    {"SIGNATURE_REQUIRED", "9406"},
    {"SIGNATURE_INVALID", "9406"},
    {"SIGNATURE_EXPIRED", "9406"},
    {"SOURCE_UNSUPPORTED", "9412"},  // not a video
    {"SOURCE_CORRUPT", "9412"},
    {"ORIGIN_TIMEOUT", "9504"},  // unreachable
    {"ALL_SOURCES_FAILED", "9504"},
}};

/// The last status that a source answered with; empty: none did.
std::string_view LastStatus(std::string_view attempts) {
  std::string_view last;
  while (!attempts.empty()) {
    const size_t end = std::min(attempts.find_first_of(" ,;:()"), attempts.size());
    const std::string_view word = attempts.substr(0, end);
    attempts.remove_prefix(std::min(end + 1, attempts.size()));
    const bool is_status =
        word.size() == 3 && (word[0] == '4' || word[0] == '5') &&
        std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_status) last = word;
  }
  return last;
}

/// The body of a failure, made now or remembered.
std::string_view BodyOf(const http::Response& response) {
  const auto* note = dynamic_cast<const RequestNote*>(response.note.get());
  // A range that cannot be had is answered of a good entity, whose body is not this answer's.
  const bool is_remembered =
      note && note->entity && note->entity->memory && note->entity->meta.status == response.status;
  if (is_remembered) return *note->entity->memory;
  const auto* pieces = std::get_if<std::vector<http::Piece>>(&response.body);
  if (!pieces || pieces->empty()) return {};
  const auto* piece = std::get_if<http::MemoryPiece>(&pieces->front());
  return piece ? std::string_view(*piece->data) : std::string_view();
}

}  // namespace

std::string_view CfResizedCode(std::string_view reason, std::string_view attempts, bool is_loop) {
  if (reason == "RANGE_NOT_SATISFIABLE" || reason == "PRECONDITION_FAILED") return {};
  if (is_loop) return "9403";
  if (reason == "ALL_SOURCES_FAILED") {
    const std::string_view status = LastStatus(attempts);
    if (!status.empty()) return status[0] == '4' ? "9408" : "9509";
    if (attempts.find("unknown host") != std::string_view::npos) return "9407";
  }
  for (const auto& [name, code] : kCodes) {
    if (name == reason) return code;
  }
  return "9517";
}

void AddCfResized(http::Response& response) {
  if (response.status < 400) return;
  const auto json = nlohmann::json::parse(BodyOf(response), nullptr, false);
  std::string reason;
  std::string attempts;
  bool is_loop = false;
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    const auto& error = json["error"];
    reason = error.value("code", "");
    if (const auto details = error.find("details");
        details != error.end() && details->is_object()) {
      attempts = details->value("attempts", "");
      is_loop = details->contains("loop");
    }
  }
  const std::string_view code = CfResizedCode(reason, attempts, is_loop);
  if (!code.empty()) AppendField(response.fields, "Cf-Resized", "err=" + std::string(code));
}

}  // namespace vr::delivery
