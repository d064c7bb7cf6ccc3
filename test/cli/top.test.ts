import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { columns, plain } from '../../lib/cli/text.js';
import { AttentionWatch } from '../../lib/cli/top/attention.js';
import { type Key, parseInput } from '../../lib/cli/top/keys.js';
import { wrap } from '../../lib/cli/top/lines.js';
import { press } from '../../lib/cli/top/press.js';
import { render, shownOf, type TopState } from '../../lib/cli/top/render.js';
import type { Items } from '../../lib/cli/top/rows.js';
import { itemsAt } from '../../lib/cli/top/run.js';
import { Screen } from '../../lib/cli/top/screen.js';
import { initialUi, type Ui } from '../../lib/cli/top/ui.js';
import type { AttentionLine } from '../../lib/contract/silence.js';
import { attentionLines } from '../../lib/present/silence.js';
import { portion } from '../harness/draws.js';
import { TestQueen } from '../queen/heartbeats.js';
import { sampleFleet, settledHeartbeat, topState, viewsOf } from './fleet.js';

const size = { columns: 140, rows: 36 };
const { mirror, items } = sampleFleet();
const screen = (changes: Partial<TopState> = {}, at = size) => render(topState(items, changes), at);
const text = (changes: Partial<TopState> = {}, at = size) => screen(changes, at).map(plain).join('\n');
const pressed = (keys: readonly Key[], from: Ui = initialUi, over: Items = items) =>
  keys.reduce((ui, key) => press(ui, key, over, shownOf(topState(over, { ui }), size)), from);
const line = (part: string, changes: Partial<TopState> = {}) =>
  text(changes)
    .split('\n')
    .find((candidate) => candidate.includes(part)) ?? '';

const lost = new TestQueen();
for (const id of ['host-1', 'host-2', 'host-3', 'host-4']) lost.hear(id, 1);
lost.time.advance(90_000);
const lostLines = attentionLines(lost.attention().items, []);
const many: AttentionLine[] = Array.from({ length: 5 }, (_, i) => ({
  ...lostLines[0]!,
  severity: 'warning',
  title: `trouble ${i}`,
}));

