#include "drm_parse.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace hivepulse {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
/// What no double holds exactly is all ones of 64 bits, or a torn read.
constexpr double kMostExact = 9007199254740991.0;
/// More are no driver's.
constexpr std::size_t kMostEntries = 64;

using Line = DrmParser::Line;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }
/// What JavaScript trims off a Latin-1 text.
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0'; }
bool StartsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

const Line* Find(const std::vector<Line>& lines, std::string_view key) {
  const auto found = std::find_if(lines.begin(), lines.end(), [key](const Line& line) { return line.key == key; });
  return found == lines.end() ? nullptr : &*found;
}

std::string_view ValueOf(const std::vector<Line>& lines, std::string_view key) {
  const Line* line = Find(lines, key);
  return line == nullptr ? std::string_view{} : line->value;
}

/// Lines of `key: value` whose keys begin with `prefix`; the first of a key counts.
void LinesOf(std::string_view text, std::string_view prefix, std::vector<Line>* found) {
  std::vector<Line>& lines = *found;
  lines.clear();
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    const std::string_view line = text.substr(from, end - from);
    from = end + 1;
    if (!StartsWith(line, prefix)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) continue;
    const std::string_view key = line.substr(0, colon);
    if (Find(lines, key) == nullptr) lines.push_back({key, Trim(line.substr(colon + 1))});
  }
}

double ScaleOf(std::string_view unit) {
  if (unit.empty() || unit == "ns") return 1;
  // kB is of amdgpu before 5.19, which means KiB.
  if (unit == "KiB" || unit == "kB") return 1024;
  if (unit == "MiB") return 1024.0 * 1024;
  return unit == "GiB" ? 1024.0 * 1024 * 1024 : kNone;
}

/// `120 KiB` in the unit without a prefix; NaN where it is no amount.
double AmountOf(std::string_view text) {
  std::size_t end = 0;
  double number = 0;
  for (; end < text.size() && IsDigit(text[end]); ++end) number = number * 10 + (text[end] - '0');
  if (end == 0) return kNone;
  const std::string_view rest = text.substr(end);
  const std::string_view unit = Trim(rest);
  // A unit is apart from its number.
  if (!unit.empty() && unit.size() == rest.size()) return kNone;
  const double value = number * ScaleOf(unit);
  return value <= kMostExact ? value : kNone;
}

bool IsPciAddress(std::string_view text) {
  const std::size_t domain = std::min(text.find(':'), text.size());
  if (domain < 4 || domain > 8 || text.size() != domain + 8) return false;
  const std::string_view rest = text.substr(domain);
  const bool digits = std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(domain), IsHex) &&
                      IsHex(rest[1]) && IsHex(rest[2]) && IsHex(rest[5]);
  return digits && rest[3] == ':' && (rest[4] == '0' || rest[4] == '1') && rest[6] == '.' && rest[7] >= '0' &&
         rest[7] <= '7';
}

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 20 && std::all_of(text.begin(), text.end(), IsDigit);
}

/// Amounts of keys with one prefix, by the rest of the key.
struct Amounts {
  std::vector<DrmAmount>& found;

  const DrmAmount* Find(std::string_view name) const {
    const auto at =
        std::find_if(found.begin(), found.end(), [name](const DrmAmount& each) { return each.name == name; });
    return at == found.end() ? nullptr : &*at;
  }
};

/// A prefix of another stands behind it.
enum Prefix { kCapacity, kEngine, kTotalCycles, kCycles, kMemory, kResident, kPrefixes };
constexpr std::string_view kPrefixTexts[kPrefixes] = {"drm-engine-capacity-", "drm-engine-", "drm-total-cycles-",
                                                      "drm-cycles-",          "drm-memory-", "drm-resident-"};

void FillEngines(const Amounts (&amounts)[kPrefixes], std::vector<DrmEngine>* engines) {
  const auto add = [&](const DrmAmount& busy, double of) {
    const DrmAmount* capacity = amounts[kCapacity].Find(busy.name);
    engines->push_back({busy.name, busy.amount, of, capacity == nullptr ? 1 : std::max(1.0, capacity->amount)});
  };
  for (const DrmAmount& busy : amounts[kEngine].found) add(busy, kNone);
  for (const DrmAmount& busy : amounts[kCycles].found) {
    const DrmAmount* of = amounts[kTotalCycles].Find(busy.name);
    if (of != nullptr && amounts[kEngine].Find(busy.name) == nullptr) add(busy, of->amount);
  }
}

