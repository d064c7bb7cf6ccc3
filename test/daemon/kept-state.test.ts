import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { keepState } from '../../lib/daemon/kept-state.js';
import { startNotifier } from '../../lib/daemon/notifier.js';
import { TestQueen } from '../queen/heartbeats.js';

let state: string;
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'hivepulse-state-'));
  onTestFinished(() => rm(state, { recursive: true, force: true }));
});

const all = ['cordons.json', 'history.json', 'missing.json', 'reservations.json', 'roster.json', 'silences.json'];

it('each part of it has a file of its own', async () => {
  const queen = new TestQueen();
  const kept = await keepState(queen, 90_000, { state });
  const stop = await startNotifier(queen, {
    state,
    staleAfterMs: 90_000,
    webhook: 'http://127.0.0.1:1/',
    isLeader: () => true,
    warn: expect.unreachable,
  });
  await stop();
  await kept.close();
  expect((await readdir(state)).toSorted()).toEqual([...all, 'notices.json'].toSorted());
});

it('queens that share reservations keep all else in their own directory', async () => {
  const kept = await keepState(new TestQueen(), 90_000, {
    state,
    nats: { servers: ['nats://127.0.0.1:4222'] } as never,
  });
  expect(kept.reservations).toBeNull();
  await kept.close();
  expect((await readdir(state)).toSorted()).toEqual(all.filter((name) => name !== 'reservations.json'));
});

it('without a directory nothing is kept', async () => {
  const kept = await keepState(new TestQueen(), 90_000, {});
  kept.look();
  await kept.close();
  expect(await readdir(state)).toEqual([]);
});
