import { describe, expect, it } from 'vitest';
import { ChangedCells } from '../../lib/contract/stream/cells.js';
import { readSchema, StreamCodecError, sentSchema } from '../../lib/contract/stream/codec.js';
import { boundsOf, type Column, ownSchema, type RowType, rowTypes } from '../../lib/contract/stream/columns.js';
import { ImplausibleDelta, planOf, RowPlan } from '../../lib/queen/stream-plan.js';

type Item = Record<string, unknown>;

const columns = rowTypes.flatMap((type) =>
  ownSchema[type].map((column, at) => ({ type, column, at, bounds: boundsOf(type, column)! })),
);
const planFor = (type: RowType) => new RowPlan(type, ownSchema[type]);
const placeOf = (type: RowType, name: string) => ownSchema[type].findIndex((column) => column.name === name);

/** An item of a type with all its records, and null for each number. */
function itemOf(type: RowType, ...left: readonly string[]): Item {
  const item: Item = {};
  for (const { path } of ownSchema[type]) {
    let within = item;
    for (const [i, name] of path.slice(0, -1).entries()) {
      if (left.includes(path.slice(0, i + 1).join('.'))) break;
      within[name] ??= {};
      within = within[name] as Item;
    }
  }
  return item;
}

/** What a row of a type is judged to be once one value of it has changed. `others`: those that it has already. */
function judgeBy(
  plan: RowPlan,
  type: RowType,
  at: number,
  value: number,
  others: Readonly<Record<string, number>> = {},
  missing = 0,
) {
  const first = 3;
  const values = new Float64Array(first + ownSchema[type].length).fill(Number.NaN);
  for (const [name, other] of Object.entries(others)) values[first + placeOf(type, name)] = other;
  values[first + at] = value;
  const cells = new ChangedCells();
  // One of another row comes before it, and one after it.
  cells.add(0, 0, 0);
  cells.add(1, at, 0);
  cells.add(2, 0, 0);
  try {
    plan.check(values, first, cells, cells.begin(1), cells.end(1), missing);
    return 'taken';
  } catch (error) {
    if (error instanceof ImplausibleDelta) return 'implausible';
    if (error instanceof StreamCodecError) return 'malformed';
    throw error;
  }
}

