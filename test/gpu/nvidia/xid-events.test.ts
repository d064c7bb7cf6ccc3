import { expect, it } from 'vitest';
import { FakeGpuHost, h100, type Scenario } from '../../fakes/scenario.js';
import { nvidiaSmiOnce, nvmlOnce } from './read-once.js';

const part = {
  ...{ slot: 0, uuid: 'MIG-0', gpuInstance: 1, computeInstance: 0 },
  ...{ totalBytes: 2 ** 34, reservedBytes: 0, usedBytes: 0 },
};
const cut = h100(0, { mig: { enabled: true, devices: [part] } });
const machine = (codes: Readonly<Record<string, number>>): Scenario => ({
  generation: 550,
  gpus: [h100(0, { codes })],
});
const events = 'nvmlDeviceGetSupportedEventTypes';

/** Of each GPU whether it says that it has no Xids to tell of, and the code of the fault of those that are not known. */
async function xidsOf(scenario: Scenario, readOnce: typeof nvmlOnce | typeof nvidiaSmiOnce) {
  using host = new FakeGpuHost(scenario);
  const read = await readOnce(host);
  if (!('devices' in read)) throw new Error(read.message);
  return read.devices.map(({ uuid, lastXid, unsupported }) => [
    lastXid,
    unsupported.includes('lastXid'),
    read.faults.find(({ gpuUuid, field }) => gpuUuid === uuid && field === 'lastXid')?.code,
  ]);
}

it.each([
  ['of NVML', machine({}), nvmlOnce, [[null, false, undefined]]],
  ['of nvidia-smi, which has no events', machine({}), nvidiaSmiOnce, [[null, true, undefined]]],
  ['of a driver without events', machine({ [events]: 3 }), nvmlOnce, [[null, true, undefined]]],
  ['of a driver that fails', machine({ [events]: 999 }), nvmlOnce, [[null, false, 'UNKNOWN_ERROR']]],
  [
    'whose registration is refused',
    machine({ nvmlDeviceRegisterEvents: 4 }),
    nvmlOnce,
    [[null, false, 'NO_PERMISSION']],
  ],
  [
    'of a GPU that is cut, whose parts have none of their own',
    { generation: 550, gpus: [cut] },
    nvmlOnce,
    [
      [null, false, undefined],
      [null, true, undefined],
    ],
  ],
] as const)('no Xid %s is none seen only where one would be', async (_, scenario, readOnce, expected) => {
  expect(await xidsOf(scenario as Scenario, readOnce)).toEqual(expected);
});
