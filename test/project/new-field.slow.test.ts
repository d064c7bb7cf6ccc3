import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../harness/leftovers.js';
import { newField, steps } from './new-field/steps.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const minutes = 60_000;

describe('a field that is added as CONTRIBUTING says', () => {
  const copy = temporaryDirectory('new-field');
  const at = (path: string) => join(copy.path, path);
  const program = (name: string, ...args: string[]) =>
    run(at(`node_modules/.bin/${name}`), args, { cwd: copy.path, timeout: 2 * minutes }).catch((error) => {
      throw new Error(`${error.stdout}${error.stderr}`);
    });

  beforeAll(() => {
    for (const path of ['bench', 'examples', 'lib', 'native', 'scripts', 'test', 'package.json', 'tsconfig.json'])
      cpSync(join(root, path), at(path), {
        recursive: true,
        filter: (file) => !/\/test\/(?:fixtures|fakes\/build)$/.test(file),
      });
    symlinkSync(join(root, 'node_modules'), at('node_modules'));
    for (const [path, edits] of Object.entries(steps))
      for (const { after, add } of edits) {
        const parts = readFileSync(at(path), 'utf8').split(after);
        expect(parts.length, `${path}: ${after.trim()}`).toBe(2);
        writeFileSync(at(path), parts.join(after + add));
      }
  });
  afterAll(() => copy.remove());

  it('takes nine files at most, and CONTRIBUTING names each of them', () => {
    const walk = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8').split(/^## /m);
    const section = walk.find((text) => text.startsWith('Adding a field')) ?? '';
    expect(Object.keys(steps).length).toBeLessThanOrEqual(9);
    for (const path of Object.keys(steps)) expect(section).toContain(`\`${path}\``);
  });

  it(
    'satisfies the compilers of both languages',
    async () => {
      await program('tsc', '--noEmit', '-p', 'tsconfig.json');
      for (const file of ['native/cgroup_reader.cc'])
        await run('g++', ['-std=c++20', '-fsyntax-only', file], { cwd: copy.path, timeout: minutes });
    },
    4 * minutes,
  );

  it(
    'is read, kept, sorted, exported and shown everywhere',
    async () => {
      const { stdout } = await program('tsx', 'test/project/new-field/check.ts', newField.file, newField.name);
      expect(stdout).toContain('every output has it');
    },
    4 * minutes,
  );
});
