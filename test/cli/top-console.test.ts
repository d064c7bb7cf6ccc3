import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { columns, plain } from '../../lib/cli/text.js';
import { braille } from '../../lib/cli/top/history.js';
import { type Key, type Mouse, parseInput } from '../../lib/cli/top/keys.js';
import { PastOfDetail } from '../../lib/cli/top/past.js';
import { click, press, scroll } from '../../lib/cli/top/press.js';
import { render, type Size, shownOf, type TopState, targetAt } from '../../lib/cli/top/render.js';
import { visibleRows } from '../../lib/cli/top/rows.js';
import { initialUi, type Ui } from '../../lib/cli/top/ui.js';
import { HivepulseClient } from '../../lib/client/client.js';
import type { History, WorkerView } from '../../lib/contract/api.js';
import { sseMessage } from '../../lib/http/sse.js';
import { attentionOf, attentionRank } from '../../lib/present/attention.js';
import { severities } from '../../lib/present/severity.js';
import { calm, Troubles } from '../../lib/present/trouble.js';
import { portion } from '../harness/draws.js';
import { waitFor } from '../harness/wait.js';
import { sampleFleet, topState } from './fleet.js';

const { items } = sampleFleet();
const at = (width: number, rows = 24): Size => ({ columns: width, rows });
const lines = (ui: Partial<Ui>, size: Size, changes: Partial<TopState> = {}) =>
  render(topState(items, { ui: { ...initialUi, ...ui }, ...changes }), size).map(plain);
const heading = (ui: Partial<Ui>, size: Size) =>
  (lines(ui, size).find((line) => /^(?:HIVE|WORKER|GPU) /.test(line)) ?? '').split(/\s+/).filter(Boolean);
const pressed = (keys: readonly Key[], size: Size, from: Ui = initialUi) =>
  keys.reduce((ui, key) => press(ui, key, items, shownOf(topState(items, { ui }), size)), from);

describe('top: what has room', () => {
  test('at 80 columns a worker keeps its host and model, and the bars go', () => {
    expect(heading({ view: 'workers' }, at(80))).toEqual(['WORKER', 'HIVE', 'MODEL', 'STATE', 'GPU', 'VRAM']);
    expect(lines({ view: 'workers' }, at(80)).slice(8).join('\n')).not.toMatch(/[\u2588-\u258f]/);
    expect(heading({ view: 'hives' }, at(80))).toEqual(['HIVE', 'STATE', 'WORKERS', 'GPU', 'VRAM', 'CPU', 'MEMORY']);
  });

  test('a title stands over the end of its figures where the bars before them have gone', () => {
    const [head = '', ...rows] = lines({ view: 'hives' }, at(80)).slice(
      lines({ view: 'hives' }, at(80)).findIndex((line) => line.startsWith('HIVE')),
    );
    const end = head.indexOf('CPU') + 'CPU'.length;
    const shown = rows.map((row) => row.slice(0, end)).filter((row) => /\d+$/.test(row));
    expect(shown.length).toBeGreaterThan(1);
    for (const row of shown) expect(row).toMatch(/ \/ \d+$/);
  });

  test('on a wide screen bars are drawn and every column is there', () => {
    expect(lines({ view: 'workers' }, at(250)).join('\n')).toMatch(/█/);
    for (const title of ['HIVE', 'MODEL', 'CORES', 'TOKENS', 'PRESSURE', 'THROTTLED'])
      expect(heading({ view: 'workers' }, at(250))).toContain(title);
  });

  test('keys at the foot are whole at every width', () => {
    for (let width = 20; width <= 140; width += 10)
      expect(lines({}, at(width)).at(-1)).toMatch(
        /^(?:(?:↑↓ move|Enter detail|\/ filter|s sort|\? help|q quit|r reverse|Space pause) +)*\d* ?o?f? ?\d*$/,
      );
  });
});

