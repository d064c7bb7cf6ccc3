// Faults in what the addon parses and reads, C++: as those of faults.js, each built into a copy of the addon.
const addon = (file, tests, rows) =>
  rows.map(([name, from, to]) => ({ name: `${file}: ${name}`, file: `native/${file}`, from, to, tests }));

const drm = addon(
  'drm_parse.cc',
  ['test/gpu/drm/parity.test.ts'],
  [
    ['KiB are bytes', 'unit == "kB") return 1024;', 'unit == "kB") return 1;'],
    ['kB of old drivers is no unit', 'unit == "KiB" || unit == "kB"', 'unit == "KiB"'],
    ['MiB are KiB', 'return 1024.0 * 1024;', 'return 1024.0;'],
    ['the last of a key counts', 'if (Find(lines, key) == nullptr) lines', 'lines'],
    ['a number and its unit may touch', '!unit.empty() && unit.size() == rest.size()', 'false'],
    ['all ones are an amount', 'value <= kMostExact ? value : kNone', 'value'],
    ['a pci function may be 8', "rest[7] <= '7'", "rest[7] <= '8'"],
    ['a domain may have 3 digits', 'domain < 4 ||', 'domain < 3 ||'],
    ['an id may be empty', '!text.empty() && text.size() <= 20', 'text.size() <= 20'],
    ['an engine has one unit', 'std::max(1.0, capacity->amount)', '1.0'],
    ['no unit of an engine is none', 'std::max(1.0, capacity->amount)', 'capacity->amount'],
    [
      'cycles count beside nanoseconds',
      'of != nullptr && amounts[kEngine].Find(busy.name) == nullptr',
      'of != nullptr',
    ],
    ['the older name of a region counts', 'resident == nullptr ? memory : *resident', 'memory'],
    [
      'a region without its older name is left out',
      'if (amounts[kMemory].Find(resident.name) == nullptr) client',
      'if (false) client',
    ],
    ['more entries than any driver has', 'kMostEntries = 64', 'kMostEntries = 63'],
    ['percent may have five digits behind the point', 'part.size() > 4', 'part.size() > 5'],
    ['percent are tenths', 'scale *= 10;', 'scale = 10;'],
    ['an old client without VRAM is one', ' || Find(lines, "vram mem") == nullptr', ''],
    ['old clients have no gtt', '{"gtt", AmountOf(ValueOf(lines, "gtt mem"))},', ''],
    ['old engines have one digit', 'digits.size() <= 2', 'digits.size() <= 1'],
  ],
);

const files = addon(
  'blocking_files.cc',
  ['test/gpu/drm/parity.test.ts'],
  [
    ['a device that sleeps is read', 'word == "suspended" || ', ''],
    ['a device that is about to sleep is read', ' || word == "suspending"', ''],
    ['whatever a device says, it is read', 'sleeps = packed.rows[head] == 1 && ', 'sleeps = false && '],
    ['any file may say that a device sleeps', 'packed.rows[head] == 1 && ', ''],
    ['a status is all of its text', "status.substr(0, status.find('\\n'))", 'status'],
    ['a link that points elsewhere is one', 'prefix.compare(0, prefix.size(), target, prefix.size()) != 0', 'false'],
    [
      'names of links are their targets',
      'names ? std::string_view(entry.d_name)',
      'false ? std::string_view(entry.d_name)',
    ],
    ['no entry is a directory', 'IsDirectory(path, entry) ? 1.0 : 0.0', '0.0'],
  ],
);

