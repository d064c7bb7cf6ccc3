// `npm run docs:mutation`: docs/mutation.md, from what was measured.
import { readFileSync, writeFileSync } from 'node:fs';
import { at, isMain } from '../../scripts/run.js';
import { constants } from '../planted/constants.js';
import { faults } from '../planted/faults.js';
import { nativeFaults } from '../planted/native-faults.js';
import { countsOf, leastPercent, scoreOf } from './judge.js';
import { roomOf, rooms } from './rooms.js';

const kinds = ['noticed', 'survived', 'equivalent', 'unreached', 'static'];

const sum = (counts) =>
  Object.fromEntries(kinds.map((kind) => [kind, counts.reduce((total, count) => total + count[kind], 0)]));

const percent = (counts) => {
  const score = scoreOf(counts);
  return score === null ? '-' : `${score} %`;
};

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const code = (text) => (text === '' ? 'nothing' : `\`${text.replaceAll('|', '\\|').replaceAll('`', "'")}\``);

/** A file of types has none. */
const hasMutants = (counts) => kinds.some((kind) => counts[kind] > 0);

/** Of a share that was found in a sample, how far that of all may be from it in 19 of 20 samples; in percent. */
const marginOf = ({ noticed, survived }) => {
  const [tried, share] = [noticed + survived, noticed / (noticed + survived)];
  return Math.ceil((196 * Math.sqrt((share * (1 - share)) / tried) + 50 / tried) * 10) / 10;
};

function sampleRow(room, sample, equivalents) {
  const counts = countsOf(null, sample, equivalents);
  const tried = counts.noticed + counts.survived;
  const score = tried === 0 ? '-' : `${percent(counts)} ± ${marginOf(counts)}`;
  return [
    sample.isComplete ? room : `${room} (cut short)`,
    sample.mutants,
    kinds.reduce((total, kind) => total + counts[kind], 0),
    score,
    ...kinds.map((kind) => counts[kind]),
    sample.commit,
    sample.date,
  ];
}

export function mutationDocument(measured, equivalents, sampled = {}) {
  const byRoom = rooms.map((room) => ({ room, done: Object.keys(measured).filter((file) => roomOf(file) === room) }));
  const counts = Object.fromEntries(
    Object.entries(measured).map(([file, found]) => [file, countsOf(file, found, equivalents)]),
  );
  const roomRows = byRoom.map(({ room, done }) => {
    const all = sum(done.map((file) => counts[file]));
    return done.length === 0
      ? [room.name, 0, 'not measured', ...kinds.map(() => '')]
      : [room.name, done.length, percent(all), ...kinds.map((kind) => all[kind])];
  });
  const fileRows = byRoom.flatMap(({ done }) =>
    done
      .filter((file) => hasMutants(counts[file]))
      .map((file) => [
        `\`${file}\``,
        percent(counts[file]),
        ...kinds.map((kind) => counts[file][kind]),
        measured[file].commit,
        measured[file].date,
      ]),
  );
  const equivalentRows = equivalents.map(({ file, line, from, to, reason }) => [
    `\`${file}\``,
    code(line),
    `${code(from)} to ${code(to)}`,
    reason,
  ]);
  const sampleRows = rooms.flatMap(({ name }) => {
    const own = Object.keys(sampled).filter((of) => of === name || of.startsWith(`${name}: `));
    if (own.length === 0) return [[name, 'not sampled', ...Array.from({ length: kinds.length + 4 }, () => '')]];
    return own.map((of) => sampleRow(of, sampled[of], equivalents));
  });
  return `# Mutation testing

Which small faults in the code the unit tests notice. Written by \`npm run docs:mutation\` from \`test/mutation/measured.json\`.

    npm run test:mutation                            # every room, then the planted faults (TypeScript and C++)
    npm run test:mutation -- queen lib/io/guarded.ts # a room, a file
    npm run test:mutation -- --since HEAD^           # only lines that differ
    npm run test:mutation -- sampling --record       # and writes the result down here
    npm run test:mutation -- queen --sample 10 --record
    npm run test:mutation -- lib/queen/liveness.ts --own --record

Stryker changes the code in one place at a time, and the unit tests of the room (\`test/mutation/rooms.js\`) run on each change
that they reach. Property tests draw 25 times, always the same. Not changed are texts with a space in them, which people read. A
mutant costs a run of its tests in a thread that is kept, 0.3 s on a quiet machine; a test that waits for ever ends by itself after
2 s and five times what it takes on the code as it is.

What test files share is loaded once in that thread: a \`beforeEach\` at the top level of a shared module counts for the first file that
imports it, once, and for no later file or mutant. Such a module exports a function that sets its hooks up, which each test file calls.

- **noticed**: a test fails, or no longer ends.
- **survived**: all tests that reach it pass.
- **equivalent**: survived, since no input can tell it from the code; \`test/mutation/equivalents.json\` says why.
- **unreached**: only tests of daemons, processes or other rooms run this code.
- **static**: runs once, as the module is loaded: tables and patterns. Not tried.

Most files were measured with those of their room's tests that import them (\`--own\`) or with a few (\`--tests\`), which costs a minute where
the room costs an hour: all of the room's tests find no less than is said here.

The score is noticed of noticed and survived; ${leastPercent} % is the least for a room.

\`.ci/run\` tries the lines that a change touches, for two and a half minutes, and lists what survives. It fails where, in files that were
measured at ${leastPercent} % or more, more than one survives and those are more than ${100 - leastPercent} % of what was tried there; a file below that, or never measured,
fails no change. It says how many were not tried, and a change that touches none of these rooms says that. Every week each room is tried whole.

## Samples

Of a room, or some of its files, so many mutants were drawn and tried with all tests of the room. The score of all of them lies within the
figure behind ± in 19 of 20 samples; not where the run was cut short, since it takes file after file: that says of what was tried
alone. Tests that were added later are not in it: see the commit. What of the sample survived stands in \`test/mutation/sampled.json\`.

${table(['room', 'mutants', 'drawn', 'score', ...kinds, 'commit', 'date'], sampleRows)}

## Files that were measured whole, by room

A file that is not in the second table has not been measured, and nothing is known of it. What survived, or was not reached, stands
in \`test/mutation/measured.json\`.

${table(['room', 'files measured', 'score', ...kinds], roomRows)}

## Files

${table(['file', 'score', ...kinds, 'commit', 'date'], fileRows)}

## Planted faults

\`npm run test:planted\` plants each of these in a copy of the tree, those of \`native/\` in a copy of the addon that is built for it, and
fails where none of the tests beside it notices: ${faults.length} in TypeScript, ${nativeFaults.length} in C++ (\`test/planted/faults.js\`, \`native-faults.js\`).

${table(['file', 'faults', 'noticed by'], plantedRows())}

## Figures

It also makes each of these a tenth more and a tenth less. They are those that are promised in [reliability.md](reliability.md) and the
defaults of times and bounds.

${table(
  ['figure', 'file', 'noticed by'],
  constants.map(({ text, file, tests }) => [code(text), code(file), testsOf(tests)]),
)}

## Equivalent mutants

${table(['file', 'line', 'change', 'why nothing can tell'], equivalentRows)}
`;
}

const testsOf = (tests) => tests.map(code).join(', ');

/** Each file with the number of faults that are planted in it, and the tests that must notice them. */
function plantedRows() {
  const files = new Map();
  for (const { file, tests } of [...faults, ...nativeFaults]) {
    const row = files.get(file) ?? { count: 0, tests: new Set() };
    row.count++;
    for (const test of tests) row.tests.add(test);
    files.set(file, row);
  }
  return [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, { count, tests }]) => [code(file), count, testsOf([...tests])]);
}

const json = (name) => JSON.parse(readFileSync(at('test/mutation', name), 'utf8'));

export const currentDocument = () =>
  mutationDocument(json('measured.json'), json('equivalents.json'), json('sampled.json'));

if (isMain(import.meta)) writeFileSync(at('docs/mutation.md'), currentDocument());
