import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PlacementReply } from '../../../lib/contract/api.js';
import { getJson, type Harness, useHarness } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';

const allowed = process.platform === 'linux' && process.getuid?.() === 0;

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`);
}

/** A small disk of its own. */
function disk(harness: Harness): string {
  const path = harness.directory();
  mount('-t', 'tmpfs', '-o', 'size=64k,mode=700', 'hivepulse-test', path);
  harness.defer(() => void spawnSync('umount', ['-l', path]));
  return path;
}

function fill(path: string): void {
  spawnSync('dd', ['if=/dev/zero', `of=${join(path, 'filler')}`, 'bs=4k', 'count=64']);
}

/** As soon as nothing has a file there open for writing: until then the kernel says that it is busy. */
async function becomesReadOnly(path: string): Promise<void> {
  const remounted = () => spawnSync('mount', ['-o', 'remount,ro', path]).status === 0;
  await waitFor(remounted, { timeoutMs: 20_000, what: `${path} to become read-only` });
}

const saved = (path: string): number => {
  const file = join(path, 'reservations.json');
  if (!existsSync(file)) return -1;
  return (JSON.parse(readFileSync(file, 'utf8')) as { reservations: unknown[] }).reservations.length;
};

/** Reserves on a host that was heard of just now. */
async function reserve(url: string, hive: SimulatedHive): Promise<PlacementReply> {
  expect(await hive.sendHeartbeat()).not.toBeNull();
  const response = await fetch(`${url}/v1/placements`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vramBytes: 1024 ** 3, reserveSeconds: 600 }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as PlacementReply;
}

describe.skipIf(!allowed)(`the disk under --state${allowed ? '' : ' (skipped: mounting takes root)'}`, () => {
  const harness = useHarness();

  test.each([
    ['disk_full', fill, (path: string) => rmSync(join(path, 'filler'))],
    ['disk_read_only', becomesReadOnly, (path: string) => mount('-o', 'remount,rw', path)],
  ] as const)(
    '%s: grants go on, the log says they are not kept, and they are once it is fixed',
    async (_, breakIt, fix) => {
      const state = disk(harness());
      const queen = await harness().queen({ args: ['--state', state, '--warming', '0'] });
      await using hive = new SimulatedHive({ id: 'alpha', gpus: 4, workers: 1, queenUrls: [queen.url] });
      expect((await reserve(queen.url, hive)).reservation).not.toBeNull();
      expect(saved(state)).toBe(1);
      await breakIt(state);
      expect((await reserve(queen.url, hive)).reservation).not.toBeNull();
      await queen.process.line(/"level":50.*STATE_UNWRITABLE|not kept over a restart/);
      // The former file is whole, and no half-written one stands beside it.
      expect(saved(state)).toBe(1);
      expect(await hive.sendHeartbeat()).not.toBeNull();
      expect((await getJson<{ items: unknown[] }>(`${queen.url}/v1/reservations`)).items).toHaveLength(2);
      fix(state);
      await waitFor(() => saved(state) === 2, { timeoutMs: 20_000, what: 'both reservations on the disk' });
      await queen.process.line(/kept again/);
      queen.process.signalGroup('SIGKILL');
      await queen.process.ended();
      const again = await harness().queen({ args: ['--state', state] });
      expect((await getJson<{ items: unknown[] }>(`${again.url}/v1/reservations`)).items).toHaveLength(2);
    },
  );

  test('disk_read_only: a queen that cannot keep what it grants does not start, and says why', async () => {
    const state = disk(harness());
    await becomesReadOnly(state);
    const queen = harness().cli(['queen', '--port', '0', '--state', state]);
    expect(await queen.ended(20_000)).not.toBe(0);
    expect(queen.lines.join('\n')).toMatch(/STATE_UNWRITABLE/);
    expect(queen.lines.join('\n')).toContain(state);
  });

  test('state_torn: a file that is not whole is set aside by name, and the queen starts', async () => {
    const state = disk(harness());
    writeFileSync(join(state, 'reservations.json'), '{"kind":"hivepulse.reservations","version":1,"reserv');
    const queen = await harness().queen({ args: ['--state', state] });
    await queen.process.line(/reservations\.json.*left out/);
    expect((await getJson<{ items: unknown[] }>(`${queen.url}/v1/reservations`)).items).toEqual([]);
  });
});
