// Which lines of the sources ran, from what V8 and llvm-cov tell. Pure: scripts/coverage.js does the reading and running.

import { decode } from '@jridgewell/sourcemap-codec';

/** How often the code at each of `offsets` (ascending) ran, by the innermost of V8's ranges around it. */
export function countsAt(functions, offsets) {
  const ranges = functions
    .flatMap(({ ranges }) => ranges)
    .sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  const open = [];
  let next = 0;
  return offsets.map((offset) => {
    for (; next < ranges.length && ranges[next].startOffset <= offset; next++) {
      while (open.length > 0 && open.at(-1).endOffset <= ranges[next].startOffset) open.pop();
      open.push(ranges[next]);
    }
    while (open.length > 0 && open.at(-1).endOffset <= offset) open.pop();
    return open.at(-1)?.count ?? 0;
  });
}

/**
 * What one script of a NODE_V8_COVERAGE file says of its sources: per URL of a source, its lines (from 1) that ran.
 * `cached` is the script's entry in that file's source-map-cache: Node has read the map and measured the lines.
 */
export function linesRun(script, { url, lineLengths, data }) {
  const starts = [0];
  for (const length of lineLengths) starts.push(starts.at(-1) + length + 1);
  const found = decode(data.mappings).flatMap((segments, generated) =>
    segments.filter(({ length }) => length >= 4).map(([column, source, line]) => [generated, column, source, line]),
  );
  const counts = countsAt(
    script.functions,
    found.map(([line, column]) => (starts[line] ?? Number.MAX_SAFE_INTEGER) + column),
  );
  const run = data.sources.map(() => new Set());
  found.forEach(([, , source, line], i) => {
    if (counts[i] > 0) run[source]?.add(line + 1);
  });
  const base = new URL(data.sourceRoot ?? '', url ?? script.url);
  return new Map(data.sources.map((source, i) => [new URL(source, base).href, run[i]]));
}

/** An lcov file as path -> (line -> count). */
export function parseLcov(text) {
  const files = new Map();
  let lines = new Map();
  for (const line of text.split('\n')) {
    if (line.startsWith('SF:')) {
      const path = line.slice(3);
      lines = files.get(path) ?? new Map();
      files.set(path, lines);
    } else if (line.startsWith('DA:')) {
      const [number, count] = line.slice(3).split(',').map(Number);
      lines.set(number, Math.max(lines.get(number) ?? 0, count));
    }
  }
  return files;
}

/** Adds to `files` what `more` counts of the same lines; of a file that `files` lacks, all of it. */
export function mergeLcov(files, more) {
  for (const [path, lines] of more) {
    const known = files.get(path);
    if (known === undefined) {
      files.set(path, new Map(lines));
      continue;
    }
    for (const [line, count] of lines) known.set(line, (known.get(line) ?? 0) + count);
  }
}

/** Adds lines that ran elsewhere. A line that no report counts (a brace, a type) is left out. */
export function addLines(files, path, run) {
  const known = files.get(path);
  if (known === undefined) return;
  for (const line of run) if (known.has(line)) known.set(line, known.get(line) + 1);
}

export function formatLcov(files) {
  const parts = [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, lines]) => {
      const sorted = [...lines].sort(([a], [b]) => a - b);
      const hit = sorted.filter(([, count]) => count > 0).length;
      return [
        `SF:${path}`,
        ...sorted.map(([line, count]) => `DA:${line},${count}`),
        `LH:${hit}`,
        `LF:${sorted.length}`,
        'end_of_record',
      ];
    });
  return `${parts.flat().join('\n')}\n`;
}

const percent = (hit, found) => (found === 0 ? 100 : Math.floor((hit / found) * 10_000) / 100);

function sum(entries) {
  const hit = entries.reduce((total, { hit }) => total + hit, 0);
  const found = entries.reduce((total, { found }) => total + found, 0);
  return { hit, found, percent: percent(hit, found) };
}

/** The report: per language, per directory, per file, with the lines that did not run. */
export function summarize(files) {
  const list = [...files]
    .map(([path, lines]) => {
      const missed = [...lines].filter(([, count]) => count === 0).map(([line]) => line);
      const found = lines.size;
      const hit = found - missed.length;
      return { path, hit, found, percent: percent(hit, found), missed: missed.sort((a, b) => a - b) };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const directories = [...new Set(list.map(({ path }) => path.slice(0, path.lastIndexOf('/'))))].map((directory) => ({
    path: directory,
    ...sum(list.filter(({ path }) => path.slice(0, path.lastIndexOf('/')) === directory)),
  }));
  const native = list.filter(({ path }) => path.startsWith('native/'));
  return {
    total: sum(list),
    typescript: sum(list.filter((file) => !native.includes(file))),
    cpp: sum(native),
    directories,
    files: list,
  };
}

/** Runs of lines: `3-5, 9`. */
export function ranges(lines) {
  const out = [];
  for (const line of lines) {
    const last = out.at(-1);
    if (last && last[1] === line - 1) last[1] = line;
    else out.push([line, line]);
  }
  return out.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

/** What falls below the floor, in percent of lines: either language, or both together. */
export function belowFloor(summary, floor) {
  const names = { typescript: 'TypeScript', cpp: 'C++', total: 'all lines' };
  return Object.entries(names)
    .filter(([key]) => summary[key].percent < floor)
    .map(([key, name]) => `${name}: ${summary[key].percent} % of lines ran; the floor is ${floor} %`);
}

export function markdown(summary, floor) {
  const row = ({ hit, found, percent: share }, name) => `| ${name} | ${share.toFixed(2)} % | ${hit} | ${found} |`;
  const least = summary.files
    .filter(({ percent: share }) => share < floor)
    .sort((a, b) => b.missed.length - a.missed.length)
    .slice(0, 15);
  return [
    '## Coverage',
    '',
    `Lines that ran under the suites, in their own process and in those they start. The floor is ${floor} % for each language. The page (\`lib/dashboard\`) runs in a browser and is not counted.`,
    '',
    '| | lines | ran | of |',
    '| --- | ---: | ---: | ---: |',
    row(summary.typescript, '**TypeScript**'),
    row(summary.cpp, '**C++**'),
    row(summary.total, '**both**'),
    ...summary.directories.map((directory) => row(directory, `\`${directory.path}/\``)),
    '',
    ...(least.length === 0
      ? []
      : [
          '<details><summary>Files below the floor, most missing lines first</summary>',
          '',
          '| file | lines | did not run |',
          '| --- | ---: | --- |',
          ...least.map(
            ({ path, percent: share, missed }) => `| \`${path}\` | ${share.toFixed(2)} % | ${ranges(missed)} |`,
          ),
          '',
          '</details>',
          '',
        ]),
  ].join('\n');
}
