import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adoptHistory, historyFile, historyText, keepHistory } from '../../lib/queen/history-file.js';
import type { Registry } from '../../lib/queen/registry.js';

type Ring = { readonly key: string; readonly ageMs: number; readonly points: string };

/** Of a registry what the file asks of it: its days, and what it took over. */
function registryOf(rings: readonly Ring[]) {
  const adopted: unknown[] = [];
  const registry = {
    savedHistories: () => rings.values(),
    adoptHistories: (given: readonly unknown[], ageMs: number) => adopted.push([given, ageMs]),
  } as unknown as Registry;
  return { registry, adopted };
}
const ring = (key: string, points = 'AAAA'): Ring => ({ key, ageMs: 5, points });

async function directory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hivepulse-history-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

describe('the file of histories', () => {
  it('says when it was written, and has a ring a line', () => {
    const { registry } = registryOf([ring('h a'), ring('g b')]);
    expect(JSON.parse([...historyText(registry, 1234)].join(''))).toEqual({
      kind: 'hivepulse.history',
      version: 1,
      rings: [{ writtenAtMs: 1234 }, ring('h a'), ring('g b')],
    });
  });

  it('has 32 MiB at most: what comes last is left out', () => {
    const overhead = JSON.stringify(ring('h0', '')).length + 1;
    const half = (key: string, more: number) => ring(key, 'A'.repeat(16 * 2 ** 20 - overhead + more));
    for (const [more, kept] of [
      [0, 3],
      [1, 2],
    ] as const) {
      const { registry } = registryOf([half('h0', 0), half('h1', more), ring('h2')]);
      expect(JSON.parse([...historyText(registry, 1)].join('')).rings).toHaveLength(kept);
    }
  });

  it('is as old as the wall clock says; without a time nothing of it is taken', () => {
    const { registry, adopted } = registryOf([]);
    adoptHistory(registry, [{ writtenAtMs: 1000 }, ring('h a'), 7], 3500);
    expect(adopted).toEqual([[[ring('h a'), 7], 2500]]);
    for (const head of [undefined, null, {}, { writtenAtMs: '1000' }, { writtenAtMs: Number.NaN }])
      adoptHistory(registry, [head, ring('h a')], 3500);
    adoptHistory(registry, [], 3500);
    expect(adopted).toHaveLength(1);
  });

  it('is read at the start, and written then, every ten minutes, and at the end', async () => {
    const dir = await directory();
    const path = join(dir, historyFile);
    const rings = [ring('h a')];
    const { registry, adopted } = registryOf(rings);
    const warnings: string[] = [];
    await writeFile(path, [...historyText(registryOf([ring('h old')]).registry, 7000)].join(''));
    let writes = 0;
    const write = async (file: string, text: string) => {
      writes++;
      await writeFile(file, text);
    };
    let wallMs = 10_000;
    const kept = await keepHistory(registry, dir, (text) => warnings.push(text), { write, wallClock: () => wallMs });
    expect(adopted).toEqual([[[ring('h old')], 3000]]);
    expect(writes).toBe(1);
    const writtenAt = async () => JSON.parse(await readFile(path, 'utf8')).rings[0].writtenAtMs;
    expect(await writtenAt()).toBe(10_000);
    const look = async (nowMs: number) => {
      wallMs += 1;
      kept.look(nowMs);
      await kept.saved();
      return writes;
    };
    // Ten minutes after the first look, and ten after that.
    expect(await look(50)).toBe(1);
    expect(await look(600_049)).toBe(1);
    expect(await look(600_050)).toBe(2);
    expect(await writtenAt()).toBe(10_003);
    expect(await look(1_200_049)).toBe(2);
    expect(await look(1_200_050)).toBe(3);
    rings.push(ring('h b'));
    await kept.close();
    expect(writes).toBe(4);
    expect(JSON.parse(await readFile(path, 'utf8')).rings.slice(1)).toEqual(rings);
    expect(warnings).toEqual([]);
  });

  it('that is none of ours is set aside, and charts begin anew', async () => {
    const dir = await directory();
    await writeFile(join(dir, historyFile), '{"kind":"other"}');
    const { registry, adopted } = registryOf([ring('h a')]);
    const warnings: string[] = [];
    const kept = await keepHistory(registry, dir, (text) => warnings.push(text));
    await kept.close();
    expect(adopted).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('Charts begin anew.')]);
    const { rings } = JSON.parse(await readFile(join(dir, historyFile), 'utf8'));
    expect(rings.slice(1)).toEqual([ring('h a')]);
    expect(Math.abs(rings[0].writtenAtMs - Date.now())).toBeLessThan(600_000);
  });
});