const cgroup = addon(
  'cgroup_parse.cc',
  ['test/cgroup/io-stacks.test.ts', 'test/cgroup/parity-random.test.ts', 'test/cgroup/parity-fixtures.test.ts'],
  [
    ['an overflow wraps', 'if (i >= kSafeDigits && (value', 'if (i > kSafeDigits && (value'],
    ['no number is 0', 'if (text.empty()) return kNaN;\n  // 19', 'if (text.empty()) return 0;\n  // 19'],
    ['a point counts for nothing', 'if (point) scale *= 10;', 'if (point) scale *= 1;'],
    ['two points are one', "c == '.' && !point && count > 0", "c == '.' && count > 0"],
    ['a point may end it', "text.back() == '.' ? kNaN : ", ''],
    ['the last of a key counts', 'if ((missing >> i & 1) != 0) {', 'if (true) {'],
    ['the field after the last is never tried', 'tried < count; ++tried', 'tried + 1 < count; ++tried'],
    [
      'a bad value is clean',
      'at - value)}), fields[i].value)) clean = false;',
      'at - value)}), fields[i].value)) clean = true;',
    ],
    ['max is no number', 'word == "max" ? std::numeric_limits<double>::infinity() : ', ''],
    ['full counts as some', '!= "some") continue', '!= "full") continue'],
    ['a minor number ends at 2^19', 'kEnd = std::uint64_t{1} << 20', 'kEnd = std::uint64_t{1} << 19'],
    ['reads and writes are swapped', '{"rbytes", "wbytes", "rios", "wios"}', '{"wbytes", "rbytes", "rios", "wios"}'],
    ['a line of several devices is of its first', 'if (!counted) ParseDevice', 'if (counted) ParseDevice'],
    [
      'what stands on another device counts twice',
      '[lines](std::uint64_t above) { return HasCounters(*lines, above); }',
      '[](std::uint64_t) { return false; }',
    ],
    [
      'an unknown device is none',
      'if (IsNaN(totals->unknown_device)) totals->unknown_device =',
      'if (false) totals->unknown_device =',
    ],
    ['no line is 0 bytes', '(empty || !lines->empty()) && ', ''],
    ['pid 0 is one', 'if (pid >= 1 && pid', 'if (pid >= 0 && pid'],
    ['a name may not have a bracket', "text.rfind(')')", "text.find(')')"],
    ['start time is the field before it', 'kFieldsBetween = 19', 'kFieldsBetween = 18'],
    [
      'resident is all that is mapped',
      'Take(&text, \' \');\n  const std::size_t end = text.find_first_of(" \\n");\n  return ParseUnsigned(text.substr(0, end));\n}\n\n}  //',
      'const std::size_t end = text.find_first_of(" \\n");\n  return ParseUnsigned(text.substr(0, end));\n}\n\n}  //',
    ],
  ],
);

const usage = addon(
  'process_usage.cc',
  ['test/io/process-usage.test.ts'],
  [
    [
      'time of the system is left out',
      'usage->cpu_ticks = user + TakeNumber(&at, end);',
      'TakeNumber(&at, end);\n  usage->cpu_ticks = user;',
    ],
    ['time of children is left out', 'waited_user + TakeNumber(&at, end)', 'TakeNumber(&at, end)'],
    ['a name may not have a bracket', "text.rfind(')')", "text.find(')')"],
    ['an ended process leaves its last figures', 'if (error != 0 && opened) {', 'if (false) {'],
    [
      'half of its I/O is all of it',
      'if (!whole || std::isnan(usage.read_bytes + usage.write_bytes)) usage',
      'if (!whole) usage',
    ],
    ['start time is the field before it', 'field < 22; ++field', 'field < 21; ++field'],
  ],
);

const sockets = addon(
  'socket_dump.cc',
  ['test/procfs/sockets.test.ts'],
  [
    ['IPv6 listens nowhere', '{AF_INET, AF_INET6}', '{AF_INET, AF_INET}'],
    ['all sockets listen', '1U << TCP_LISTEN', '1U << TCP_ESTABLISHED'],
    ['its cgroup is never known', 'attribute.rta_type == kCgroupId', 'attribute.rta_type == kCgroupId + 1'],
    [
      'the namespace is always its own',
      'if (is_own) return OpenNetlink(made);',
      'if (is_own || !is_own) return OpenNetlink(made);',
    ],
    ['the inode is 0', 'const std::uint64_t inode = wanted.st_ino;', 'const std::uint64_t inode = wanted.st_ino * 0;'],
    ['one socket a datagram', 'if (used >= length) break;\n    received += used;', 'break;\n    received += used;'],
  ],
);

const nvml = addon(
  'nvml_reader.cc',
  ['test/gpu/nvidia/hazards.test.ts', 'test/gpu/nvidia/parity.test.ts'],
  [
    [
      'reserved memory is unknown',
      'Set(state, kMemoryReservedBytes, code, static_cast<double>(memory.reserved));',
      'Set(state, kMemoryReservedBytes, kNotSupported);',
    ],
  ],
);

export const nativeFaults = [...drm, ...files, ...cgroup, ...usage, ...sockets, ...nvml];
