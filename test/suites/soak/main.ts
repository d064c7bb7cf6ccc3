/**
 * `npm run soak -- --minutes N [--seed S] [--hives N] [--workers N]`: one queen under the load of a fleet, with churn,
 * slow readers and faults drawn from a seed, for as long as wanted. Ends with a table, and with 1 where something that
 * must hold did not. Writes the same to test-results/soak.json.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Fleet } from '../../../lib/contract/api.js';
import { undoWhenInterrupted } from '../../harness/interruption.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { Managed } from '../../harness/processes.js';
import { FaultyProxy } from '../../harness/proxy.js';
import { Random } from '../../harness/random.js';
import { descriptors, residentMiB } from '../../harness/resources.js';
import { waitFor } from '../../harness/wait.js';
import { type SoakFault, type Stage, soakFaults } from './faults.js';
import type { Command, Counts, Report } from './protocol.js';
import { Auditor, Reader, SlowReader } from './readers.js';
import { growth, percentile, type Sample, settled, slopePerMinute } from './verdict.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    hives: { type: 'string', default: '200' },
    workers: { type: 'string', default: '8' },
    interval: { type: 'string', default: '1000' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const hiveCount = Number(values.hives);
if (!(minutes > 0 && Number.isInteger(seed) && Number.isInteger(hiveCount) && hiveCount > 0)) {
  console.error('soak: --minutes takes a number above 0, --seed and --hives whole numbers');
  process.exit(2);
}

const startedAt = new Date();
const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;
const endsAt = minutes * 60;
const random = new Random(seed);
console.log(
  `soak: ${minutes} min, seed ${seed}, ${hiveCount} hives x ${values.workers} workers each ${values.interval} ms`,
);

// SIGINT ends it in order, with its table.
undoWhenInterrupted(['SIGTERM', 'SIGHUP']);
let interrupted = false;
process.once('SIGINT', () => {
  interrupted = true;
});
const over = () => interrupted || seconds() >= endsAt;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
/** A disk of its own for what the queen keeps, so that it can be filled. */
function smallDisk(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return null;
  const { path } = temporaryDirectory('state');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'hivepulse-test', path]);
  return mounted.status === 0 ? path : null;
}
const state = smallDisk();

let life = 0;
const lines: string[] = [];
async function startQueen(port: string): Promise<{ queen: Managed; url: string }> {
  life += 1;
  const args = ['queen', '--port', port, '--max-streams', '100', '--warming', '2s'];
  if (state !== null) args.push('--state', state);
  const queen = new Managed(`queen ${life}`, process.execPath, [main, ...args]);
  const match = await queen.line(/"role":"queen".*"url":"([^"]+)".*"msg":"listening"/);
  return { queen, url: match[1] as string };
}
let { queen, url } = await startQueen('0');
const { port } = new URL(url);

// One hive as it is run, between the simulated ones: a process of its own, behind a proxy that fails.
const proxy = await FaultyProxy.before(url);
const realHive = new Managed('hive', process.execPath, [
  ...[main, 'hive', '--queen', proxy.url, '--port', '0', '--id', 'real', '--gpu', 'none', '--no-auto'],
  ...['--interval', `${values.interval}ms`, '--runtime-dir', temporaryDirectory('run').path],
]);
await realHive.line(/"role":"hive".*"msg":"listening"/);