void FillAmounts(const std::vector<Line>& lines, const Amounts (&amounts)[kPrefixes], DrmClient* client) {
  for (const Amounts& each : amounts) each.found.clear();
  for (const Line& line : lines) {
    const auto* const of = std::find_if(std::begin(kPrefixTexts), std::end(kPrefixTexts),
                                        [&line](std::string_view prefix) { return StartsWith(line.key, prefix); });
    if (of == std::end(kPrefixTexts)) continue;
    std::vector<DrmAmount>& found = amounts[of - std::begin(kPrefixTexts)].found;
    if (found.size() >= kMostEntries) continue;
    const double amount = AmountOf(line.value);
    if (!std::isnan(amount)) found.push_back({line.key.substr(of->size()), amount});
  }
  FillEngines(amounts, &client->engines);
  // The newer name of a region counts.
  for (const DrmAmount& memory : amounts[kMemory].found) {
    const DrmAmount* resident = amounts[kResident].Find(memory.name);
    client->resident_bytes.push_back(resident == nullptr ? memory : *resident);
  }
  for (const DrmAmount& resident : amounts[kResident].found) {
    if (amounts[kMemory].Find(resident.name) == nullptr) client->resident_bytes.push_back(resident);
  }
}

/// `gfx0`, `enc_12`: an engine of amdgpu before 5.19.
bool IsOldEngine(std::string_view key) {
  for (const std::string_view name : {"gfx", "compute", "dma", "dec", "enc", "enc_1", "jpeg"}) {
    if (!StartsWith(key, name)) continue;
    const std::string_view digits = key.substr(name.size());
    if (!digits.empty() && digits.size() <= 2 && std::all_of(digits.begin(), digits.end(), IsDigit)) return true;
  }
  return false;
}

/// `12.50%`; NaN where it is no such share.
double PercentOf(std::string_view text) {
  if (text.empty() || text.back() != '%') return kNone;
  text.remove_suffix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view part = text.substr(std::min(point + 1, text.size()));
  const bool digits =
      std::all_of(whole.begin(), whole.end(), IsDigit) && std::all_of(part.begin(), part.end(), IsDigit);
  if (!digits || whole.empty() || whole.size() > 3 || part.size() > 4 || (part.empty() && point < text.size())) {
    return kNone;
  }
  double number = 0;
  double scale = 1;
  for (const char c : whole) number = number * 10 + (c - '0');
  for (const char c : part) {
    number = number * 10 + (c - '0');
    scale *= 10;
  }
  return number / scale;
}

/// Of amdgpu before 5.19; the pasid is one for each open file of the device.
bool ParseOld(const std::vector<Line>& lines, DrmClient* client) {
  client->driver = "amdgpu";
  client->pdev = ValueOf(lines, "pdev");
  client->id = ValueOf(lines, "pasid");
  if (!IsPciAddress(client->pdev) || !IsId(client->id) || Find(lines, "vram mem") == nullptr) return false;
  const DrmAmount regions[] = {{"vram", AmountOf(ValueOf(lines, "vram mem"))},
                               {"gtt", AmountOf(ValueOf(lines, "gtt mem"))},
                               {"cpu", AmountOf(ValueOf(lines, "cpu mem"))}};
  for (const DrmAmount& region : regions) {
    if (!std::isnan(region.amount)) client->resident_bytes.push_back(region);
  }
  for (const Line& line : lines) {
    const double percent = IsOldEngine(line.key) ? PercentOf(line.value) : kNone;
    if (!std::isnan(percent)) client->engine_percents.push_back({line.key, percent});
  }
  return true;
}

}  // namespace

bool DrmParser::Parse(std::string_view text, DrmClient* client) {
  client->Clear();
  if (text.find("pdev:") == std::string_view::npos) return false;
  LinesOf(text, "drm-", &lines_);
  const Line* driver = Find(lines_, "drm-driver");
  if (driver == nullptr) {
    LinesOf(text, "", &lines_);
    return ParseOld(lines_, client);
  }
  client->driver = driver->value;
  client->pdev = ValueOf(lines_, "drm-pdev");
  client->id = ValueOf(lines_, "drm-client-id");
  if (!IsPciAddress(client->pdev) || !IsId(client->id)) return false;
  auto& [capacity, engine, total_cycles, cycles, memory, resident] = amounts_;
  FillAmounts(lines_, {{capacity}, {engine}, {total_cycles}, {cycles}, {memory}, {resident}}, client);
  return true;
}

}  // namespace hivepulse