describe('top: a frame', () => {
  test('the head says what needs attention: all that is critical, and of the rest what has room', () => {
    expect(text({ attention: lostLines })).toMatch(
      /✕ 4 hosts missing {2}host-1, host-2, host-3 and 1 more\. It sends no/,
    );
    expect(text({ attention: many })).toMatch(/◆ trouble 2[\s\S]*and 2 more: hivepulse attention/);
    expect(text({ attention: many })).not.toMatch(/trouble 3/);
    expect(
      text({ attention: [...lostLines, ...lostLines, ...lostLines, ...lostLines] }).match(/✕ 4 hosts/g),
    ).toHaveLength(4);
    expect(text()).not.toMatch(/\d missing/);
    const missing = { hives: 2, gpus: 5, workers: 0, revision: 1 };
    expect(text({ missing })).toMatch(/hives .* ✕ 2 missing/);
  });

  test('has exactly the lines of the screen, none wider than it, in every view and size', () => {
    const first = items.workers[0];
    const details = [
      null,
      { kind: 'hive', key: 'beta' },
      { kind: 'worker', key: first?.key ?? '' },
      { kind: 'hive', key: 'gone' },
    ] as const;
    fc.assert(
      fc.property(
        fc.record({
          columns: fc.integer({ min: 20, max: 250 }),
          rows: fc.integer({ min: 6, max: 80 }),
          view: fc.constantFrom('hives' as const, 'workers' as const, 'gpus' as const, 'events' as const),
          detail: fc.constantFrom(...details),
          scroll: fc.integer({ min: 0, max: 500 }),
          help: fc.boolean(),
          helpScroll: fc.integer({ min: 0, max: 500 }),
          filter: fc.constantFrom('', 'alpha', 'nothing has this', '日本'),
          typing: fc.boolean(),
          colours: fc.boolean(),
          attention: fc.constantFrom([], lostLines, many),
        }),
        ({ columns: width, rows, colours, attention, ...ui }) => {
          const lines = screen({ ui: { ...initialUi, ...ui }, colours, attention }, { columns: width, rows });
          expect(lines).toHaveLength(rows);
          for (const each of lines) expect(columns(each)).toBeLessThanOrEqual(width);
        },
      ),
      { numRuns: portion(150) },
    );
  });

  test('the head counts hives, GPUs and workers by state, with their signs', () => {
    expect(text()).toMatch(/3 hives {2}● 1 online {2}◐ 1 late {2}○ 1 offline/);
    expect(text()).toMatch(/12 GPUs {2}● 10 ok {2}◧ 1 stalled {2}✕ 1 lost/);
    expect(text()).toMatch(/12 workers .*○ 2 offline/);
  });

  test('what is not known is a dash, never 0', () => {
    const [stalled] = items.workers.filter((worker) => worker.hive === 'beta' && worker.gpuUtilizationPercent === null);
    expect(stalled).toBeDefined();
    const row = line(stalled?.id ?? '', { ui: { ...initialUi, view: 'workers', filter: 'beta' } });
    expect(row).toContain('—');
    expect(row).not.toMatch(/ 0 %/);
  });

  test('ages go on while the queen is silent, and the head says that the stream is cut', () => {
    const later = itemsAt(mirror, 65_000);
    const shown = render(
      topState(later, { nowMs: 65_000, connection: { kind: 'lost', reason: 'refused', sinceMs: 5000 } }),
      size,
    ).map(plain);
    expect(shown[0]).toContain('disconnected 1 min 00 s: refused; retrying');
    expect(shown.find((row) => row.startsWith('alpha'))).toMatch(/1 min( 05 s)?/);
  });

  test('an escape sequence in what a host says is not passed on', () => {
    const evil = settledHeartbeat({ id: 'evil', seed: 9, workers: 1, gpus: 1 });
    const { hive, workers } = viewsOf(evil);
    const [worker] = workers;
    const spoiled = {
      ...(worker as NonNullable<typeof worker>),
      model: '\u001b[2Jm',
      name: 'n\u001b]0;x\u0007',
      command: 'c\u001b[31m\u202e',
    };
    const over: Items = { hives: [hive], workers: [spoiled], gpus: [], events: [] };
    for (const ui of [
      { ...initialUi, view: 'workers' as const },
      { ...initialUi, detail: { kind: 'worker' as const, key: spoiled.key } },
    ]) {
      const raw = render(topState(over, { ui, colours: true }), size).join('\n');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: only our own sequences may remain
      expect(raw.replace(/\u001b\[[0-9;]*m/g, '')).not.toMatch(/[\u001b\u0007\u202e]/);
      expect(raw).toContain('\u00b7[2Jm');
    }
  });

  test('without colours only emphasis remains', () => {
    for (const view of ['hives', 'workers', 'gpus', 'events'] as const) {
      const raw = screen({ ui: { ...initialUi, view }, colours: false }).join('\n');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences are what is counted
      const codes = new Set([...raw.matchAll(/\u001b\[([0-9;]*)m/g)].flatMap((match) => (match[1] ?? '').split(';')));
      expect([...codes].filter((code) => !['', '0', '1', '4', '7'].includes(code))).toEqual([]);
    }
  });

  test('an empty fleet says what to do', () => {
    const none: Items = { hives: [], workers: [], gpus: [], events: [] };
    expect(render(topState(none), size).join('\n')).toContain('hivepulse hive --queen');
    expect(render(topState(none, { connection: { kind: 'connecting' } }), size).join('\n')).toContain('Connecting to');
  });
});

describe('top: details', () => {
  test('a hive: GPUs with their health, faults with the fix, workers', () => {
    const shown = text({ ui: { ...initialUi, detail: { kind: 'hive', key: 'beta' } } }, { columns: 140, rows: 60 });
    expect(shown).toMatch(/GPUs 4/);
    expect(shown).toMatch(/◧ stalled/);
    expect(shown).toMatch(/NVML_STALLED/);
    expect(shown).toMatch(/reset\s+the GPU or reboot the host/);
    expect(shown).toMatch(/Workers 4/);
    expect(shown).toMatch(/GPU 1a2b3c4d is lost/);
  });

  test('a worker: its command, limits, GPUs, history and events', () => {
    const worker = items.workers.find((candidate) => candidate.hive === 'alpha' && candidate.gpus.length > 0);
    const history = {
      stepMs: 10_000,
      newestAgeMs: 0,
      series: { cpuPercent: [null, 10, 400], vramUsedBytes: [null, null, null] },
    };
    const shown = text(
      { history, ui: { ...initialUi, detail: { kind: 'worker', key: worker?.key ?? '' } } },
      { columns: 140, rows: 70 },
    );
    expect(shown).toContain(worker?.model ?? 'no model');
    expect(shown).toContain((worker?.command ?? '').slice(0, 40));
    expect(shown).toMatch(/working set/);
    expect(shown).toMatch(/CPU +\S+ {2}4\.0 cores now/);
    expect(shown).toMatch(/0\.10 cores to 4\.0 cores/);
    expect(shown).not.toMatch(/^VRAM +[\u2800-\u28ff]/m);
  });

  test('one that is gone says so', () => {
    expect(text({ ui: { ...initialUi, detail: { kind: 'worker', key: 'alpha/x/y' } } })).toContain('alpha/x/y is gone');
  });

  test('wrap loses nothing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), fc.integer({ min: 4, max: 60 }), (words, width) => {
        const lines = wrap(words, width);
        expect(lines.join('').replaceAll(' ', '')).toBe(words.replace(/\s+/g, ''));
        for (const each of lines) expect(columns(each)).toBeLessThanOrEqual(width);
      }),
    );
  });
});

