// The project's own rules (`npm run lint` runs them): rooms, callers, words, error codes, assertions, sizes. `--lower` lowers the ceilings in allowed.json.
import { readFileSync, writeFileSync } from 'node:fs';
import { at, root } from '../run.js';
import { checkAssertions } from './assertions.js';
import { checkCallers } from './callers.js';
import { checkErrorCodes } from './error-codes.js';
import { checkRooms } from './rooms.js';
import { checkSizes, largeFunctions, longFiles, lowerCeilings } from './sizes.js';
import { readSources } from './sources.js';
import { checkWords, retiredWords } from './words.js';

const list = at('scripts/lint/allowed.json');

const files = readSources(root, ['lib', 'test', 'bench', 'scripts', 'native', 'docs/*.md', 'deploy', '*.md']);
const found = { fileLines: longFiles(files), ...largeFunctions(root, files), words: retiredWords(files) };
let allowed = JSON.parse(readFileSync(list, 'utf8'));
if (process.argv.includes('--lower')) {
  allowed = lowerCeilings(found, allowed);
  const text = JSON.stringify(allowed, null, 2).replace(/\[[^[\]]*\]/g, (sizes) =>
    sizes.replace(/\s+/g, ' ').replace(/(?<=\[) | (?=\])/g, ''),
  );
  writeFileSync(list, `${text}\n`);
}
const problems = [
  checkRooms(files),
  checkCallers(files),
  checkWords(files),
  checkErrorCodes(files),
  checkAssertions(files),
  checkSizes(found, allowed),
].flat();
for (const problem of problems) console.error(problem);
console.log(`house rules: ${files.size} files, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
