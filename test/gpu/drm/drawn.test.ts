import { constants } from 'node:os';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { OpenFiles } from '../../../lib/io/guarded.js';
import { openFileReader, WorkerFileReader } from '../../../lib/io/open-file-reader.js';
import { readerDraws } from '../../harness/draws.js';
import { heartbeatOfReading, holdOutputs, holdValues } from '../../harness/held-outputs.js';
import { TestQueen } from '../../queen/heartbeats.js';
import { apu, arcI915, arcXe, type FakeClient, FakeDrmHost, type Files, instinct, radeon } from './fake-host.js';
import { drmSource, failingFiles, vendorsOver } from './sources.js';

const factor = readerDraws / 20_000;
const numRuns = Math.ceil(8 * factor);
const stepsPerRun = 6;
/** Files that change rarely are read again after so many passes. */
const slowEvery = 10;

const cards = [
  radeon('0000:03:00.0'),
  instinct('0000:c1:00.0', 'SPX', { 'device/ras/umc_err_count': 'ue: 0\nce: 0', 'device/ras/gfx_err_count': 'ue: 0' }),
  apu('0000:c5:00.0'),
  arcXe('0000:07:00.0', { 'device/tile0/physical_vram_size_bytes': 2 ** 34 }),
  arcI915('0000:08:00.0'),
];
/** What a card is does not change while its driver is bound. */
const isDrawn = (name: string) => !/gpu_metrics|product_name|^name$|label$/.test(name);
const filesOf = (files: Files) => Object.entries(files).filter(([name]) => isDrawn(name));

/** What stands in a file, or the errno of a read of it; null: it is missing. */
type Draw = string | number | null | { readonly errno: number };
const { EACCES, EBUSY, EINVAL, EIO, ENODATA, EPERM } = constants.errno;
const drawOf = (good: string | number): fc.Arbitrary<Draw> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(good) },
    { weight: 2, arbitrary: fc.nat() },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        ...['18446744073709551615', '4294967295', '65535', '255', '-1', '99999999999999999999', '9223372036854775807'],
        ...[
          '',
          'N/A',
          '1e9',
          '0x10',
          '3.5',
          'ue: -1',
          'ue: 18446744073709551615',
          'Query currently inaccessible',
          'XX',
        ],
      ),
    },
    { weight: 1, arbitrary: fc.constant(null) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(EACCES, EBUSY, EINVAL, EIO, ENODATA, EPERM, 524).map((errno) => ({ errno })),
    },
  );
const allOf = (files: Files) =>
  fc.record(Object.fromEntries(filesOf(files).map(([name, good]) => [name, drawOf(good as string | number)])));
