import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { workerColumns } from '../../lib/cli/columns.js';
import { snapshotLines } from '../../lib/cli/snapshot.js';
import { printTable } from '../../lib/cli/table.js';
import { noPast } from '../../lib/cli/top/history.js';
import { render } from '../../lib/cli/top/render.js';
import { itemsAt } from '../../lib/cli/top/run.js';
import { initialUi } from '../../lib/cli/top/ui.js';
import { workerDetail } from '../../lib/cli/top/worker-detail.js';
import { FleetMirror } from '../../lib/client/mirror.js';
import type { HiveView, WorkerView } from '../../lib/contract/api.js';
import type { Heartbeat, WorkerSample } from '../../lib/contract/heartbeat.js';
import { startQueen } from '../../lib/daemon/queen.js';
import type { DirectoryEntry, FileResult } from '../../lib/io/file-reader.js';
import { ProcessMonitor } from '../../lib/launch/process-monitor.js';
import { describe as describeProcesses } from '../../lib/sampling/worker.js';
import { systemClock } from '../../lib/util/clock.js';
import { ProcessTable } from '../../lib/workers/process-table.js';
import { commandDisplay } from '../../lib/workers/shown-command.js';
import { serverOfTest } from '../api/build-server.js';
import { topState } from '../cli/fleet.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { waitFor } from '../harness/wait.js';
import { FakeReader, Hangs } from '../io/fake-files.js';
import { FakeHost } from '../sampling/fake-host.js';
import { anyPiece, type SecretLine, secretLines } from './secret-lines.js';

const batch = 400;
const rounds = 50;

/** Only the files without which a worker is none. */
const few = Object.fromEntries(
  ['memory.stat', 'memory.peak', 'io.stat', 'cpu.max', 'cpu.pressure', 'memory.pressure', 'io.pressure'].map((name) => [
    name,
    null,
  ]),
);

function hostOf(lines: readonly SecretLine[]): FakeHost {
  const host = new FakeHost();
  for (const [i, { argv }] of lines.entries()) host.worker(`/hivepulse.slice/g/w${i}`, { pid: 100 + i, argv }, few);
  return host;
}

/** A /proc that is a table in memory. */
class ProcFiles extends FakeReader {
  readonly #files: ReadonlyMap<string, Buffer>;

  constructor(lines: readonly SecretLine[]) {
    super(new Hangs(), systemClock);
    const files = new Map([['/proc/loadavg', Buffer.from(`0 0 0 1/1 ${lines.length}\n`)]]);
    for (const [i, { argv }] of lines.entries()) {
      files.set(`/proc/${i + 1}/stat`, Buffer.from(`${i + 1} (x) S 1 ${'0 '.repeat(17)}900000 0 0\n`));
      files.set(`/proc/${i + 1}/cgroup`, Buffer.from('0::/x\n'));
      files.set(`/proc/${i + 1}/cmdline`, Buffer.from(argv.map((each) => `${each}\0`).join('')));
    }
    this.#files = files;
  }

  protected readOne(path: string): FileResult {
    return this.#files.get(path) ?? 2;
  }

  protected linksOne(): number {
    return 2;
  }