describe('a number of a stream', () => {
  it.each(columns)('that changed is judged by its bounds: $type $column.name', ({ type, at, bounds }) => {
    const { least, most, whole, mayBeNull, forbidden } = bounds;
    const judge = judgeBy.bind(null, planFor(type));
    expect(judge(type, at, Number.NaN)).toBe(mayBeNull ? 'taken' : 'implausible');
    const candidates = [least, most, least - 1, most + 1, (most || 1) * 2, 1.5, 1, 0, -1, 255, 2 ** 53, ...forbidden];
    for (const value of candidates.filter(Number.isFinite)) {
      const can =
        value >= least && value <= most && !forbidden.includes(value) && (!whole || Number.isSafeInteger(value));
      expect([value, judge(type, at, value)]).toEqual([value, can ? 'taken' : 'implausible']);
    }
  });

  it.each(columns.filter(({ bounds }) => bounds.of !== null))(
    'is no more than another of its row, whichever of the two changed: $type $column.name',
    ({ type, column, at, bounds }) => {
      const of = bounds.of!;
      const judge = judgeBy.bind(null, planFor(type));
      const limit = 2 ** 33;
      expect(judge(type, at, limit + bounds.slack, { [of]: limit })).toBe('taken');
      expect(judge(type, at, limit + bounds.slack + 1, { [of]: limit })).toBe('implausible');
      expect(judge(type, placeOf(type, of), limit, { [column.name]: limit + bounds.slack })).toBe('taken');
      expect(judge(type, placeOf(type, of), limit, { [column.name]: limit + bounds.slack + 1 })).toBe('implausible');
      expect(judge(type, placeOf(type, of), Number.NaN, { [column.name]: limit })).toBe('taken');
    },
  );

  const records = rowTypes.flatMap((type) =>
    [
      ...new Set(ownSchema[type].flatMap(({ path }) => path.slice(1).map((_, i) => path.slice(0, i + 1).join('.')))),
    ].map((record) => ({ type, record })),
  );

  it.each(records)(
    'of a record that is not there has no place; beside it all goes on: $type $record',
    ({ type, record }) => {
      const plan = planFor(type);
      expect(plan.missingOf(itemOf(type))).toBe(0);
      const without = itemOf(type, record);
      const asNull = record.includes('.') ? without : { ...without, [record]: null };
      for (const item of [without, asNull]) {
        const missing = plan.missingOf(item);
        expect(missing).not.toBe(0);
        const judged = ownSchema[type].map((column, at) => {
          const { mayBeNull, least } = boundsOf(type, column)!;
          return [column.name, judgeBy(plan, type, at, mayBeNull ? Number.NaN : Math.max(least, 1), {}, missing)];
        });
        expect(judged).toEqual(
          ownSchema[type].map(({ name }) => [name, name.startsWith(`${record}.`) ? 'malformed' : 'taken']),
        );
      }
    },
  );

  it('of a column that the queen does not know is any', () => {
    const plan = new RowPlan('worker', [{ name: 'serving.dreams', path: ['serving', 'dreams'], scale: 1 }]);
    const cells = new ChangedCells();
    cells.add(0, 0, 0);
    for (const value of [Number.NaN, -1, 1.5, 2 ** 60])
      expect(() => plan.check(Float64Array.of(value), 0, cells, 0, 1, ~0)).not.toThrow();
    const item = { serving: { running: 1 } };
    plan.write(item, 0, 5);
    plan.close();
    expect(item).toEqual({ serving: { running: 1 } });
    expect([plan.missingOf({}), plan.width, plan.reports(0), plan.isCoded(0), plan.isCurrent(0)]).toEqual([
      ...[0, 1, false, false, false],
    ]);
  });
});

describe('the columns of a row', () => {
  it('say what each heartbeat asks of them', () => {
    const plans = { head: planFor('head'), gpu: planFor('gpu'), worker: planFor('worker'), held: planFor('held') };
    const named = (is: (type: RowType, at: number) => boolean) =>
      columns.filter(({ type, at }) => is(type, at)).map(({ type, column }) => `${type} ${column.name}`);
    expect(named((type, at) => plans[type].isCoded(at))).toEqual(['worker state']);
    expect(named((type, at) => plans[type].isCurrent(at)).sort()).toEqual([
      'gpu memoryReservedBytes',
      'gpu memoryTotalBytes',
      'gpu memoryUsedBytes',
    ]);
    // These change by themselves.
    const silent = named((type, at) => !plans[type].reports(at));
    expect(silent).toContain('worker uptimeSeconds');
    expect(silent).not.toContain('worker cpuPercent');
    expect(silent.filter((name) => !name.startsWith('worker '))).toEqual([]);
    for (const type of rowTypes) expect(plans[type].width).toBe(ownSchema[type].length);
  });

  it.each(columns.filter(({ bounds }) => bounds.words === null))(
    'are written where they belong, into a copy of each record on the way: $type $column.name',
    ({ type, column, at }) => {
      const plan = planFor(type);
      const item = itemOf(type);
      const former = { ...item };
      const before = structuredClone(item);
      const written = () => column.path.reduce<unknown>((within, name) => (within as Item)[name], item);
      plan.write(item, at, 7);
      expect(written()).toBe(7);
      const [first] = column.path;
      const own = item[first!];
      // What a view holds is as it was.
      if (column.path.length > 1) {
        expect(former[first!]).toEqual(before[first!]);
        expect(own).not.toBe(former[first!]);
      }
      // One copy is enough until the item is written.
      plan.write(item, at, Number.NaN);
      expect(written()).toBeNull();
      if (column.path.length > 1) expect(item[first!]).toBe(own);
      plan.close();
      plan.write(item, at, 8);
      if (column.path.length > 1) expect(item[first!]).not.toBe(own);
      // Another item has records of its own.
      const other = itemOf(type);
      plan.write(other, at, 9);
      plan.close();
      expect([written(), column.path.reduce<unknown>((within, name) => (within as Item)[name], other)]).toEqual([8, 9]);
    },
  );

  it('that are words are written together, each as the hive has it', () => {
    const sent = sentSchema(ownSchema);
    const words = ['busy', 'dreaming', 'idle'];
    const worker = sent.worker.map(([name, kind]) => [name, name === 'state' ? words : kind]);
    const { rows } = planOf(readSchema(JSON.parse(JSON.stringify({ ...sent, worker }))));
    const place = placeOf('worker', 'state');
    for (const [code, state] of [
      [0, 'busy'],
      [1, 'unknown'],
      [2, 'idle'],
      [Number.NaN, null],
    ] as const) {
      const values = new Float64Array(2 + ownSchema.worker.length).fill(1);
      values[2 + place] = code;
      const item = { state: 'starting', cpuPercent: 5 };
      rows.worker.writeCodes(item, values, 2);
      expect(item).toEqual({ state, cpuPercent: 5 });
    }
  });
});

