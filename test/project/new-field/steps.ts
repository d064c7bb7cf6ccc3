/** What adding a field takes, as CONTRIBUTING.md walks through it: swap of a worker, from memory.swap.current. */
export const newField = { file: 'memory.swap.current', name: 'swapBytes' } as const;

interface Edit {
  /** Stands once in the file; what is added goes behind it. */
  readonly after: string;
  readonly add: string;
}

const row = `
  swapBytes: {
    file: 'memory.swap.current',
    shape: amount('Swap charged to it.'),
    unmeasured: null,
    hive: { name: 'hivepulse_worker_swap_bytes', help: 'Swap charged to it.' },
    fleet: { name: 'hivepulse_fleet_worker_swap_bytes', help: 'Swap charged to it.' },
    column: { key: 'swap', title: 'SWAP', right: true, width: [9, 10], rank: 9, place: 85, format: 'bytes' },
    detail: { line: 'memory', label: 'swap', format: 'bytes' },
    panel: { section: 'limits', label: 'Swap', format: 'gib', place: 45 },
    sort: 35,
  },`;

/** By file. Documents that are generated are not among them. */
export const steps: Readonly<Record<string, readonly Edit[]>> = {
  'native/raw_pass.h': [
    { after: '  kMemoryPeak,\n', add: '  kMemorySwap,\n' },
    { after: '  kCgroupEvents,\n', add: '  kMemorySwapFile,\n' },
    { after: '"cgroup.events",', add: ' "memory.swap.current",' },
  ],
  'native/to_js.cc': [{ after: '    "memoryPeakBytes",\n', add: '    "memorySwapBytes",\n' }],
  'native/cgroup_reader.cc': [
    {
      after: '      return ParseSingle(text, row + kMemoryPeak);\n',
      add: '    case kMemorySwapFile:\n      return ParseSingle(text, row + kMemorySwap);\n',
    },
  ],
  'lib/native/layout.ts': [
    { after: "  'memoryPeakBytes',\n", add: "  'memorySwapBytes',\n" },
    { after: "  'cgroup.events',\n", add: "  'memory.swap.current',\n" },
  ],
  'lib/cgroup/file-parsers.ts': [
    {
      after: "  'memory.peak': single('memoryPeakBytes'),\n",
      add: "  'memory.swap.current': single('memorySwapBytes'),\n",
    },
  ],
  'lib/sampling/worker.ts': [
    {
      after: "    memoryPeakBytes: fromFile(input, row.memoryPeakBytes, 'memory.peak'),\n",
      add: "    swapBytes: fromFile(input, row.memorySwapBytes, 'memory.swap.current'),\n",
    },
    {
      after: '    memoryPeakBytes: memory.memoryPeakBytes,\n',
      add: '    swapBytes: memory.swapBytes,\n',
    },
  ],
  'lib/contract/fields/worker.ts': [
    { after: "  memorySource: { shape: oneOf(['cgroup', 'proc']), least: 'cgroup' },", add: row },
  ],
  'test/harness/heartbeats.ts': [{ after: '    memoryPeakBytes: 10_126_805_504,\n', add: '    swapBytes: 4096,\n' }],
  'test/cgroup/parity-fixtures.test.ts': [
    { after: "  'memory.peak': '25769803777\\n',\n", add: "  'memory.swap.current': '4096\\n',\n" },
    { after: '      memoryPeakBytes: 25769803777,\n', add: '      memorySwapBytes: 4096,\n' },
  ],
};
