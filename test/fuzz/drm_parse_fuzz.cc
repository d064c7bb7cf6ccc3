// libFuzzer target for the parser of fdinfo and the rows it becomes. Run by test/fuzz/main.js.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../../native/drm_parse.cc"
#include "../../native/drm_rows.cc"

namespace {

using namespace hivepulse;

constexpr double kMostExactAmount = 9007199254740991.0;

/// An amount is one that a double holds exactly; nothing else may come out, whatever went in.
void Check(double value, double least, double most) {
  if (!(value >= least && value <= most)) abort();
}

void Parse(std::string_view text) {
  DrmParser parser;
  DrmClient client;
  if (parser.Parse(text, &client)) {
    if (client.pdev.size() < 12 || client.pdev.size() > 16 || client.id.empty() || client.id.size() > 20) abort();
    if (client.engines.size() > 128 || client.resident_bytes.size() > 128) abort();
    for (const DrmEngine& engine : client.engines) {
      Check(engine.busy, 0, kMostExactAmount);
      Check(engine.capacity, 1, kMostExactAmount);
      if (!std::isnan(engine.of)) Check(engine.of, 0, kMostExactAmount);
    }
    for (const DrmAmount& percent : client.engine_percents) Check(percent.amount, 0, 1000);
    for (const DrmAmount& bytes : client.resident_bytes) Check(bytes.amount, 0, kMostExactAmount);
  }
  std::vector<double> rows;
  std::string names;
  DrmRows packer;
  packer.Append(0, text, &rows, &names);
  // Whoever unpacks them finds as many as are said to be there, and a line for each name.
  const auto named = static_cast<double>(std::count(names.begin(), names.end(), '\n'));
  if (rows.size() < 2 || rows[0] != 0) abort();
  if (rows[1] == 0) {
    if (rows.size() != 2 || !names.empty()) abort();
    return;
  }
  if (rows.size() < 5 || static_cast<double>(rows.size()) != 5 + 3 * rows[2] + rows[3] + rows[4]) abort();
  if (named != 3 + rows[2] + rows[3] + rows[4]) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of just that size: a read beyond its end is seen.
  const std::unique_ptr<char[]> text(new char[size]);
  if (size > 0) std::memcpy(text.get(), data, size);
  Parse({text.get(), size});
  return 0;
}
