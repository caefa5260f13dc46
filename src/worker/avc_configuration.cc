#include "worker/avc_configuration.h"

#include <array>
#include <tuple>
#include <utility>
#include <vector>

namespace vr::worker {
namespace {

/// Bits of an RBSP, most significant first. Reading past the end gives zeros and is remembered.
class Bits {
 public:
  explicit Bits(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}

  bool ok() const { return ok_; }
  uint32_t Take(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      const size_t byte = at_ / 8;
      if (byte >= bytes_.size()) {
        ok_ = false;
        return 0;
      }
      value = value << 1 | (bytes_[byte] >> (7 - at_ % 8) & 1u);
      ++at_;
    }
    return value;
  }
  bool Flag() { return Take(1) != 0; }
  /// ue(v), 9.1.
  uint32_t Unsigned() {
    int zeros = 0;
    while (ok_ && !Flag()) ++zeros;
    if (zeros > 31) ok_ = false;
    if (!ok_) return 0;
    return (1u << zeros) - 1 + Take(zeros);
  }
  /// se(v), 9.1.1.
  int32_t Signed() {
    const uint32_t k = Unsigned();
    return k % 2 == 1 ? static_cast<int32_t>(k / 2 + 1) : -static_cast<int32_t>(k / 2);
  }

 private:
  const std::vector<uint8_t> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

/// Without the bytes that keep start codes from appearing (7.3.1).
std::vector<uint8_t> Unescaped(std::span<const uint8_t> nal) {
  std::vector<uint8_t> out;
  out.reserve(nal.size());
  int zeros = 0;
  for (const uint8_t b : nal) {
    if (zeros >= 2 && b == 3) {
      zeros = 0;
      continue;
    }
    zeros = b == 0 ? zeros + 1 : 0;
    out.push_back(b);
  }
  return out;
}

bool HasChromaFormat(uint32_t profile) {
  switch (profile) {
    case 100:
    case 110:
    case 122:
    case 244:
    case 44:
    case 83:
    case 86:
    case 118:
    case 128:
    case 138:
    case 139:
    case 134:
    case 135:
      return true;
    default:
      return false;
  }
}

void SkipScalingLists(Bits& bits, uint32_t chroma_format) {
  const int lists = chroma_format == 3 ? 12 : 8;
  for (int i = 0; i < lists && bits.ok(); ++i) {
    if (!bits.Flag()) continue;
    const int size = i < 6 ? 16 : 64;
    int last = 8, next = 8;
    for (int j = 0; j < size && bits.ok(); ++j) {
      if (next != 0) next = (last + bits.Signed() + 256) % 256;
      if (next != 0) last = next;
    }
  }
}

void SkipPictureOrder(Bits& bits) {
  const uint32_t type = bits.Unsigned();
  if (type == 0) {
    bits.Unsigned();
  } else if (type == 1) {
    bits.Flag();
    bits.Signed();
    bits.Signed();
    const uint32_t cycle = bits.Unsigned();
    for (uint32_t i = 0; i < cycle && bits.ok(); ++i) bits.Signed();
  }
}

/// hrd_parameters(), E.1.2.
void SkipBufferModel(Bits& bits) {
  const uint32_t count = bits.Unsigned();
  bits.Take(8);
  for (uint32_t i = 0; i <= count && bits.ok(); ++i) {
    bits.Unsigned();
    bits.Unsigned();
    bits.Flag();
  }
  bits.Take(20);
}

void ReadUsability(Bits& bits, AvcFacts& facts) {
  // Table E-1.
  constexpr std::array<std::pair<int, int>, 17> kRatios{{{0, 1},
                                                         {1, 1},
                                                         {12, 11},
                                                         {10, 11},
                                                         {16, 11},
                                                         {40, 33},
                                                         {24, 11},
                                                         {20, 11},
                                                         {32, 11},
                                                         {80, 33},
                                                         {18, 11},
                                                         {15, 11},
                                                         {64, 33},
                                                         {160, 99},
                                                         {4, 3},
                                                         {3, 2},
                                                         {2, 1}}};
  constexpr uint32_t kExtendedRatio = 255;
  if (bits.Flag()) {
    const uint32_t index = bits.Take(8);
    if (index == kExtendedRatio) {
      facts.sar_width = static_cast<int>(bits.Take(16));
      facts.sar_height = static_cast<int>(bits.Take(16));
      if (facts.sar_width == 0 || facts.sar_height == 0) {
        facts.sar_width = 0;
        facts.sar_height = 1;
      }
    } else if (index < kRatios.size()) {
      std::tie(facts.sar_width, facts.sar_height) = kRatios[index];
    }
  }
  if (bits.Flag()) bits.Flag();  // overscan
  if (bits.Flag()) {             // format, range, colours
    bits.Take(4);
    if (bits.Flag()) bits.Take(24);
  }
  if (bits.Flag()) {  // where chroma samples lie
    bits.Unsigned();
    bits.Unsigned();
  }
  if (bits.Flag()) {  // timing
    bits.Take(32);
    bits.Take(32);
    bits.Flag();
  }
  const bool has_nal_buffer = bits.Flag();
  if (has_nal_buffer) SkipBufferModel(bits);
  const bool has_vcl_buffer = bits.Flag();
  if (has_vcl_buffer) SkipBufferModel(bits);
  if (has_nal_buffer || has_vcl_buffer) bits.Flag();
  bits.Flag();  // pic_struct_present_flag
  if (!bits.Flag()) return;
  bits.Flag();
  for (int i = 0; i < 4; ++i) bits.Unsigned();
  facts.reordered = static_cast<int>(bits.Unsigned());
  bits.Unsigned();
}

std::optional<AvcFacts> ReadParameterSet(Bits bits) {
  AvcFacts facts;
  const uint32_t profile = bits.Take(8);
  facts.profile = static_cast<int>(profile);
  bits.Take(16);  // constraints, level
  bits.Unsigned();
  uint32_t chroma_format = 1;
  if (HasChromaFormat(profile)) {
    chroma_format = bits.Unsigned();
    if (chroma_format > 3 || (chroma_format == 3 && bits.Flag())) return std::nullopt;
    bits.Unsigned();  // depths
    bits.Unsigned();
    bits.Flag();
    if (bits.Flag()) SkipScalingLists(bits, chroma_format);
  }
  facts.chroma_format = static_cast<int>(chroma_format);
  bits.Unsigned();  // log2_max_frame_num
  SkipPictureOrder(bits);
  bits.Unsigned();  // max_num_ref_frames
  bits.Flag();
  constexpr int64_t kBlock = 16;
  facts.width = (int64_t{bits.Unsigned()} + 1) * kBlock;
  facts.height = (int64_t{bits.Unsigned()} + 1) * kBlock;
  facts.may_have_fields = !bits.Flag();
  if (facts.may_have_fields) {
    facts.height *= 2;
    bits.Flag();
  }
  bits.Flag();
  if (bits.Flag()) {  // cropping, in units of a chroma sample of a field
    int64_t across = bits.Unsigned();
    across += bits.Unsigned();
    int64_t down = bits.Unsigned();
    down += bits.Unsigned();
    facts.width -= across * (chroma_format == 1 || chroma_format == 2 ? 2 : 1);
    facts.height -= down * (chroma_format == 1 ? 2 : 1) * (facts.may_have_fields ? 2 : 1);
  }
  if (bits.Flag()) ReadUsability(bits, facts);
  if (!bits.ok()) return std::nullopt;
  return facts;
}

}  // namespace

std::optional<AvcFacts> ReadAvcConfiguration(std::span<const uint8_t> record) {
  constexpr size_t kHead = 8;  // to the end of the first parameter set's length
  constexpr uint8_t kParameterSet = 7;
  if (record.size() < kHead || record[0] != 1 || (record[5] & 0x1f) != 1) return std::nullopt;
  const size_t length = static_cast<size_t>(record[6]) << 8 | record[7];
  if (length < 4 || length > record.size() - kHead) return std::nullopt;
  const std::span<const uint8_t> nal = record.subspan(kHead, length);
  if ((nal[0] & 0x1f) != kParameterSet) return std::nullopt;
  return ReadParameterSet(Bits(Unescaped(nal.subspan(1))));
}

}  // namespace vr::worker
