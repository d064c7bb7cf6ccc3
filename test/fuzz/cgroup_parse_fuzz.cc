// libFuzzer target for the parsers: the first byte chooses one, the rest is its file. Run by test/fuzz/main.js.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "../../native/cgroup_parse.cc"
#include "../../native/kernel_file.cc"
#include "../../native/process_usage.cc"

namespace {

using namespace hivepulse;

/// A value is unknown or what a kernel can say; nothing else may come out, whatever went in.
void Check(double value, double most) {
  if (std::isnan(value)) return;
  if (value < 0 || (value > most && !std::isinf(value))) abort();
}

constexpr double kMost = 18446744073709551616.0;  // 2^64 - 1 as a double
constexpr double kUnset = std::numeric_limits<double>::quiet_NaN();

void Parse(unsigned choice, std::string_view text) {
  double a = kUnset;
  double b = kUnset;
  switch (choice % 10) {
    case 0: {
      const KeyedField fields[] = {{"usage_usec", &a}, {"nr_throttled", &b}};
      if (!ParseKeyed(text, fields, 2) && !std::isnan(a) && !std::isnan(b)) abort();
      break;
    }
    case 1:
      if (ParseSingle(text, &a) == std::isnan(a)) abort();
      break;
    case 2:
      if (ParseLimit(text, &a) == std::isnan(a)) abort();
      break;
    case 3:
      if (ParseCpuMax(text, &a, &b) == (std::isnan(a) || std::isnan(b))) abort();
      break;
    case 4:
      ParsePressure(text, &a, &b);
      break;
    case 5: {
      IoTotals totals{};
      std::vector<IoLine> lines;
      // Every second device of a hundred is on the one before it; the others are not known.
      IoStacks stacks;
      for (std::uint64_t number = 0; number < 100; number += 2) {
        stacks.devices.push_back({number, stacks.above.size(), stacks.above.size() + 1});
        stacks.above.push_back(number + 1);
      }
      ParseIoStat(text, choice < 128 ? nullptr : &stacks, &lines, &totals);
      if (!std::isnan(totals.unknown_device) && totals.devices < 2) abort();
      for (const double sum : {totals.read_bytes, totals.write_bytes, totals.reads, totals.writes}) {
        Check(sum, kMost * (totals.devices + 1));
      }
      Check(totals.devices, static_cast<double>(text.size()));
      break;
    }
    case 6: {
      // Exactly the room that is promised to be enough.
      const std::size_t room = text.size() / 2 + 1;
      std::vector<std::uint32_t> pids(room);
      std::size_t count = 0;
      ParsePids(text, pids.data(), &count);
      if (count > room) abort();
      for (std::size_t i = 0; i < count; ++i) {
        if (pids[i] == 0 || pids[i] > 0x7fffffff) abort();
      }
      break;
    }
    case 7:
      a = ParseStartTicks(text);
      break;
    case 8: {
      ProcessUsage usage{};
      if (!ParseProcessStat(text, &usage)) break;
      for (const double value : {usage.parent_pid, usage.start_ticks}) Check(value, kMost);
      for (const double value : {usage.cpu_ticks, usage.waited_cpu_ticks}) Check(value, 2 * kMost);
      if (std::isnan(usage.start_ticks)) abort();
      break;
    }
    default:
      a = ParseResidentPages(text);
      b = ParseDecimal(text);
  }
  Check(a, kMost);
  Check(b, kMost);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // A copy of just that size: a read beyond its end is seen.
  const std::unique_ptr<char[]> text(new char[size - 1]);
  std::memcpy(text.get(), data + 1, size - 1);
  Parse(data[0], {text.get(), size - 1});
  return 0;
}
