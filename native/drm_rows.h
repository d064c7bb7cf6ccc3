#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hivepulse {

/// Texts by their number: a line each, in the order in which they first came. None has a newline.
class NameTable {
 public:
  double IndexOf(std::string_view name);
  const std::string& lines() const { return lines_; }

 private:
  std::unordered_map<std::string, double> known_;
  std::string lines_;
};

/// Appends what one fdinfo says, in the layout that lib/native/drm-clients.ts reads: an errno, or a client, or none.
void AppendDrmClient(int error, std::string_view text, std::vector<double>* rows, NameTable* names);

}  // namespace hivepulse
