import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerView } from '../../lib/contract/api.js';
import {
  gpuHasWords,
  gpuRowsOf,
  groupNamesOf,
  heardGpuTotals,
  hiveHasWords,
  holdersOf,
  labelKeysOf,
  modelRows,
  noGroupText,
} from '../../lib/dashboard/data/fleet-rows.js';
import { heatBlocks, heatLegend, heatLevel, heatLines, heatValue, moveHeat } from '../../lib/dashboard/data/heat.js';
import { cellLook, cellText, hostCellsText } from '../../lib/dashboard/data/heat-look.js';
import { servingOf } from '../harness/heartbeats.js';
import { sampleViews } from '../harness/sample-views.js';

describe('hosts, GPUs and models as rows', () => {
  it('what is not known is in no total, and nothing known is no 0', () => {
    const { view } = sampleViews('a');
    const [first, second] = view.gpus as [(typeof view.gpus)[0], (typeof view.gpus)[0]];
    const gpus = [
      { ...first, utilizationPercent: 80, powerWatts: 300 },
      { ...second, utilizationPercent: null, powerWatts: null, memoryUsedBytes: null },
    ];
    const totals = heardGpuTotals([{ ...view, gpus }]);
    expect(totals).toEqual({
      utilizationPercent: 80,
      watts: 300,
      usedBytes: first.memoryUsedBytes,
      totalBytes: first.memoryTotalBytes,
      uncounted: 1,
    });
    expect(heardGpuTotals([{ ...view, gpus, liveness: 'offline' }])).toMatchObject({
      utilizationPercent: null,
      watts: null,
      usedBytes: null,
    });
  });

  it('a model has a row of its own for each name, summed over who says it', () => {
    const [one, two, three] = sampleViews('a').workers as [WorkerView, WorkerView, WorkerView];
    const rows = modelRows([
      { ...one, model: 'm', models: ['m', 'n'], ready: true, serving: servingOf({ running: 2, kvPercent: 20 }) },
      { ...two, model: 'm', models: ['m'], ready: true, serving: null },
      { ...three, model: 'm', models: ['m'], ready: true, liveness: 'offline', serving: servingOf({ running: 9 }) },
    ]);
    expect(rows.map(({ name }) => name)).toEqual(['m', 'n']);
    expect(rows[0]).toMatchObject({ replicas: 3, ready: 2, running: 2, freePercent: 80, reporting: 1, hosts: 1 });
    expect(modelRows([{ ...two, model: 'm', models: ['m'], serving: null }])[0]).toMatchObject({
      running: null,
      tokensPerSecond: null,
      freePercent: null,
    });
  });

  it('the words of a filter are found in all that the screen says', () => {
    const { view, workers } = sampleViews('a');
    expect(hiveHasWords(['online', 'h100'], view)).toBe(true);
    expect(hiveHasWords(['a100'], view)).toBe(true);
    expect(hiveHasWords(['offline'], view)).toBe(false);
    const rows = gpuRowsOf(view, workers);
    const found = (...words: string[]) => rows.filter((row) => gpuHasWords(words, row)).map(({ gpu }) => gpu.index);
    expect(found('h100')).toEqual([0]);
    expect(found('gpu 1')).toEqual([1]);
    expect(found('ok')).toEqual([0, 1]);
    expect(found('lost')).toEqual([]);
    expect(found(workers.find(({ gpus }) => gpus.length > 0)!.id.toLowerCase()).length).toBeGreaterThan(0);
  });

  it('a GPU whose processes are not known has no count of workers, and no 0', () => {
    const { view, workers } = sampleViews('a');
    const holder = workers.find(({ gpus }) => gpus.length > 0)!;
    const held = view.gpus.findIndex(({ uuid }) => holder.gpus.some((gpu) => gpu.uuid === uuid));
    const counts = (processCount: number | null, from: typeof workers) =>
      gpuRowsOf({ ...view, gpus: view.gpus.map((gpu) => ({ ...gpu, processCount })) }, from).map(holdersOf)[held];
    expect([counts(2, [holder]), counts(null, [holder]), counts(0, []), counts(null, [])]).toEqual([1, 1, 0, null]);
  });

  it('groups are labels, kinds of GPUs or models', () => {
    const { view, workers } = sampleViews('a');
    const row = { labels: { zone: 'a' }, gpus: view.gpus, workers };
    expect(groupNamesOf('label:zone', row)).toEqual(['zone=a']);
    expect(groupNamesOf('label:rack', row)).toEqual([]);
    expect(groupNamesOf('gpu', row)[0]).toMatch(/H100/);
    expect(groupNamesOf('model', row)).toContain(workers.find(({ model }) => model !== null)!.model);
    expect(groupNamesOf('nonsense', row)).toEqual([]);
    expect(labelKeysOf([{ labels: { b: '1' } }, { labels: { a: '1', b: '2' } }])).toEqual(['a', 'b']);
    expect(noGroupText('label:zone')).toBe('Without the label zone');
  });
});

