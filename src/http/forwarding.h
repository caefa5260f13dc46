// What an intermediary passes on and what it must not (RFC 9110 §7.6), and which request fields
// chose a response (RFC 9111 §4.1). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/fields.h"
#include "http/message.h"

namespace vr::http {

/// Fields of one connection, by themselves: Connection, Keep-Alive, Proxy-*, TE, Trailer,
/// Transfer-Encoding, Upgrade.
bool IsHopByHop(std::string_view name);

/// Everything but hop-by-hop fields and those that Connection lists; order, repetition and unknown
/// fields are kept. Framing (Content-Length) is the next hop's own and left out.
FieldList EndToEndFields(const std::vector<Field>& fields);
FieldList EndToEndFields(const FieldList& fields);

/// One member of Via, to be appended to what `fields` has: "1.1 name".
void AppendVia(FieldList& fields, int minor_version, std::string_view name);
/// Whether a member of Via was received by `name`.
bool ViaHas(std::string_view via, std::string_view name);
/// How many members it has at most: commas within comments count too, so that no quotation mark can
/// hide members.
int ViaHops(std::string_view via);

/// X-Forwarded-For, -Host and -Proto of a request that is passed on. What a proxy of our own
/// network (a private or loopback peer) said there is kept and appended to; what anybody else said
/// is not believed, or one client could choose what an origin makes of another's request.
void SetForwardedFields(FieldList& fields, const Request& request);

/// The field names that Vary lists: lower case, sorted, each once. nullopt: "*" is among them, or a
/// field that each hop writes (X-Forwarded-For).
std::optional<std::vector<std::string>> VaryNames(const FieldList& response);
/// The request's values of a selecting field in a form in which equal means the same: lines joined,
/// white space at commas removed; for Accept, Accept-Charset, Accept-Encoding and Accept-Language
/// also lower case and order, which mean nothing there (RFC 9110 §12.5). nullopt: the request has
/// no such field that is passed on, which equals nothing but that.
std::optional<std::string> SelectingValue(const Request& request, std::string_view name);

}  // namespace vr::http
