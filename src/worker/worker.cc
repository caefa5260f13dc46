#include "worker/worker.h"

#include <sys/resource.h>

#include <string>
#include <utility>
#include <vector>

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

constexpr uint32_t kMostTogether = 16;

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

/// Several videos of one source. @return one Done each, in their order
Result<std::vector<protocol::Done>> RunJobs(Channel& channel, protocol::Job first) {
  if (first.more > kMostTogether) return TransformFailed("the transform failed", "too many jobs");
  std::vector<protocol::Job> jobs{std::move(first)};
  UniqueFd source_file = channel.TakeDescriptor();
  std::vector<JobFiles> files(1 + jobs[0].more);
  while (jobs.size() < files.size()) {
    TRY(auto message, channel.Receive());
    auto* job = message ? std::get_if<protocol::Job>(&*message) : nullptr;
    if (job == nullptr) return TransformFailed("the transform failed", "a job is missing");
    jobs.push_back(std::move(*job));
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    files[i].stored = channel.TakeDescriptor();
    const bool is_good = jobs[i].version == protocol::kVersion && !jobs[i].stream &&
                         jobs[i].operation == protocol::Operation::kVideo;
    if (!is_good || !files[i].stored || !source_file) {
      return TransformFailed("the transform failed", "not a job to be done with others");
    }
  }
  Reporter reporter(channel);
  SourceIo source(std::move(source_file), jobs[0].source_size, jobs[0].source_complete, channel,
                  reporter);
  if (source.avio() == nullptr) return EngineError("source", AVERROR(ENOMEM));
  return TranscodeVideos(jobs, source, files, reporter);
}

protocol::Failed FailureOf(const Error& e) {
  protocol::Failed failed{e.reason.empty() ? "TRANSFORM_FAILED" : e.reason, e.public_message,
                          e.detail};
  for (const auto& [name, value] : e.facts) {
    failed.facts.push_back(name);
    failed.facts.push_back(value);
  }
  return failed;
}

}  // namespace

int RunWorker(Channel& channel, const std::string& recipe) {
  if (!channel.Send(protocol::Hello{protocol::kVersion, recipe}).ok()) return 3;
  auto message = channel.Receive();
  if (!message.ok()) return 3;
  if (!message->has_value()) return 0;
  const auto* job = std::get_if<protocol::Job>(&**message);
  if (job == nullptr) return 3;
  if (job->more > 0) {
    Result<std::vector<protocol::Done>> outcomes = RunJobs(channel, *job);
    if (!outcomes.ok()) return channel.Send(FailureOf(outcomes.error())).ok() ? 0 : 3;
    // What each would have cost alone nobody knows; together they cost this.
    const double each = CpuSeconds() / static_cast<double>(outcomes->size());
    for (protocol::Done& done : *outcomes) {
      done.cpu_seconds = each;
      if (!channel.Send(done).ok()) return 3;
    }
    return 0;
  }
  Result<protocol::Done> outcome = RunJob(channel, *job);
  if (outcome.ok()) {
    outcome->cpu_seconds = CpuSeconds();
    return channel.Send(*outcome).ok() ? 0 : 3;
  }
  return channel.Send(FailureOf(outcome.error())).ok() ? 0 : 3;
}

}  // namespace vr::worker
