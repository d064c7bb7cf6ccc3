import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listPieces } from '../../lib/queen/kept-file.js';
import type { RegistryOptions } from '../../lib/queen/registry-options.js';
import { Roster } from '../../lib/queen/roster.js';
import { keepRoster, parseRoster, rosterFile } from '../../lib/queen/roster-file.js';
import { bareHeartbeat, gpuSample, TestQueen } from './heartbeats.js';

const start = Date.parse('2026-03-01T00:00:00Z');
const staleAfterMs = 90_000;

function queenAt(wall: { ms: number }, options: RegistryOptions = {}) {
  const queen = new TestQueen({ wallClock: () => wall.ms, ...options });
  const roster = new Roster(queen, { staleAfterMs, clock: queen.time.read, wallClock: () => wall.ms });
  return { queen, roster };
}
const hear = (queen: TestQueen, id: string, seq = 1) =>
  queen.hear(id, seq, { gpus: [gpuSample(`GPU-${id}`)], hive: { labels: { rack: 'r1' } } });
const textOf = (roster: Roster): string => [...listPieces('hivepulse.roster', 'hives', roster.entries())].join('');
const adopted = (text: string): readonly unknown[] => {
  const parsed = parseRoster(text);
  if ('reason' in parsed) throw new Error(parsed.reason);
  return parsed.state;
};