describe('top: keys', () => {
  test('a terminal sends keys as sequences, also several at once', () => {
    expect(parseInput('\u001b[A\u001bOBx\u001b[5~\r\u001b\u0003é').keys).toEqual([
      'up',
      'down',
      'x',
      'pageUp',
      'enter',
      'escape',
      'interrupt',
      'é',
    ]);
    expect(parseInput('\u001b[200~\u0001\u001b[1;5C').keys).toEqual([]);
  });

  test('the selected row stays selected while sorting moves it', () => {
    const chosen = pressed(['2', 'down', 'down']);
    const key = chosen.selected.workers;
    const sorted = pressed(['s', 's', 'r'], chosen);
    expect(sorted.selected.workers).toBe(key);
    const [, id] = /^[^/]+\/(.*)$/.exec(key ?? '') ?? [];
    const selected = screen({ ui: sorted, colours: true }).find(
      (each) => each.startsWith('\u001b[7m') && !each.includes('hivepulse'),
    );
    expect(plain(selected ?? '')).toContain((id ?? '?').slice(0, 10));
  });

  test('sorting by a number puts the largest first, and r turns it round', () => {
    const first = (ui: Ui) => {
      const rows = text({ ui }).split('\n');
      return rows[rows.findIndex((row) => /^(HIVE|WORKER)/.test(row)) + 1] ?? '';
    };
    const byWorkers = pressed(['s', 's', 's', 's']);
    expect(byWorkers.sort.hives).toEqual({ key: 'workers', descending: true });
    expect(first(byWorkers)).toMatch(/^alpha/);
    expect(first(pressed(['r'], byWorkers))).toMatch(/^gamma/);
  });

  test('a filter is typed, kept and cleared; every word must occur', () => {
    const typing = pressed(['2', '/', ...'beta llm']);
    expect(typing).toMatchObject({ typing: true, filter: 'beta llm' });
    const kept = pressed(['enter'], typing);
    const shown = text({ ui: kept });
    expect(shown).toContain('filter "beta llm"');
    expect(shown).not.toMatch(/^\S+ +alpha/m);
    expect(pressed(['escape'], kept).filter).toBe('');
    expect(pressed(['backspace', 'clear'], typing).filter).toBe('');
    expect(text({ ui: { ...kept, filter: 'xyzzy' } })).toContain('Nothing matches "xyzzy"');
  });

  test('Enter opens, Esc goes back, w shows the workers of a hive', () => {
    const opened = pressed(['enter']);
    expect(opened.detail).toEqual({ kind: 'hive', key: 'beta' });
    expect(pressed(['escape'], opened).detail).toBeNull();
    expect(pressed(['w'], opened)).toMatchObject({ view: 'workers', filter: 'beta/', detail: null });
  });

  test('q quits, also from help, and Ctrl-C while a filter is typed', () => {
    expect(pressed(['q']).quit).toBe(true);
    expect(pressed(['?', 'q']).quit).toBe(true);
    expect(pressed(['/', 'q']).quit).toBe(false);
    expect(pressed(['/', 'interrupt']).quit).toBe(true);
  });

  test('any keys in any order leave a screen that can be drawn', () => {
    const key = fc.constantFrom<Key>(
      '1',
      '2',
      '3',
      '4',
      'tab',
      'backTab',
      'up',
      'down',
      'pageUp',
      'pageDown',
      'home',
      'end',
      'enter',
      'escape',
      '/',
      'a',
      's',
      'S',
      'r',
      'w',
      '?',
      ' ',
      'backspace',
      'left',
      'right',
    );
    fc.assert(
      fc.property(fc.array(key, { maxLength: 30 }), (keys) => {
        expect(screen({ ui: pressed(keys) })).toHaveLength(size.rows);
      }),
      { numRuns: portion(100) },
    );
  });
});