describe('figures that each heartbeat needs', () => {
  it('come from the numbers where the hive has the column, else from what is written', () => {
    const { figures } = planOf(ownSchema);
    const without = planOf({ ...ownSchema, ...Object.fromEntries(rowTypes.map((type) => [type, only(type)])) });
    for (const type of rowTypes)
      for (const [key, figure] of Object.entries(figures[type])) {
        const name = [`host.${key}`, `serving.${key}`, key].find((each) => placeOf(type, each) >= 0)!;
        const values = new Float64Array(2 + ownSchema[type].length);
        values[2 + placeOf(type, name)] = 5;
        expect([key, figure.of(values, 2, {})]).toEqual([key, 5]);
        values[2 + placeOf(type, name)] = Number.NaN;
        expect(figure.of(values, 2, {})).toBeNull();
        const item = name.split('.').reduceRight<unknown>((value, part) => ({ [part]: value }), 7);
        const written = (without.figures[type] as typeof figures.worker)[key as 'cpuPercent'];
        expect([key, written.of(values, 2, item as object)]).toEqual([key, 7]);
        for (const none of [{}, { host: null, serving: null }]) expect(written.of(values, 2, none)).toBeNull();
        // Also where the column is the first of its row.
        const [interval] = ownSchema.head;
        const alone = [ownSchema[type][placeOf(type, name)]!, ...(type === 'head' ? [interval!] : [])];
        const first = planOf({ ...ownSchema, [type]: alone }).figures[type] as typeof figures.worker;
        expect(first[key as 'cpuPercent'].of(Float64Array.of(6), 0, {})).toBe(6);
      }
  });

  it('and a schema without the interval is none, since nobody would know when its hive is late', () => {
    expect(() => planOf({ ...ownSchema, head: ownSchema.head.filter(({ name }) => name !== 'intervalMs') })).toThrow(
      'its head has no intervalMs',
    );
    const head = [...ownSchema.head].reverse();
    const plan = planOf({ ...ownSchema, head });
    expect(head[plan.interval]!.name).toBe('intervalMs');
    expect(plan.interval).toBeGreaterThan(0);
    expect(JSON.parse(plan.text).head).toEqual(head.map(({ name, scale, words }) => [name, words ?? scale]));
  });

  it('columns of another kind are named', () => {
    const cpu: Column = { name: 'cpuPercent', path: ['cpuPercent'], scale: 1, words: ['low'] };
    expect(() => new RowPlan('worker', [cpu])).toThrow('cpuPercent is of another kind here');
  });
});

/** The columns of a type that no figure is of. */
const only = (type: RowType): readonly Column[] => (type === 'head' ? [ownSchema.head[0]!] : []);
