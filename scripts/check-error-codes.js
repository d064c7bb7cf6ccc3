// `npm run check:errors`: every code that an error or an error reply of the project can carry is asked for by some test,
// and every code is raised by some source. Reads the lists where they are declared.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const declared = [
  { file: 'lib/util/errors.ts', from: 'export const errorCodes = [', to: '] as const', code: /^\s*'([A-Z_]+)',/gm },
  { file: 'lib/http/problem.ts', from: 'export const problems = {', to: '} as const', code: /^\s*([A-Z_]+): \[/gm },
];

const textsBelow = (directory, pattern) =>
  readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));

const read = (path) =>
  readFileSync(path, 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
const tests = textsBelow('test', /\.test\.ts$/)
  .map(read)
  .join('\n');
const sources = textsBelow('lib', /\.tsx?$/);

let status = 0;
let count = 0;
for (const { file, from, to, code } of declared) {
  const text = readFileSync(join(root, file), 'utf8');
  const begin = text.indexOf(from);
  const list = begin < 0 ? '' : text.slice(begin, text.indexOf(to, begin));
  const codes = [...list.matchAll(code)].map(([, name]) => name);
  if (codes.length === 0) {
    console.error(`check:errors: no code was found in ${file}; has its list another shape?`);
    status = 1;
  }
  const rest = text.replace(list, '');
  const raising = sources.map((path) => (path === join(root, file) ? rest : read(path))).join('\n');
  for (const name of codes) {
    count++;
    const quoted = new RegExp(`['"\`/:]${name}\\b`);
    if (!quoted.test(tests)) {
      console.error(`check:errors: ${name} (${file}) is asked for by no test`);
      status = 1;
    }
    if (!new RegExp(`['"]${name}['"]`).test(raising)) {
      console.error(`check:errors: ${name} (${file}) is raised by nothing in lib/`);
      status = 1;
    }
  }
}
console.log(`check:errors: ${count} codes`);
process.exit(status);