describe('top: order', () => {
  test('the worst is on top: what needs attention, by the table of severities', () => {
    const rank = new Map(items.hives.map(({ id }) => [id, calm]));
    for (const item of attentionOf(items.hives.map((view) => ({ view, workers: [] }))))
      rank.set(item.hive, Math.min(rank.get(item.hive) ?? calm, attentionRank(item)));
    const shown = visibleRows(initialUi, items).map((row) => rank.get((row as { id: string }).id));
    expect(shown).toEqual([...shown].sort((a, b) => (a ?? 0) - (b ?? 0)));
    expect(rank.get('alpha')).toBe(calm);
    expect(lines({}, at(80)).find((line) => line.includes('1 Hives'))).toMatch(/the worst first$/);
  });

  test('GPUs: the lost one, then the stalled one; workers: those of them first, with what has no trouble last', () => {
    const gpus = visibleRows({ ...initialUi, view: 'gpus' }, items) as { health: string; hive: string }[];
    expect(gpus.slice(0, 1).map(({ health }) => health)).toEqual(['lost']);
    expect(gpus.at(-1)?.hive).toBe('alpha');
    const troubles = new Troubles(items.hives, items.workers);
    const workers = visibleRows({ ...initialUi, view: 'workers' }, items) as WorkerView[];
    const ranks = workers.map(troubles.ofWorker);
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    expect(ranks[0]).toBeLessThan(calm);
  });

  test('a worker at its limit comes after what is wrong and before what is a limit of its host', () => {
    const { ofWorker } = new Troubles([], []);
    const of = (state: WorkerView['state']) => ofWorker({ hive: 'a', key: 'a/b/c', state, gpus: [] });
    expect(of('busy')).toBe(calm);
    expect(of('saturated')).toBeLessThan(attentionRank({ severity: 'note', tone: 'bad' }));
    expect(of('saturated')).toBeGreaterThan(attentionRank({ severity: 'warning', tone: 'warning' }));
    expect(severities.length * 3).toBeLessThan(calm);
  });

  test('only what is shown is sorted by, at every width and in every view', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 40, max: 250 }),
        fc.constantFrom<Key>('1', '2', '3'),
        fc.integer({ min: 0, max: 25 }),
        fc.constantFrom<Key>('s', 'S'),
        (width, view, times, key) => {
          const size = at(width);
          const ui = pressed([view, ...Array<Key>(times).fill(key)], size);
          const { key: sort } = ui.sort[ui.view as 'hives'];
          const { columns: shown } = shownOf(topState(items, { ui }), size);
          expect(['trouble', ...shown]).toContain(sort);
        },
      ),
      { numRuns: portion(60) },
    );
  });

  test('the column that rows are sorted by stays on a screen that becomes narrow', () => {
    const ui = {
      ...initialUi,
      view: 'workers' as const,
      sort: { ...initialUi.sort, workers: { key: 'uptime', descending: true } },
    };
    expect(heading(ui, at(80))).toContain('UP');
  });
});

const mouse = (kind: Mouse['kind'], column: number, line: number): Mouse => ({ kind, column, line });

