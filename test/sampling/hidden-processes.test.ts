import { expect, it } from 'vitest';
import { hidesProcesses, parseMountinfo } from '../../lib/cgroup/locate.js';
import { FakeHost } from './fake-host.js';

const procWith = (superOptions: string, type = 'proc') =>
  parseMountinfo(`22 1 0:21 / /proc rw,nosuid - ${type} ${type} ${superOptions}\n`);

it.each([
  ['rw,hidepid=2', true],
  ['rw,hidepid=invisible', true],
  ['rw,hidepid=noaccess,gid=5', true],
  ['rw,hidepid=ptraceable', true],
  ['rw,hidepid=4', true],
  ['rw,hidepid=0', false],
  ['rw,hidepid=off', false],
  ['rw', false],
])('a proc file system with %s keeps users apart: %s', (options, hides) => {
  expect(procWith(options).map(hidesProcesses)).toEqual([hides]);
  expect(procWith(options, 'tmpfs').map(hidesProcesses)).toEqual([false]);
});

it('where it does, no command line is shown unless that is said', async () => {
  const host = new FakeHost();
  host.worker('/hivepulse.slice/llm/a', { pid: 100, argv: ['python3', '/bin/vllm', 'serve', 'x'] });
  const commandOf = async (options: Parameters<FakeHost['sampler']>[0]) =>
    (await host.sampler(options).sample()).workers.map(({ command }) => command);
  expect(await commandOf({ hidesProcesses: true })).toEqual([null]);
  // Asked for by name, the default shows what it shows elsewhere.
  expect(await commandOf({ hidesProcesses: true, commands: 'safe' })).toEqual(['python3 vllm serve x']);
  expect(await commandOf({})).toEqual(['python3 vllm serve x']);
});
