import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  gpuHealths,
  hiveEventKinds,
  hiveStates,
  livenesses,
  queenEventKinds,
  workerStates,
} from '../../lib/contract/index.js';
import { eventText, plural, shortUuid } from '../../lib/present/sentences.js';
import {
  eventStyles,
  gpuHealthStyles,
  hiveStateStyles,
  livenessStyles,
  styleOf,
  workerStateStyles,
} from '../../lib/present/status.js';
import {
  bytesOfWhole,
  formatAge,
  formatBytes,
  formatCelsius,
  formatCores,
  formatDuration,
  formatGib,
  formatGibOf,
  formatPercent,
  formatRate,
  formatWatts,
  unknownText,
} from '../../lib/present/units.js';

describe('status styles', () => {
  it('every value of the contract has a status style, told apart by word and symbol within its kind', () => {
    for (const [values, styles] of [
      [livenesses, livenessStyles],
      [hiveStates, hiveStateStyles],
      [workerStates, workerStateStyles],
      [gpuHealths, gpuHealthStyles],
    ] as const) {
      expect(Object.keys(styles).sort()).toEqual([...values].sort());
      const all = Object.values(styles);
      expect(new Set(all.map((f) => f.word)).size).toBe(all.length);
      expect(new Set(all.map((f) => f.symbol)).size).toBe(all.length);
    }
    expect(Object.keys(eventStyles).sort()).toEqual([...hiveEventKinds, ...queenEventKinds].sort());
  });

  it('whatever is not well has a hint that says the fix', () => {
    for (const [health, status] of Object.entries(gpuHealthStyles)) {
      if (health !== 'ok') expect(status.hint, health).not.toBe('');
    }
  });

  it('a value from a newer version keeps its own word and looks unknown', () => {
    expect(styleOf(gpuHealthStyles, 'quantum')).toMatchObject({ word: 'quantum', tone: 'unknown' });
    expect(styleOf(gpuHealthStyles, 'toString')).toMatchObject({ word: 'toString', tone: 'unknown' });
  });

  it.each([
    [formatBytes, 0, '0 B'],
    [formatBytes, 1023, '1023 B'],
    [formatBytes, 1536 * 1024, '2 MiB'],
    [formatBytes, 80 * 1024 ** 3, '80.0 GiB'],
    [formatBytes, 1024 ** 2 - 1, '1 MiB'],
    [formatBytes, 1023.96 * 1024 ** 3, '1.00 TiB'],
    [formatBytes, 3 * 1024 ** 4, '3.00 TiB'],
    [formatBytes, 312.44 * 1024 ** 4, '312.4 TiB'],
    [formatGib, 1023.9 * 1024 ** 3, '1023.9 GiB'],
    [formatGib, 2015 * 1024 ** 3, '1.97 TiB'],
    [formatGib, 0, '0.0 GiB'],
    [formatGib, 512 * 1024 ** 2, '0.5 GiB'],
    [formatGib, 9 * 1024 ** 2, '9 MiB'],
    [formatGib, 1, '1 B'],
    [formatRate, 1024 ** 2, '1 MiB/s'],
    [formatPercent, 0, '0 %'],
    [formatPercent, 0.42, '0.4 %'],
    [formatPercent, 9.96, '10 %'],
    [formatPercent, 812.4, '812 %'],
    [formatCores, 34, '0.34'],
    [formatCores, 812, '8.1'],
    [formatCores, 6400, '64'],
    [formatCelsius, 63.6, '64 °C'],
    [formatWatts, 411.7, '412 W'],
    [formatDuration, 59.9, '59 s'],
    [formatDuration, 303, '5 min 03 s'],
    [formatDuration, 3 * 3600 + 7 * 60, '3 h 07 min'],
    [formatDuration, 12 * 86_400 + 4 * 3600, '12 d 4 h'],
    [formatAge, 420, '0.4 s'],
    [formatAge, 75_000, '1 min 15 s'],
  ] as const)('%o says %d as %s', (format, value, text) => {
    expect(format(value)).toBe(text);
    expect(format(null)).toBe(unknownText);
  });

  it('a pair of which one side is unknown says which', () => {
    expect(formatGibOf(null, 80 * 1024 ** 3)).toBe('— / 80.0 GiB');
    expect(formatGibOf(61.2 * 1024 ** 3, 80 * 1024 ** 3)).toBe('61.2 / 80.0 GiB');
    expect(formatGibOf(null, null)).toBe('—');
    expect(formatGibOf(358 * 1024 ** 3, 2015 * 1024 ** 3)).toBe('0.35 / 1.97 TiB');
    expect(formatGibOf(2015 * 1024 ** 3, null)).toBe('1.97 / — TiB');
  });

  it('a part and its whole have one unit, unless the part would read as nothing', () => {
    const words = (part: number | null, whole: number | null) => Object.values(bytesOfWhole(part, whole)).join(' of ');
    expect(words(1003 * 1024 ** 3, 2519 * 1024 ** 3)).toBe('0.98 TiB of 2.46 TiB');
    expect(words(61.2 * 1024 ** 3, 80 * 1024 ** 3)).toBe('61.2 GiB of 80.0 GiB');
    expect(words(4 * 1024 ** 3, 2519 * 1024 ** 3)).toBe('4.0 GiB of 2.46 TiB');
    expect(words(null, 80 * 1024 ** 3)).toBe('— of 80.0 GiB');
    expect(words(0, null)).toBe('0 B of —');
  });

  it('bytes are written in the unit in which they are below 1,024, and never as more or less than they are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
        const [value = '', unit = ''] = formatBytes(bytes).split(' ');
        const scale = 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'].indexOf(unit);
        expect(Number(value)).toBeLessThan(1024);
        const step = 10 ** -(value.split('.')[1]?.length ?? 0) * scale;
        expect(Math.abs(Number(value) * scale - bytes)).toBeLessThanOrEqual(step / 2 + 1);
        if (bytes >= 1024 ** 3) expect(formatGib(bytes)).toBe(formatBytes(bytes));
      }),
    );
  });

  it('an exit of which nothing is known is not told as code 0', () => {
    const exited = (detail: Record<string, unknown>) =>
      eventText({ kind: 'workerExited', hive: 'h', workerId: 'llm/1', detail });
    expect(exited({ exitCode: 0 })).toBe('llm/1 exited with code 0');
    expect(exited({ exitCode: null })).toBe('llm/1 exited, status unknown (not started by `hivepulse run`)');
    expect(exited({ exitCode: null, signal: 'SIGKILL' })).toBe('llm/1 was ended by SIGKILL');
    expect(exited({ exitCode: null, reason: 'adopted' })).toBe('llm/1 exited, status unknown: adopted');
  });

  it('any event becomes a sentence', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.anything()), (kind, detail) => {
        expect(typeof eventText({ kind, hive: 'h', detail })).toBe('string');
      }),
    );
    for (const kind of [...hiveEventKinds, ...queenEventKinds]) {
      expect(eventText({ kind, hive: 'h', detail: {} })).not.toMatch(/undefined|null|\[object/);
    }
  });

  it('counts and ids read well', () => {
    expect([plural(1, 'worker'), plural(10_000, 'worker')]).toEqual(['1 worker', '10,000 workers']);
    expect(shortUuid('GPU-1a2b3c4d-5e6f-7081-92a3-b4c5d6e7f809')).toBe('1a2b3c4d');
    expect(shortUuid('AMD-0000:c1:00.0')).toBe('c1:00.0');
    expect(shortUuid('Intel-0001:07:00.1')).toBe('07:00.1');
  });
});
