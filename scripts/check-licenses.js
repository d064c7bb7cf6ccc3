// `npm run check:licenses`: every package that is installed with hivepulse has a licence that allows it to be used and
// passed on with it. Read from the lock file, which repeats each package's own declaration.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const permissive = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Unlicense',
]);
/** Only used to build and test, not passed on: weak copyleft and data licences are fine as well. */
const forTools = new Set([
  ...permissive,
  'MPL-2.0',
  'CC-BY-4.0',
  'CC-BY-3.0',
  'Python-2.0',
  'MIT-0',
  'Zlib',
  'Artistic-2.0',
  'LGPL-3.0-or-later',
]);

/** Whether an SPDX expression of ids, OR, AND and parentheses is satisfied by `accepted`. */
export function isAccepted(expression, accepted) {
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const term = () => {
    const token = tokens[at++];
    if (token !== '(') return accepted.has(token);
    const inner = either();
    at++;
    return inner;
  };
  const both = () => {
    let result = term();
    while (tokens[at] === 'AND') {
      at++;
      const right = term();
      result = result && right;
    }
    return result;
  };
  const either = () => {
    let result = both();
    while (tokens[at] === 'OR') {
      at++;
      const right = both();
      result = result || right;
    }
    return result;
  };
  return tokens.length > 0 && either();
}

function main() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  let status = 0;
  const counts = { runtime: 0, tools: 0 };
  for (const [path, { version, license, dev }] of Object.entries(lock.packages)) {
    if (path === '') continue;
    counts[dev ? 'tools' : 'runtime']++;
    if (typeof license === 'string' && isAccepted(license, dev ? forTools : permissive)) continue;
    console.error(
      `check:licenses: ${path.replace(/^.*node_modules\//, '')}@${version} has ${license ?? 'no licence'}${dev ? ' (tool)' : ''}`,
    );
    status = 1;
  }
  console.log(`check:licenses: ${counts.runtime} packages at run time, ${counts.tools} for building and testing`);
  return status;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(main());
