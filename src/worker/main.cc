// video-resizer-worker: started by the server, never by hand (transform/protocol/launch.h).
#include <cstdio>
#include <cstring>

#include "transform/protocol/launch.h"
#include "worker/zygote.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], vr::transform::protocol::kZygoteFlag) == 0) {
    return vr::worker::RunZygote(vr::transform::protocol::WorkerLimits::FromEnvironment());
  }
  std::fputs("video-resizer-worker is started by video-resizer\n", stderr);
  return 2;
}
