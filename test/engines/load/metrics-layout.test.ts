import { describe, expect, it } from 'vitest';
import { labelOf, MetricsPage, PageLayout, sumOf } from '../../../lib/engines/load/metrics-page.js';

const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
const page = (text: string, layout?: PageLayout) => new MetricsPage(Buffer.from(text), layout);
const values = (text: string, family: string, layout: PageLayout) =>
  page(text, layout)
    .samples(family)
    .map(({ value }) => value);

describe('behind other pages of its server a page', () => {
  it('finds a family that comes anew at once where the page has grown, and on the tenth page in any case', () => {
    const layout = new PageLayout();
    const newIn = (text: string) => sumOf(new MetricsPage(Buffer.from(text), layout).samples('new'));
    const before = 'first 123456789\nother 1\n';
    expect(newIn(before)).toBeNull();
    expect(newIn(`${before}new 7\n`)).toBe(7);
    expect(newIn(`new 8\n${before}`)).toBe(8);
    expect(newIn(before)).toBeNull();
    const late = Array.from({ length: 10 }, () => newIn('first 1\nother 1\nnew 9\n'));
    expect(late).toEqual([...Array(9).fill(null), 9]);
  });

  it('gives all samples where another one stands first in the place of what stood there', () => {
    const layout = new PageLayout();
    const [comment, zero, one] = ['# comment.\n', 'a{r="0"} 1\n', 'a{r="1"} 2\n'];
    for (const lines of [
      [comment, one],
      [zero, one],
      [comment, zero, one],
      [zero, one],
    ]) {
      const samples = new MetricsPage(Buffer.from(lines.join('')), layout).samples('a');
      expect(samples).toHaveLength(lines.filter((line) => line !== comment).length);
    }
  });

  it('gives each sample the labels it has now, whatever those of the page before looked like', () => {
    const layout = new PageLayout();
    for (const model of ['a', 'b', 'ab', 'Ã©', 'é', 'é"}', '\ufffd', 'x'.repeat(600), 'x'.repeat(600), 'a']) {
      const text = `m{model="${escaped(model)}",rank="0"} 1\nm{model="${escaped(model)}",rank="1"} 2\n`;
      const samples = new MetricsPage(Buffer.from(text), layout).samples('m');
      expect(samples.map((sample) => labelOf(sample, 'model'))).toEqual([model, model]);
      expect(samples.map((sample) => labelOf(sample, 'rank'))).toEqual(['0', '1']);
      expect(samples.map((sample) => labelOf(sample, 'none'))).toEqual([null, null]);
    }
  });

  it('gives the sums and counts of all ranks of a histogram, which take turns with its buckets', () => {
    const rank = (i: number) =>
      ['0.1', '+Inf'].map((le) => `h_bucket{rank="${i}",le="${le}"} ${i}\n`).join('') +
      `h_count{rank="${i}"} ${i + 1}.0\nh_sum{rank="${i}"} 0.5\n`;
    const layout = new PageLayout();
    for (const ranks of [
      [0, 1, 2],
      [1, 2],
      [0, 1, 2, 3],
    ]) {
      const page = new MetricsPage(Buffer.from(`# TYPE h histogram\n${ranks.map(rank).join('')}other 1\n`), layout);
      expect(page.samples('h_count').map(({ value }) => value)).toEqual(ranks.map((i) => i + 1));
      expect(sumOf(page.samples('h_sum'))).toBe(ranks.length / 2);
    }
  });
});