const amount = fc.oneof(
  fc.nat(2 ** 22).map((kib) => `${kib} KiB`),
  fc.nat(2e9).map((ns) => `${ns} ns`),
  fc.constantFrom('18446744073709551615', '18446744073709551615 KiB', '-3 KiB', '', '9007199254740991', '8388608 GiB'),
);
const client = fc.record<FakeClient>({
  driver: fc.constantFrom('amdgpu', 'xe', 'i915'),
  pdev: fc.constantFrom(...cards.map(({ pdev }) => pdev)),
  id: fc.nat(3),
  lines: fc.dictionary(
    fc.constantFrom(
      ...['drm-resident-vram', 'drm-memory-gtt', 'drm-resident-vram0', 'drm-resident-local0', 'drm-engine-compute'],
      ...['drm-cycles-ccs', 'drm-total-cycles-ccs', 'drm-engine-capacity-ccs', 'drm-engine-gfx'],
    ),
    amount,
  ),
});
const step = fc.record({
  files: fc.tuple(...cards.map(({ files }) => allOf(files))),
  hwmon: fc.tuple(...cards.map(({ hwmon }) => allOf(hwmon))),
  status: fc.array(fc.constantFrom('active', 'active', 'active', 'suspended', 'resuming', 'error', ''), {
    minLength: cards.length,
    maxLength: cards.length,
  }),
  processes: fc.array(fc.array(client, { maxLength: 3 }), { minLength: 2, maxLength: 2 }),
  kfd: fc.option(fc.constantFrom(0, 2 ** 33, Number.MAX_SAFE_INTEGER), { nil: null }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Puts what was drawn in its place; gives how many files that were. */
function put(host: FakeDrmHost, failing: Map<string, number>, drawn: Step): number {
  failing.clear();
  let count = 0;
  const set = (at: string, draws: Readonly<Record<string, Draw>>) => {
    for (const [name, draw] of Object.entries(draws)) {
      const path = `sys/class/drm/${at}/${name}`;
      count += 1;
      if (draw === null) host.remove(path);
      else if (typeof draw === 'object') failing.set(`${host.root}/${path}`, draw.errno);
      else host.write(path, `${draw}\n`);
    }
  };
  for (const i of cards.keys()) {
    set(`card${i}`, drawn.files[i] ?? {});
    set(`card${i}/device/hwmon/hwmon${i}`, drawn.hwmon[i] ?? {});
    host.write(`sys/class/drm/card${i}/device/power/runtime_status`, `${drawn.status[i]}\n`);
  }
  for (const [i, clients] of drawn.processes.entries()) host.process(4100 + i, clients);
  if (drawn.kfd !== null) host.kfdProcess(4100, { 50001: drawn.kfd });
  return count;
}

const good = (files: Files) => Object.fromEntries(filesOf(files)) as Record<string, string | number>;
const fine: Step = {
  files: cards.map(({ files }) => good(files)) as Step['files'],
  hwmon: cards.map(({ hwmon }) => good(hwmon)) as Step['hwmon'],
  status: cards.map(() => 'active'),
  processes: [[], []],
  kfd: 0,
};

it.each<{ reader: string; open: OpenFiles }>([
  { reader: 'the addon', open: openFileReader },
  { reader: 'TypeScript', open: () => new WorkerFileReader() },
])(
  'implausible_value: whatever the files of AMD and Intel cards hold or refuse, on every output: by $reader',
  {
    timeout: 120_000 * Math.max(1, factor),
  },
  async ({ open }) => {
    let draws = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: stepsPerRun, maxLength: stepsPerRun }), async (steps) => {
        using host = new FakeDrmHost(cards);
        host.kfdNode(50_001, { location_id: 0x0300, gfx_target_version: 110_000 });
        const failing = new Map<string, number>();
        const vendors = vendorsOver(failingFiles((path) => failing.get(path), open));
        using drm = drmSource(host, { vendors, allGpus: true });
        const queen = new TestQueen();
        for (const [i, drawn] of steps.entries()) {
          draws += put(host, failing, drawn);
          const reading = await drm.next();
          const heartbeat = heartbeatOfReading(reading, i + 1);
          expect(heartbeat.gpus).toHaveLength(cards.length);
          for (const { memoryUsedBytes, utilizationPercent } of reading.processes) {
            expect(memoryUsedBytes ?? 0).toBeLessThanOrEqual(2 ** 46);
            expect(utilizationPercent ?? 0).toBeLessThanOrEqual(100);
          }
          holdValues(heartbeat);
          queen.heartbeat(heartbeat);
          holdOutputs(heartbeat, queen);
        }
        // Each reason is gone when its file is well again: by the next pass in which it is due.
        put(host, failing, fine);
        for (let pass = 0; pass < slowEvery; pass++) await drm.next();
        const { faults, devices } = await drm.next();
        expect(faults).toEqual([]);
        expect(devices.map(({ health }) => health)).toEqual(cards.map(() => 'ok'));
      }),
      { numRuns, endOnFailure: true },
    );
    expect(draws).toBeGreaterThanOrEqual(numRuns * stepsPerRun * 45);
  },
);
