#include "worker/colour.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace vr::worker {
namespace {

bool IsFullRangeFormat(int format) {
  switch (format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ411P:
      return true;
    default:
      return false;
  }
}

bool IsHdr(AVColorTransferCharacteristic transfer) {
  return transfer == AVCOL_TRC_SMPTE2084 || transfer == AVCOL_TRC_ARIB_STD_B67;
}

}  // namespace

bool IsRgb(AVPixelFormat format) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(format);
  return d != nullptr && (d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
}

bool HasAlpha(AVPixelFormat format) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(format);
  return d != nullptr && (d->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL)) != 0;
}

Colour ColourOf(const AVFrame& frame) {
  Colour c{frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range};
  const bool rgb = IsRgb(static_cast<AVPixelFormat>(frame.format));
  const bool hdr = IsHdr(c.transfer);
  const bool large = frame.height >= 720 || frame.width >= 1280;
  // Reserved values, and matrices the scaler cannot name, count as unknown.
  switch (c.matrix) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_FCC:
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_SMPTE240M:
    case AVCOL_SPC_BT2020_NCL:
      break;
    case AVCOL_SPC_BT2020_CL:
      c.matrix = AVCOL_SPC_BT2020_NCL;
      break;
    default:
      c.matrix = hdr || c.primaries == AVCOL_PRI_BT2020 ? AVCOL_SPC_BT2020_NCL
                 : rgb || large                         ? AVCOL_SPC_BT709
                                                        : AVCOL_SPC_SMPTE170M;
  }
  if (c.primaries == AVCOL_PRI_UNSPECIFIED || c.primaries == AVCOL_PRI_RESERVED ||
      c.primaries == AVCOL_PRI_RESERVED0 || av_color_primaries_name(c.primaries) == nullptr) {
    switch (c.matrix) {
      case AVCOL_SPC_BT2020_NCL:
        c.primaries = AVCOL_PRI_BT2020;
        break;
      case AVCOL_SPC_SMPTE170M:
      case AVCOL_SPC_SMPTE240M:
        c.primaries = AVCOL_PRI_SMPTE170M;
        break;
      case AVCOL_SPC_BT470BG:
        c.primaries = AVCOL_PRI_BT470BG;
        break;
      default:
        c.primaries = AVCOL_PRI_BT709;
    }
  }
  if (c.transfer == AVCOL_TRC_UNSPECIFIED || c.transfer == AVCOL_TRC_RESERVED ||
      c.transfer == AVCOL_TRC_RESERVED0 || av_color_transfer_name(c.transfer) == nullptr) {
    c.transfer = c.matrix == AVCOL_SPC_SMPTE170M || c.matrix == AVCOL_SPC_BT470BG
                     ? AVCOL_TRC_SMPTE170M
                     : AVCOL_TRC_BT709;
  }
  if (rgb || IsFullRangeFormat(frame.format)) {
    c.range = AVCOL_RANGE_JPEG;
  } else if (c.range != AVCOL_RANGE_JPEG) {
    c.range = AVCOL_RANGE_MPEG;
  }
  return c;
}

ColourPath PathOf(const Colour& source) {
  if (IsHdr(source.transfer)) return ColourPath::kToneMap;
  if (source.matrix == AVCOL_SPC_BT2020_NCL || source.primaries == AVCOL_PRI_BT2020) {
    return ColourPath::kConvert;
  }
  return ColourPath::kMatrix;
}

Colour VideoColour(const Colour& source) {
  if (PathOf(source) != ColourPath::kMatrix) {
    return {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_RANGE_MPEG};
  }
  Colour out = source;
  out.range = AVCOL_RANGE_MPEG;
  return out;
}

Colour JpegColour(const Colour& source) {
  Colour out = VideoColour(source);
  out.matrix = AVCOL_SPC_BT470BG;
  out.range = AVCOL_RANGE_JPEG;
  return out;
}

std::string MatrixName(AVColorSpace matrix) {
  switch (matrix) {
    case AVCOL_SPC_BT709:
      return "bt709";
    case AVCOL_SPC_FCC:
      return "fcc";
    case AVCOL_SPC_SMPTE240M:
      return "smpte240m";
    case AVCOL_SPC_BT2020_NCL:
      return "bt2020";
    default:
      return "smpte170m";
  }
}

std::string RangeName(AVColorRange range) {
  return range == AVCOL_RANGE_JPEG ? "pc" : "tv";
}

}  // namespace vr::worker
