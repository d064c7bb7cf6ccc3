#include "cgroup_parse.h"

#include <cstring>
#include <limits>

namespace hivepulse {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

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

bool ParseIoStat(std::string_view text, IoTotals* totals) {
  constexpr std::size_t kCounters = 4;
  constexpr std::string_view kKeys[kCounters] = {"rbytes", "wbytes", "rios", "wios"};
  double sums[kCounters] = {0, 0, 0, 0};
  double devices = 0;
  bool clean = true;
  const bool empty = text.empty();

  while (!text.empty()) {
    std::string_view line = Take(&text, '\n');
    double values[kCounters] = {kNaN, kNaN, kNaN, kNaN};
    bool counted = false;
    while (!line.empty()) {
      std::string_view value = Take(&line, ' ');
      // Without a `=` it is a device's number; some kernels print several in one line before the one that has counters.
      if (value.find('=') == std::string_view::npos) continue;
      const std::string_view key = Take(&value, '=');
      for (std::size_t i = 0; i < kCounters; ++i) {
        if (key != kKeys[i]) continue;
        counted = true;
        if (!Store(ParseUnsigned(value), &values[i])) clean = false;
      }
    }
    if (!counted) continue;
    devices += 1;
    for (std::size_t i = 0; i < kCounters; ++i) sums[i] += values[i];
  }

  const bool known = empty || devices > 0;
  totals->read_bytes = known ? sums[0] : kNaN;
  totals->write_bytes = known ? sums[1] : kNaN;
  totals->reads = known ? sums[2] : kNaN;
  totals->writes = known ? sums[3] : kNaN;
  totals->devices = devices;
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
