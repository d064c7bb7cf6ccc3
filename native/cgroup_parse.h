#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

/// Parsers of cgroup v2 and /proc text. Pure: no I/O, no napi. lib/cgroup/parse.ts is the same in
/// TypeScript; the parity suite compares both.
///
/// A value that is not there stays NaN. Each parser returns false when a value that it looks for is there but is no
/// number (a torn or foreign file); what else the file says is still taken. Unknown keys are ignored: kernels add some
/// anywhere, also in the middle.
namespace hivepulse {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// An unsigned decimal up to 2^64 - 1, rounded to the nearest double. Anything else is NaN.
double ParseUnsigned(std::string_view text);

/// A decimal fraction of at most 15 digits (`12.34`). Anything else is NaN.
double ParseDecimal(std::string_view text);

/// A key of a keyed file and where its value goes.
struct KeyedField {
  std::string_view key;
  double* value;
};

/// `key value` lines (cpu.stat, memory.stat, memory.events, cgroup.events, /proc/<pid>/io); at most 31 fields. Of a
/// repeated key the first counts, and nothing is read beyond the last key looked for.
bool ParseKeyed(std::string_view text, const KeyedField* fields, std::size_t count);

/// A file of one number (memory.current, memory.peak, pids.current).
bool ParseSingle(std::string_view text, double* value);

/// A file of one number or `max` (memory.max); `max` is infinity.
bool ParseLimit(std::string_view text, double* value);

/// cpu.max: `<quota|max> <period>`.
bool ParseCpuMax(std::string_view text, double* quota, double* period);

/// The first `some` line of a pressure file.
bool ParsePressure(std::string_view text, double* avg10, double* total);

struct IoTotals {
  double read_bytes;
  double write_bytes;
  double reads;
  double writes;
  /// Devices that have counters, also those that are counted in the device on top of them.
  double devices;
  /// A device of which it is not known what is on top of it, where that leaves the sums unknown; else NaN.
  double unknown_device;
};

/// Which block devices are on top of which (a file system's dm device over md over disks).
struct IoStacks {
  struct Device {
    std::uint64_t number;
    /// Where in `above` the devices on top of it stand.
    std::size_t begin;
    std::size_t end;
  };
  /// Ascending by number.
  std::vector<Device> devices;
  std::vector<std::uint64_t> above;
};

/// Counters of one line of io.stat.
struct IoLine {
  std::uint64_t device;
  double values[4];
};

/// `major:minor` as major * 2^20 + minor. False: it is none.
bool ParseDevice(std::string_view text, std::uint64_t* device);

/// io.stat, summed over devices. An empty file is 0 (nothing was ever read or written). A line counts where it begins
/// with `major:minor`; one with a counter that is no number is left out. A device without counters (`252:0 `, printed
/// by some kernels, even without a newline) is left out; when only such ones are there the sums are NaN. A counter that
/// one of the counted devices lacks is NaN: a sum without it would rewind the series.
///
/// With `stacks` a device is left out where one on top of it has counters, since all I/O of that one comes by here
/// again. Of several devices, each has to be known. `lines` is room that is kept from call to call.
bool ParseIoStat(std::string_view text, const IoStacks* stacks, std::vector<IoLine>* lines, IoTotals* totals);

/// cgroup.procs: writes the pids in the file's order to `pids`, which must hold `text.size() / 2 + 1`, and their number
/// to `count`. Processes outside our pid namespace show as 0 and are left out.
bool ParsePids(std::string_view text, std::uint32_t* pids, std::size_t* count);

/// Field 22 of /proc/<pid>/stat, clock ticks since boot. The name in field 2 may hold anything, also `) R 1`: only the
/// last `)` ends it.
double ParseStartTicks(std::string_view text);

/// Field 2 of /proc/<pid>/statm, in pages.
double ParseResidentPages(std::string_view text);

}  // namespace hivepulse
