// The system's files with switches that break them. Thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "io/files.h"

namespace vr::io::testing {

class FaultyFiles final : public Files {
 public:
  struct Switches {
    std::optional<Error> fail_open;  ///< opens for writing only
    std::optional<Error> fail_write;
    std::optional<Error> fail_sync;
    std::optional<Error> fail_remove;
    std::optional<Space> space;  ///< what SpaceAt says
    int syncs = 0;               ///< calls of Sync so far
  };
  void Set(const std::function<void(Switches&)>& f) { switches_.With(f); }
  Switches Get() const {
    return switches_.With([](const Switches& s) { return s; });
  }

  Result<UniqueFd> Open(const std::string& path, int flags) override {
    const Switches s = Get();
    if (s.fail_open && (flags & 3) != 0) return Error(*s.fail_open);
    return System().Open(path, flags);
  }
  Result<void> WriteAt(int fd, std::string_view bytes, uint64_t offset) override {
    const Switches s = Get();
    if (s.fail_write) return Error(*s.fail_write);
    return System().WriteAt(fd, bytes, offset);
  }
  Result<void> Sync(int fd) override {
    const Switches s = switches_.With([](Switches& all) {
      all.syncs++;
      return all;
    });
    if (s.fail_sync) return Error(*s.fail_sync);
    return System().Sync(fd);
  }
  Result<void> Remove(const std::string& path) override {
    const Switches s = Get();
    if (s.fail_remove) return Error(*s.fail_remove);
    return System().Remove(path);
  }
  Result<void> Rename(const std::string& from, const std::string& to) override {
    return System().Rename(from, to);
  }
  Result<Space> SpaceAt(const std::string& path) override {
    const Switches s = Get();
    if (s.space) return *s.space;
    return System().SpaceAt(path);
  }

 private:
  Guarded<Switches> switches_;
};

}  // namespace vr::io::testing
