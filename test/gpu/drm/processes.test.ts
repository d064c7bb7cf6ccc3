import { expect, it } from 'vitest';
import { DrmProcesses } from '../../../lib/gpu/drm/processes.js';
import type { OpenFiles } from '../../../lib/io/guarded.js';
import { openFileReader } from '../../../lib/io/open-file-reader.js';
import { FakeDrmHost, fdinfo } from './fake-host.js';

it('walks /proc once for all who ask in one pass, and anew in the next', async () => {
  using host = new FakeDrmHost();
  host.process(4100, [fdinfo({ driver: 'amdgpu', pdev: '0000:03:00.0', id: 7 })]);
  host.process(4200, [fdinfo({ driver: 'xe', pdev: '0000:07:00.0', id: 7 })]);
  let walks = 0;
  const open: OpenFiles = () => {
    const reader = openFileReader();
    const pids = reader.pids.bind(reader);
    reader.pids = (paths) => {
      walks += 1;
      return pids(paths);
    };
    return reader;
  };
  let now = 0;
  const processes = new DrmProcesses({ procRoot: host.roots.proc, now: () => now, sharedMs: 500, open });
  const scan = async () => [...(await processes.scan()).byDevice.keys()];
  expect(await Promise.all([scan(), scan()])).toEqual(
    Array.from({ length: 2 }, () => ['amdgpu 0000:03:00.0', 'xe 0000:07:00.0']),
  );
  now += 500;
  await scan();
  expect(walks).toBe(1);
  host.end(4100);
  now += 500;
  expect(await scan()).toEqual(['xe 0000:07:00.0']);
  expect(walks).toBe(2);
  processes.close();
});

it('of a crowd of descriptors those with most are left out, and all others are read', async () => {
  using host = new FakeDrmHost();
  const client = (id: number) => fdinfo({ driver: 'xe', pdev: '0000:07:00.0', id });
  const crowd = (pid: number, count: number) =>
    host.process(
      pid,
      Array.from({ length: count }, (_, i) => client(pid * 10_000 + i)),
    );
  host.process(4000, [client(1)]);
  crowd(4100, 41);
  for (const pid of [4200, 4300, 4400, 4500]) crowd(pid, 40);
  crowd(4600, 10);
  const descriptors = { ofOne: 40, inAll: 160 };
  const processes = new DrmProcesses({ procRoot: host.roots.proc, now: () => 0, descriptors });
  const { byDevice, incomplete } = await processes.scan();
  const holders = byDevice.get('xe 0000:07:00.0') ?? [];
  const counts = new Map(holders.map(({ pid, clients }) => [pid, clients.length]));
  expect([counts.get(4000), counts.get(4600), counts.get(4100)]).toEqual([1, 10, undefined]);
  expect(counts.size).toBe(2);
  expect(incomplete?.text).toContain('more descriptors of GPUs');
  processes.close();
});
