#include "cgroup_parse.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

namespace hivepulse {

namespace {

bool IsNaN(double value) { return value != value; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Takes the text before `separator` off the front of `rest`; the separator goes as well.
std::string_view Take(std::string_view* rest, char separator) {
  // The words are short: a loop is faster than a search that has to be called.
  std::size_t at = 0;
  while (at < rest->size() && (*rest)[at] != separator) ++at;
  const std::string_view head = rest->substr(0, at);
  rest->remove_prefix(at == rest->size() ? at : at + 1);
  return head;
}

std::string_view WithoutNewline(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

bool Store(double parsed, double* value) {
  *value = parsed;
  return !IsNaN(parsed);
}

}  // namespace

double ParseUnsigned(std::string_view text) {
  if (text.empty()) return kNaN;
  // 19 digits always fit; only what is longer can overflow.
  constexpr std::size_t kSafeDigits = 19;
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!IsDigit(text[i])) return kNaN;
    const auto digit = static_cast<std::uint64_t>(text[i] - '0');
    if (i >= kSafeDigits && (value > kMax / 10 || value * 10 > kMax - digit)) return kNaN;
    value = value * 10 + digit;
  }
  return static_cast<double>(value);
}

double ParseDecimal(std::string_view text) {
  if (text.empty() || text.size() > 16) return kNaN;
  std::uint64_t digits = 0;
  std::size_t count = 0;
  double scale = 1;
  bool point = false;
  for (const char c : text) {
    if (c == '.' && !point && count > 0) {
      point = true;
      continue;
    }
    if (!IsDigit(c) || ++count > 15) return kNaN;
    digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
    if (point) scale *= 10;
  }
  // Both are exact in a double, so the quotient is the nearest double to the text.
  return text.back() == '.' ? kNaN : static_cast<double>(digits) / scale;
}

bool ParseKeyed(std::string_view text, const KeyedField* fields, std::size_t count) {
  bool clean = true;
  std::uint32_t missing = (std::uint32_t{1} << count) - 1;
  std::size_t expected = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end && missing != 0) {
    const char* const key = at;
    while (at < end && *at != ' ' && *at != '\n') ++at;
    const auto key_size = static_cast<std::size_t>(at - key);
    const char* const value = at < end && *at == ' ' ? ++at : at;
    while (at < end && *at != '\n') ++at;
    // Kernels keep the order, so the field after the last one found is the likeliest.
    for (std::size_t tried = 0; tried < count; ++tried) {
      const std::size_t i = expected + tried < count ? expected + tried : expected + tried - count;
      if (fields[i].key.size() != key_size || std::memcmp(fields[i].key.data(), key, key_size) != 0) continue;
      if ((missing >> i & 1) != 0) {
        missing &= ~(std::uint32_t{1} << i);
        if (!Store(ParseUnsigned({value, static_cast<std::size_t>(at - value)}), fields[i].value)) clean = false;
      }
      expected = i + 1 < count ? i + 1 : 0;
      break;
    }
    if (at < end) ++at;
  }
  return clean;
}

bool ParseSingle(std::string_view text, double* value) { return Store(ParseUnsigned(WithoutNewline(text)), value); }

bool ParseLimit(std::string_view text, double* value) {
  const std::string_view word = WithoutNewline(text);
  return Store(word == "max" ? std::numeric_limits<double>::infinity() : ParseUnsigned(word), value);
}

bool ParseCpuMax(std::string_view text, double* quota, double* period) {
  std::string_view rest = WithoutNewline(text);
  const bool quota_clean = ParseLimit(Take(&rest, ' '), quota);
  return Store(ParseUnsigned(rest), period) && quota_clean;
}

bool ParsePressure(std::string_view text, double* avg10, double* total) {
  while (!text.empty()) {
    std::string_view line = Take(&text, '\n');
    if (Take(&line, ' ') != "some") continue;
    bool clean = true;
    while (!line.empty()) {
      std::string_view value = Take(&line, ' ');
      const std::string_view key = Take(&value, '=');
      if (key == "avg10") {
        if (!Store(ParseDecimal(value), avg10)) clean = false;
      } else if (key == "total") {
        if (!Store(ParseUnsigned(value), total)) clean = false;
      }
    }
    return clean;
  }
  return true;
}

bool ParseDevice(std::string_view text, std::uint64_t* device) {
  constexpr std::size_t kDigits = 7;
  constexpr std::uint64_t kEnd = std::uint64_t{1} << 20;
  std::uint64_t numbers[2] = {0, 0};
  std::size_t at = 0;
  for (std::size_t part = 0; part < 2; ++part) {
    const std::size_t begin = at;
    for (; at < text.size() && IsDigit(text[at]) && at - begin < kDigits; ++at) {
      numbers[part] = numbers[part] * 10 + static_cast<std::uint64_t>(text[at] - '0');
    }
    if (at == begin || numbers[part] >= kEnd) return false;
    if (part == 0 && (at == text.size() || text[at++] != ':')) return false;
  }
  *device = numbers[0] * kEnd + numbers[1];
  return at == text.size();
}

