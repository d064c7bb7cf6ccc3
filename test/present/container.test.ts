import { expect, it } from 'vitest';
import { containerText } from '../../lib/present/container.js';

const gib = 2 ** 30;

it.each([
  [8, 64, 32 * gib, 512 * gib, '8 of 64 CPUs, 32 of 512 GiB'],
  [2.5, 64, gib / 2, 15.6 * gib, '2.5 of 64 CPUs, 512 MiB of 15.6 GiB'],
  [64, 64, 32 * gib, 512 * gib, 'all 64 CPUs, 32 of 512 GiB'],
  [8, 64, null, 512 * gib, '8 of 64 CPUs, memory not known'],
  [8, 64, 32 * gib, null, '8 of 64 CPUs, 32 GiB'],
  [null, 64, 512 * gib, 512 * gib, 'CPUs not known, all 512 GiB'],
  [0.25, 2, 64 * gib, 2048 * gib, '0.3 of 2 CPUs, 64 GiB of 2 TiB'],
])(
  '%d of %d CPUs and %d of %d bytes are said in one line',
  (cpus, machineCpuCount, memoryBytes, machineMemoryTotalBytes, text) => {
    const container = { cpus, machineCpuCount, memoryBytes, machineMemoryTotalBytes };
    expect(containerText({ container })).toBe(`inside a container: ${text}`);
  },
);

it('the machine itself says nothing of a container', () => {
  for (const container of [null, undefined]) expect(containerText({ container })).toBeNull();
});
