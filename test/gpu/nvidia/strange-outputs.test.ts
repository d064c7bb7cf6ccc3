import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Assembled, assemble } from '../../../lib/gpu/assemble.js';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { NvidiaSmi } from '../../../lib/gpu/nvidia/nvidia-smi.js';
import { GpuQuery } from '../../../lib/gpu/nvidia/nvidia-smi-csv.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { waitFor } from '../../harness/wait.js';

/** A row for what is asked; what is not given is "[N/A]". */
const row = (cells: Readonly<Record<string, string>>): string =>
  new GpuQuery().argument
    .split(',')
    .map((name) => cells[name] ?? '[N/A]')
    .join(', ');

const [first, second] = ['00000000:01:00.0', '00000000:02:00.0'];
const busy = { 'memory.total': '24576', 'memory.used': '9000', 'utilization.gpu': '40' };
const gpu = (index: number, cells: Readonly<Record<string, string>> = {}): string =>
  row({ index: `${index}`, uuid: `GPU-aaaa-${index}`, 'pci.bus_id': [first, second][index]!, ...busy, ...cells });
const heading = '# gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command\n';

/** One pass over a tool that prints these texts. */
async function read(texts: {
  readonly gpus: string;
  readonly apps?: string;
  readonly pmon?: string;
}): Promise<Assembled> {
  const { path, remove } = temporaryDirectory('strange-smi');
  const tool = join(path, 'nvidia-smi');
  for (const [name, text] of Object.entries({ apps: '', pmon: '', ...texts })) writeFileSync(join(path, name), text);
  const cases = [
    `--query-gpu*) cat ${path}/gpus;;`,
    `--query-compute*) cat ${path}/apps;;`,
    `pmon) cat ${path}/pmon;;`,
  ];
  writeFileSync(tool, `#!/bin/sh\ncase "$1" in\n${cases.join('\n')}\nesac\n`, { mode: 0o755 });
  const identities = new GpuIdentities();
  const smi = new NvidiaSmi(identities, { binary: tool, procDriver: join(path, 'driver') });
  smi.start();
  try {
    const { report, failure } = await waitFor(() => (smi.state.report || smi.state.failure ? smi.state : undefined));
    if (!report) throw new Error(failure?.message);
    return assemble(report, identities);
  } finally {
    await smi.stop();
    remove();
  }
}

const named = ({ devices }: Assembled) =>
  devices.map(({ uuid, pciBusId, utilizationPercent }) => [uuid, pciBusId, utilizationPercent]);

describe('what nvidia-smi says on boards that are no cards of a data centre', () => {
  it.each(['[N/A]', 'N/A', '[Unknown Error]'])('a GPU whose uuid is %s keeps its row', async (uuid) => {
    const read1 = await read({ gpus: [gpu(0), gpu(1, { uuid })].join('\n') });
    expect(named(read1)).toEqual([
      ['GPU-aaaa-0', first, 40],
      ['unidentified-1', second, 40],
    ]);
    expect(read1.devices.map(({ health }) => health)).toEqual(['ok', 'ok']);
  });

  it('GPUs with one uuid are two, and whose a process is, is not known', async () => {
    const uuid = 'GPU-00000000-0000-0000-0000-000000000000';
    const both = await read({ gpus: [gpu(0, { uuid }), gpu(1, { uuid })].join('\n'), apps: `${uuid}, 4100, 8000\n` });
    expect(named(both)).toEqual([
      [uuid, first, 40],
      ['unidentified-1', second, 40],
    ]);
    expect(both.devices.map(({ processesKnown }) => processesKnown)).toEqual([false, false]);
    expect(both.faults.map(({ code, field }) => [code, field])).toEqual(Array(2).fill(['NOT_FOUND', 'processCount']));
    expect(both.processes).toEqual([]);
  });

  it('a process on a GPU that has no row: no list of processes is whole', async () => {
    const { devices, processes } = await read({
      gpus: [gpu(0), gpu(1)].join('\n'),
      apps: 'GPU-aaaa-0, 4100, 8000\nGPU-unheard-of, 4200, 500\n',
      pmon: `${heading}    0       4100     C     40      1      -      -      -      -   8000      0    python\n    1          -     -      -      -      -      -      -      -      -      -    -\n`,
    });
    expect(devices.map(({ processesKnown }) => processesKnown)).toEqual([false, false]);
    expect(processes.map(({ pid, memoryUsedBytes }) => [pid, memoryUsedBytes])).toEqual([[4100, 8000 * 2 ** 20]]);
  });

  it.each(['not supported', 'check version mismatch', 'Failed to initialize NVML'])(
    'a command called "%s" is a name, and no reason of a GPU that pmon leaves out',
    async (command) => {
      const { faults, devices } = await read({
        gpus: [gpu(0), gpu(1)].join('\n'),
        apps: 'GPU-aaaa-0, 4100, 8000\nGPU-aaaa-1, 4200, 500\n',
        pmon: `${heading}    0       4100     C     40      1      -      -      -      -   8000      0    ${command}\n`,
      });
      const field = 'workers.gpus.utilizationPercent';
      expect(faults).toMatchObject([{ code: 'UNKNOWN_ERROR', field, gpuUuid: 'GPU-aaaa-1' }]);
      expect(devices[1]!.unsupported).not.toContain(field);
    },
  );
});