namespace {

enum class IoLineKind : std::uint8_t { kCounted, kLeftOut, kBad };

IoLineKind ParseIoLine(std::string_view text, IoLine* line) {
  constexpr std::string_view kKeys[] = {"rbytes", "wbytes", "rios", "wios"};
  if (!ParseDevice(Take(&text, ' '), &line->device)) return IoLineKind::kLeftOut;
  for (double& value : line->values) value = kNaN;
  bool counted = false;
  while (!text.empty()) {
    std::string_view value = Take(&text, ' ');
    if (value.find('=') == std::string_view::npos) {
      // Some kernels print several devices in one line before the one that has counters.
      if (!counted) ParseDevice(value, &line->device);
      continue;
    }
    const std::string_view key = Take(&value, '=');
    for (std::size_t i = 0; i < std::size(kKeys); ++i) {
      if (key != kKeys[i]) continue;
      counted = true;
      if (!Store(ParseUnsigned(value), &line->values[i])) return IoLineKind::kBad;
    }
  }
  return counted ? IoLineKind::kCounted : IoLineKind::kLeftOut;
}

const IoStacks::Device* FindDevice(const IoStacks& stacks, std::uint64_t number) {
  const auto found =
      std::lower_bound(stacks.devices.begin(), stacks.devices.end(), number,
                       [](const IoStacks::Device& device, std::uint64_t n) { return device.number < n; });
  return found != stacks.devices.end() && found->number == number ? &*found : nullptr;
}

bool HasCounters(const std::vector<IoLine>& lines, std::uint64_t device) {
  return std::any_of(lines.begin(), lines.end(), [device](const IoLine& line) { return line.device == device; });
}

}  // namespace

bool ParseIoStat(std::string_view text, const IoStacks* stacks, std::vector<IoLine>* lines, IoTotals* totals) {
  bool clean = true;
  const bool empty = text.empty();
  lines->clear();
  while (!text.empty()) {
    IoLine line;
    const IoLineKind kind = ParseIoLine(Take(&text, '\n'), &line);
    if (kind == IoLineKind::kCounted) lines->push_back(line);
    if (kind == IoLineKind::kBad) clean = false;
  }

  double sums[4] = {0, 0, 0, 0};
  totals->unknown_device = kNaN;
  for (const IoLine& line : *lines) {
    if (stacks != nullptr && lines->size() > 1) {
      const IoStacks::Device* device = FindDevice(*stacks, line.device);
      if (device == nullptr) {
        if (IsNaN(totals->unknown_device)) totals->unknown_device = static_cast<double>(line.device);
      } else if (std::any_of(stacks->above.begin() + static_cast<std::ptrdiff_t>(device->begin),
                             stacks->above.begin() + static_cast<std::ptrdiff_t>(device->end),
                             [lines](std::uint64_t above) { return HasCounters(*lines, above); })) {
        continue;
      }
    }
    for (std::size_t i = 0; i < std::size(sums); ++i) sums[i] += line.values[i];
  }

  const bool known = (empty || !lines->empty()) && IsNaN(totals->unknown_device);
  totals->read_bytes = known ? sums[0] : kNaN;
  totals->write_bytes = known ? sums[1] : kNaN;
  totals->reads = known ? sums[2] : kNaN;
  totals->writes = known ? sums[3] : kNaN;
  totals->devices = static_cast<double>(lines->size());
  return clean;
}

bool ParsePids(std::string_view text, std::uint32_t* pids, std::size_t* count) {
  bool clean = true;
  std::size_t found = 0;
  while (!text.empty()) {
    const double pid = ParseUnsigned(Take(&text, '\n'));
    if (pid >= 1 && pid <= std::numeric_limits<std::int32_t>::max()) {
      pids[found++] = static_cast<std::uint32_t>(pid);
    } else if (pid != 0) {
      clean = false;
    }
  }
  *count = found;
  return clean;
}

double ParseStartTicks(std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 > text.size()) return kNaN;
  text.remove_prefix(name_end + 2);
  constexpr int kFieldsBetween = 19;  // fields 3 (state) to 21
  for (int i = 0; i < kFieldsBetween; ++i) Take(&text, ' ');
  const std::size_t end = text.find_first_of(" \n");
  return ParseUnsigned(text.substr(0, end));
}

double ParseResidentPages(std::string_view text) {
  Take(&text, ' ');
  const std::size_t end = text.find_first_of(" \n");
  return ParseUnsigned(text.substr(0, end));
}

}  // namespace hivepulse
