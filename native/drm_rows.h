#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "drm_parse.h"

namespace hivepulse {

/// Packs what fdinfo say, in the layout that lib/native/drm-clients.ts reads. Keeps its memory from one to the next.
class DrmRows {
 public:
  /// Appends an errno, or a client, or none; to `names` a line for each name of a client. None has a newline.
  void Append(int error, std::string_view text, std::vector<double>* rows, std::string* names);

 private:
  DrmParser parser_;
  DrmClient client_;
};

}  // namespace hivepulse
