import { describe, expect, it } from 'vitest';
import { labelOf, MetricsPage, mostOf, PageLayout, sumOf, withLabel } from '../../../lib/engines/load/metrics-page.js';

const page = (text: string, layout?: PageLayout) => new MetricsPage(Buffer.from(text), layout);
const values = (text: string, family = 'a', layout?: PageLayout) =>
  page(text, layout)
    .samples(family)
    .map(({ value }) => value);

describe('a value', () => {
  it.each<[string, number | null]>([
    ['0', 0],
    ['7', 7],
    ['12', 12],
    ['12.0', 12],
    ['12.00', 12],
    ['12.5', 12.5],
    ['12.05', 12.05],
    ['12.', 12],
    ['.5', 0.5],
    ['.', null],
    ['-3', -3],
    ['+3', 3],
    ['1e3', 1000],
    ['1.5E-3', 0.0015],
    ['1e+2', 100],
    ['1e', null],
    ['123456789012345', 123_456_789_012_345],
    ['123456789012345.0', 123_456_789_012_345],
    ['1234567890123456', 1_234_567_890_123_456],
    ['9007199254740993', Number('9007199254740993')],
    ['99999999999999999999', 1e20],
    ['123456789012345678901234567890', Number('123456789012345678901234567890')],
    ['7 1700000000000', 7],
    ['7.0 1700000000000', 7],
    ['7\t1700000000000', 7],
    ['7.25 -5', 7.25],
    ['7 ', 7],
    ['7\r', 7],
    ['7.0\r', 7],
    ['\t 7', 7],
    ['NaN', null],
    ['+Inf', null],
    ['-Inf', null],
    ['1e999', null],
    ['0x10', null],
    ['1_000', null],
    ['12a', null],
    ['12a0', null],
    ['12e0', 12],
    ['a12', null],
    ['1 2a', 1],
    ['--1', null],
    ['/', null],
    [':', null],
    ['', null],
  ])('%j is %s', (text, value) => {
    const expected = value === null ? [] : [value];
    for (const before of ['a ', 'a{x="1"} ', 'a{x="1"}']) {
      expect(values(`${before}${text}\nb 5\n`)).toEqual(expected);
      expect(values(`b 5\n${before}${text}`)).toEqual(expected);
    }
  });

  it('ends with its line, whatever the next one begins with', () => {
    expect(values('a 1\n2 3\na 4\n')).toEqual([1]);
    expect(values('a 1\na 2\n34\n')).toEqual([1, 2]);
    expect(values('a \n5 6\n')).toEqual([]);
    expect(values('a 5.\n0 6\n')).toEqual([5]);
  });
});

describe('a line', () => {
  it.each<[string, number[]]>([
    ['a 1', [1]],
    ['a\t1', [1]],
    ['a  1', [1]],
    ['a{} 1', [1]],
    ['a {x="1"} 1', [1]],
    ['a \t{x="1"}\t1', [1]],
    ['a{x="}"} 1', [1]],
    ['a{x="{\\"}"} 1', [1]],
    ['a{x="\\\\"} 1', [1]],
    ['a{x="\\\\\\"}"} 1', [1]],
    ['a{x="1" 1', []],
    ['a{x="1} 1', []],
    ['a{x="\\"} 1', []],
    ['a{x="1"}', []],
    ['a{ 5', []],
    ['a', []],
    ['aa 1', []],
    ['ba 1', []],
    [' a 1', []],
    ['#a 1', []],
    ['a:b 1', []],
    ['a_total 1', []],
    ['a}1', []],
  ])('%s: %j', (line, expected) => {
    for (const text of [line, `${line}\n`, `b 2\n${line}\nc 3\n`, `# HELP a what\n# TYPE a gauge\n${line}\r\n`])
      expect(values(text)).toEqual(expected);
  });

  it('of a family whose name another one begins with is its own', () => {
    const text = 'x_total 1\nx 2\nx_created 3\nx_total{a="1"} 4\n';
    expect(values(text, 'x')).toEqual([2]);
    expect(values(text, 'x_created')).toEqual([3]);
    expect(values('xx 1\nyx 2\nx 3\n', 'x')).toEqual([3]);
    expect(values('x_total 1\ny 1\nx 2\n', 'x')).toEqual([2]);
    expect(values('\nx_total 1\ny 1\nx 2\n', 'x')).toEqual([2]);
    expect(values('\nx 2\n', 'x')).toEqual([2]);
    expect(values('x_sum 1\nx_max 9\nx_sum{a="1"} 2\n', 'x_sum')).toEqual([1, 2]);
    expect(values('7 8\nx{ 5\nx 2\n', 'x')).toEqual([2]);
    expect(values('x_count_total 1\nx_count_y 2\nx_count_total 3\n', 'x_count_total')).toEqual([1]);
  });

  it('that is longer than any engine’s is none, and those around it are', () => {
    const line = (bytes: number) => `a{x="${'y'.repeat(bytes - '{x=""} 1'.length)}"} 1`;
    expect(values(`a 0\n${line(16_384)}\na 2\n`)).toEqual([0, 1, 2]);
    expect(values(`a 0\n${line(16_385)}\na 2\n`)).toEqual([0, 2]);
  });

  it('counts up to so many of a family', () => {
    const text = (count: number) => Array.from({ length: count }, (_unused, i) => `a{i="${i}"} ${i}\n`).join('');
    expect(values(text(4096))).toHaveLength(4096);
    expect(values(text(5000))).toHaveLength(4096);
  });
});

