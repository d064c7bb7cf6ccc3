import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const lib = fileURLToPath(new URL('../../lib', import.meta.url));
const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((path) => /\.tsx?$/.test(path));

it('only lib/io opens file readers: every other room has a guarded one', () => {
  expect(sources.length).toBeGreaterThan(100);
  for (const path of sources) {
    if (path.startsWith('io/')) continue;
    const text = readFileSync(join(lib, path), 'utf8');
    expect(text, path).not.toMatch(/\/io\/(?:open|native|worker)-file-reader/);
    expect(text, path).not.toMatch(/\b(?:openFileReader|openFiles)\(|new \w*\.?BlockingFiles\(/);
  }
});
