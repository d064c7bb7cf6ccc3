import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../harness/wait.js';
import { workerOf } from './collect-support.js';
import { FakeHost } from './fake-host.js';

const path = '/hivepulse.slice/llm/a';
const uuid = '8e0c5b1e-4f0e-4a52-9d5b-0f3f6f1c2a77';
const spawned = ['python3', '-c', 'from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=9)'];

/** What is known of a worker of these processes, by command line, that hold Unix sockets, once nothing changes any more. */
async function settled(...processes: readonly (readonly [argv: readonly string[], ...paths: readonly string[]])[]) {
  const host = new FakeHost();
  host.cgroup(path);
  let inode = 70_000;
  const lines = ['Num       RefCount Protocol Flags    Type St Inode Path'];
  const held: (readonly [pid: number, inode: number])[] = [];
  for (const [i, [argv, ...paths]] of processes.entries()) {
    const pid = 100 + i;
    host.process({ pid, argv, cgroup: path, parentPid: i === 0 ? 1 : 100 });
    for (const each of paths) {
      inode += 1;
      held.push([pid, inode]);
      lines.push(`0000000000000000: 00000002 00000000 00010000 0001 01 ${inode} ${each}`);
    }
  }
  for (const [i] of processes.entries()) host.write(`proc/${100 + i}/net/unix`, `${lines.join('\n')}\n`);
  for (const [pid, each] of held) symlinkSync(`socket:[${each}]`, join(host.procRoot, String(pid), 'fd', `u${each}`));
  const sampler = host.sampler({ readiness: true });
  let [last, same] = ['', 0];
  return waitFor(async () => {
    const { ready, nullReasons, endpoint, endpointReason, port } = workerOf(await sampler.sample(), 'llm/a');
    const now = JSON.stringify([ready ?? nullReasons?.ready, endpoint ?? endpointReason, port]);
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 3 && now;
  });
}

const onUnix = JSON.stringify(['onUnixSocket', 'notListening', null]);
const notReady = JSON.stringify([false, 'notListening', null]);

describe('an engine on a Unix socket', () => {
  it.each([
    ['by a variable', [[['llama-server', '-m', 'm.gguf'], '/run/llama.sock']]],
    ['by a file', [[['vllm', 'serve', 'a/b', '--config', 'c.yaml'], '/run/vllm/api.sock', `/tmp/${uuid}`]]],
    ['by a file, in a process that multiprocessing started', [[['vllm', 'serve', 'a/b']], [spawned, '/run/api.sock']]],
  ] as const)('%s: nobody can say whether it is ready', async (_how, processes) => {
    expect(await settled(...processes)).toBe(onUnix);
  });

  it.each([
    ['what its parts talk over', [[['vllm', 'serve', 'a/b'], `/tmp/${uuid}`, '/tmp/pymp-k3x/listener-1']]],
    ['the socket of another program', [[['llama-server', '-m', 'm.gguf']], [['agent'], '/run/agent.sock']]],
    ['an engine that never serves on one', [[['ollama', 'serve'], '/run/o.sock']]],
  ] as const)('%s is none: it does not listen yet', async (_what, processes) => {
    expect(await settled(...processes)).toBe(notReady);
  });
});
