// `npm run check:licenses`: every package that is installed with hivepulse has a licence that allows it to be used and
// passed on with it. Read from the lock file, which repeats each package's own declaration.
import { readFileSync } from 'node:fs';
import satisfies from 'spdx-satisfies';

const permissive = [
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Unlicense',
];
/** Only used to build and test, not passed on: weak copyleft and data licences are fine as well. */
const forTools = [
  ...permissive,
  'MPL-2.0',
  'CC-BY-4.0',
  'CC-BY-3.0',
  'Python-2.0',
  'MIT-0',
  'Zlib',
  'Artistic-2.0',
  'LGPL-3.0-or-later',
];

const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'));
const counts = { runtime: 0, tools: 0 };
for (const [path, { version, license, dev }] of Object.entries(lock.packages)) {
  if (path === '') continue;
  counts[dev ? 'tools' : 'runtime']++;
  if (typeof license === 'string' && satisfies(license, dev ? forTools : permissive)) continue;
  const name = path.replace(/^.*node_modules\//, '');
  console.error(`check:licenses: ${name}@${version} has ${license ?? 'no licence'}${dev ? ' (tool)' : ''}`);
  process.exitCode = 1;
}
console.log(`check:licenses: ${counts.runtime} packages at run time, ${counts.tools} for building and testing`);