describe('top: the mouse', () => {
  const size = at(120, 30);
  const screen = (ui: Ui) => render(topState(items, { ui }), size).map(plain);
  const clicked = (ui: Ui, part: string, lineOf: (line: string) => boolean) => {
    const all = screen(ui);
    const line = all.findIndex((each) => lineOf(each) && each.includes(part));
    const column = columns((all[line] ?? '').slice(0, (all[line] ?? '').indexOf(part)));
    const state = topState(items, { ui });
    return click(ui, targetAt(state, size, { column, line }), items, shownOf(state, size));
  };
  const isTab = (line: string) => line.includes('1 Hives');
  const isHeading = (line: string) => /^(?:HIVE|WORKER|GPU) /.test(line);

  test('a terminal reports clicks and the wheel (SGR), also in pieces', () => {
    const sent = 'a\u001b[<0;12;7M\u001b[<0;12;7m\u001b[<64;1;1M\u001b[<65;1;1Mb\u001b[<2;1;1M';
    const wanted = ['a', mouse('click', 11, 6), mouse('wheelUp', 0, 0), mouse('wheelDown', 0, 0), 'b'];
    expect(parseInput(sent).keys).toEqual(wanted);
    for (let cut = 1; cut < sent.length; cut++) {
      // A lone escape is the key itself.
      if (sent[cut - 1] === '\u001b') continue;
      const first = parseInput(sent.slice(0, cut));
      expect([...first.keys, ...parseInput(first.rest + sent.slice(cut)).keys]).toEqual(wanted);
    }
  });

  test('whatever a terminal sends, keys are characters or names, and little is held back', () => {
    const piece = fc.constantFrom('\u001b', '[', '<', '0', ';', 'M', 'm', 'O', 'A', 'x', '\u0003', 'é', '9999999');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const { keys, rest } = parseInput(pieces.join(''));
        expect(rest.length).toBeLessThanOrEqual(32);
        for (const key of keys)
          if (typeof key === 'string') expect(key).toMatch(/^\P{Cc}$|^[a-z][A-Za-z]+$/u);
          else expect(key.column).toBeGreaterThanOrEqual(-1);
      }),
    );
  });

  test('a click on a tab shows its view, also from a detail', () => {
    expect(clicked(initialUi, '2 Workers', isTab).view).toBe('workers');
    const open: Ui = { ...initialUi, detail: { kind: 'hive', key: 'beta' } };
    expect(clicked(open, '3 GPUs', isTab)).toMatchObject({ view: 'gpus', detail: null });
  });

  test('a click on a heading sorts by it, a second one turns it round', () => {
    const sorted = clicked(initialUi, 'WORKERS', isHeading);
    expect(sorted.sort.hives).toEqual({ key: 'workers', descending: true });
    expect(clicked(sorted, 'WORKERS', isHeading).sort.hives).toEqual({ key: 'workers', descending: false });
  });

  test('a click selects the row below the pointer, a second one opens it', () => {
    const selected = clicked(initialUi, 'alpha', (line) => line.startsWith('alpha'));
    expect(selected).toMatchObject({ selected: { hives: 'alpha' }, detail: null });
    expect(clicked(selected, 'alpha', (line) => line.startsWith('alpha')).detail).toEqual({
      kind: 'hive',
      key: 'alpha',
    });
  });

  test('the wheel moves the selection, and scrolls a detail', () => {
    const wheel = (ui: Ui, direction: 1 | -1) => scroll(ui, direction, items, shownOf(topState(items, { ui }), at(80)));
    const down = wheel({ ...initialUi, view: 'gpus' }, 1);
    expect(screen(down).at(-1)).toMatch(/4 of 12$/);
    expect(screen(wheel(down, -1)).at(-1)).toMatch(/1 of 12$/);
    const open: Ui = { ...initialUi, detail: { kind: 'hive', key: 'beta' } };
    expect(wheel(wheel(open, 1), -1).scroll).toBe(0);
    expect(wheel(open, 1).scroll).toBe(3);
    expect(wheel({ ...open, help: true }, 1)).toMatchObject({ helpScroll: 3, scroll: 0 });
  });

  test('help and details are read to their end on 80 x 24, and no key scrolls past it', () => {
    const size = at(80);
    const detail = { kind: 'hive', key: 'beta' } as const;
    for (const start of [pressed(['?'], size), { ...initialUi, detail }]) {
      const shown = new Set<string>();
      let ui = start;
      for (let i = 0; i < 60; i++) {
        for (const line of lines(ui, size)) shown.add(line.trim());
        ui = pressed(['down'], size, ui);
      }
      expect(pressed(['end'], size, start)).toEqual(ui);
      expect(pressed(['down', 'up'], size, ui)).toEqual(pressed(['up'], size, ui));
      expect(pressed(['home'], size, ui)).toEqual(start);
      const whole = lines(start, at(80, 100)).map((line) => line.trim());
      expect(whole.slice(0, -1).filter((line) => !shown.has(line))).toEqual([]);
    }
    expect(lines(pressed(['?', 'pageDown', 'pageDown', 'pageDown'], size), size).at(-1)).toMatch(
      /^Esc back .*lines \d+ to (\d+) of \1$/,
    );
    expect(pressed(['?', 'escape'], size).help).toBe(false);
  });

  test('a click anywhere, on any size, leaves a screen that can be drawn', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 200 }),
        fc.integer({ min: 6, max: 50 }),
        fc.nat(220),
        fc.nat(60),
        fc.constantFrom(...(['hives', 'workers', 'gpus', 'events'] as const)),
        (width, rows, column, line, view) => {
          const own = at(width, rows);
          const state = topState(items, { ui: { ...initialUi, view } });
          const target = targetAt(state, own, { column, line });
          const ui = click(state.ui, target, items, shownOf(state, own));
          expect(render({ ...state, ui }, own)).toHaveLength(rows);
          if (target?.kind === 'row') expect(target.index).toBeLessThan(visibleRows(state.ui, items).length);
        },
      ),
      { numRuns: portion(100) },
    );
  });
});

describe('top: graphs of the history', () => {
  test('braille: two values a cell, the newest last; zero has its lowest dot, what is not known none', () => {
    expect(braille([0, 100], 10, 1, 100)).toEqual(['\u28f8']);
    expect(braille([null, 100], 10, 1, 100)).toEqual(['\u28b8']);
    expect(braille([null, null], 10, 1)).toEqual(['\u2800']);
    expect(braille([100, 100, 50, 50], 10, 2, 100)).toEqual(['\u28ff\u2800', '\u28ff\u28ff']);
    expect(braille([], 10, 2)).toEqual(['', '']);
  });

  test('has its lines and cells whatever the values, and keeps a peak where there are more values than dots', () => {
    const values = fc.array(fc.option(fc.double({ noNaN: true, min: 0, max: 1e12 })), { maxLength: 800 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4 }), (series, width, height) => {
        const drawn = braille(series, width, height);
        expect(drawn).toHaveLength(height);
        for (const line of drawn) expect(line).toMatch(/^[\u2800-\u28ff]*$/);
        for (const line of drawn) expect(line.length).toBe(Math.min(width, Math.ceil(series.length / 2)));
        const most = Math.max(0, ...series.map((value) => value ?? 0));
        // The largest value reaches the upper line.
        if (most > 0) expect(drawn[0]).toMatch(/[\u2801-\u28ff]/);
      }),
    );
  });

  test('t shows the last 24 hours, and each graph says the newest value and the range', () => {
    const open: Ui = { ...initialUi, detail: { kind: 'hive', key: 'alpha' } };
    const history: History = {
      ...{ stepMs: 10_000, newestAgeMs: 0 },
      series: { cpuPercent: [50, 200], memoryAvailableBytes: [0, 1], load1: [1, null], workers: [null, null] },
    };
    const shown = lines(open, at(100, 90), { history }).join('\n');
    expect(shown).toMatch(/Last hour {2}20 s are kept; t: the last 24 h/);
    expect(shown).toMatch(/CPU +[\u2800-\u28ff]+ +2\.0 cores now/);
    expect(shown).toMatch(/0\.50 cores to 2\.0 cores/);
    expect(shown).toMatch(/load +[\u2800-\u28ff]+ +not known now/);
    expect(shown).not.toMatch(/^workers +[\u2800-\u28ff]/m);
    expect(pressed(['t'], at(100), open).span).toBe('day');
  });
});

