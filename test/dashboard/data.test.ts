import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countRows } from '../../lib/client/mirror.js';
import type { FleetEvent, WorkerView } from '../../lib/contract/api.js';
import { LiveSamples } from '../../lib/dashboard/data/live-samples.js';
import { requestOf } from '../../lib/dashboard/data/placement-request.js';
import { matchesEvent, sortWorkers, workerMatcher } from '../../lib/dashboard/data/query.js';
import { Ring, stepMs, steps } from '../../lib/dashboard/data/sparks.js';
import { offsetsOf, rowAt } from '../../lib/dashboard/parts/virtual.js';
import { gpuStyle, workerStyle } from '../../lib/present/status.js';
import { sampleViews } from '../harness/sample-views.js';

describe('the page, without a browser', () => {
  it('what an offline hive said last counts as offline, and its memory in no sum', () => {
    const [a, b] = [sampleViews('a'), sampleViews('b')];
    const counts = countRows(
      [
        { ...a.view, liveness: 'late' },
        { ...b.view, liveness: 'offline' },
      ],
      [...a.workers, ...b.workers],
    );
    const sum = (parts: Readonly<Record<string, number>>) => Object.values(parts).reduce((x, y) => x + y, 0);
    expect(counts.liveness).toEqual({ online: 0, late: 1, offline: 1 });
    expect(counts).toMatchObject({ gpus: 4, health: { ok: 2, offline: 2 }, state: { offline: 6 }, uncounted: 2 });
    expect(sum(counts.state)).toBe(12);
    expect(counts.totalBytes).toBe(a.view.gpus.reduce((total, gpu) => total + (gpu.memoryTotalBytes ?? 0), 0));
  });

  it('what is not known is sorted last in either direction', () => {
    const { workers } = sampleViews('a');
    const some = workers.map((worker, index) => ({ ...worker, cpuPercent: index % 2 ? null : index }));
    for (const [direction, known] of [
      ['asc', [0, 2, 4]],
      ['desc', [4, 2, 0]],
    ] as const) {
      expect(sortWorkers(some, 'cpu', direction).map(({ cpuPercent }) => cpuPercent)).toEqual([
        ...known,
        null,
        null,
        null,
      ]);
    }
    const models = workers.map((worker, index) => ({ ...worker, model: index < 2 ? null : `m${index}` }));
    expect(sortWorkers(models, 'model', 'desc').map(({ model }) => model)).toEqual([
      'm5',
      'm4',
      'm3',
      'm2',
      null,
      null,
    ]);
  });

  it('names are in the order people count in, and a sort that is not known is by name', () => {
    const { workers } = sampleViews('a');
    const [worker] = workers as [WorkerView];
    const named = ['a/w/10', 'a/w/9', 'a/w/1'].map((key) => ({ ...worker, key }));
    for (const sort of ['worker', 'nonsense', 'constructor']) {
      expect(sortWorkers(named, sort, 'asc').map(({ key }) => key)).toEqual(['a/w/1', 'a/w/9', 'a/w/10']);
    }
  });

  it('every word of a filter must be found, in any field, and a change of label is seen', () => {
    const { workers } = sampleViews('a');
    const [worker] = workers as [WorkerView];
    const find = (text: string, row: WorkerView) => workerMatcher({ text, state: '', model: '', hive: '' })(row);
    expect(find('', worker)).toBe(true);
    expect(find(`A/ ${worker.model?.slice(0, 5).toUpperCase()}`, worker)).toBe(true);
    expect(find('tier=gold', worker)).toBe(false);
    expect(find('tier=gold', { ...worker, labels: { tier: 'gold' } })).toBe(true);
    expect(find('tier=gold', worker)).toBe(false);
    expect(workerMatcher({ text: '', state: 'unknown', model: '', hive: '' })(worker)).toBe(false);
  });

  it('a silence is a gap: what was said last is not said again', () => {
    const live = new LiveSamples();
    const values = (cpuPercent: number | null) => ({ cpuPercent });
    expect(live.take(1000, values(4))).toBe(true);
    // Drawn again without a heartbeat, and a snapshot that tells of the same heartbeat.
    expect([live.take(1000, values(4)), live.take(1003, values(4))]).toEqual([false, false]);
    live.take(2000, values(null));
    live.take(3000, values(5));
    live.take(43_000, values(6));
    expect(live.points('cpuPercent', 3500)).toEqual([
      { at: 1000, value: 4 },
      { at: 2000, value: null },
      { at: 3000, value: 5 },
      { at: 3900, value: null },
      { at: 43_000, value: 6 },
    ]);
    expect(live.points('another', 3500).map(({ value }) => value)).toEqual([null, null, null, null, null]);
    live.forget(3000);
    expect(live.points('cpuPercent', 3500)).toEqual([{ at: 43_000, value: 6 }]);
    for (let at = 44_000; at < 944_000; at += 1000) live.take(at, values(1));
    expect(live.points('cpuPercent', 3500)).toHaveLength(240);
  });

  it('workers of an offline hive are found and sorted as offline, whatever they were last', () => {
    const { workers } = sampleViews('a');
    const [worker] = workers as [WorkerView];
    const found = (state: string, row: WorkerView) => workerMatcher({ text: '', state, model: '', hive: '' })(row);
    const silent = { ...worker, state: 'idle' as const, liveness: 'offline' as const };
    expect([found('idle', silent), found('offline', silent), found('offline', worker)]).toEqual([false, true, false]);
    const late = { ...silent, liveness: 'late' as const };
    expect([found('idle', late), found('offline', late)]).toEqual([true, false]);
    expect([
      workerStyle(silent).word,
      workerStyle(late).word,
      workerStyle({ ...late, liveness: 'online' }).word,
    ]).toEqual(['offline', 'idle', 'idle']);
    expect(gpuStyle({ health: 'ok', liveness: 'offline' }).word).toBe('offline');
  });

  it('changes of state are shown only when asked for', () => {
    const event = (kind: string): FleetEvent => ({ id: '1', at: '', kind, hive: 'a', detail: {} });
    const shown = (kind: string, filter: string) => matchesEvent(event(kind), { text: '', hive: '', kind: filter });
    expect([shown('workerStateChanged', ''), shown('workerStateChanged', 'states')]).toEqual([false, true]);
    expect([shown('oomKill', 'trouble'), shown('hiveJoined', 'trouble'), shown('hiveJoined', '')]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('a ring keeps ten minutes; what the stream said stands over what history says', () => {
    const ring = new Ring();
    const now = 3_605_000;
    const at = (cpu: number | null) => ({ cpu, memory: null, gpu: null, vram: null });
    ring.sample(now, at(7));
    ring.fill(now, { stepMs, newestAgeMs: 4000, series: { cpuPercent: [1, 2, null, 4, 5] } });
    expect(ring.read('cpu', now).slice(-6)).toEqual([null, 1, 2, null, 4, 7]);
    ring.sample(now + stepMs, at(null));
    ring.sample(now + 2 * stepMs, at(9));
    expect(ring.read('cpu', now + 2 * stepMs).slice(-4)).toEqual([4, 7, null, 9]);
    const later = ring.read('cpu', now + 200 * stepMs);
    expect(later).toHaveLength(steps);
    expect(later.every((value) => value === null)).toBe(true);
  });

  it('the row at a height is the row whose space holds it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 0.9999, noNaN: true }),
        (heights, share) => {
          const offsets = offsetsOf(heights);
          const y = offsets[heights.length]! * share;
          const row = rowAt(offsets, y);
          expect(offsets[row]!).toBeLessThanOrEqual(y);
          expect(offsets[row + 1]!).toBeGreaterThan(y);
        },
      ),
    );
    expect(rowAt(offsetsOf([]), 50)).toBe(0);
    expect(rowAt(offsetsOf([10, 10]), 500)).toBe(1);
  });

  it('a placement form becomes a request, or says what is wrong', () => {
    const form = { vram: '7.5', gpus: '2', labels: 'zone=a, pool=x=y', memory: '', strategy: 'spread' };
    expect(requestOf(form)).toEqual({
      vramBytes: 7.5 * 1024 ** 3,
      gpuCount: 2,
      labels: { zone: 'a', pool: 'x=y' },
      strategy: 'spread',
    });
    for (const wrong of [
      { vram: 'much' },
      { vram: '' },
      { vram: '-1' },
      { gpus: '0' },
      { gpus: '1.5' },
      { labels: 'zone' },
      { memory: 'x' },
    ]) {
      expect(typeof requestOf({ ...form, ...wrong }), JSON.stringify(wrong)).toBe('string');
    }
  });
});
