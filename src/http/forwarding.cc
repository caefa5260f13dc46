#include "http/forwarding.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "http/ascii.h"
#include "http/client.h"

namespace vr::http {

namespace {

constexpr std::string_view kHopByHop[] = {"connection",
                                          "keep-alive",
                                          "proxy-authenticate",
                                          "proxy-authentication-info",
                                          "proxy-authorization",
                                          "proxy-connection",
                                          "te",
                                          "trailer",
                                          "transfer-encoding",
                                          "upgrade"};

std::string_view NameOf(const Field& field) {
  return field.name;
}
std::string_view NameOf(const FieldList::value_type& field) {
  return field.first;
}
std::string_view ValueOf(const Field& field) {
  return field.value;
}
std::string_view ValueOf(const FieldList::value_type& field) {
  return field.second;
}

bool IsPrivatePeer(const std::string& address) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) return IsPrivateAddress(&v4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  return ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1 && IsPrivateAddress(&v6);
}

template <class Fields>
FieldList WithoutHopByHop(const Fields& fields) {
  std::vector<std::string_view> listed;
  for (const auto& field : fields) {
    if (!EqualsNoCase(NameOf(field), "connection")) continue;
    for (std::string_view rest = ValueOf(field); !rest.empty();) {
      listed.push_back(NextElement(rest));
    }
  }
  FieldList out;
  out.reserve(fields.size() + 4);
  for (const auto& field : fields) {
    const std::string_view name = NameOf(field);
    const bool is_listed = std::any_of(listed.begin(), listed.end(), [&](std::string_view option) {
      return EqualsNoCase(option, name);
    });
    if (is_listed || IsHopByHop(name) || EqualsNoCase(name, "content-length")) continue;
    if (!IsToken(name) || !IsFieldValue(ValueOf(field))) continue;  // no field at all
    out.emplace_back(name, ValueOf(field));
  }
  return out;
}

bool IsOrderless(std::string_view name) {
  return name == "accept" || name == "accept-charset" || name == "accept-encoding" ||
         name == "accept-language";
}

}  // namespace

bool IsHopByHop(std::string_view name) {
  return std::any_of(std::begin(kHopByHop), std::end(kHopByHop),
                     [&](std::string_view hop) { return EqualsNoCase(hop, name); });
}

FieldList EndToEndFields(const std::vector<Field>& fields) {
  return WithoutHopByHop(fields);
}
FieldList EndToEndFields(const FieldList& fields) {
  return WithoutHopByHop(fields);
}

void AppendVia(FieldList& fields, int minor_version, std::string_view name) {
  std::string via = JoinedValues(fields, "Via");
  EraseFields(fields, "Via");
  if (!via.empty()) via += ", ";
  via += "1." + std::to_string(minor_version) + " ";
  via += name;
  fields.emplace_back("Via", std::move(via));
}

bool ViaHas(std::string_view via, std::string_view name) {
  while (!via.empty()) {
    std::string_view member = NextElement(via);
    const size_t space = member.find(' ');
    if (space == std::string_view::npos) continue;
    member = Trim(member.substr(space + 1));
    if (member.substr(0, member.find(' ')) == name) return true;
  }
  return false;
}

int ViaHops(std::string_view via) {
  int hops = 0;
  while (!via.empty()) {
    const size_t comma = std::min(via.find(','), via.size());
    hops += Trim(via.substr(0, comma)).empty() ? 0 : 1;
    via.remove_prefix(std::min(comma + 1, via.size()));
  }
  return hops;
}

void SetForwardedFields(FieldList& fields, const Request& request) {
  const bool is_neighbour = IsPrivatePeer(request.peer_address);
  std::string chain = is_neighbour ? JoinedValues(fields, "X-Forwarded-For") : std::string();
  if (!chain.empty()) chain += ", ";
  EraseFields(fields, "X-Forwarded-For");
  fields.emplace_back("X-Forwarded-For", chain + request.peer_address);
  const auto set = [&](const char* name, std::string_view value) {
    if (is_neighbour && HasField(fields, name)) return;
    EraseFields(fields, name);
    if (!value.empty()) fields.emplace_back(name, value);
  };
  set("X-Forwarded-Host", request.Get("Host").value_or(""));
  set("X-Forwarded-Proto", "http");
}

std::optional<std::vector<std::string>> VaryNames(const FieldList& response) {
  std::vector<std::string> names;
  const std::string vary = JoinedValues(response, "Vary");
  for (std::string_view rest = vary; !rest.empty();) {
    const std::string_view name = NextElement(rest);
    // What we write there ourselves is not the client's to select by.
    if (name == "*" || EqualsNoCase(name, "x-forwarded-for")) return std::nullopt;
    if (!name.empty()) names.push_back(LowerCase(name));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::optional<std::string> SelectingValue(const Request& request, std::string_view name) {
  if (!request.Get(name) || IsHopByHop(name)) return std::nullopt;
  // Nor is what the origin never saw, because Connection lists it.
  const std::string listed = request.GetAll("Connection");
  for (std::string_view rest = listed; !rest.empty();) {
    if (EqualsNoCase(NextElement(rest), name)) return std::nullopt;
  }
  const bool is_orderless = IsOrderless(name);
  const std::string joined = request.GetAll(name);
  std::vector<std::string> members;
  for (std::string_view rest = joined; !rest.empty();) {
    std::string member(NextElement(rest));
    if (is_orderless) {
      member = LowerCase(member);
      std::erase_if(member, [](char c) { return c == ' ' || c == '\t'; });
    }
    members.push_back(std::move(member));
  }
  if (is_orderless) std::sort(members.begin(), members.end());
  std::string out;
  for (const std::string& member : members) {
    if (!out.empty()) out += ',';
    out += member;
  }
  return out;
}

}  // namespace vr::http
