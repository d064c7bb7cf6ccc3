import { expect, it } from 'vitest';
import { assemble } from '../../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { type NvidiaField, toReport } from '../../../lib/gpu/nvidia/report.js';

type Numbers = Partial<Record<NvidiaField, number>>;
const deviceOf = (values: Numbers, codes: Numbers = {}) => {
  const names = { uuid: 'GPU-0', parentUuid: '', name: 'card', busId: '', computeCapability: '' };
  const gpu = { index: 0, handleCode: 0, ...names, values, codes };
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
  [{ throttleBits: 2 ** 64 }, 'throttleReasons', null],
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

it.each([
  [{ remapPending: 1 }, { remapFailed: 999 }, 'degraded', ['GPU_REMAP_PENDING', 'UNKNOWN_ERROR']],
  [{ remapPending: 0 }, { remapFailed: 999 }, 'ok', ['UNKNOWN_ERROR']],
  [{ remapFailed: 1 }, { remapPending: 13 }, 'degraded', ['GPU_REMAP_FAILED']],
] as const)('of remapped rows %o alone is not all of them, and no less wrong', (values, codes, health, expected) => {
  const { gpu, faults } = deviceOf(values, codes);
  expect(gpu).toMatchObject({ remappedRows: null, health });
  expect(faults.map(([code]) => code)).toEqual(expected);
  expect(gpu?.unsupported.includes('remappedRows')).toBe(expected.length === 1 && health === 'degraded');
});