const load: ChildProcess = fork(
  fileURLToPath(new URL('./load.ts', import.meta.url)),
  [url, values.hives, values.workers, values.interval, String(seed)],
  { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
);
const command = (message: Command): void => void load.send(message);
let report: Counts | null = null;
load.on('message', (message: Report) => {
  if (message.type === 'counts') report = message;
});
async function counted(): Promise<Counts> {
  report = null;
  command({ type: 'report' });
  return waitFor(() => report, { timeoutMs: 30_000, what: 'the load to report' });
}

const fleet = async (): Promise<Fleet> => {
  const response = await fetch(`${url}/v1/fleet`, { signal: AbortSignal.timeout(5000) });
  return (await response.json()) as Fleet;
};
const whole = async (timeoutMs: number): Promise<number> => {
  const from = performance.now();
  // A fleet of which hosts are replaced: those that left are still offline for a while.
  await waitFor(async () => (await fleet()).hives.online > hiveCount, { timeoutMs, everyMs: 100, what: 'the fleet' });
  return performance.now() - from;
};
await whole(60_000);

const readers = Array.from({ length: 15 }, (_, i) => new Reader(url, i < 3));
const slow = [0, 0, 20_000, 50_000, 100_000].map((rate) => new SlowReader(url, rate));

const auditors = [new Auditor(url)];

const samples: Sample[] = [];
const hiveSamples: Sample[] = [];
const queries: number[] = [];
const sampling = setInterval(() => {
  void auditors
    .at(-1)
    ?.gather()
    .catch(() => undefined);
  try {
    samples.push({ at: seconds(), rssMiB: residentMiB(queen.pid), descriptors: descriptors(queen.pid), life });
  } catch {
    // between two lives of the queen
  }
  try {
    const { pid } = realHive;
    hiveSamples.push({ at: seconds(), rssMiB: residentMiB(pid), descriptors: descriptors(pid), life: 1 });
  } catch {
    // it has ended, which is told at the end
  }
}, 1000);
let asking = false;
const probing = setInterval(() => {
  if (asking) return;
  asking = true;
  const from = performance.now();
  fetch(`${url}/v1/workers?state=idle&limit=100`, { signal: AbortSignal.timeout(10_000) })
    .then((response) => response.text())
    .then(() => queries.push(performance.now() - from))
    .catch(() => undefined)
    .finally(() => {
      asking = false;
    });
}, 500);
const replacing = setInterval(() => command({ type: 'replace' }), 15_000);

const kills: number[] = [];
const stage: Stage = {
  random,
  url,
  proxy,
  state,
  longestSeconds: Math.min(30, Math.max(4, minutes * 3)),
  command,
  signalQueen: (signal) => queen.signal(signal),
  async replaceQueen(afterMs) {
    kills.push(Date.now());
    queen.signalGroup('SIGKILL');
    await queen.ended();
    lines.push(...queen.lines);
    await pause(afterMs);
    await auditors.at(-1)?.close();
    ({ queen, url } = await startQueen(port));
    auditors.push(new Auditor(url));
  },
  lasts: (length) => pause(length * 1000),
};

interface Injected {
  readonly name: string;
  readonly atSeconds: number;
  readonly survived: boolean;
  readonly recoveryMs: number | null;
}
const injected: Injected[] = [];
/** The queen is replaced in the first third only: after that its memory is watched for a slope. */
const allowed = (fault: SoakFault): boolean =>
  (fault.endsQueen !== true || seconds() < endsAt / 3) && (fault.possible?.(stage) ?? true);

await pause(Math.min(10_000, endsAt * 100));
if (allowed({ endsQueen: true } as SoakFault)) await inject(soakFaults.find(({ endsQueen }) => endsQueen)!);
while (!over() && seconds() < endsAt - 12) {
  await inject(random.pick(soakFaults.filter(allowed)));
  await pause(random.between(1000, Math.min(20_000, 2000 * Math.max(1, minutes))));
}
while (!over()) await pause(200);

async function inject(fault: SoakFault): Promise<void> {
  const atSeconds = seconds();
  let recoveryMs: number | null = null;
  try {
    await fault.inject(stage);
    recoveryMs = Math.round(await whole(45_000));
  } catch (error) {
    console.error(`soak: ${fault.name} at ${atSeconds.toFixed(0)} s: ${error}`);
  }
  injected.push({ name: fault.name, atSeconds: Math.round(atSeconds), survived: recoveryMs !== null, recoveryMs });
  console.log(
    `soak: ${atSeconds.toFixed(0).padStart(5)} s  ${fault.name}: ${recoveryMs === null ? 'NOT survived' : `whole again after ${recoveryMs} ms`}`,
  );
}

// No more facts: what is pending is sent, acknowledged and read.
clearInterval(replacing);
command({ type: 'silence' });
await waitFor(async () => (await counted()).pending === 0, {
  timeoutMs: 60_000,
  everyMs: 500,
  what: 'nothing pending',
}).catch(() => undefined);
await pause(3000);
const counts = await counted();
clearInterval(sampling);
clearInterval(probing);

const union = new Map<string, number>();
for (const reader of readers)
  for (const [mark, times] of reader.marks) union.set(mark, Math.max(union.get(mark) ?? 0, times));
await auditors.at(-1)?.close();
const audited = new Set(auditors.flatMap(({ marks }) => [...marks]));
const missing = counts.facts.filter(({ mark }) => !union.has(mark) && !audited.has(mark));
/** Acknowledged by a queen that was killed within a second, before its readers had them: gone with its memory. */
const withQueen = missing.filter(
  ({ ackedAt }) => ackedAt !== null && kills.some((at) => ackedAt > at - 1000 && ackedAt < at + 1000),
);
const lost = missing.length - withQueen.length;
const twice = [...union.values()].filter((times) => times > 1).length;
const delays = readers.flatMap((reader) => reader.delays);
const calm = settled(samples);
const calmHive = settled(hiveSamples);
const steady = readers.map((reader) => [...union.keys()].filter((mark) => !reader.marks.has(mark)).length);
const text = [...lines, ...queen.lines];
const parted = text.filter((line) => line.includes('did not keep up')).length;
const crashed = text.filter((line) => line.includes('"level":60')).length;

const ms = (value: number) => (Number.isFinite(value) ? `${value.toFixed(1)} ms` : '-');
const rows: readonly (readonly [string, string])[] = [
  ['duration, seed', `${(seconds() / 60).toFixed(1)} min, ${seed}`],
  ['hives x workers', `${counts.hives} x ${values.workers} (${counts.workers} workers at the end)`],
  ['heartbeats sent', String(counts.sent)],
  ['heartbeats accepted', `${counts.accepted} (${counts.failed} failed while a fault lasted)`],
  ['events produced', `${counts.facts.length} (${counts.died} more died with hives that were killed)`],
  [
    'events delivered',
    `${counts.facts.length - missing.length}; lost ${lost}, gone with a killed queen ${withQueen.length}, told twice ${twice}`,
  ],
  [
    'queen RSS',
    `${calm.at(-1)?.rssMiB.toFixed(0) ?? '-'} MiB, slope ${slopePerMinute(calm, ({ rssMiB }) => rssMiB).toFixed(2)} MiB/min, growth ${growth(calm, ({ rssMiB }) => rssMiB).toFixed(1)} MiB`,
  ],
  [
    'queen descriptors',
    `${calm.at(-1)?.descriptors ?? '-'}, slope ${slopePerMinute(calm, (sample) => sample.descriptors).toFixed(2)}/min, growth ${growth(calm, (sample) => sample.descriptors)}`,
  ],
  [
    'real hive',
    `${calmHive.at(-1)?.rssMiB.toFixed(0) ?? '-'} MiB, growth ${growth(calmHive, ({ rssMiB }) => rssMiB).toFixed(1)} MiB; ${calmHive.at(-1)?.descriptors ?? '-'} descriptors, slope ${slopePerMinute(calmHive, (sample) => sample.descriptors).toFixed(2)}/min, growth ${growth(calmHive, (sample) => sample.descriptors)}`,
  ],
  ['heartbeat p50 / p99', `${ms(percentile(counts.latencies, 0.5))} / ${ms(percentile(counts.latencies, 0.99))}`],
  ['event to reader p50 / p99', `${ms(percentile(delays, 0.5))} / ${ms(percentile(delays, 0.99))}`],
  ['query p50 / p99', `${ms(percentile(queries, 0.5))} / ${ms(percentile(queries, 0.99))}`],
  ['readers', `15 that read (${Math.max(...steady)} events missed by the worst), 5 slow (${parted} parted with)`],
  ['faults injected / survived', `${injected.length} / ${injected.filter(({ survived }) => survived).length}`],
];
const width = Math.max(...rows.map(([name]) => name.length));
console.log(`\n${rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')}`);
for (const [name, list] of group(injected))
  console.log(
    `  ${name.padEnd(18)} ${list.filter(({ survived }) => survived).length}/${list.length} survived, longest recovery ${Math.max(...list.map(({ recoveryMs }) => recoveryMs ?? Number.POSITIVE_INFINITY))} ms`,
  );

function group(list: readonly Injected[]): Map<string, Injected[]> {
  const groups = new Map<string, Injected[]>();
  for (const each of list) groups.set(each.name, [...(groups.get(each.name) ?? []), each]);
  return groups;
}

/** What must hold, and what is said where it does not. */
const broken = [
  counts.pending > 0 && `${counts.pending} events were never acknowledged`,
  lost > 0 &&
    `${lost} events reached no reader, such as ${missing
      .slice(0, 3)
      .map(({ mark }) => mark)
      .join(', ')}`,
  twice > 0 && `${twice} events were told twice to one reader`,
  injected.some(({ survived }) => !survived) && 'a fault was not survived',
  injected.length === 0 && 'no fault was injected',
  crashed > 0 && 'the queen crashed',
  !queen.running && 'the queen does not run any more',
  counts.accepted < 0.5 * counts.sent && 'less than half of the heartbeats were accepted',
  growth(calm, ({ rssMiB }) => rssMiB) > 48 + 0.5 * minutes && 'the queen grows',
  growth(calm, (sample) => sample.descriptors) > 50 && 'the queen collects descriptors',
  !realHive.running && 'the real hive does not run any more',
  growth(calmHive, ({ rssMiB }) => rssMiB) > 32 && 'the real hive grows',
  growth(calmHive, (sample) => sample.descriptors) > 10 && 'the real hive collects descriptors',
  (calm.at(-1)?.rssMiB ?? 0) > 1024 && 'the queen takes more than 1 GiB',
].filter((problem) => problem !== false);
mkdirSync('test-results', { recursive: true });
writeFileSync(
  'test-results/soak.json',
  JSON.stringify(
    { startedAt: startedAt.toISOString(), minutes, seed, rows: Object.fromEntries(rows), injected, broken },
    null,
    2,
  ),
);
for (const problem of broken) console.error(`soak: BROKEN: ${problem}`);

for (const reader of slow) reader.close();
await Promise.all(readers.map((reader) => reader.close()));
command({ type: 'end' });
await realHive.stop();
await proxy.close();
await queen.stop();
if (load.connected) load.disconnect();
if (broken.length === 0) console.log('soak: everything held');
process.exit(broken.length === 0 && !interrupted ? 0 : 1);
