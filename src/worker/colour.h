// Colour: what a source's samples mean, and what the output's shall mean. Pure functions.
//
// SDR keeps its matrix (no needless conversion, tags written); HDR (PQ, HLG) and BT.2020 become
// BT.709. Untagged sources are BT.709 from 720 lines on, BT.601 below, and are tagged so: a player
// would guess anew from the smaller picture.
#pragma once

#include <string>

#include "worker/av.h"

namespace vr::worker {

struct Colour {
  AVColorSpace matrix = AVCOL_SPC_UNSPECIFIED;
  AVColorPrimaries primaries = AVCOL_PRI_UNSPECIFIED;
  AVColorTransferCharacteristic transfer = AVCOL_TRC_UNSPECIFIED;
  AVColorRange range = AVCOL_RANGE_UNSPECIFIED;
  bool operator==(const Colour&) const = default;
};

/// How a picture gets from its colours to the output's.
enum class ColourPath {
  kMatrix,   ///< scaler with matrices and ranges named
  kConvert,  ///< wide gamut, standard range: primaries converted
  kToneMap,  ///< PQ or HLG: brought down to standard range
};

/// The frame's tags with every gap filled by what is most likely.
Colour ColourOf(const AVFrame& frame);
ColourPath PathOf(const Colour& source);
/// Tags of a video made of `source`.
Colour VideoColour(const Colour& source);
/// Tags of a JPEG (JFIF: BT.601, full range).
Colour JpegColour(const Colour& source);

/// libav's option names.
std::string MatrixName(AVColorSpace matrix);
std::string RangeName(AVColorRange range);

bool IsRgb(AVPixelFormat format);
bool HasAlpha(AVPixelFormat format);

}  // namespace vr::worker
