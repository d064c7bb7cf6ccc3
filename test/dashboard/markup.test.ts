import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const page = fileURLToPath(new URL('../../lib/dashboard', import.meta.url));

it('nothing of the page makes markup, an address or code of a text', () => {
  const sources = readdirSync(page, { recursive: true, encoding: 'utf8' }).filter((path) => /\.tsx?$/.test(path));
  expect(sources.length).toBeGreaterThan(20);
  for (const path of sources)
    expect(readFileSync(join(page, path), 'utf8'), path).not.toMatch(
      /dangerouslySetInnerHTML|(?:inner|outer)HTML|insertAdjacentHTML|srcdoc|document\.write|DOMParser|\beval\(|new Function|javascript:/i,
    );
});
