import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { cgroupSuite } from './cgroups.js';
import { sweep } from './leftovers.js';
import { waitFor } from './wait.js';

// Each of them starts processes that load TypeScript.
vi.setConfig({ testTimeout: 60_000 });

const suite = cgroupSuite('a test run that is interrupted');
const script = fileURLToPath(new URL('interrupted-run.ts', import.meta.url));

interface Made {
  readonly pids: readonly number[];
  readonly paths: readonly string[];
}

/** A process of its own that makes what tests make, and says what. */
async function start() {
  const child = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await waitFor(() => text.includes('\n') || child.exitCode !== null, { timeoutMs: 30_000, what: 'what it made' });
  const made = JSON.parse(text) as Made;
  const end = async (signal: NodeJS.Signals) => {
    const closed = once(child, 'exit');
    child.kill(signal);
    const [code, by] = (await closed) as [number | null, NodeJS.Signals | null];
    return code ?? by;
  };
  return { made, end };
}

/** A zombie is nobody's any more: who started it is dead, and who takes it over may be slow. */
const lives = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
const left = ({ pids, paths }: Made): readonly unknown[] => [...pids.filter(lives), ...paths.filter(existsSync)];

describe.skipIf(suite.skip)(suite.title, () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s: processes, directories, mounts, cgroups and network namespaces are gone with it',
    async (signal) => {
      const { made, end } = await start();
      expect(left(made)).toEqual([...made.pids, ...made.paths]);
      expect(await end(signal)).toBe(signal);
      await waitFor(() => left(made).length === 0, { what: 'nothing to be left' }).catch(() => undefined);
      expect(left(made)).toEqual([]);
      expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(made.paths[0]);
    },
  );

  test('SIGKILL: the next run removes what it left, and nothing of a run that lives', async () => {
    const [dead, alive] = [await start(), await start()];
    try {
      await dead.end('SIGKILL');
      expect(left(dead.made)).toEqual([...dead.made.pids, ...dead.made.paths]);
      const swept = sweep();
      expect(left(dead.made).filter((each) => typeof each === 'string')).toEqual([]);
      await waitFor(() => left(dead.made).length === 0, { what: 'its processes to be gone' });
      for (const path of dead.made.paths) expect(swept.join('\n')).toContain(path.replace('/run/netns/', ''));
      expect(left(alive.made)).toEqual([...alive.made.pids, ...alive.made.paths]);
    } finally {
      await alive.end('SIGTERM');
    }
    expect(sweep().filter((what) => alive.made.paths.some((path) => what.includes(path)))).toEqual([]);
  });

  test('directories that carry no pid are nobody’s to sweep', () => {
    const other = mkdtempSync(join(tmpdir(), 'hivepulse-of-a-user-'));
    sweep();
    expect(existsSync(other)).toBe(true);
    rmSync(other, { recursive: true });
  });
});
