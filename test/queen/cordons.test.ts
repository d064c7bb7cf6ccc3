import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Act, apply, decisionActs, readAct } from '../../lib/cluster/acts.js';
import { cordonsFile, keepCordons, parseCordons } from '../../lib/queen/cordon-file.js';
import { type CordonEntry, Cordons } from '../../lib/queen/cordons.js';
import type { RegistryChange } from '../../lib/queen/registry.js';
import { gib, gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

const start = Date.parse('2026-03-01T00:00:00Z');
const fields = {
  gpus: [gpuSample('GPU-0')],
  workers: [workerSample('llm/0', { ...onGpu('GPU-0'), model: 'm', ready: true, endpoint: 'http://10.0.0.1:8000' })],
};

function queenAt(clock: { wallMs: number }, hives = ['a', 'b']): TestQueen {
  const queen = new TestQueen({ wallClock: () => clock.wallMs });
  for (const id of hives)
    queen.hear(id, 1, {
      ...fields,
      gpus: [gpuSample(`GPU-${id}`)],
      workers: fields.workers.map((each) => ({ ...each })),
    });
  return queen;
}
const events = (queen: TestQueen) =>
  queen.events
    .recent()
    .filter(({ kind }) => /ordoned/.test(kind))
    .map(({ kind, hive, detail }) => ({ kind, hive, detail }));

describe('a cordoned hive', () => {
  it('gets no placement and no request, is shown as before, and takes work again once it is uncordoned', () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock);
    queen.cordons.set('a', { reason: 'Xid 79', by: 'kim' });
    const reply = queen.place({ vramBytes: gib(1) });
    expect(reply.candidates.map(({ hive }) => hive)).toEqual(['b']);
    expect(reply.refusals).toEqual([{ hive: 'a', reason: 'cordoned', detail: 'an admin cordoned it: Xid 79' }]);
    for (let picks = 0; picks < 8; picks++) expect(queen.pickWorkers({ model: 'm' }).worker?.hive).toBe('b');
    expect(queen.hive('a')).toMatchObject({
      liveness: 'online',
      workerCount: 1,
      cordon: { reason: 'Xid 79', by: 'kim', since: '2026-03-01T00:00:00.000Z', expiresAt: null },
    });
    // It stays so with its heartbeats, and when it was gone and is back.
    queen.hear('a', 2, { ...fields, gpus: [gpuSample('GPU-a')] });
    queen.time.advance(90_000);
    queen.advance();
    queen.hear('a', 3, { ...fields, gpus: [gpuSample('GPU-a')] });
    expect(queen.hive('a')?.cordon?.reason).toBe('Xid 79');
    expect(queen.place({ vramBytes: gib(1) }).candidateCount).toBe(0);

    expect(queen.cordons.lift('a')).not.toBeNull();
    expect(queen.cordons.lift('a')).toBeNull();
    expect(queen.hive('a')).not.toHaveProperty('cordon');
    expect(queen.place({ vramBytes: gib(1) }).candidateCount).toBe(1);
    expect(events(queen)).toMatchObject([
      { kind: 'hiveCordoned', hive: 'a', detail: { reason: 'Xid 79', by: 'kim', expiresAt: null } },
      { kind: 'hiveUncordoned', hive: 'a', detail: { reason: 'Xid 79', expired: false } },
    ]);
    expect(queen.audit()).toEqual([]);
  });

  it('takes work again by itself when its time is over, and says so', () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock);
    queen.cordons.set('a', { reason: 'update', expiresInSeconds: 3600 });
    clock.wallMs += 3_599_999;
    queen.advance();
    expect(queen.hive('a')?.cordon?.expiresAt).toBe('2026-03-01T01:00:00.000Z');
    clock.wallMs += 1;
    queen.advance();
    expect(queen.hive('a')?.cordon).toBeUndefined();
    expect(events(queen).at(-1)).toMatchObject({ kind: 'hiveUncordoned', detail: { expired: true } });
  });

  it('is sent to whoever looks, at once', () => {
    const queen = queenAt({ wallMs: start });
    const seen: unknown[] = [];
    queen.subscribe((change) => change.type === 'heartbeat' && seen.push(change.heartbeat.hive.cordon?.reason ?? null));
    queen.cordons.set('a', { reason: 'Xid 79' });
    queen.cordons.lift('a');
    expect(seen).toEqual(['Xid 79', null]);
  });

  it('is sent alone: what is said of its workers stands', () => {
    const queen = queenAt({ wallMs: start });
    const seen: RegistryChange[] = [];
    queen.subscribe((change) => seen.push(change));
    queen.cordons.set('a', { reason: 'Xid 79' });
    const hive = expect.objectContaining({ id: 'a', cordon: expect.objectContaining({ reason: 'Xid 79' }) });
    expect(seen).toEqual([
      { type: 'queenEvent', event: expect.objectContaining({ kind: 'hiveCordoned', hive: 'a' }) },
      { type: 'heartbeat', hiveId: 'a', heartbeat: { hive, workers: [], gone: [], whole: false } },
    ]);
  });

  it('that was never heard has no row to be sent, and its event is', () => {
    const queen = queenAt({ wallMs: start }, []);
    const seen: RegistryChange[] = [];
    queen.subscribe((change) => seen.push(change));
    queen.cordons.set('unheard', { reason: 'Xid 79' });
    expect(seen.map(({ type }) => type)).toEqual(['queenEvent']);
    expect(events(queen)).toMatchObject([{ kind: 'hiveCordoned', hive: 'unheard' }]);
  });

  it('is cordoned no longer once an admin has it forgotten', () => {
    const queen = queenAt({ wallMs: start });
    queen.cordons.set('a', { reason: 'Xid 79' });
    queen.removeHive('a');
    queen.hear('a', 2);
    expect(queen.hive('a')?.cordon).toBeUndefined();
  });
});

