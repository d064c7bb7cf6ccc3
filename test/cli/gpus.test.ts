import { afterEach, expect, it, vi } from 'vitest';
import { createProgram } from '../../lib/cli/program.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { startQueen } from '../../lib/daemon/queen.js';
import { gpuOf, heartbeatOf, wire } from '../harness/heartbeats.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const unknown = { gpusKnown: 'unknown' as const, gpusReason: 'the driver does not answer', gpus: [] };
const none = { gpusKnown: 'none' as const, gpusReason: 'there is no driver', gpus: [] };

/** What `hivepulse <command> <args>` says of a fleet on standard output and beside it. */
async function shown(heartbeats: readonly Heartbeat[], args: readonly string[] = [], command = 'gpus') {
  const queen = await startQueen({ port: 0, warmingMs: 0 });
  try {
    for (const heartbeat of heartbeats) {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify(wire(heartbeat));
      expect((await fetch(`${queen.url}/v1/heartbeats`, { method: 'POST', headers, body })).status).toBe(200);
    }
    const texts = { out: '', err: '' };
    const taken = (name: keyof typeof texts) => (text: unknown) => {
      texts[name] += String(text);
      return true;
    };
    vi.spyOn(process.stdout, 'write').mockImplementation(taken('out'));
    vi.spyOn(process.stderr, 'write').mockImplementation(taken('err'));
    await createProgram().parseAsync(['node', 'hivepulse', command, ...args, '--queen', queen.url]);
    return texts;
  } finally {
    vi.restoreAllMocks();
    await queen.close();
  }
}

it('GPUs that cannot be read are none that do not match: the note says of which host, and why', async () => {
  const note = /GPUs of a: unknown \(the driver does not answer\)\./;
  const fleet = [heartbeatOf('a', 1, unknown), heartbeatOf('b', 1, { gpus: [gpuOf('GPU-b')] })];
  expect((await shown(fleet.slice(0, 1))).err).toMatch(note);
  const both = await shown(fleet);
  expect(both.out).toContain(' b ');
  expect(both.err).toMatch(note);
  expect((await shown(fleet, ['--hive', 'b'])).err).not.toMatch(/unknown/);
  expect((await shown([heartbeatOf('a', 1, none)])).err).toBe('hivepulse: no GPU matches.\n');
});

it.each(['workers', 'models'])(
  '%s: where none is found and a host may have some, the note names the host',
  async (command) => {
    const empty = heartbeatOf('b', 1, { ...none, workers: [] });
    expect((await shown([empty], [], command)).err).not.toMatch(/incomplete/);
    const blind = heartbeatOf('a', 1, { ...unknown, workers: [] });
    expect((await shown([empty, blind], [], command)).err).toMatch(
      /workers of a: incomplete \(workers that only their GPUs show cannot be found\)\./,
    );
  },
);

it('workers: a host that was asked for and whose list is whole has no note about another', async () => {
  const fleet = [heartbeatOf('b', 1, { ...none, workers: [] }), heartbeatOf('a', 1, { ...unknown, workers: [] })];
  expect((await shown(fleet, ['--hive', 'b'], 'workers')).err).not.toMatch(/incomplete/);
  expect((await shown(fleet, ['--hive', 'a'], 'workers')).err).toMatch(/workers of a: incomplete/);
});
