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

  void Clear() {
    driver = pdev = id = {};
    engines.clear();
    engine_percents.clear();
    resident_bytes.clear();
  }
};

/// Parses /proc/<pid>/fdinfo/<fd> (Documentation/gpu/drm-usage-stats.rst) as lib/gpu/drm/fdinfo.ts does. Keeps its memory
/// from one text to the next.
class DrmParser {
 public:
  /// False: no descriptor of a GPU, or none whose driver says on which device it is.
  bool Parse(std::string_view text, DrmClient* client);

  struct Line {
    std::string_view key;
    std::string_view value;
  };

 private:
  std::vector<Line> lines_;
  /// By prefix of their keys.
  std::vector<DrmAmount> amounts_[6];
};

}  // namespace hivepulse
