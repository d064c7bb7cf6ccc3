// What the mutants of a run say: which were noticed, and whether that is enough.

/** Of the mutants that tests reach so many must be noticed. */
export const leastPercent = 90;

/** The lines of each file of a `git diff --unified=0` as Stryker takes them: `FILE:FROM-TO`. */
export function changedLines(diff) {
  const found = [];
  let file = null;
  for (const line of diff.split('\n')) {
    const header = /^\+\+\+ (?:b\/(.*)|\/dev\/null)$/.exec(line);
    if (header) file = header[1] ?? null;
    const hunk = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (!hunk || file === null || !/\.ts$/.test(file)) continue;
    const [from, count] = [Number(hunk[1]), Number(hunk[2] ?? 1)];
    if (count > 0) found.push({ file, text: `${file}:${from}-${from + count - 1}` });
  }
  return found;
}

/** The code that a mutant replaces. Lines count from 1, columns too. */
export function originalOf(source, { start, end }) {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1);
  lines[0] = lines[0].slice(start.column - 1);
  return lines.join('\n');
}

const oneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** As it stands in equivalents.json: by what is written there, since lines move. */
export function rowOf({ file, location, replacement }, source) {
  return {
    file,
    line: oneLine(source.split('\n')[location.start.line - 1] ?? ''),
    from: oneLine(originalOf(source, location)),
    to: oneLine(replacement ?? ''),
  };
}

export const isSame = (a, b) => a.file === b.file && a.line === b.line && a.from === b.from && a.to === b.to;

/** How often each kind stands in what was kept of a file, or (`file` null) of a sample; which are equivalent may be known only later. */
export function countsOf(file, { noticed, static: once, left }, equivalents) {
  const counts = { ...emptyCounts(), noticed, static: once };
  for (const { reached, ...row } of left) {
    const isEquivalent = equivalents.some((known) => isSame(known, file === null ? row : { file, ...row }));
    counts[isEquivalent ? 'equivalent' : reached ? 'survived' : 'unreached']++;
  }
  return counts;
}

const emptyCounts = () => ({ noticed: 0, survived: 0, equivalent: 0, unreached: 0, static: 0 });

/** Percent of `tried` that was noticed, rounded down: 89.99 is not 90. Null where nothing was tried. */
export const scoreOf = ({ noticed, survived }) =>
  noticed + survived === 0 ? null : Math.floor((noticed / (noticed + survived)) * 1000) / 10;

/** One may be equivalent and not yet listed. */
export const isEnough = ({ noticed, survived }) =>
  survived <= 1 || survived * 100 <= (noticed + survived) * (100 - leastPercent);

/**
 * Whether a change is good enough: of the files that were measured at 90 % or more, as many mutants are noticed still. A file
 * that never was cannot fail a change; what survives there is only listed.
 */
export function changeVerdict(files, measured, equivalents) {
  const held = Object.keys(files).filter(
    (file) =>
      measured[file] !== undefined && (scoreOf(countsOf(file, measured[file], equivalents)) ?? 0) >= leastPercent,
  );
  const sum = { noticed: 0, survived: 0 };
  for (const file of held) {
    const { noticed, survived } = countsOf(file, files[file], equivalents);
    sum.noticed += noticed;
    sum.survived += survived;
  }
  return { passed: isEnough(sum), held };
}

function kindOf({ status, statusReason }, isEquivalent) {
  if (status === 'Killed' || status === 'Timeout') return 'noticed';
  if (status === 'Survived') return isEquivalent ? 'equivalent' : 'survived';
  if (status === 'NoCoverage') return isEquivalent ? 'equivalent' : 'unreached';
  if (status === 'Ignored' && /static/i.test(statusReason ?? '')) return 'static';
  return null;
}

/** What a sample of a room found; `mutants`: of all its files. */
export const sampleOf = ({ files, mutants, isComplete }, { percent, seed }) => ({
  percent,
  seed,
  isComplete,
  mutants,
  noticed: Object.values(files).reduce((sum, { noticed }) => sum + noticed, 0),
  static: Object.values(files).reduce((sum, { static: once }) => sum + once, 0),
  left: Object.entries(files).flatMap(([file, { left }]) => left.map((row) => ({ file, ...row }))),
});

const unplanned = (asked, plan) => (plan === null ? [] : asked.filter((file) => !(file in plan)));

/** Of a run whose plan is not known nothing is whole; in a file that is not in it there is nothing to try. */
const wholeOf = (files, plan, triedOf) =>
  plan === null ? [] : files.filter((file) => (triedOf[file] ?? 0) >= (plan[file] ?? 0));

/** The lines of a run, as plugins.js writes them, summed up. `asked`: whole files that were to be tried; in some there is nothing to change. */
export function verdictOf(entries, equivalents, sourceOf, asked = []) {
  // A mutant that Stryker could not run (RuntimeError) is tried, and neither noticed nor survived.
  const { planned: plan = null, mutants = 0 } = entries.find((entry) => entry.planned !== undefined) ?? {};
  const isComplete = entries.some((entry) => entry.isComplete);
  const [all, files, survivors, triedOf] = [emptyCounts(), {}, [], {}];
  const count = (file, kind) => {
    files[file] ??= { noticed: 0, static: 0, left: [] };
    if (kind in files[file]) files[file][kind]++;
    all[kind]++;
  };
  for (const mutant of entries) {
    if (mutant.file === undefined) continue;
    if (mutant.status !== 'Ignored') triedOf[mutant.file] = (triedOf[mutant.file] ?? 0) + 1;
    const row = rowOf(mutant, sourceOf(mutant.file));
    const kind = kindOf(
      mutant,
      equivalents.some((known) => isSame(known, row)),
    );
    if (kind === null) continue;
    count(mutant.file, kind);
    const { file, ...left } = row;
    if (kind !== 'noticed' && kind !== 'static')
      files[file].left.push({ ...left, reached: mutant.status === 'Survived' });
    if (kind === 'survived' || kind === 'unreached')
      survivors.push(`${kind} ${mutant.file}:${mutant.location.start.line} ${JSON.stringify(row)}`);
  }
  const score = scoreOf(all);
  const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
  const [planned, tried] = [total(plan ?? {}), total(triedOf)];
  if (isComplete) for (const file of unplanned(asked, plan)) files[file] ??= { noticed: 0, static: 0, left: [] };
  const whole = wholeOf(Object.keys(files), plan, triedOf);
  const parts = [
    score === null ? 'nothing was tried' : `${score} % of ${all.noticed + all.survived} mutants noticed`,
    `${all.survived} survived`,
    `${all.equivalent} equivalent`,
    `${all.unreached} that no unit test of the room reaches`,
    `${all.static} static`,
  ];
  if (plan === null) parts.push('time was over before the first');
  else if (tried < planned)
    parts.push(`${planned - tried} of ${planned} not tried${isComplete ? '' : ': time was over'}`);
  return {
    files,
    whole,
    survivors,
    counts: all,
    mutants,
    isComplete,
    passed: isEnough(all),
    summary: parts.join(', '),
  };
}
