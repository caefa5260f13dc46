#include "worker/segmented_encoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iterator>
#include <system_error>
#include <utility>

extern "C" {
#include <libavutil/imgutils.h>
}

#include "worker/failure.h"

namespace vr::worker {
namespace {

constexpr auto kBeat = std::chrono::milliseconds(50);
// Pictures that wait before anything has come out: whoever waits for the first byte shall not wait
// for pictures to be decoded that it does not need.
constexpr size_t kHeldAtFirst = 2;
// Segments begun and not yet delivered, per thread: what they became is held in memory.
constexpr size_t kSegmentsPerThread = 2;
// Of a slide show a segment takes longer to begin than to encode.
constexpr int kFewestPictures = 24;

}  // namespace

SegmentedEncoder::SegmentedEncoder(const PictureFormat& format, const VideoRecipe& recipe,
                                   Options options)
    : format_(format),
      recipe_(recipe),
      options_(std::move(options)),
      segment_ticks_(std::llround(recipe.segment_seconds * kOutputTimeBase.den)),
      frame_ticks_(av_rescale_q(1, av_inv_q(format.frame_rate), kOutputTimeBase)) {}

Result<std::unique_ptr<SegmentedEncoder>> SegmentedEncoder::Create(const PictureFormat& format,
                                                                   const VideoRecipe& recipe,
                                                                   Options options) {
  options.threads = std::max(1, options.threads);
  std::unique_ptr<SegmentedEncoder> out(new SegmentedEncoder(format, recipe, std::move(options)));
  // Here and before there are threads: encoders set up their tables when the first one is opened.
  TRY(VideoEncoder encoder, VideoEncoder::Create(format, recipe));
  out->parameters_.reset(avcodec_parameters_alloc());
  if (out->parameters_ == nullptr) return EngineError("video encoder", AVERROR(ENOMEM));
  const int r = avcodec_parameters_from_context(out->parameters_.get(), encoder.context());
  if (r < 0) return EngineError("video encoder", r);
  out->here_.emplace(std::move(encoder));
  return out;
}

SegmentedEncoder::~SegmentedEncoder() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Result<VideoEncoder> SegmentedEncoder::OpenLater() const {
  TRY(VideoEncoder encoder, VideoEncoder::Create(format_, recipe_, VideoEncoder::Part::kLater));
  // A file has one description for all of its pictures.
  const AVCodecContext& c = *encoder.context();
  const AVCodecParameters& p = *parameters_;
  if (c.extradata_size != p.extradata_size ||
      (p.extradata_size > 0 &&
       std::memcmp(c.extradata, p.extradata, static_cast<size_t>(p.extradata_size)) != 0)) {
    return TransformFailed("the transform failed", "segments of different kinds");
  }
  return encoder;
}

bool SegmentedEncoder::BeginsSegment(int64_t pts) {
  const bool is_first = segment_ == INT64_MIN;
  if (!is_first && ++pictures_ < kFewestPictures) return false;
  if (segment_ticks_ <= 0) return std::exchange(segment_, 0) == INT64_MIN;
  // Clocks of a millisecond put a picture a little before its time.
  const int64_t number = (pts + frame_ticks_ / 2) / segment_ticks_;
  if (number <= segment_) return false;
  segment_ = number;
  pictures_ = 0;
  return true;
}

uint64_t SegmentedEncoder::BytesOf(const AVFrame& frame) {
  const int size = av_image_get_buffer_size(static_cast<AVPixelFormat>(frame.format), frame.width,
                                            frame.height, 32);
  return static_cast<uint64_t>(std::max(size, 0));
}

// ---- the main thread

Result<void> SegmentedEncoder::Encode(AvPtr<AVFrame> frame, const PacketSink& sink) {
  const bool begins = BeginsSegment(frame->pts);
  if (options_.threads == 1) return EncodeHere(*frame, begins, sink);
  CHECK_OK(DeliverUntil(begins ? Until::kSegmentMayBegin : Until::kRoom, sink));
  return Push(std::move(frame), begins);
}

Result<void> SegmentedEncoder::EncodeHere(AVFrame& frame, bool begins, const PacketSink& sink) {
  if (begins && has_begun_) {
    CHECK_OK(here_->Finish(frame_ticks_, InOrder(sink)));
    here_.reset();  // before the next one takes its memory
    TRY(VideoEncoder encoder, OpenLater());
    here_.emplace(std::move(encoder));
  }
  has_begun_ = true;
  return here_->Encode(frame, InOrder(sink));
}

Result<void> SegmentedEncoder::Finish(int64_t last_duration, const PacketSink& sink) {
  if (options_.threads == 1) return here_->Finish(last_duration, InOrder(sink));
  {
    MutexLock lock(mutex_);
    Close(last_duration);
  }
  work_.notify_all();
  return DeliverUntil(Until::kEnd, sink);
}

PacketSink SegmentedEncoder::InOrder(const PacketSink& sink) {
  return [this, &sink](AVPacket& packet) {
    // With a variable frame rate a segment's first decoding times, made up by its encoder, may lie
    // before the end of the last one's.
    if (last_dts_ != INT64_MIN && packet.dts <= last_dts_) packet.dts = last_dts_ + 1;
    last_dts_ = packet.dts;
    return sink(packet);
  };
}

Result<void> SegmentedEncoder::Push(AvPtr<AVFrame> frame, bool begins) {
  bool needs_thread = false;
  {
    MutexLock lock(mutex_);
    if (begins) {
      Close(frame_ticks_);
      segments_.push_back(std::make_unique<Segment>());
      if (here_) segments_.back()->encoder = std::exchange(here_, std::nullopt);
      needs_thread = static_cast<int>(threads_.size()) < options_.threads;
    }
    held_ += BytesOf(*frame);
    segments_.back()->pictures.push_back(std::move(frame));
  }
  if (needs_thread) {
    try {
      threads_.emplace_back([this] { Work(); });
    } catch (const std::system_error& e) {
      // Those that are there do it as well.
      if (threads_.empty()) return TransformFailed("the transform failed", e.what());
    }
  }
  work_.notify_all();
  return {};
}

void SegmentedEncoder::Close(int64_t last_duration) {
  if (segments_.empty()) return;
  segments_.back()->last_duration = last_duration;
  segments_.back()->is_closed = true;
}

bool SegmentedEncoder::Has(Until until) const {
  switch (until) {
    case Until::kEnd:
      return segments_.empty();
    case Until::kSegmentMayBegin:
      if (segments_.size() >= kSegmentsPerThread * static_cast<size_t>(options_.threads)) {
        return false;
      }
      break;
    case Until::kRoom:
      break;
  }
  if (last_dts_ == INT64_MIN && !segments_.empty()) {
    return segments_.back()->pictures.size() < kHeldAtFirst;
  }
  return held_ < options_.held_bytes || held_ == 0;
}

std::vector<AvPtr<AVPacket>> SegmentedEncoder::TakeReady() {
  std::vector<AvPtr<AVPacket>> ready;
  while (!segments_.empty()) {
    Segment& oldest = *segments_.front();
    std::move(oldest.packets.begin(), oldest.packets.end(), std::back_inserter(ready));
    oldest.packets.clear();
    if (!oldest.is_finished) break;
    segments_.pop_front();
  }
  return ready;
}

Result<void> SegmentedEncoder::DeliverUntil(Until until, const PacketSink& sink) {
  const PacketSink in_order = InOrder(sink);
  for (bool is_there = false; !is_there;) {
    std::vector<AvPtr<AVPacket>> ready;
    bool moved = false;
    {
      MutexLock lock(mutex_);
      if (error_) return *error_;
      ready = TakeReady();
      is_there = Has(until);
      if (!is_there && ready.empty()) {
        const uint64_t before = steps_;
        moved_.wait_for(mutex_, kBeat);
        moved = steps_ != before;
      }
    }
    for (const AvPtr<AVPacket>& packet : ready) CHECK_OK(in_order(*packet));
    // An encoder that hangs must not look alive.
    if (moved && options_.beat) options_.beat();
    // What was delivered may be what was waited for.
    if (!ready.empty()) is_there = false;
  }
  return {};
}

// ---- the others

void SegmentedEncoder::Work() {
  while (Segment* segment = TakeSegment()) {
    Result<void> done = EncodeAll(*segment);
    MutexLock lock(mutex_);
    if (!done.ok() && !error_) error_ = std::move(done).error();
    segment->is_finished = done.ok();
    ++steps_;
    moved_.notify_all();
  }
}

SegmentedEncoder::Segment* SegmentedEncoder::TakeSegment() {
  MutexLock lock(mutex_);
  while (!stop_ && !error_) {
    for (const std::unique_ptr<Segment>& segment : segments_) {
      if (std::exchange(segment->is_taken, true)) continue;
      return segment.get();
    }
    work_.wait(mutex_);
  }
  return nullptr;
}

Result<void> SegmentedEncoder::EncodeAll(Segment& segment) {
  std::optional<VideoEncoder> encoder = std::exchange(segment.encoder, std::nullopt);
  if (!encoder) {
    TRY(VideoEncoder opened, OpenLater());
    encoder.emplace(std::move(opened));
  }
  std::vector<AvPtr<AVPacket>> packets;
  const PacketSink keep = [&packets](AVPacket& packet) -> Result<void> {
    AvPtr<AVPacket> taken = NewPacket();
    if (taken == nullptr) return EngineError("video encoding", AVERROR(ENOMEM));
    av_packet_move_ref(taken.get(), &packet);
    packets.push_back(std::move(taken));
    return {};
  };
  while (AvPtr<AVFrame> frame = NextPicture(segment)) {
    CHECK_OK(encoder->Encode(*frame, keep));
    frame.reset();
    Keep(segment, packets);
  }
  CHECK_OK(encoder->Finish(segment.last_duration, keep));
  Keep(segment, packets);
  return {};
}

AvPtr<AVFrame> SegmentedEncoder::NextPicture(Segment& segment) {
  MutexLock lock(mutex_);
  while (segment.pictures.empty() && !segment.is_closed && !stop_) work_.wait(mutex_);
  if (stop_ || segment.pictures.empty()) return {};
  AvPtr<AVFrame> frame = std::move(segment.pictures.front());
  segment.pictures.pop_front();
  held_ -= BytesOf(*frame);
  ++steps_;
  moved_.notify_all();
  return frame;
}

void SegmentedEncoder::Keep(Segment& segment, std::vector<AvPtr<AVPacket>>& packets) {
  if (packets.empty()) return;
  MutexLock lock(mutex_);
  std::move(packets.begin(), packets.end(), std::back_inserter(segment.packets));
  packets.clear();
  moved_.notify_all();
}

}  // namespace vr::worker