describe('the roster of hives', () => {
  it('a host that died while the queen was down becomes missing; one that is heard again does not', () => {
    const wall = { ms: start };
    const before = queenAt(wall);
    for (const id of ['alive', 'dead', 'forgotten']) hear(before.queen, id);
    before.queen.time.advance(2000);
    const text = textOf(before.roster);

    wall.ms += 600_000;
    const { queen, roster } = queenAt(wall);
    roster.adopt(adopted(text));
    // What is still waited for is not lost where the queen restarts again.
    expect(adopted(textOf(roster))).toHaveLength(3);
    hear(queen, 'alive');
    hear(queen, 'forgotten');
    // Nor is one that is heard there twice.
    expect(adopted(textOf(roster))).toHaveLength(3);
    roster.check();
    queen.removeHive('forgotten');
    queen.time.advance(staleAfterMs - 1);
    wall.ms += staleAfterMs - 1;
    hear(queen, 'alive', 2);
    roster.check();
    expect(queen.listMissing().items).toEqual([]);
    queen.time.advance(1);
    wall.ms += 1;
    roster.check();
    expect(queen.listMissing().items).toMatchObject([
      {
        kind: 'hive',
        key: 'dead',
        reason: 'silent',
        since: new Date(start - 2000).toISOString(),
        last: { labels: { rack: 'r1' }, gpus: [{ uuid: 'GPU-dead' }], liveness: 'offline' },
      },
    ]);
    expect(queen.events.recent().at(-1)).toMatchObject({ kind: 'hiveRemoved', hive: 'dead' });
    expect(queen.attention().items).toMatchObject([{ cause: 'hiveMissing', hive: 'dead' }]);
    // Once, whatever comes later.
    queen.missing.removeHive('dead');
    roster.check();
    expect(queen.listMissing().items).toEqual([]);
  });

  it('has a bound: of more than it has room for it keeps that they were there', () => {
    const wall = { ms: start };
    const { queen } = queenAt(wall);
    for (let host = 0; host < 30; host++)
      queen.hear(`host-${host}`, 1, { gpus: Array.from({ length: 16 }, (_, i) => gpuSample(`GPU-${host}-${i}`)) });
    const roster = new Roster(queen, { staleAfterMs, wallClock: () => wall.ms, maxChars: 100_000 });
    const text = textOf(roster);
    const hives = adopted(text) as { last: { id: string; gpus: unknown[] } }[];
    expect(new Set(hives.map(({ last }) => last.id)).size).toBe(30);
    const whole = hives.filter(({ last }) => last.gpus.length === 16);
    expect(whole.length).toBeGreaterThan(2);
    const charsOf = (each: object) => JSON.stringify(each).length;
    const chars = whole.reduce((sum, each) => sum + charsOf(each), 0);
    // Of one owner it is four fifths at most, and as much of it as there are whole hives.
    expect(chars).toBeLessThanOrEqual(80_000);
    expect(chars).toBeGreaterThan(80_000 - charsOf(whole[0]!));
    expect(text.length).toBeLessThan(100_000 + 30 * 2000);
    const later = queenAt(wall);
    later.roster.adopt(hives);
    expect(adopted(textOf(later.roster))).toHaveLength(30);
    const without = new Roster(queen, { staleAfterMs, wallClock: () => wall.ms, maxChars: 0 });
    const bare = adopted(textOf(without)) as typeof hives;
    expect(bare).toHaveLength(30);
    for (const { last } of bare) expect(last).toMatchObject({ gpus: [], labels: {} });
  });

  it('of one token with many hives takes neither the room nor the place in the list of another, over a restart', () => {
    const wall = { ms: start };
    const { queen } = queenAt(wall);
    const labels = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 'x'.repeat(200)]));
    const hearOf = (owner: string, id: string) =>
      queen.heartbeat(bareHeartbeat(id, 1, { gpus: [gpuSample(`GPU-${id}`)], hive: { labels } }), {
        owner,
        textBytes: 0,
      });
    for (let i = 0; i < 60; i++) hearOf('noisy', `a-${i}`);
    hearOf('honest', 'z');
    const roster = new Roster(queen, { staleAfterMs, wallClock: () => wall.ms, maxChars: 100_000 });
    const file = adopted(textOf(roster)) as { last: { id: string; gpus: unknown[] } }[];
    expect(file.find(({ last }) => last.id === 'z')?.last.gpus).toHaveLength(1);
    expect(JSON.stringify(file)).not.toContain('honest');

    const later = queenAt(wall, { memory: { missingBytes: 100_000 } });
    later.roster.adopt(file.toReversed());
    later.queen.time.advance(staleAfterMs);
    later.roster.check();
    const missing = later.queen.listMissing({ limit: 1000 }).items.map(({ hive }) => hive);
    expect(missing).toContain('z');
    expect(missing.length).toBeLessThan(60);
  });

  it('is written when hives come or go, and once a minute; what is no hive in it is left out', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'hivepulse-roster-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const { queen, roster } = queenAt({ ms: start });
    let writes = 0;
    const kept = await keepRoster(roster, dir, expect.unreachable, async () => void writes++);
    const look = async (nowMs: number) => {
      kept.look(queen.hiveCount, nowMs);
      await kept.saved();
      return writes;
    };
    const first = await look(0);
    hear(queen, 'a');
    expect(await look(4999)).toBe(first);
    expect(await look(5000)).toBe(first + 1);
    expect(await look(64_999)).toBe(first + 1);
    expect(await look(65_000)).toBe(first + 2);
    await kept.close();

    const real = await keepRoster(roster, dir, expect.unreachable);
    await real.close();
    const text = await readFile(join(dir, rosterFile), 'utf8');
    expect(adopted(text)).toHaveLength(1);
    const file = JSON.parse(text) as { hives: object[] };
    expect(parseRoster(JSON.stringify({ ...file, version: 2 }))).toHaveProperty('reason');
    const next = queenAt({ ms: start });
    await (await keepRoster(next.roster, dir, expect.unreachable)).close();
    expect(adopted(textOf(next.roster))).toHaveLength(1);
    const later = queenAt({ ms: start });
    later.roster.adopt([...file.hives, {}, null, { ...file.hives[0], heardAtMs: -1 }]);
    expect(adopted(textOf(later.roster))).toHaveLength(1);
  });

  it('keeps no more hives than a queen takes, and makes none missing before their time by the clock of the process', () => {
    const wall = { ms: start };
    const { queen } = queenAt(wall);
    hear(queen, 'a');
    const [item] = adopted(textOf(new Roster(queen, { staleAfterMs }))) as { last: object }[];
    const later = queenAt(wall);
    const roster = new Roster(later.queen, { staleAfterMs });
    roster.adopt(Array.from({ length: 20_001 }, (_, i) => ({ ...item, last: { ...item!.last, id: `h${i}` } })));
    roster.check();
    expect(later.queen.listMissing().items).toEqual([]);
    let entries = 0;
    for (const _ of roster.entries()) entries++;
    expect(entries).toBe(20_000);
  });
});
