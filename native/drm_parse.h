#pragma once

#include <string_view>
#include <vector>

namespace hivepulse {

/// Engines of one kind, as a client's fdinfo counts them.
struct DrmEngine {
  std::string_view name;
  /// Nanoseconds; cycles where `of` is given.
  double busy;
  /// Cycles that passed; NaN where `busy` is a time.
  double of;
  double capacity;
};

struct DrmAmount {
  std::string_view name;
  double amount;
};

/// One DRM client (lib/native/drm-clients.ts). Names point into the text that was parsed.
struct DrmClient {
  std::string_view driver;
  std::string_view pdev;
  std::string_view id;
  std::vector<DrmEngine> engines;
  std::vector<DrmAmount> engine_percents;
  std::vector<DrmAmount> resident_bytes;
};

/// Parses /proc/<pid>/fdinfo/<fd> (Documentation/gpu/drm-usage-stats.rst) as lib/gpu/drm/fdinfo.ts does. False: no
/// descriptor of a GPU, or none whose driver says on which device it is.
bool ParseFdinfo(std::string_view text, DrmClient* client);

}  // namespace hivepulse
