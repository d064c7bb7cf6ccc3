import { statSync } from 'node:fs';
import { expect, it } from 'vitest';

it('the command can be executed after every build, not only after npm has linked it', () => {
  const { mode } = statSync(new URL('../../dist/cli/main.js', import.meta.url));
  expect(mode & 0o111).toBe(0o111);
});
