// How lists of the driver are asked for. Pure: no call of its own.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nvml_abi.h"

namespace nvml {

/// Pids that a 64-bit kernel gives out (PID_MAX_LIMIT, include/linux/threads.h).
inline bool IsPid(uint32_t pid) { return pid >= 1 && pid <= 4u * 1024 * 1024; }

/// Codes of a list that this driver does not have for this GPU.
inline bool IsNever(int code) { return code == kNotSupported || code == kFunctionNotFound || code == kInvalidArgument; }

/// Asks for a list by `call(capacity, entries)`, first without room, then with what the driver says it takes, and with
/// four times the room where it says no larger count. A handful of questions at most; on success all entries had room.
template <typename Call>
int AskWithRoom(uint32_t& count, Call call) {
  constexpr uint32_t kMostEntries = 65536;
  uint32_t capacity = 0;
  for (int question = 0; question < 6; question++) {
    count = capacity;
    const int code = call(capacity, count);
    if (code != kInsufficientSize && (code != kSuccess || count <= capacity)) return code;
    if (capacity == kMostEntries) break;
    // The list may grow between two questions.
    capacity = std::min(kMostEntries, std::max({std::min(count, kMostEntries) + 8, 4 * capacity, 64u}));
  }
  return kInsufficientSize;
}

}  // namespace nvml