describe('top: the screen', () => {
  function screen() {
    const written: string[] = [];
    const output = { columns: 40, rows: 10, writableNeedDrain: false, write: (part: string) => written.push(part) > 0 };
    return { written, output, screen: new Screen(output, (part) => written.push(part)) };
  }

  test('only lines that changed are written, as one synchronized frame, and nothing is cleared before it', () => {
    const { written, screen: own } = screen();
    own.enter();
    own.draw(['a', 'b']);
    own.draw(['a', 'c']);
    own.draw(['a', 'c']);
    expect(written).toHaveLength(3);
    expect(written[2]).toBe('\u001b[?2026h\u001b[2;1Hc\u001b[0m\u001b[K\u001b[?2026l');
  });

  test('a terminal that has not taken the last frame gets no other one', () => {
    const { written, output, screen: own } = screen();
    own.enter();
    output.writableNeedDrain = true;
    expect(own.draw(['a'])).toBe(false);
    output.writableNeedDrain = false;
    expect(own.draw(['a'])).toBe(true);
    expect(written).toHaveLength(2);
  });

  test('leaving shows the cursor and the old screen, once', () => {
    const { written, screen: own } = screen();
    own.enter();
    own.leave();
    own.leave();
    expect(written.slice(1)).toEqual(['\u001b[0m\u001b[?7h\u001b[?25h\u001b[?1049l']);
    expect(own.draw(['a'])).toBe(false);
  });
});

describe('whether the queen has heard its whole fleet', () => {
  test('is taken from what needs attention: a stream says it only as it begins', async () => {
    const said: boolean[] = [];
    const answers = [true, false, null];
    const missing: unknown[] = [];
    let nowMs = 0;
    const client = {
      attention: () => {
        const warming = answers.shift();
        return typeof warming === 'boolean'
          ? Promise.resolve({ items: [], warming })
          : Promise.reject(new Error('gone'));
      },
      fleet: () => Promise.resolve({ missing: { hives: 2, gpus: 5, workers: 0, revision: 7 } }),
    };
    const watch = new AttentionWatch(client as never, { setWarming: (warming) => said.push(warming) }, () => nowMs);
    for (let turn = 0; turn < 3; turn++) {
      await watch.refresh(new AbortController().signal);
      missing.push(watch.missing?.hives);
      nowMs += 5000;
    }
    expect(said).toEqual([true, false]);
    expect(missing).toEqual([2, 2, undefined]);
  });
});
