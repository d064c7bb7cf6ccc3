/** What readers copy out of README and docs: TypeScript is compiled, shell is parsed, commands and requests are carried out. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../lib/cli/program.js';
import { type Queen, startQueen } from '../../lib/daemon/queen.js';
import { runCli } from '../cli/run-cli.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).map((file) => `docs/${file}`)];

interface Snippet {
  /** `README.md:21` */
  readonly at: string;
  readonly language: string;
  readonly text: string;
}

const snippets: readonly Snippet[] = documents
  .filter((file) => file.endsWith('.md'))
  .flatMap((file) => {
    const whole = readFileSync(join(root, file), 'utf8');
    return [...whole.matchAll(/^```([a-z]+)\n([\s\S]*?)^```$/gm)].map(({ index, 1: language = '', 2: text = '' }) => ({
      at: `${file}:${whole.slice(0, index).split('\n').length}`,
      language,
      text,
    }));
  });
const inLanguage = (language: string) => snippets.filter((snippet) => snippet.language === language);
const shell = inLanguage('sh');

/** Lines with continuations joined and comments at their end taken off. */
const linesOf = (text: string) =>
  text
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/\s+#\s.*$/, '').trim());

/** Words of a line as bash splits it, where it calls hivepulse and nothing else. */
function wordsOf(line: string): string[] {
  const script = `hivepulse() { printf '%s\\0' "$@"; }; npx() { shift; hivepulse "$@"; }; ${line.replace(/\s*&$/, '')}`;
  return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
}
const calls = shell.flatMap(({ at, text }) =>
  linesOf(text)
    .filter((line) => /^(?:[A-Z_]+=\S+ )?(?:npx )?hivepulse [^>|;]*$/.test(line))
    .map((line) => ({ at, line })),
);
const requests = shell.flatMap(({ at, text }) =>
  linesOf(text)
    .filter((line) => line.startsWith('curl ') && line.includes('http://127.0.0.1:7833/'))
    .map((line) => ({ at, line })),
);

/** Parses as the command line does, with every option judged, and does nothing. */
function parseOnly(words: readonly string[]): void {
  const still = (command: Command): void => {
    command
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
      .action(() => undefined);
    for (const child of command.commands) still(child);
  };
  const program = createProgram();
  for (const command of program.commands) still(command);
  program.parse(['node', 'hivepulse', ...words]);
}

let queen: Queen;
beforeAll(async () => {
  queen = await startQueen({ port: 0, warmingMs: 0 });
});
afterAll(() => queen.close());

describe('snippets of README and docs', () => {
  it('are found', () => {
    expect(inLanguage('ts').length).toBeGreaterThan(3);
    expect(shell.length).toBeGreaterThan(20);
    expect(calls.length).toBeGreaterThan(20);
    expect(requests.length).toBeGreaterThan(3);
  });

  it('TypeScript compiles, each snippet as a file of its own', () => {
    mkdirSync(join(root, 'test-results'), { recursive: true });
    const directory = mkdtempSync(join(root, 'test-results/snippets-'));
    try {
      const at = new Map(inLanguage('ts').map((snippet, i) => [`snippet-${i}.ts`, snippet]));
      for (const [name, { text }] of at) writeFileSync(join(directory, name), text);
      writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
      const paths = { hivepulse: ['../../lib/index.ts'], 'hivepulse/client': ['../../lib/client/client.ts'] };
      const compilerOptions = { paths, noUncheckedIndexedAccess: false, noUnusedLocals: false };
      writeFileSync(
        join(directory, 'tsconfig.json'),
        JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'], exclude: [] }),
      );
      let errors = '';
      try {
        execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', directory], { encoding: 'utf8', cwd: directory });
      } catch (error) {
        errors = String((error as { stdout?: string }).stdout);
      }
      expect(errors.replaceAll(/snippet-\d+\.ts/g, (name) => at.get(name)?.at ?? name)).toBe('');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each(shell)('$at: bash understands it', ({ text }) => {
    execFileSync('bash', ['-n'], { input: text });
  });

  it.each(calls)('$at: $line', async ({ line }) => {
    const words = wordsOf(line);
    parseOnly(words);
    const [command = ''] = words;
    // What asks a queen is asked as well; what follows for ever is not.
    if (!['workers', 'hives', 'events'].includes(command) || words.includes('--follow')) return;
    const own = words.filter((word, i) => word !== '--queen' && words[i - 1] !== '--queen');
    const { code, stderr } = await runCli([...own, '--queen', queen.url]);
    // This queen has no hives.
    expect(stderr).toMatch(/^(?:hivepulse: no (?:worker|hive|event)s? match(?:es)?\.\n)?$/);
    expect(code).toBe(0);
  });

  it.each(requests)('$at: $line', async ({ line }) => {
    const here = line
      .replaceAll('http://127.0.0.1:7833', queen.url)
      .replace(/^curl /, 'curl --max-time 1 -w "\\n%{http_code}" ');
    // A stream ends with curl's limit of time (28).
    const { stdout } = await promisify(execFile)('bash', ['-o', 'pipefail', '-c', here.replace(/\|.*$/, '')]).catch(
      (error: { code: number; stdout: string }) => {
        if (error.code !== 28) throw error;
        return error;
      },
    );
    expect(stdout.trim().split('\n').at(-1)).toBe('200');
  });
});