describe('cordons of several queens', () => {
  it('are the same everywhere, in whatever order what was decided comes, also at a queen that comes later', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(2), hive: fc.constantFrom('a', 'b'), lift: fc.boolean() }), { maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        (steps, order) => {
          const clock = { wallMs: start };
          const queens = [0, 1, 2].map(() => queenAt(clock));
          const sent: Act[] = [];
          for (const { at, hive, lift } of steps) {
            const { cordons } = queens[at]!;
            clock.wallMs += 10;
            const entry = lift ? cordons.lift(hive) : cordons.set(hive, { reason: `by ${at}` });
            if (entry !== null) sent.push({ type: 'cordon', ...entry });
          }
          for (const queen of queens) {
            const left = [...sent];
            while (left.length > 0) {
              const [act] = left.splice(order.next().value! % left.length, 1);
              expect(apply(queen, readAct(Buffer.from(JSON.stringify(act)))!)).toEqual([]);
            }
          }
          const late = queenAt(clock);
          for (const act of apply(queens[0]!, { type: 'hello', hive: 'all' })) apply(late, act);
          const held = [...queens, late].map((queen) => ['a', 'b'].map((id) => queen.hive(id)?.cordon ?? null));
          for (const each of held) expect(each).toEqual(held[0]);
          expect(decisionActs(late)).toHaveLength(queens[0]!.cordons.entries().length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('of a clock that is far ahead is not taken: nothing could undo it', () => {
    const queen = queenAt({ wallMs: start });
    const cordon = { reason: 'x', by: null, since: new Date(start).toISOString(), expiresAt: null };
    expect(queen.cordons.adopt({ hive: 'a', atMs: start + 3_600_000, cordon })).toBe(false);
    expect(queen.cordons.adopt({ hive: 'a', atMs: start + 1000, cordon })).toBe(true);
    expect(queen.cordons.lift('a')).not.toBeNull();
    for (const entry of [null, {}, { hive: 'a', atMs: -1, cordon: null }, { hive: '../a', atMs: start, cordon }])
      expect(queen.cordons.adopt(entry)).toBe(false);
  });

  it('keep to a bounded number, and forget after a day what was lifted', () => {
    const clock = { wallMs: start };
    const cordons = new Cordons(
      () => clock.wallMs,
      () => undefined,
    );
    for (let i = 0; i < 10_100; i++) {
      const entry: CordonEntry = { hive: `h${i}`, atMs: start, cordon: null };
      cordons.adopt(entry);
    }
    expect(cordons.entries()).toHaveLength(10_000);
    clock.wallMs += 24 * 3_600_000 + 1;
    cordons.expire();
    expect(cordons.entries()).toEqual([]);
  });
});

describe('cordons over a restart', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hivepulse-cordons-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('are kept, before the hive is heard and after', async () => {
    const clock = { wallMs: start };
    const queen = queenAt(clock);
    const kept = await keepCordons(queen.cordons, dir, () => undefined);
    queen.cordons.set('a', { reason: 'Xid 79', by: 'kim' });
    await kept.close();
    const next = new TestQueen({ wallClock: () => clock.wallMs });
    await (await keepCordons(next.cordons, dir, () => undefined)).close();
    next.hear('a', 1, fields);
    expect(next.hive('a')?.cordon).toEqual(queen.hive('a')?.cordon);
    expect(next.place({ vramBytes: gib(1) }).refusals).toMatchObject([{ reason: 'cordoned' }]);
    expect(parseCordons(await readFile(join(dir, cordonsFile), 'utf8'))).toMatchObject({ state: { length: 1 } });
  });

  it('are written by what is given for it, after each change, until the file is closed', async () => {
    const queen = queenAt({ wallMs: start });
    const written: string[] = [];
    const kept = await keepCordons(
      queen.cordons,
      dir,
      () => undefined,
      async (file, text) => {
        written.push(text);
        await writeFile(file, text);
      },
    );
    queen.cordons.set('a', { reason: 'Xid 79' });
    await kept.saved();
    const entries = queen.cordons.entries();
    expect(written.map((text) => JSON.parse(text))).toEqual(
      [[], entries].map((each) => ({ kind: 'hivepulse.cordons', version: 1, entries: each })),
    );
    await kept.close();
    const count = written.length;
    queen.cordons.lift('a');
    await kept.saved();
    expect(written).toHaveLength(count);
  });

  it('reads any text as a file or as a reason', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const parsed = parseCordons(text);
        expect('state' in parsed || parsed.reason.length > 0).toBe(true);
      }),
    );
  });
});
