import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseProcessStat } from '../../lib/procfs/parse.js';
import { systemClock } from '../../lib/util/clock.js';
import { Listening } from '../../lib/workers/listening.js';
import { temporaryDirectory } from '../harness/leftovers.js';
import { waitFor } from '../harness/wait.js';

const identityOf = (pid: number) => ({
  pid,
  startTicks: parseProcessStat(readFileSync(`/proc/${pid}/stat`))?.startTicks as number,
});

describe('Unix sockets of processes', () => {
  it('are those on which they take connections, and only of those that may serve on one', async () => {
    const directory = temporaryDirectory();
    const path = join(directory.path, 'llama.sock');
    const server = createServer().listen(path);
    await once(server, 'listening');
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    const listening = new Listening({ procRoot: '/proc', clock: systemClock });
    onTestFinished(() => {
      listening.close();
      other.kill();
      server.close();
      directory.remove();
    });
    const [own, sleeper] = [identityOf(process.pid), identityOf(other.pid as number)];
    const all = [own, sleeper];
    const look = async (...onUnix: readonly number[]) => {
      listening.update(all, new Set(), new Set(onUnix));
      await listening.look();
      return all.map((each) => listening.unixPathsOf(each).filter((each) => each.startsWith(directory.path)));
    };
    expect(await look(sleeper.pid)).toEqual([[], []]);
    await waitFor(async () => (await look(own.pid, sleeper.pid))[0]?.length === 1);
    const { generation } = listening;
    expect(await look(own.pid, sleeper.pid)).toEqual([[path], []]);
    expect(listening.generation).toBe(generation);
    expect(listening.unixPathsOf({ ...own, startTicks: 1 })).toEqual([]);
    server.close();
    await once(server, 'close');
    await waitFor(async () => (await look(own.pid, sleeper.pid))[0]?.length === 0);
    expect(listening.generation).toBeGreaterThan(generation);
    expect(listening.changedIn([own])).toBe(listening.generation);
    expect(listening.changedIn([sleeper])).toBeLessThan(listening.generation);
  });
});