describe('the heat map', () => {
  it('has five levels, each named in the legend', () => {
    expect([0, 19.9, 20, 59, 80, 100].map((value) => heatLevel('', value))).toEqual([1, 1, 2, 3, 5, 5]);
    expect(heatLegend('temperature')).toEqual(['below 45 °C', '45–55 °C', '55–65 °C', '65–80 °C', '80 °C and more']);
  });

  it('shows a share of VRAM, and unknown as unknown', () => {
    const { view } = sampleViews('a');
    const gpu = { ...view.gpus[0]!, memoryUsedBytes: 20, memoryTotalBytes: 80 };
    expect(heatValue('vram', { gpu })).toBe(25);
    expect(heatValue('vram', { gpu: { ...gpu, memoryUsedBytes: null } })).toBeNull();
    expect(heatValue('', { gpu: { ...gpu, utilizationPercent: null } })).toBeNull();
  });

  const counts = new Map([
    ['a', 2],
    ['b', 0],
    ['c', 3],
    ['d', 1],
  ]);
  const gpusOf = (id: string) => counts.get(id) ?? 0;
  const hosts = [...counts].map(([id, gpus]) => ({ id, gpus }));

  it('has a heading above each group, and room for the host with the most GPUs', () => {
    const lines = heatLines([{ name: 'g', text: '', hosts }], 3, 2);
    expect(lines.map(({ heading }) => heading?.name ?? null)).toEqual(['g', null, null]);
    expect(lines.map(({ cellLines }) => cellLines)).toEqual([0, 2, 1]);
  });

  it('draws lines in blocks: each line once, in order, and a heading by itself', () => {
    const group = fc.record({
      name: fc.constantFrom('', 'g'),
      text: fc.constant(''),
      hosts: fc.array(fc.record({ id: fc.string(), gpus: fc.nat(9) }), { maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(group, { maxLength: 6 }), fc.integer({ min: 1, max: 4 }), (groups, perLine) => {
        const lines = heatLines(groups, perLine, 8);
        const blocks = heatBlocks(lines);
        expect(blocks.flatMap(({ lines: its }) => its)).toEqual(lines);
        for (const { first, lines: its } of blocks) {
          expect(lines[first]).toBe(its[0]);
          if (its.some(({ heading }) => heading !== null)) expect(its).toHaveLength(1);
        }
      }),
    );
  });

  it('says in words what its picture shows', () => {
    const { view } = sampleViews('a');
    const [first, second] = view.gpus as [(typeof view.gpus)[0], (typeof view.gpus)[0]];
    const gpus = [
      { ...first, index: 0, health: 'ok' as const, utilizationPercent: 62.6 },
      { ...second, index: 1, health: 'stalled' as const, utilizationPercent: null },
    ];
    const hive = { view: { ...view, gpus }, heardAtMs: 0 };
    const asIs = <T>(status: T) => status;
    expect(hostCellsText(hive, '', asIs)).toBe('GPU 0 63 %, GPU 1 stalled');
    expect(hostCellsText(hive, 'state', asIs)).toBe('GPU 0 ok, GPU 1 stalled');
    expect(cellLook(hive, gpus[0]!, '', asIs)).toEqual({ level: 4, tone: null, text: '63' });
    // What is not known is hatched, with the symbol of its state.
    expect(cellLook(hive, gpus[1]!, '', asIs)).toMatchObject({ level: null, tone: null, text: '◧' });
    expect(cellLook(hive, gpus[1]!, 'state', asIs)).toMatchObject({ level: null, tone: 'unknown' });
    expect(cellText({ ...hive, view: { ...hive.view, liveness: 'offline' } }, gpus[1]!, asIs)).toMatch(
      /^GPU 1 of a: offline, .*, utilization unknown, VRAM /,
    );
  });

  it('is walked through by arrows: every GPU forward, and the same way back', () => {
    const lines = heatLines([{ name: 'g', text: '', hosts }], 2, 8);
    let place = moveHeat(lines, gpusOf, { line: 0, host: -1, gpu: 0 }, 'ArrowRight');
    const walked = [place];
    for (let i = 0; i < 10; i++) {
      const next = moveHeat(lines, gpusOf, place, 'ArrowRight');
      if (next === place) break;
      walked.push(next);
      place = next;
    }
    expect(walked).toHaveLength(6);
    const back = [place];
    for (let i = 0; i < 5; i++) {
      place = moveHeat(lines, gpusOf, place, 'ArrowLeft');
      back.push(place);
    }
    expect(back.reverse()).toEqual(walked);
    expect(moveHeat(lines, gpusOf, walked[1]!, 'ArrowDown')).toEqual({ line: 2, host: 0, gpu: 1 });
    expect(moveHeat(lines, gpusOf, walked[4]!, 'ArrowUp')).toEqual(expect.objectContaining({ line: 1, host: 0 }));
  });

  it('never leads to a place without a GPU, wherever one goes', () => {
    const keys = fc.array(fc.constantFrom('ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'), { maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        keys,
        (gpus, perLine, moves) => {
          const all = gpus.map((count, index) => ({ id: String(index), gpus: count }));
          const lines = heatLines([{ name: '', text: '', hosts: all }], perLine, 8);
          const count = (id: string) => gpus[Number(id)]!;
          const start = { line: 0, host: -1, gpu: 0 };
          let place = moveHeat(lines, count, start, 'ArrowRight');
          for (const key of moves) {
            if (place === start) return;
            place = moveHeat(lines, count, place, key);
            expect(place.gpu).toBeLessThan(count(lines[place.line]!.hosts[place.host]!));
          }
        },
      ),
    );
  });
});
