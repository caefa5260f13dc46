#pragma once

#include <cstdint>
#include <string>

namespace vr::bench {

/// Ends the program with a message when `ok` is false. What the benchmark's helpers cannot do they
/// need not survive.
void Require(bool ok, const std::string& what);

/// A connection to 127.0.0.1:port, non-blocking, without Nagle's delay.
/// @param receive_buffer SO_RCVBUF in bytes; 0: the kernel's choice
int Connect(std::uint16_t port, int receive_buffer = 0);

/// Sends the whole of a small text. @return false when the peer is gone or its buffer is full
bool SendAll(int fd, const std::string& text);

/// Monotonic nanoseconds.
std::uint64_t Now();

/// User and system time of this process in seconds.
double OwnCpuSeconds();

/// As many descriptors as we may have.
void RaiseDescriptorLimit();

}  // namespace vr::bench