  protected listOne(): readonly DirectoryEntry[] {
    return Array.from({ length: (this.#files.size - 1) / 3 }, (_, i) => ({ name: String(i + 1), isDirectory: true }));
  }
}

/** Workers as the process table and the rules of engines make them of command lines. */
async function workersFrom(lines: readonly SecretLine[]): Promise<readonly WorkerSample[]> {
  const table = new ProcessTable({ procRoot: '/proc', clock: systemClock, openFiles: () => new ProcFiles(lines) });
  await table.scan();
  const show = commandDisplay('safe');
  const workers = lines.map((_, i) => {
    const known = table.find(i + 1, 900_000);
    const argv = known?.argv ?? [];
    const { command, serving } = describeProcesses([{ pid: i + 1, parentPid: 0, argv }], show);
    return {
      ...workerOf(`g/w${i}`),
      command,
      model: serving.models[0] ?? null,
      models: [...serving.models],
      port: known?.role.port ?? null,
    };
  });
  table.close();
  return workers;
}

function expectNothing(text: string, what: string): void {
  const found = anyPiece.exec(text);
  if (found) throw new Error(`${what} shows ${text.slice(Math.max(0, found.index - 150), found.index + 50)}`);
}

/** The worker's own fields hold its secret in no form: what is encoded has no piece that a search would find. */
function expectHidden(workers: readonly WorkerSample[], lines: readonly SecretLine[]): void {
  for (const { id, command, models, name } of workers) {
    const { planted, argv } = lines[Number(id.slice('g/w'.length))] as SecretLine;
    const shown = [command, ...(models ?? []), name].join('\n');
    for (const form of planted)
      if (shown.includes(form)) throw new Error(`${JSON.stringify(argv)} is shown as ${shown}`);
  }
}

/** What `top` and the commands draw of the answers of a queen. */
function drawn(hives: readonly HiveView[], workers: readonly WorkerView[]): string {
  const mirror = new FleetMirror();
  mirror.apply({ type: 'snapshot', data: { hives, workers, warming: false, lastEventId: '' } as never }, 0);
  const items = itemsAt(mirror, 0);
  return [
    ...render(topState(items, { ui: { ...initialUi, view: 'workers' } }), { columns: 400, rows: 500 }),
    ...printTable(workerColumns, workers, Number.POSITIVE_INFINITY, false),
    ...workers.slice(0, 40).flatMap((worker) =>
      workerDetail(worker, null, noPast, 200)
        .flat()
        .map(({ text }) => text),
    ),
  ].join('\n');
}

describe('nothing secret leaves a host', () => {
  it(`of ${batch * rounds} command lines none shows its secret: process table, heartbeat, registry, routes, metrics, top`, async () => {
    const all = fc.sample(secretLines, { numRuns: batch * rounds });
    const server = await serverOfTest();
    const get = async (url: string) => (await server.app.inject({ url, headers: { host: 'localhost' } })).body;
    for (let round = 0; round < rounds; round += 1) {
      const lines = all.slice(round * batch, (round + 1) * batch);
      const workers = await workersFrom(lines);
      expect(workers.filter(({ command }) => command !== null)).toHaveLength(batch);
      expectHidden(workers, lines);
      const heartbeat: Heartbeat = { ...heartbeatOf('a'), seq: round + 1, workers: [...workers] };
      expectNothing(JSON.stringify(heartbeat), 'the heartbeat');
      expect((await server.post(heartbeat)).statusCode).toBe(200);
      server.clock.ms += 1000;
      if (round % 10 > 0) continue; // the routes show what the heartbeat holds
      const page = JSON.parse(await get('/v1/workers?limit=1000')) as { items: WorkerView[] };
      const hives = JSON.parse(await get('/v1/hives')) as { items: HiveView[] };
      for (const url of [
        '/v1/workers?limit=1000',
        '/v1/workers/a/g/w0',
        '/v1/hives/a',
        '/v1/fleet',
        '/v1/gpus',
        '/metrics',
      ])
        expectNothing(await get(url), url);
      expectNothing(drawn(hives.items, page.items), 'top');
      expectNothing(snapshotLines(heartbeat, 400, false).join('\n'), 'sample');
    }
  }, 120_000);

  it('a hive and a queen: logs at trace level, events, the hive’s own routes, and the runtime directory', async () => {
    const lines = fc.sample(secretLines, { numRuns: 60 });
    const host = hostOf(lines);
    const log: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
    await using queen = await startQueen({ port: 0, logger });
    const hive = await host.startHive({ queens: [queen.url], logger, address: '127.0.0.1' });
    await waitFor(() => queen.registry.workers({}).items.length === lines.length);
    host.remove('/hivepulse.slice/g/w1');
    await waitFor(() => queen.registry.workers({}).items.length === lines.length - 1);
    const texts = ['/v1/snapshot', '/metrics'].map(async (path) => (await fetch(`${hive.url}${path}`)).text());
    for (const text of await Promise.all(texts)) expectNothing(text, 'the hive');
    expectNothing(JSON.stringify(queen.registry.workers({ limit: 1000 })), 'the queen');
    expectNothing(log.join(''), 'the log');
    for (const name of readdirSync(host.runtimeDir, { recursive: true, withFileTypes: true }))
      if (name.isFile()) expectNothing(readFileSync(join(name.parentPath, name.name), 'utf8'), name.name);
  }, 60_000);

  it('records of workers, and errors of commands that cannot be started', async () => {
    const { path: runtimeDir, remove } = temporaryDirectory('records');
    const monitor = new ProcessMonitor({ runtimeDir, platform: 'darwin' });
    try {
      for (const [i, { argv }] of fc.sample(secretLines, { numRuns: 4 }).entries()) {
        const spawn = { group: 'g', instance: String(i), stdio: 'ignore' as const };
        const worker = await monitor.spawn({ ...spawn, command: process.execPath, args: ['-e', '0', '--', ...argv] });
        await worker.exited;
        const [command = '', ...args] = argv;
        const failure = await monitor.spawn({ ...spawn, command: `/none/${command}`, args }).then(
          () => '',
          (error: Error) => `${error.message} ${JSON.stringify(error)}`,
        );
        expectNothing(failure, 'the error');
      }
      const files = readdirSync(runtimeDir, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
      expect(files.length).toBeGreaterThan(3);
      for (const { parentPath, name } of files) expectNothing(readFileSync(join(parentPath, name), 'utf8'), name);
    } finally {
      await monitor.close();
      remove();
    }
  }, 60_000);
});
