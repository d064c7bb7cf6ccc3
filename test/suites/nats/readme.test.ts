import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { HiveView, WorkerView } from '../../../lib/contract/api.js';
import { freePorts } from '../../harness/free-ports.js';
import { getJson, useHarness } from '../../harness/harness.js';
import type { Managed } from '../../harness/processes.js';
import { waitFor } from '../../harness/wait.js';
import { agree, fleetOf, sharing } from './cluster-of-queens.js';

const harness = useHarness();
const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** Blocks of shell in the section, each by line. */
function blocksOf(title: string): string[][] {
  const section = readme.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim().split('\n'));
}

const queries = ['/v1/fleet', '/v1/hives', '/v1/workers', '/v1/gpus', '/v1/workers/best?model=any', '/v1/reservations'];
const others = ['/metrics', '/healthz', '/readyz', '/openapi.json', '/'];

test('README, scaling out: as written, two queens show the same fleet, and killing either leaves every query answering', async () => {
  const [start = [], ask = []] = blocksOf('Scale out');
  expect(start.length).toBeGreaterThan(4);
  // As written, but for what the machine may already hold: ports, and the names of workers.
  const ports = await freePorts(3);
  const group = `readme${process.pid}`;
  const adapt = (line: string) =>
    line
      .replaceAll(/\b(7833|7834|4223)\b/g, (port) => String(ports[['7833', '7834', '4223'].indexOf(port)]))
      .replaceAll('npx hivepulse', `${process.execPath} ${main}`)
      .replace('--group demo', `--group ${group}`);
  const home = harness().directory();
  const env = { TMPDIR: home, HIVEPULSE_RUNTIME_DIR: home, HIVEPULSE_WARMING: '2s' };
  const run = (line: string): Managed => {
    const hive = line.startsWith('npx hivepulse hive') ? { HIVEPULSE_PORT: '0' } : {};
    const command = `exec ${adapt(line.replace(/ &$/, ''))}`;
    return harness().start(line, 'bash', ['-c', command], { env: { ...env, ...hive } });
  };

  const [install = '', ...daemons] = start;
  expect(install).toMatch(/apt-get install .*\bnats-server$/);
  const started = new Map<string, Managed>();
  for (const line of daemons) {
    expect(line).toMatch(/ &$/);
    started.set(line, run(line));
  }
  const queens = daemons.filter((line) => line.startsWith('npx hivepulse queen'));
  const urls = ports.slice(0, 2).map((port) => `http://127.0.0.1:${port}`);
  expect(queens).toHaveLength(2);
  await Promise.all(urls.map((url) => sharing(url)));
  const complete = () =>
    Promise.all(
      urls.map((url) =>
        waitFor(
          async () => {
            const { hives, warming } = await fleetOf(url);
            // Engines of other suites that run on this host are seen as well.
            const { items } = await getJson<{ items: WorkerView[] }>(`${url}/v1/workers?limit=500`);
            const ours = items.filter((worker) => worker.group === group);
            return hives.online === 1 && ours.length === 1 && !warming;
          },
          { what: `hive and worker at ${url}`, timeoutMs: 30_000 },
        ),
      ),
    );
  await complete();
  await agree(urls, 1);

  for (const i of [0, 1]) {
    const line = queens[i] as string;
    const queen = started.get(line) as Managed;
    queen.signal('SIGKILL');
    await queen.ended();
    const killedMs = performance.now();
    const left = urls[1 - i] as string;
    for (const path of [...queries, ...others]) expect((await fetch(left + path)).status, path).toBe(200);
    const [hive] = (await getJson<{ items: HiveView[] }>(`${left}/v1/hives`)).items;
    expect(hive?.liveness).toBe('online');
    // With a command of its own as well, which names the one that is gone first or last.
    const asked = run(ask[0] ?? '');
    expect(await asked.ended(), asked.tail()).toBe(0);
    expect(asked.lines.join('\n')).toContain(`${group}/shared`);
    await waitFor(
      async () => performance.now() - (await getJson<HiveView>(`${left}/v1/hives/${hive?.id}`)).ageMs > killedMs,
      { what: 'a heartbeat at the queen that is left', timeoutMs: 5000 },
    );
    started.set(line, run(line));
    await sharing(urls[i] as string);
    await complete();
    await agree(urls, 1);
  }
});
