#include "variant/key.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/check.h"

namespace vr::variant {

namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";

constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (int c = 'a'; c <= 'z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = '0'; c <= '9'; ++c) plain[static_cast<size_t>(c)] = true;
  for (char c : {'-', '.', '_', '~', '/'}) plain[static_cast<size_t>(c)] = true;
  return plain;
}();

void AppendByteEncoded(std::string& out, unsigned char c) {
  out += '%';
  out += kUpperHex[c >> 4];
  out += kUpperHex[c & 15];
}

void AppendUint(std::string& out, uint64_t value) {
  char buffer[20];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

// 1500000 → "1.5": no trailing zeros, no point without a fraction.
void AppendMillionths(std::string& out, int64_t value) {
  AppendUint(out, static_cast<uint64_t>(value) / 1'000'000);
  uint64_t fraction = static_cast<uint64_t>(value) % 1'000'000;
  if (fraction == 0) return;
  char digits[7] = ".";
  for (int i = 6; i >= 1; --i, fraction /= 10) digits[i] = static_cast<char>('0' + fraction % 10);
  size_t length = 7;
  while (digits[length - 1] == '0') --length;
  out.append(digits, length);
}

void AppendTime(std::string& out, Time time) {
  AppendMillionths(out, time.count());
  out += 's';
}

void AppendFormat(std::string& out, const MediaOptions& o) {
  if (!o.format) return;
  out += ":f=";
  out += ToString(*o.format);
}

void AppendStart(std::string& out, const MediaOptions& o) {
  if (!o.time) return;
  out += ":t=";
  AppendTime(out, *o.time);
}

void AppendNumber(std::string& out, std::string_view name, const std::optional<uint32_t>& value) {
  if (!value) return;
  out += name;
  AppendUint(out, *value);
}

void AppendDecimal(std::string& out, std::string_view name, const std::optional<Decimal>& value) {
  if (!value) return;
  out += name;
  AppendMillionths(out, value->millionths);
}

void AppendOptions(std::string& out, const MediaOptions& o, Mode mode) {
  AppendNumber(out, ":w=", o.width);
  AppendNumber(out, ":h=", o.height);
  // A frame names its time before its format, as the contract's example does.
  if (mode == Mode::kFrame) AppendStart(out, o);
  AppendFormat(out, o);
  if (o.quality) {
    out += ":q=";
    if (o.quality->number != 0)
      AppendUint(out, o.quality->number);
    else
      out += ToString(o.quality->level);
  }
  if (o.compression) {
    out += ":c=";
    out += ToString(*o.compression);
  }
  if (o.fit) {
    out += ":fit=";
    out += ToString(*o.fit);
  }
  if (mode != Mode::kFrame) AppendStart(out, o);
  if (o.duration) {
    out += ":d=";
    AppendTime(out, *o.duration);
  }
  if (o.audio) out += *o.audio ? ":a=true" : ":a=false";
  AppendDecimal(out, ":fps=", o.fps);
  AppendDecimal(out, ":spd=", o.speed);
  AppendDecimal(out, ":rot=", o.rotate);
  if (o.crop) {
    out += ":crop=";
    AppendUint(out, o.crop->width);
    for (const uint32_t part : {o.crop->height, o.crop->x, o.crop->y}) {
      out += ',';
      AppendUint(out, part);
    }
  }
  if (o.bitrate) {
    out += ":br=";
    AppendUint(out, *o.bitrate);
  }
  AppendNumber(out, ":count=", o.image_count);
  AppendNumber(out, ":cols=", o.columns);
  AppendNumber(out, ":rows=", o.rows);
  if (o.interval) {
    out += ":int=";
    AppendTime(out, *o.interval);
  }
}

std::string Sha256Hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  VR_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) == 1);
  static constexpr char kLowerHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(length * 2);
  for (unsigned int i = 0; i < length; ++i) {
    out += kLowerHex[digest[i] >> 4];
    out += kLowerHex[digest[i] & 15];
  }
  return out;
}

// The digest's input: fixed order, each string with its length, each option with a presence byte.
class DigestWriter {
 public:
  void U8(uint8_t v) { out_ += static_cast<char>(v); }
  void U64(uint64_t v) {
    for (int i = 0; i < 8; ++i) U8(static_cast<uint8_t>(v >> (8 * i)));
  }
  void String(std::string_view s) {
    U64(s.size());
    out_ += s;
  }
  template <class T>
  void Maybe(const std::optional<T>& value) {
    U8(value.has_value());
    if (value) Put(*value);
  }
  std::string_view bytes() const { return out_; }

