#include "worker/worker.h"

#include <sys/resource.h>

#include <string>
#include <utility>

#include "worker/animation_pipeline.h"
#include "worker/audio_pipeline.h"
#include "worker/failure.h"
#include "worker/frame_pipeline.h"
#include "worker/info_pipeline.h"
#include "worker/job_files.h"
#include "worker/sheet_pipeline.h"
#include "worker/video_pipeline.h"

namespace vr::worker {
namespace {

namespace protocol = transform::protocol;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

Result<protocol::Done> RunJob(Channel& channel, const protocol::Job& job) {
  if (job.version != protocol::kVersion)
    return TransformFailed("the transform failed", "job version");
  JobFiles files;
  files.source = channel.TakeDescriptor();
  files.stored = channel.TakeDescriptor();
  if (job.stream) files.stream = channel.TakeDescriptor();
  if (!files.source || !files.stored || (job.stream && !files.stream)) {
    return TransformFailed("the transform failed", "descriptors are missing");
  }
  Reporter reporter(channel);
  SourceIo source(std::move(files.source), job.source_size, job.source_complete, channel, reporter);
  if (source.avio() == nullptr) return EngineError("source", AVERROR(ENOMEM));
  switch (job.operation) {
    case protocol::Operation::kVideo:
      return TranscodeVideo(job, source, files, reporter);
    case protocol::Operation::kFrame:
      return ExtractFrame(job, source, files, reporter);
    case protocol::Operation::kSheet:
      return MakeSheet(job, source, files, reporter);
    case protocol::Operation::kAudio:
      return ExtractAudio(job, source, files, reporter);
    case protocol::Operation::kAnimation:
      return MakeAnimation(job, source, files, reporter);
    case protocol::Operation::kInfo:
      return DescribeSource(job, source, files, reporter);
  }
  return TransformFailed("the transform failed", "unknown operation");
}

}  // namespace

int RunWorker(Channel& channel, const std::string& recipe) {
  if (!channel.Send(protocol::Hello{protocol::kVersion, recipe}).ok()) return 3;
  auto message = channel.Receive();
  if (!message.ok()) return 3;
  if (!message->has_value()) return 0;
  const auto* job = std::get_if<protocol::Job>(&**message);
  if (job == nullptr) return 3;
  Result<protocol::Done> outcome = RunJob(channel, *job);
  if (outcome.ok()) {
    outcome->cpu_seconds = CpuSeconds();
    return channel.Send(*outcome).ok() ? 0 : 3;
  }
  const Error& e = outcome.error();
  protocol::Failed failed{e.reason.empty() ? "TRANSFORM_FAILED" : e.reason, e.public_message,
                          e.detail};
  for (const auto& [name, value] : e.facts) {
    failed.facts.push_back(name);
    failed.facts.push_back(value);
  }
  return channel.Send(failed).ok() ? 0 : 3;
}

}  // namespace vr::worker
