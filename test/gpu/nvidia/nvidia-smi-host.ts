// A host on which nvidia-smi is a program that a test scripts.
import { afterEach, beforeEach } from 'vitest';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { NvidiaSmi, type NvidiaSmiOptions } from '../../../lib/gpu/nvidia/nvidia-smi.js';
import { rowFor, ScriptedPrograms } from './scripted-programs.js';

export const buses = ['00000000:19:00.0', '00000000:4B:00.0', '00000000:9C:00.0'];

/** For all tests of a file; each begins without a GPU, and with no run. */
export class SmiHost {
  programs = null as unknown as ScriptedPrograms;
  #opened: NvidiaSmi[] = [];

  constructor() {
    beforeEach(() => {
      this.programs = new ScriptedPrograms();
      this.#opened = [];
    });
    afterEach(async () => {
      this.programs.areStuck = false;
      for (const smi of this.#opened) {
        const stopped = smi.stop();
        await this.programs.pass(2000);
        await stopped;
      }
      this.programs.restore();
    });
  }

  open(options: NvidiaSmiOptions = {}, identities = new GpuIdentities()): NvidiaSmi {
    const { spawn } = this.programs;
    const smi = new NvidiaSmi(identities, { binary: process.execPath, spawn, procDriver: '/none', ...options });
    this.#opened.push(smi);
    return smi;
  }

  /** The host has these GPUs: cells of each by the name in the query. */
  has(...gpus: readonly Readonly<Record<string, string>>[]): void {
    this.programs.answers.gpus = (args) => ({
      text: gpus
        .map((cells, i) =>
          rowFor(args, {
            ...{ index: `${i}`, uuid: `GPU-be11-${i}`, 'pci.bus_id': buses[i]!, 'memory.total': '46068' },
            ...cells,
          }),
        )
        .join(''),
    });
  }

  /** Runs that asked for GPUs since the last call. */
  begins(): number {
    return this.programs.runs().filter(([asked]) => asked?.startsWith('--query-gpu=')).length;
  }
}