 private:
  void Put(uint32_t v) { U64(v); }
  void Put(uint64_t v) { U64(v); }
  void Put(bool v) { U8(v); }
  void Put(Time v) { U64(static_cast<uint64_t>(v.count())); }
  void Put(Decimal v) { U64(static_cast<uint64_t>(v.millionths)); }
  // Names, not enumerator numbers: reordering an enum must not change what is stored.
  void Put(Format v) { String(ToString(v)); }
  void Put(Level v) { String(ToString(v)); }
  void Put(Fit v) { String(ToString(v)); }
  void Put(const Quality& v) {
    String(ToString(v.level));
    U8(v.number);
  }
  void Put(const Crop& v) {
    for (const uint32_t part : {v.width, v.height, v.x, v.y}) U64(part);
  }
  std::string out_;
};

}  // namespace

void AppendEncoded(std::string& out, std::string_view bytes) {
  size_t from = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    if (kPlain[c]) continue;
    out.append(bytes.substr(from, i - from));
    AppendByteEncoded(out, c);
    from = i + 1;
  }
  out.append(bytes.substr(from));
}

std::string KeyOf(const VariantRequest& request) {
  std::string key;
  key.reserve(request.source_path.size() + request.derivative.size() + 96);
  const std::string_view mode = ToString(request.mode);
  key += mode;
  key += ':';
  AppendEncoded(key, request.source_path);
  if (!request.derivative.empty()) {
    key += ":derivative=";
    AppendEncoded(key, request.derivative);
  }
  AppendOptions(key, request.own, request.mode);
  if (key.size() <= kMaxKeyBytes) return key;
  const std::string hash = Sha256Hex(key);
  key.resize(mode.size() + 1 + kCutKeyBytes);
  key += ":sha256=";
  key += hash;
  return key;
}

std::string SourceTag(std::string_view source_path, std::string_view prefix) {
  std::string tag(prefix);
  tag.reserve(source_path.size() + 16);
  // A path must not look like one of the other tags: its first letter is then escaped, which the
  // encoding never does otherwise.
  for (const std::string_view reserved : {"derivative-", "format-", "mode-"}) {
    if (!source_path.starts_with(reserved)) continue;
    AppendByteEncoded(tag, static_cast<unsigned char>(source_path[0]));
    source_path.remove_prefix(1);
    break;
  }
  AppendEncoded(tag, source_path);
  return tag;
}

std::vector<std::string> TagsOf(const VariantRequest& request,
                                const std::vector<std::string>& origin_tags,
                                std::string_view prefix) {
  const std::string first(prefix);
  std::vector<std::string> tags;
  tags.reserve(4 + origin_tags.size());
  tags.push_back(SourceTag(request.source_path, prefix));
  if (!request.derivative.empty()) {
    std::string tag = first + "derivative-";
    AppendEncoded(tag, request.derivative);
    tags.push_back(std::move(tag));
  }
  tags.push_back(first + "format-" + std::string(ToString(request.format())));
  tags.push_back(first + "mode-" + std::string(ToString(request.mode)));
  for (const std::string& tag : origin_tags) {
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(tag);
  }
  return tags;
}

Hash128 DigestOf(const VariantRequest& request, std::string_view source_identity,
                 std::string_view recipe) {
  DigestWriter writer;
  writer.String("vr-plan-1");
  writer.String(ToString(request.mode));
  writer.String(request.source_path);
  writer.String(source_identity);
  writer.String(recipe);
  // All members by name: a new one does not compile until it is here (and in the key).
  const auto& [width, height, format, quality, compression, fit, time, duration, audio, fps, speed,
               rotate, crop, bitrate, image_count, columns, rows, interval] = request.resolved;
  writer.Maybe(width);
  writer.Maybe(height);
  writer.Maybe(format);
  writer.Maybe(quality);
  writer.Maybe(compression);
  writer.Maybe(fit);
  writer.Maybe(time);
  writer.Maybe(duration);
  writer.Maybe(audio);
  writer.Maybe(fps);
  writer.Maybe(speed);
  writer.Maybe(rotate);
  writer.Maybe(crop);
  writer.Maybe(bitrate);
  writer.Maybe(image_count);
  writer.Maybe(columns);
  writer.Maybe(rows);
  writer.Maybe(interval);
  return HashOf(writer.bytes());
}

}  // namespace vr::variant
