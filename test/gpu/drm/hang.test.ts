import { expect, it } from 'vitest';
import { DrmProcesses } from '../../../lib/gpu/drm/processes.js';
import { openFileReader, WorkerFileReader } from '../../../lib/io/open-file-reader.js';
import { waitFor } from '../../harness/wait.js';
import { FakeDrmHost, radeon } from './fake-host.js';
import { vulkan } from './hazard.js';
import { drmSource, failingFiles, vendorsOver } from './sources.js';

const other = '0000:44:00.0';
const readers = [
  { reader: 'the addon', open: openFileReader },
  { reader: 'TypeScript', open: () => new WorkerFileReader() },
];

it.each(readers)(
  'reads that do not return, of a card and of a process, cost what they say until they do: by $reader',
  async ({ open }) => {
    using host = new FakeDrmHost([radeon(), radeon(other)]);
    host.process(4100, [vulkan(7, 1, 0)]);
    let hangs = false;
    const stuck = (path: string) => hangs && /card0\/device\/gpu_busy|\/4100\/fdinfo\/3$/.test(path);
    using drm = drmSource(host, {
      vendors: vendorsOver(failingFiles((path) => (stuck(path) ? 'hangs' : undefined), open)),
    });
    const well = await drm.next();
    expect(well.devices.map(({ health }) => health)).toEqual(['ok', 'ok']);
    expect(well.processes).toHaveLength(1);
    hangs = true;
    // Of a process that was seen before it is not known from now on what it holds; it holds not nothing until the next look.
    for (let pass = 0; pass < 2; pass++) {
      const { devices, faults, processes } = await drm.next();
      expect(devices.map(({ health, powerWatts }) => [health, powerWatts])).toEqual([
        ['stalled', null],
        ['ok', 201],
      ]);
      expect([processes, devices[1]!.processesKnown]).toEqual([[], false]);
      expect(faults).toContainEqual(expect.objectContaining({ code: 'TIMEOUT', gpuUuid: 'AMD-0000:03:00.0' }));
      const unknown = { code: 'TIMEOUT', field: 'processCount', gpuUuid: `AMD-${other}` };
      expect(faults).toContainEqual(expect.objectContaining(unknown));
    }
    hangs = false;
    const isWell = async () => {
      const { devices, faults, processes } = await drm.next();
      return devices.every(({ processesKnown }) => processesKnown) && faults.length === 0 && processes.length === 1;
    };
    await waitFor(isWell, { what: 'a card and a process that answer again' });
  },
);

it.each(readers)('a pipe in the place of a file is refused, and holds nobody up: by $reader', async ({ open }) => {
  using host = new FakeDrmHost([radeon(), radeon(other)]);
  host.process(4100, [vulkan(7, 1, 0)]);
  host.pipe('sys/class/drm/card0/device/gpu_busy_percent');
  host.pipe('proc/4100/fdinfo/3');
  const drmProcesses = new DrmProcesses({ procRoot: host.roots.proc, now: () => 0, open });
  const { incomplete, byDevice } = await drmProcesses.scan();
  drmProcesses.close();
  expect([incomplete?.code, byDevice.size]).toEqual(['TIMEOUT', 0]);
  using drm = drmSource(host, { vendors: vendorsOver(open) });
  const { devices } = await drm.next();
  expect(devices.map(({ health, utilizationPercent }) => [health, utilizationPercent])).toEqual([
    ['ok', null],
    ['ok', 37],
  ]);
  expect(devices[0]!.unsupported).toContain('utilizationPercent');
});
