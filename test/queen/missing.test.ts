import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { MissingList } from '../../lib/contract/missing.js';
import { MissingItems } from '../../lib/queen/missing.js';
import { keepMissing, missingFile, parseMissing } from '../../lib/queen/missing-file.js';
import { bareHeartbeat, gib, gpuSample, type HeartbeatFields, runB, TestQueen, workerSample } from './heartbeats.js';

const two = {
  gpus: [gpuSample('GPU-0'), gpuSample('GPU-1', { index: 1, memoryTotalBytes: gib(48) })],
  workers: [workerSample('llm/0')],
};
const keys = (queen: TestQueen, query = {}) => queen.missing.list(query).items.map(({ kind, key }) => `${kind} ${key}`);
/** GPUs of a hive that were missing before a restart. */
function missingOf(hive: string, gpus: ReturnType<typeof gpuSample>[]): unknown[] {
  const before = new TestQueen();
  before.hear(hive, 1, { gpus });
  before.hear(hive, 2);
  return Array.from(before.missing.saved(), (text) => JSON.parse(text) as unknown);
}
const silent = defaults.staleAfterMs;

describe('what is missing', () => {
  it('is a hive that was silent for long, with its GPUs and workers and what they said last', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, two);
    queen.time.advance(silent - 1);
    queen.advance();
    expect(queen.fleet().missing).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    queen.time.advance(1);
    queen.advance();
    expect(queen.fleet()).toMatchObject({
      hives: { online: 0, late: 0, offline: 0 },
      workers: { total: 0 },
      missing: { hives: 1, gpus: 2, workers: 1 },
    });
    expect(keys(queen)).toEqual(['hive a', 'gpu GPU-0', 'gpu GPU-1', 'worker a/llm/0']);
    const list = queen.missing.list({});
    expect(Value.Errors(MissingList, list)).toEqual([]);
    const [hive, gpu, , worker] = list.items;
    expect(hive).toMatchObject({ reason: 'silent', last: { id: 'a', liveness: 'offline', ageMs: silent } });
    expect(hive!.missingMs).toBeGreaterThanOrEqual(silent);
    expect(gpu).toMatchObject({ hive: 'a', last: { uuid: 'GPU-0', memoryTotalBytes: gib(24) } });
    expect(worker).toMatchObject({ hive: 'a', last: { id: 'llm/0', state: 'idle' } });
  });

  it('has no part in scheduling, and is back with the first heartbeat that names it', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, two);
    queen.time.advance(silent);
    queen.advance();
    const reply = queen.place({ vramBytes: gib(1) });
    expect([reply.candidateCount, reply.refusedCount]).toEqual([0, 0]);
    expect(queen.getAllWorkers({ includeStale: true })).toEqual([]);
    // It comes back without one of its GPUs, and without its worker.
    queen.hear('a', 2, {
      hive: { incarnation: runB, startedAt: '2026-02-01T00:00:00.000Z' },
      gpus: [gpuSample('GPU-0')],
    });
    expect(keys(queen)).toEqual(['gpu GPU-1', 'worker a/llm/0']);
    // Its host is not missing any more: it is the GPU that is.
    expect(queen.listMissing().items.map(({ reason }) => reason)).toEqual(['notReported', 'notReported']);
    queen.hear('a', 3, { hive: { incarnation: runB, startedAt: '2026-02-01T00:00:00.000Z' }, ...two });
    expect(keys(queen)).toEqual([]);
  });

  it('is a GPU or worker that its hive names no longer, but not a MIG device; what another hive says of it hides nothing', () => {
    const queen = new TestQueen();
    const hear = (id: string, seq: number, fields: HeartbeatFields) =>
      queen.heartbeat(bareHeartbeat(id, seq, fields), { owner: `token of ${id}`, textBytes: 0 });
    const mig = gpuSample('MIG-0', { parentUuid: 'GPU-0' });
    hear('a', 1, { ...two, gpus: [...two.gpus, mig] });
    hear('b', 1, { gpus: [gpuSample('GPU-1')] });
    hear('a', 2, { gpus: [] });
    expect(keys(queen)).toEqual(['gpu GPU-0', 'gpu GPU-1', 'worker a/llm/0']);
    expect(queen.missing.list({}).items.map(({ reason }) => reason)).toEqual(Array(3).fill('notReported'));
    // Neither is it back, nor somebody else's, where another hive claims it and lets go of it.
    hear('b', 2, { gpus: [gpuSample('GPU-0')] });
    hear('b', 3, { gpus: [] });
    const items = queen.missing.list({ kind: 'gpu' }).items.map(({ hive, key }) => `${hive} ${key}`);
    expect(items).toEqual(['a GPU-0', 'a GPU-1', 'b GPU-0', 'b GPU-1']);
    hear('a', 3, two);
    expect(queen.missing.list({}).items.map(({ hive, key }) => `${hive} ${key}`)).toEqual(['b GPU-0', 'b GPU-1']);
    expect(queen.missing.remove('gpu', 'GPU-0')).toBe(true);
    expect(keys(queen)).toEqual(['gpu GPU-1']);
  });

  it('ends where a card was moved to another host of the same token, whichever of the two is heard first', () => {
    const card = { gpus: [gpuSample('GPU-0')] };
    const missing = (queen: TestQueen) => queen.missing.list({ kind: 'gpu' }).items.map(({ hive }) => hive);
    const lostFirst = new TestQueen();
    lostFirst.hear('a', 1, card);
    lostFirst.hear('a', 2);
    expect(missing(lostFirst)).toEqual(['a']);
    lostFirst.hear('b', 1, card);
    expect(missing(lostFirst)).toEqual([]);

    const foundFirst = new TestQueen();
    foundFirst.hear('a', 1, card);
    foundFirst.hear('b', 1, card);
    foundFirst.hear('a', 2);
    expect(missing(foundFirst)).toEqual([]);

    const hostGone = new TestQueen();
    hostGone.hear('a', 1, card);
    hostGone.time.advance(silent - 1);
    hostGone.hear('b', 1, card);
    hostGone.time.advance(1);
    hostGone.advance();
    expect(keys(hostGone)).toEqual(['hive a']);

    // After a restart of the queen nobody knows whose it was until its host is heard.
    const restarted = new TestQueen();
    restarted.missing.adopt(missingOf('a', card.gpus));
    restarted.hear('b', 1, card);
    expect(missing(restarted)).toEqual(['a']);
    restarted.hear('a', 9);
    expect(missing(restarted)).toEqual([]);
  });

  it('stays where a hive of another token says that it has it, with that hive for as long as it is heard', () => {
    const queen = new TestQueen();
    const hear = (id: string, seq: number, fields?: HeartbeatFields) =>
      queen.heartbeat(bareHeartbeat(id, seq, fields), { owner: `token of ${id}`, textBytes: 0 });
    const card = { gpus: [gpuSample('GPU-0')] };
    hear('a', 1, card);
    hear('a', 2);
    const shown = () => queen.listMissing({ kind: 'gpu' });
    expect(shown().items[0]).not.toHaveProperty('reportedBy');
    hear('b', 1, card);
    expect(shown().items).toMatchObject([{ hive: 'a', reportedBy: 'b' }]);
    expect(Value.Errors(MissingList, shown())).toEqual([]);
    expect(queen.attention().items).toMatchObject([
      { hive: 'a', text: expect.stringContaining('b says that it has it') },
    ]);
    // What is kept is only what its own hive said.
    expect([...queen.missing.saved()].join()).not.toContain('reportedBy');
    hear('b', 2);
    expect(shown().items).toMatchObject([{ hive: 'a' }, { hive: 'b' }]);
    for (const item of shown().items) expect(item).not.toHaveProperty('reportedBy');
  });

  it('of one owner pushes out nothing of another, before and after a restart, in any order', () => {
    const owners = fc.constantFrom('honest', 'noisy');
    const queen = new TestQueen();
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    const last = queen.gpu('GPU-0')!;
    fc.assert(
      fc.property(fc.array(fc.tuple(owners, fc.nat(400)), { minLength: 40, maxLength: 120 }), (order) => {
        const maxBytes = 200_000;
        let missing = new MissingItems(() => 0, maxBytes);
        const lose = (owner: string, hive: string) =>
          missing.add('gpu', `GPU-${hive}`, 'notReported', { ...last, hive }, owner);
        const of = (prefix: string) =>
          missing.list({ limit: 1000 }).items.filter(({ hive }) => hive.startsWith(prefix));
        for (let i = 0; i < 8; i++) lose('token 1', `honest-${i}`);
        for (const [owner, i] of order)
          lose(owner === 'honest' ? 'token 1' : 'token 2', `${owner}-${i % (owner === 'honest' ? 8 : 401)}`);
        for (let i = 0; i < 300; i++) lose('token 2', `noisy-${i}`);
        expect(of('honest')).toHaveLength(8);
        expect(of('noisy').length).toBeGreaterThan(20);
        const saved = Array.from(missing.saved(), (text) => JSON.parse(text) as unknown);
        missing = new MissingItems(() => 0, maxBytes);
        expect(missing.adopt(saved)).toBe(0);
        for (let i = 0; i < 300; i++) lose('token 2', `noisy-again-${i}`);
        expect(of('honest')).toHaveLength(8);
        expect(of('noisy-again').length).toBeGreaterThan(8);
      }),
      { numRuns: 20 },
    );
  });

  it('a hive with GPUs without end pushes out its own, and not what others lost', () => {
    const missing = new MissingItems(() => 0, 200_000);
    const lose = (hive: string, uuid: string) =>
      missing.add('gpu', uuid, 'notReported', { ...gpuSample(uuid), hive, ageMs: 0 } as never);
    for (let i = 0; i < 8; i++) lose('honest', `GPU-${i}`);
    for (let i = 0; i < 1000; i++) lose('noisy', `GPU-${i}`);
    const of = (hive: string) => missing.list({ hive, limit: 1000 }).items.length;
    expect(of('honest')).toBe(8);
    expect(of('noisy')).toBeGreaterThan(8);
    expect(of('noisy')).toBeLessThan(200);
    expect(missing.removeHive('noisy')).toBe(true);
    expect(missing.counts()).toMatchObject({ gpus: 8 });
  });

  it('says of a hive that was stopped in an ordinary way that it was', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, { hive: { state: 'stopping' } });
    queen.time.advance(silent);
    queen.advance();
    expect(queen.missing.list({}).items).toMatchObject([{ key: 'a', reason: 'stopped' }]);
  });

  it('is forgotten with its hive, alone, and after seven days', () => {
    let wallMs = Date.parse('2026-03-01T00:00:00Z');
    const queen = new TestQueen({ wallClock: () => wallMs });
    for (const id of ['a', 'b']) queen.hear(id, 1, { workers: [workerSample('llm/0')] });
    queen.time.advance(silent);
    queen.advance();
    const before = queen.fleet().missing.revision;
    expect(queen.removeHive('a')).toBe(true);
    expect(queen.removeHive('a')).toBe(false);
    expect(queen.missing.remove('worker', 'b/llm/0')).toBe(true);
    expect(queen.missing.remove('worker', 'b/llm/0')).toBe(false);
    expect(keys(queen)).toEqual(['hive b']);
    expect(queen.fleet().missing.revision).toBeGreaterThan(before);
    wallMs += 7 * 24 * 3_600_000 - 1;
    queen.advance();
    expect(keys(queen)).toEqual(['hive b']);
    wallMs += 1;
    queen.advance();
    expect(keys(queen)).toEqual([]);
  });

  it('is not what an admin removed', () => {
    const queen = new TestQueen();
    queen.hear('a', 1, two);
    queen.removeHive('a');
    expect(keys(queen)).toEqual([]);
  });

  it('keeps to its bytes: workers that come and go never push out a host', () => {
    const queen = new TestQueen({ memory: { missingBytes: 64 * 1024 } });
    queen.hear('lost', 1, two);
    queen.hear('busy', 1);
    queen.time.advance(silent);
    queen.hear('busy', 2);
    for (let seq = 3; seq < 200; seq++) queen.hear('busy', seq, { workers: [workerSample(`llm/${seq}`)] });
    const { hives, gpus, workers } = queen.fleet().missing;
    expect([hives, gpus]).toEqual([1, 2]);
    expect(workers).toBeGreaterThan(2);
    expect(workers).toBeLessThan(30);
    // Neither do they push out a worker that another hive lost.
    expect(keys(queen)).toEqual(expect.arrayContaining(['worker busy/llm/198', 'worker lost/llm/0']));
  });

  it('pages through all of it once, whatever the size of a page', () => {
    const queen = new TestQueen();
    for (const id of ['a', 'b', 'c']) queen.hear(id, 1, { workers: [workerSample('llm/0'), workerSample('llm/1')] });
    queen.time.advance(silent);
    queen.advance();
    const all = keys(queen);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), (limit) => {
        const paged: string[] = [];
        let cursor: string | null = null;
        do {
          const page = queen.missing.list({ limit, ...(cursor === null ? {} : { cursor }) });
          paged.push(...page.items.map(({ kind, key }) => `${kind} ${key}`));
          cursor = page.nextCursor;
        } while (cursor !== null);
        expect(paged).toEqual(all);
      }),
    );
    expect(keys(queen, { kind: 'worker', hive: 'b' })).toEqual(['worker b/llm/0', 'worker b/llm/1']);
  });
});

