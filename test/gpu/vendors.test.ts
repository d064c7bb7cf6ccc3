import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { amd } from '../../lib/gpu/amd/vendor.js';
import { GpuIdentities } from '../../lib/gpu/identities.js';
import { intel } from '../../lib/gpu/intel/vendor.js';
import type { GpuCheckHost } from '../../lib/gpu/vendor.js';
import { gpuVendors, isCardFile } from '../../lib/gpu/vendors.js';
import { temporaryDirectory } from '../harness/leftovers.js';

it('GPUs are counted in one order of vendors', () => {
  expect(gpuVendors.map(({ name }) => name)).toEqual(['NVIDIA', 'AMD', 'Intel']);
});

it.each([
  ['/dev/nvidia0', true],
  ['/dev/nvidia17', true],
  ['/dev/nvidiactl', false],
  ['/dev/nvidia0.old', false],
  ['/host/dev/nvidia0', false],
  ['/dev/dri/card0', false],
])('%s is the file of a card by which processes compute: %s', (path, expected) => {
  expect(isCardFile(path)).toBe(expected);
});

it.each([
  ['AMD', amd, '0x1002', 'amdgpu'],
  ['Intel', intel, '0x8086', 'xe'],
] as const)('cards of %s are read and checked by what that vendor has', async (name, vendor, pciVendor, driver) => {
  const { path, remove } = temporaryDirectory('vendors');
  onTestFinished(remove);
  const roots = { sys: join(path, 'sys'), proc: join(path, 'proc') };
  const reader = vendor.open({ roots }, new GpuIdentities());
  expect(reader.read()).toMatchObject({ status: 'absent', reason: expect.stringContaining(name) });
  reader.close();
  const files: Readonly<Record<string, string>> = { vendor: pciVendor, class: '0x030000' };
  const host = {
    list: (at: string) => (at.endsWith('/devices') ? ['0000:b1:00.0'] : []),
    text: (at: string) => files[at.split('/').at(-1) ?? ''] ?? null,
    realPath: () => null,
  } as unknown as GpuCheckHost;
  const [found] = (await vendor.check(host)) ?? [];
  expect(found).toMatchObject({
    check: `gpu${name}`,
    status: 'fail',
    fix: expect.stringContaining(`modprobe ${driver}`),
  });
});
