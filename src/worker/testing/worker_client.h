// WorkerClient: plays the server for tests: starts the real zygote binary, has it fork workers,
// gives them jobs, serves a source piecemeal when asked. Blocking, single-threaded, every wait has
// a deadline.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "transform/protocol/launch.h"
#include "transform/protocol/messages.h"

namespace vr::worker {

namespace protocol = transform::protocol;

struct Outcome {
  std::optional<protocol::Done> done;
  std::optional<protocol::Failed>
      failed;  ///< neither: the worker died without a word or was killed
  std::optional<protocol::Exited> exited;
  std::vector<protocol::Progress> progress;
  std::vector<protocol::Need> needs;
  std::string stored, stream;  ///< the output files' bytes
  bool timed_out = false;
  double seconds = 0;
};

/// One spawned worker that has said Hello.
struct Worker {
  uint64_t id = 0;
  int pid = 0;
  UniqueFd socket;
  std::string buffer;
  protocol::Hello hello;
};

class WorkerClient {
 public:
  /// @param program path of video-resizer-worker
  explicit WorkerClient(const std::string& program, protocol::WorkerLimits limits = {});
  /// Closes the control socket and waits for the zygote.
  ~WorkerClient();

  int zygote_pid() const { return pid_; }
  UniqueFd& control() { return control_; }
  /// @return nullopt when it did not come up in time
  std::optional<Worker> Spawn();
  void Kill(uint64_t id);
  std::optional<protocol::Exited> WaitExited(uint64_t id, std::chrono::milliseconds timeout);

  /// Spawns a worker, runs `job` on the file at `path`, collects everything.
  /// @param reveal when set, the source is a sparse copy filled piece by piece as the worker asks,
  /// each
  ///   answer `reveal(need)` bytes long (0 = SourceFailed)
  Outcome Run(protocol::Job job, const std::string& path,
              std::chrono::milliseconds timeout = std::chrono::seconds(60),
              std::function<uint64_t(const protocol::Need&)> reveal = nullptr);
  /// The same for several jobs that one worker does together. `done` and `stored` of each; the rest
  /// is in the first's.
  std::vector<Outcome> RunTogether(std::vector<protocol::Job> jobs, const std::string& path,
                                   std::chrono::milliseconds timeout = std::chrono::seconds(60));
  /// Sends a job to a worker that is already there, with these files.
  bool SendJob(Worker& worker, const protocol::Job& job, int source, int stored, int stream);

  /// The next message from the worker, nullopt at the end or after `timeout`.
  static std::optional<protocol::Message> Receive(Worker& worker,
                                                  std::chrono::milliseconds timeout);

 private:
  std::optional<protocol::Message> ReceiveControl(std::chrono::milliseconds timeout);

  int pid_ = -1;
  UniqueFd control_;
  std::string buffer_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, protocol::Exited> exited_;
};

/// An unlinked temporary file, read and write.
UniqueFd TemporaryFile();
std::string ReadAll(int fd);

}  // namespace vr::worker