describe('what is missing over a restart', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hivepulse-missing-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('is kept with its times, and forgotten at its own end', async () => {
    let wallMs = Date.parse('2026-03-01T00:00:00Z');
    const warnings: string[] = [];
    const queen = new TestQueen({ wallClock: () => wallMs });
    const kept = await keepMissing(queen.missing, dir, (text) => warnings.push(text));
    queen.hear('a', 1, two);
    queen.time.advance(silent);
    queen.advance();
    await kept.close();
    wallMs += 3_600_000;
    const next = new MissingItems(() => wallMs);
    await (await keepMissing(next, dir, (text) => warnings.push(text))).close();
    const ofBefore = queen.missing.list({}).items;
    expect(next.list({}).items).toEqual(ofBefore);
    expect(ofBefore[0]!.missingMs).toBe(silent + 3_600_000);
    wallMs += defaults.missingMs;
    const late = new MissingItems(() => wallMs);
    await (await keepMissing(late, dir, (text) => warnings.push(text))).close();
    expect(late.counts()).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    expect(warnings).toEqual([]);
  });

  it('leaves out what is malformed, says so, and keeps the rest', async () => {
    const queen = new TestQueen();
    queen.hear('a', 1, two);
    queen.time.advance(silent);
    queen.advance();
    const items = Array.from(queen.missing.saved(), (text) => JSON.parse(text) as unknown);
    const text = JSON.stringify({ kind: 'hivepulse.missing', version: 1, items: [{ kind: 'hive' }, 7, ...items] });
    await writeFile(join(dir, missingFile), text);
    const warnings: string[] = [];
    const next = new MissingItems(Date.now);
    await (await keepMissing(next, dir, (warning) => warnings.push(warning))).close();
    expect(next.counts()).toMatchObject({ hives: 1, gpus: 2, workers: 1 });
    expect(warnings).toMatchObject([expect.stringContaining('2 of 6 items')]);
    expect(parseMissing(await readFile(join(dir, missingFile), 'utf8'))).toMatchObject({ state: { length: 4 } });
  });

  it('reads any text as a file or as a reason', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const parsed = parseMissing(text);
        expect('state' in parsed || parsed.reason.length > 0).toBe(true);
        if ('state' in parsed) new MissingItems(Date.now).adopt(parsed.state);
      }),
    );
    expect(new MissingItems(Date.now).adopt([null, {}, { kind: 'hive', key: 'a' }])).toBe(3);
  });
});