describe('a family where the page before had it', () => {
  const filler = (lines: number) => Array.from({ length: lines }, (_unused, i) => `f${i} ${i}\n`).join('');

  it('is found however far it has moved, and all of its samples', () => {
    const layout = new PageLayout();
    const group = 'a{r="0"} 1\na{r="1"} 2\na{r="2"} 3\n';
    for (const lines of [0, 1, 300, 3, 299, 0, 100, 0])
      expect(values(`${filler(lines)}${group}z 1\n`, 'a', layout)).toEqual([1, 2, 3]);
  });

  it('is looked for anew where the page has grown by a line of it, and not before', () => {
    const grown = (bytes: number) => {
      const layout = new PageLayout();
      const line = 'a 1\n';
      expect(values('f 1234567890\n', 'a', layout)).toEqual([]);
      return values(`${line}f 1234567890\n`.slice(0, 4).padEnd('f 1234567890\n'.length + bytes, 'x'), 'a', layout);
    };
    expect(grown('\na'.length)).toEqual([1]);
    expect(grown('\na'.length - 1)).toEqual([]);
    expect(grown(0)).toEqual([]);
    expect(grown(-5)).toEqual([]);
  });

  it('and is now far before where it stood, though its next sample is near: all of them', () => {
    const layout = new PageLayout();
    const sample = (rank: number) => `a{r="${rank}",x="${'y'.repeat(600)}"} ${rank}\n`;
    for (const lines of [500, 400, 500, 410])
      expect(values(`${filler(lines)}${sample(1)}${sample(2)}`, 'a', layout)).toEqual([1, 2]);
  });

  it('that went is not there, and there again when it comes back', () => {
    const layout = new PageLayout();
    const found = ['a 1\nb 2\n', 'b 2\nc 3\n', 'b 2\na 5\nc 3\n'].map((text) => values(text, 'a', layout));
    expect(found).toEqual([[1], [], [5]]);
  });

  it('takes turns with other members of its histogram, also with many of them before it', () => {
    for (const buckets of [3, 63, 64, 65, 200]) {
      const layout = new PageLayout();
      const rank = (i: number) =>
        Array.from({ length: buckets }, (_unused, le) => `h_bucket{rank="${i}",le="${le}"} ${le}\n`).join('') +
        `h_count{rank="${i}"} ${i}\nh_sum{rank="${i}"} ${i * 2}\n`;
      for (const ranks of [
        [1, 2, 3],
        [2, 3],
        [0, 1, 2, 3],
        [1, 2, 3],
      ]) {
        const text = `# TYPE h histogram\n${ranks.map(rank).join('')}z 1\n`;
        const now = page(text, layout);
        expect(now.samples('h_count').map(({ value }) => value)).toEqual(ranks);
        expect(now.samples('h_sum').map(({ value }) => value)).toEqual(ranks.map((i) => i * 2));
        expect(now.samples('h_bucket')).toHaveLength(ranks.length * buckets);
        expect(now.samples('h')).toEqual([]);
      }
    }
  });

  it('does not begin where another family of the same beginning does', () => {
    const layout = new PageLayout();
    for (const text of ['x 1\nx_by_reason 2\n', 'x_by_reason 2\nx 1\n', 'y 0\nx_by_reason 2\nx 1\n'])
      expect(values(text, 'x', layout)).toEqual([1]);
  });
});

/** A page, and from where it was searched for a name. */
function searched(text: string, layout: PageLayout) {
  const bytes = Buffer.from(text);
  const searches: number[] = [];
  const indexOf = bytes.indexOf.bind(bytes) as (value: Buffer | number, from: number) => number;
  const counting = (value: Buffer | number, from: number) => {
    if (typeof value !== 'number') searches.push(from);
    return indexOf(value, from);
  };
  const made = new MetricsPage(Object.assign(bytes, { indexOf: counting as typeof bytes.indexOf }), layout);
  return (family: string) => {
    searches.length = 0;
    const found = made.samples(family).map(({ value }) => value);
    return [found, [...searches]];
  };
}