describe('top: what the queen keeps of what is open', () => {
  const event = (id: number, hive: string, workerId?: string) => ({
    ...{ id: `e-${id}`, at: '2026-01-05T10:00:00Z', kind: 'oomKill', hive, detail: {} },
    ...(workerId && { workerId }),
  });
  const history: History = { stepMs: 10_000, newestAgeMs: 0, series: {} };

  function queen() {
    const asked: string[] = [];
    const answer = async (url: string): Promise<Response> => {
      asked.push(url.replace('http://queen.example/', ''));
      if (url.includes('/history')) return Response.json(history);
      const text = sseMessage('event', JSON.stringify(event(3, 'a', 'g/i')), 'e-3');
      return new Response(`${text}${sseMessage('position', JSON.stringify({ lastEventId: 'e-9' }))}`, {
        headers: { 'content-type': 'text/event-stream' },
      });
    };
    let nowMs = 0;
    const client = new HivepulseClient({ url: 'http://queen.example', fetch: answer as typeof fetch });
    const past = new PastOfDetail(
      client,
      () => undefined,
      () => nowMs,
    );
    return {
      asked,
      past,
      advance: (ms: number) => {
        nowMs += ms;
      },
    };
  }

  test('its events are those of the hive, not only those since top was opened; its history is asked for again', async () => {
    const { asked, past, advance } = queen();
    const detail = { kind: 'worker', key: 'a/g/i' } as const;
    past.refresh({ detail, span: 'hour' }, 'e-9');
    await waitFor(() => past.events !== null && past.history !== null, { what: 'events and history' });
    expect(past.events?.map(({ id }) => id)).toEqual(['e-3']);
    expect(asked.some((url) => /^v1\/events\?.*hive=a/.test(url))).toBe(true);
    expect(asked.filter((url) => url.includes('/history'))).toEqual(['v1/workers/a/g/i/history?span=hour']);
    past.refresh({ detail, span: 'hour' }, 'e-9');
    advance(10_000);
    past.refresh({ detail, span: 'hour' }, 'e-9');
    past.refresh({ detail, span: 'day' }, 'e-9');
    expect(past.history).toBeNull();
    await waitFor(() => past.history !== null, { what: 'the day' });
    expect(asked.filter((url) => url.includes('/history')).map((url) => url.split('=')[1])).toEqual([
      'hour',
      'hour',
      'day',
    ]);
    past.refresh({ detail: null, span: 'day' }, 'e-9');
    expect(past).toMatchObject({ events: null, history: null });
  });

  test('the detail lists them with those that came since, each once, the newest first', () => {
    const open: Ui = { ...initialUi, detail: { kind: 'hive', key: 'alpha' } };
    const past = [event(11, 'alpha'), event(12, 'alpha')].map((each, i) => ({
      ...each,
      at: `2026-01-05T09:0${i}:00Z`,
    }));
    const shown = lines(open, at(120, 90), { past });
    expect(shown.filter((line) => line.includes('out of memory'))).toHaveLength(2);
    const begin = shown.findIndex((line) => line.startsWith('Events'));
    expect(shown[begin + 1]).toMatch(/state|started|joined/);
    expect(lines({ detail: { kind: 'hive', key: 'gamma' } }, at(120, 90)).join('\n')).not.toMatch(
      /none that the queen/,
    );
  });

  test('before they are there it says that it asks, and then that there are none', () => {
    const worker = items.workers.find(({ hive }) => hive === 'gamma')?.key ?? '';
    const open: Partial<Ui> = { detail: { kind: 'worker', key: worker } };
    expect(lines(open, at(120, 90)).join('\n')).toMatch(/asking the queen/);
    expect(lines(open, at(120, 90), { past: [] }).join('\n')).toMatch(/none kept by the queen/);
  });
});