describe('labels', () => {
  const label = (inner: string, name: string) => {
    const [sample] = page(`a{${inner}} 1\n`).samples('a');
    return sample === undefined ? 'no sample' : labelOf(sample, name);
  };
  it.each<[string, string, string | null]>([
    ['model="m"', 'model', 'm'],
    ['model=""', 'model', ''],
    ['model_name="m",model="n"', 'model', 'n'],
    ['model="m",model_name="n"', 'model_name', 'n'],
    ['x="model",model="m"', 'model', 'm'],
    ['x="model=\\"y\\"",model="m"', 'model', 'm'],
    ['x="1", model="m"', 'model', 'm'],
    ['x="1",  model = "m"', 'model', 'm'],
    ['x="1",model="m",', 'model', 'm'],
    ['x="1"', 'model', null],
    ['x="model"', 'model', null],
    ['', 'model', null],
    ['model', 'model', null],
    ['model=1', 'model', null],
    ['model="a\\"b\\\\c\\nd"', 'model', 'a"b\\c\nd'],
    ['model="a\\qb"', 'model', 'a\\qb'],
    ['model="a\\\\"', 'model', 'a\\'],
    ['model="a,b=\\"c\\"",x="1"', 'x', '1'],
    ['model="ü€😀"', 'model', 'ü€😀'],
  ])('{%s}: %s is %j', (inner, name, expected) => {
    expect(label(inner, name)).toBe(expected);
    expect(label(`first="1",${inner}`, name)).toBe(expected);
  });

  it('say the same however often they are asked', () => {
    const [sample] = page('a{x="1"} 1\n').samples('a');
    for (let i = 0; i < 2; i += 1)
      expect([labelOf(sample!, 'x'), labelOf(sample!, 'y'), labelOf(sample!, 'x')]).toEqual(['1', null, '1']);
    expect(labelOf(page('a 1\n').samples('a')[0]!, 'x')).toBeNull();
  });

  it('choose samples', () => {
    const samples = page('a{x="1"} 1\na{x="2"} 2\na{x="1",y="2"} 4\na 8\n').samples('a');
    expect(withLabel(samples, 'x', '1').map(({ value }) => value)).toEqual([1, 4]);
    expect(withLabel(samples, 'x', '3')).toEqual([]);
  });

  it('of the page before are those of this one where they are the same, and else not', () => {
    const layout = new PageLayout();
    const read = (text: string) =>
      page(text, layout)
        .samples('a')
        .map((sample) => `${labelOf(sample, 'x')} ${sample.value}`);
    expect(read('a{x="1"} 1\na{x="2"} 2\n')).toEqual(['1 1', '2 2']);
    expect(read('a{x="1"} 3\na{x="2"} 4\n')).toEqual(['1 3', '2 4']);
    expect(read('a{x="2"} 5\na{x="1"} 6\n')).toEqual(['2 5', '1 6']);
    expect(read('a{x="1",y="1"} 7\na{x="3"} 8\n')).toEqual(['1 7', '3 8']);
    expect(read('a 9\na{x="3"} 10\n')).toEqual(['null 9', '3 10']);
    expect(read('a{x="3"}\na{x="3"} 11')).toEqual(['3 11']);
    const many = (by: number) => Array.from({ length: 100 }, (_unused, i) => `a{x="${i + by}"} ${i}\n`).join('');
    for (const by of [0, 0, 1]) expect(read(many(by)).at(-1)).toBe(`${99 + by} 99`);
  });
});

describe('sums', () => {
  it('are null without a sample', () => {
    expect([sumOf([]), mostOf([])]).toEqual([null, null]);
    const samples = page('a -5\na -3\na -9\n').samples('a');
    expect([sumOf(samples), mostOf(samples)]).toEqual([-17, -3]);
  });

  it('are of the first family that has a sample', () => {
    const both = page('b 2\na 1\n');
    expect(both.firstOf('a', 'b').map(({ value }) => value)).toEqual([1]);
    expect(both.firstOf('c', 'b', 'a').map(({ value }) => value)).toEqual([2]);
    expect(both.firstOf('c')).toEqual([]);
    expect(both.firstOf()).toEqual([]);
  });
});

describe('a whole page in quotes', () => {
  it('is what stands in them; what only begins so is taken as it is', () => {
    expect(values(JSON.stringify('a 1\nb{x="2"} 2\n'), 'b')).toEqual([2]);
    expect(values('"\na 1\n')).toEqual([1]);
    expect(values('')).toEqual([]);
  });
});