describe('what a page costs', () => {
  const filler = (bytes: number) => `f ${'1'.repeat(bytes - 3)}\n`;
  const rest = `a{r="0"} 1\na{r="1"} 2\n${filler(2000)}b 3\n${filler(100)}c 4\n`;
  const first = `${filler(3000)}${rest}`;
  const known = () => {
    const layout = new PageLayout();
    const read = searched(first, layout);
    expect(read('a')).toEqual([[1, 2], [0]]);
    expect(read('b')).toEqual([[3], [0]]);
    expect(read('c')).toEqual([[4], [0]]);
    return layout;
  };

  it('is no search where it is laid out as the one before', () => {
    const layout = known();
    for (let i = 0; i < 3; i += 1) {
      const read = searched(first, layout);
      for (const [family, expected] of [
        ['a', [1, 2]],
        ['b', [3]],
        ['c', [4]],
      ] as const)
        expect(read(family)).toEqual([expected, []]);
    }
  });

  it.each([
    ['grown', 3400, 2488],
    ['grown a lot', 30_000, 2488],
    ['become a little shorter', 2600, 2488],
    ['become shorter by the most that is looked for near', 2489, 2488],
  ])('is one search near where what stands before has %s, and none for what is behind', (_what, bytes, from) => {
    const read = searched(`${filler(bytes)}${rest}`, known());
    expect(read('a')).toEqual([[1, 2], [from]]);
    expect(read('b')).toEqual([[3], []]);
    expect(read('c')).toEqual([[4], []]);
  });

  it('is two searches where it stands further before', () => {
    const read = searched(`${filler(1000)}${rest}`, known());
    expect(read('a')).toEqual([
      [1, 2],
      [2488, 0],
    ]);
    expect(read('b')).toEqual([[3], []]);
  });

  it('is none for a family that went, while it is not looked for, and one near for what is behind', () => {
    const layout = known();
    const without = first.replace('b 3\n', '');
    const places = ['b 3', 'c 4'].map((line) => first.indexOf(`\n${line}`) + 1 - 512) as [number, number];
    const read = searched(without, layout);
    expect(read('b')).toEqual([[], [places[0], 0]]);
    expect(read('c')).toEqual([[4], [places[1]]]);
    const next = searched(without, layout);
    expect(next('b')).toEqual([[], []]);
    expect(next('c')).toEqual([[4], []]);
  });

  it('is one for a family that comes anew, which says nothing of where the others stand', () => {
    const read = searched(`${'d 5\n'}${first}`, known());
    expect(read('d')).toEqual([[5], []]);
    expect(read('a')).toEqual([[1, 2], [2488]]);
    expect(read('b')).toEqual([[3], []]);
  });

  it('is none for what is behind a family that moved from the very beginning or to it', () => {
    const layout = new PageLayout();
    const two = 'a 1\nb 2\n';
    for (const [text, searches] of [
      [two, [[], [0]]],
      [`${filler(600)}${two}`, [[0], []]],
      [two, [[88], []]],
    ] as const) {
      const read = searched(text, layout);
      expect([read('a')[1], read('b')[1]]).toEqual(searches);
    }
  });

  it('is no search for what stands at its very beginning', () => {
    const layout = new PageLayout();
    for (let i = 0; i < 2; i += 1) expect(searched('a 1\nb 2\n', layout)('a')).toEqual([[1], []]);
    const read = searched('a 1\nb 2\n', layout);
    expect([read('b'), read('a')]).toEqual([
      [[2], [0]],
      [[1], []],
    ]);
  });

  it('is no search for a histogram of up to so many buckets for each rank', () => {
    const text = (buckets: number) =>
      `${filler(1000)}${[0, 1]
        .map(
          (rank) =>
            Array.from({ length: buckets }, (_unused, le) => `h_bucket{r="${rank}",le="${le}"} 1\n`).join('') +
            `h_count{r="${rank}"} ${rank}\n`,
        )
        .join('')}`;
    for (const [buckets, isNear] of [
      [1, true],
      [63, true],
      [64, false],
    ] as const) {
      const layout = new PageLayout();
      expect(searched(text(buckets), layout)('h_count')).toEqual([[0, 1], [0]]);
      const [found, searches] = searched(text(buckets), layout)('h_count');
      expect([found, searches?.length === 0]).toEqual([[0, 1], isNear]);
    }
  });
});

describe('labels that the page before had', () => {
  const labelsOf = (text: string, layout: PageLayout) =>
    page(text, layout)
      .samples('a')
      .map(({ labels }) => labels);
  const isKept = (inner: string): boolean => {
    const layout = new PageLayout();
    const [before, now] = [1, 2].map((value) => labelsOf(`a{${inner}} ${value}\n`, layout)[0]);
    return before === now;
  };

  it('are taken apart once, where they are short and plain', () => {
    const ofLength = (length: number) => `x="${'y'.repeat(length - 4)}"`;
    expect([isKept('x="1"'), isKept(''), isKept(ofLength(512)), isKept(ofLength(513))]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect([isKept('x="é"'), isKept(`x="${'é'.repeat(300)}"`)]).toEqual([false, false]);
  });

  it('of the first samples of a family', () => {
    const layout = new PageLayout();
    const text = Array.from({ length: 66 }, (_unused, i) => `a{x="${i}"} 1\n`).join('');
    const [before, now] = [labelsOf(text, layout), labelsOf(text, layout)];
    expect(before.map((each, i) => each === now[i])).toEqual(before.map((_each, i) => i < 64));
  });

  it('are others where one is longer, shorter or differs in its last letter or its first', () => {
    const [x] = page('a{x="12"} 1\n').samples('a');
    expect(x && labelOf(x, 'x')).toBe('12');
    const layout = new PageLayout();
    for (const inner of ['x="12"', 'x="13"', 'y="13"', 'y="1"', 'y="13"', 'y="13",z="1"', 'y="131"', ''])
      for (let i = 0; i < 2; i += 1) {
        const [sample] = page(`a{${inner}} 1\n`, layout).samples('a');
        const said = ['x', 'y', 'z'].flatMap((name) => {
          const value = sample && labelOf(sample, name);
          return value == null ? [] : [`${name}="${value}"`];
        });
        expect(said.join(',')).toBe(inner);
      }
  });
});

it('a family is not one that stands within a line where it stood before', () => {
  const layout = new PageLayout();
  expect(values('f 1\na 1\n', 'a', layout)).toEqual([1]);
  expect(values('f12ba 9\na 1\n', 'a', layout)).toEqual([1]);
});
