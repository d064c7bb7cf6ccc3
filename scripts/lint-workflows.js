// `npm run lint:workflows`: actionlint over .github/workflows, and that each `run` of theirs is a script of the project or a
// step of .ci/run, so that what GitHub does can be done by hand.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';
import { parse } from 'yaml';
import { ciSteps, strayCommands } from './workflows.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const directory = '.github/workflows';
const scripts = new Set(Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts));
const steps = ciSteps(readFileSync(join(root, '.ci/run'), 'utf8'));

/** Runners that are younger than the linter's list. */
const runners = ['ubuntu-24.04-arm'];
const isYoung = ({ kind, message }) =>
  kind === 'runner-label' && runners.some((runner) => message.startsWith(`label "${runner}" is unknown`));

const problems = [];
const files = readdirSync(join(root, directory)).filter((file) => /\.ya?ml$/.test(file));
if (files.length === 0) problems.push(`${directory} is empty`);
for (const file of files) {
  const path = `${directory}/${file}`;
  const text = readFileSync(join(root, path), 'utf8');
  // One each: a linter that has found something does not always live to see the next file.
  const lint = await createLinter();
  const found = lint(text, path).filter((problem) => !isYoung(problem));
  problems.push(...found.map(({ line, column, message, kind }) => `${path}:${line}:${column}: ${message} [${kind}]`));
  problems.push(...strayCommands(parse(text), scripts, steps).map((problem) => `${path}: ${problem}`));
}
for (const problem of problems) console.error(`lint:workflows: ${problem}`);
console.log(`lint:workflows: ${files.length} workflows`);
// The linter's Go runtime stays alive.
process.exit(problems.length === 0 ? 0 : 1);
