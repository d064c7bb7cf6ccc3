import { expect, it } from 'vitest';
import { assemble } from '../../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { type NvidiaField, toReport } from '../../../lib/gpu/nvidia/report.js';

const deviceOf = (values: Partial<Record<NvidiaField, number>>) => {
  const names = { uuid: 'GPU-0', parentUuid: '', name: 'card', busId: '', computeCapability: '' };
  const gpu = { index: 0, handleCode: 0, ...names, values, codes: {} };
  const { devices, faults } = assemble(
    toReport({ driverVersion: '', devices: [gpu], processes: [] }),
    new GpuIdentities(),
  );
  return { gpu: devices[0], faults: faults.map(({ code, field }) => [code, field]) };
};

it.each([
  [{ remapPending: 2 ** 32 - 1, remapFailed: 0 }, 'remappedRows', null],
  [{ remapPending: 0, remapFailed: 2 ** 32 - 1 }, 'remappedRows', null],
  [{ migEnabled: 2 ** 32 - 1 }, 'migMode', null],
  [{ throttleBits: 2 ** 64 }, 'throttleReasons', []],
] as const)(
  'a flag of %o is no flag: unknown with its reason, and no damage to the health',
  (values, field, unknown) => {
    const { gpu, faults } = deviceOf(values);
    expect(gpu?.[field]).toEqual(unknown);
    expect(gpu?.health).toBe('ok');
    expect(faults).toEqual([['IMPLAUSIBLE', field]]);
  },
);

it('flags are taken as they are', () => {
  const { gpu, faults } = deviceOf({ remapPending: 0, remapFailed: 0, migEnabled: 1, throttleBits: 4 });
  expect(gpu).toMatchObject({ remappedRows: { pending: false, failed: false }, migMode: true });
  expect(gpu?.throttleReasons).toHaveLength(1);
  expect(faults).toEqual([]);
});
