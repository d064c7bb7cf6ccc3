import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FilesReader } from '../../lib/cgroup/files.js';
import { NativeReader } from '../../lib/cgroup/native.js';
import { readerDefaults } from '../../lib/cgroup/reader.js';
import { type WorkerFile, workerFiles } from '../../lib/native/layout.js';
import { portion } from '../harness/draws.js';
import { binding, passBoth, type Tree, writeTree } from './reader-pair.js';

const edges = [
  0n,
  1n,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  10n ** 15n - 1n,
  10n ** 15n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
];

/** What may stand where a number should. */
const value = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n }).map(String) },
  { weight: 3, arbitrary: fc.constantFrom(...edges).map(String) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 99_999 }).map((n) => (n / 100).toFixed(2)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('max', '', '-1', '1.', '.5', '1..2', ' 7', '7 ', '7\t', '0x10', '1e3', '+1'),
  },
  { weight: 1, arbitrary: fc.constantFrom('0000000000000000000000000001', '1234567890.123456', '12.345678901234567') },
  { weight: 1, arbitrary: fc.string({ maxLength: 6 }) },
);

const unknownKeys = ['new_key', 'usage', 'usage_usec2', 'anon_thp', 'cost.vrate', 'oom_group_kill', 'full', ''];

/** Lines of `key value`: known keys and others in any order, some twice. */
const keyedText = (known: readonly string[]) =>
  fc
    .array(fc.tuple(fc.constantFrom(...known, ...known, ...unknownKeys), value), { maxLength: 12 })
    .map((pairs) => pairs.map(([key, text]) => `${key} ${text}\n`).join(''));

const words = (keys: readonly string[]) =>
  fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.tuple(fc.constantFrom(...keys), value).map(([key, text]) => `${key}=${text}`) },
      { weight: 1, arbitrary: fc.constantFrom('252:0', '8:16', '', 'cost.vrate=100.00', 'rbytes', '=', 'a=b=c') },
    ),
    { maxLength: 8 },
  );

const wordLines = (heads: readonly string[], keys: readonly string[]) =>
  fc
    .array(fc.tuple(fc.constantFrom(...heads), words(keys)), { maxLength: 4 })
    .map((lines) => lines.map(([head, rest]) => `${[head, ...rest].join(' ')}\n`).join(''));

const single = fc.oneof(
  value,
  value.map((text) => `${text}\n`),
);
const pressure = wordLines(['some', 'full', 'some ', 'none'], ['avg10', 'avg60', 'avg300', 'total']);

/** Files of more than one number. */
const structured: Partial<Record<WorkerFile, fc.Arbitrary<string>>> = {
  'cpu.stat': keyedText(['usage_usec', 'user_usec', 'system_usec', 'nr_periods', 'nr_throttled', 'throttled_usec']),
  'memory.stat': keyedText(['anon', 'inactive_file']),
  'memory.events': keyedText(['oom', 'oom_kill', 'max']),
  'io.stat': wordLines(['252:0', '8:16', '7:0 '], ['rbytes', 'wbytes', 'rios', 'wios', 'dbytes']),
  'cgroup.procs': fc
    .array(fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 60 }).map(String) }, value), { maxLength: 30 })
    .map((pids) => pids.map((pid) => `${pid}\n`).join('')),
  'cpu.max': fc.tuple(value, value).map(([quota, period]) => `${quota} ${period}\n`),
  'cpu.pressure': pressure,
  'memory.pressure': pressure,
  'io.pressure': pressure,
  'cgroup.events': keyedText(['populated', 'frozen']),
};
const wellFormed = Object.fromEntries(workerFiles.map((file) => [file, structured[file] ?? single])) as Readonly<
  Record<WorkerFile, fc.Arbitrary<string>>
>;

/** As the kernel would write it, or torn at any byte, or without the last newline, or anything at all. */
const maybeTorn = (text: fc.Arbitrary<string>) =>
  fc.oneof(
    { weight: 4, arbitrary: text.map((whole) => Buffer.from(whole)) },
    { weight: 3, arbitrary: fc.tuple(text, fc.nat(400)).map(([whole, at]) => Buffer.from(whole).subarray(0, at)) },
    { weight: 2, arbitrary: text.map((whole) => Buffer.from(whole.replace(/\n$/, ''))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  );

const processTree: fc.Arbitrary<Tree> = fc
  .array(
    fc.record({
      pid: fc.integer({ min: 1, max: 60 }),
      stat: maybeTorn(
        fc
          .tuple(fc.string({ maxLength: 16 }), fc.array(value, { minLength: 15, maxLength: 30 }))
          .map(([name, rest]) => `1 (${name}) S ${rest.join(' ')}\n`),
      ),
      statm: maybeTorn(fc.array(value, { maxLength: 7 }).map((fields) => `${fields.join(' ')}\n`)),
      io: maybeTorn(keyedText(['read_bytes:', 'write_bytes:', 'rchar:', 'cancelled_write_bytes:'])),
    }),
    { maxLength: 6 },
  )
  .map((processes) =>
    Object.fromEntries(
      processes.flatMap(({ pid, stat, statm, io }) => [
        [`proc/${pid}/stat`, stat],
        [`proc/${pid}/statm`, statm],
        [`proc/${pid}/io`, io],
      ]),
    ),
  );

const tree: fc.Arbitrary<Tree> = fc
  .tuple(
    fc.record(Object.fromEntries(workerFiles.map((name) => [name, maybeTorn(wellFormed[name])])), { requiredKeys: [] }),
    processTree,
  )
  .map(([files, processes]) => ({ ...(files as Tree), ...processes }));

let base = '';
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'hivepulse-random-'));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe('random trees', () => {
  test('both readers give the same numbers, errors and processes, whatever the files hold', () => {
    let runs = 0;
    let processes = 0;
    let known = 0;
    fc.assert(
      fc.property(fc.array(tree, { minLength: 1, maxLength: 3 }), (states) => {
        const directory = join(base, String(runs++));
        const options = {
          ...readerDefaults,
          procRoot: join(directory, 'proc'),
          processMemory: true,
          processIo: true,
          memoryStatEvery: 2,
        };
        const pair = { native: new NativeReader(binding(), options), files: new FilesReader(options) };
        try {
          writeTree(directory, { 'proc/x': '' });
          for (const reader of [pair.native, pair.files]) reader.add(directory);
          for (const state of states) {
            writeTree(directory, state);
            const [row] = passBoth(pair);
            processes += row?.processes.length ?? 0;
            known += Object.values(row?.columns ?? {}).filter((number) => !Number.isNaN(number)).length;
          }
        } finally {
          pair.native.close();
          pair.files.close();
          rmSync(directory, { recursive: true, force: true });
        }
      }),
      { numRuns: Number(process.env.HIVEPULSE_PROPERTY_RUNS ?? portion(150)) },
    );
    // The trees must not be so broken that there is nothing to compare.
    expect(processes).toBeGreaterThan(runs);
    expect(known).toBeGreaterThan(runs * 5);
  }, 180_000);
});
