import type { ReaderChoice } from '../cgroup/reader.js';
import { ofSetting } from '../config/check-options.js';
import type { GpuChoice } from '../config/options.js';
import type { GpuSource } from '../gpu/reading.js';
import { createGpuSource } from '../gpu/source.js';
import { defined } from '../util/defined.js';
import {
  checkOptions,
  expected,
  flag,
  hasMethods,
  isText,
  numberFrom,
  type OptionTable,
  text,
} from '../util/options.js';
import { assembleSampler, type RunningSampler, type SamplerOptions } from './create.js';
import { openMachine } from './open-machine.js';

export interface CreateSamplerOptions extends Omit<SamplerOptions, 'gpu'> {
  /** cgroup v2 root; found in mountinfo where it is not given. */
  readonly root?: string;
  /** Which reader of cgroup files (default `auto`: native, else TypeScript). */
  readonly reader?: ReaderChoice;
  /** Which reader of GPUs (default `auto`), or a source of one's own, which `close` closes. */
  readonly gpu?: GpuChoice | GpuSource;
  /** Integrated GPUs too, where no process holds them (default false). */
  readonly allGpus?: boolean;
}

const gpuChoice = ofSetting('gpu');
const optionTable: OptionTable = {
  root: text,
  procRoot: text,
  sysRoot: text,
  hostRoot: text,
  runtimeDir: text,
  pidNamespace: text,
  address: expected('a host, or null', (value) => value === null || isText(value)),
  watch: ofSetting('watch'),
  auto: flag,
  allGpus: flag,
  readiness: flag,
  engineLoad: flag,
  reader: ofSetting('reader'),
  commands: ofSetting('commands'),
  gpu: (value) => (hasMethods(value, 'latest', 'close') ? null : gpuChoice(value)),
  reported: expected('what was reported', (value) => typeof value === 'object' && value !== null),
  intervalMs: numberFrom(1, 'a number of milliseconds'),
  idleForMs: ofSetting('idleFor'),
  idleBelowPercent: ofSetting('idleBelowPercent'),
  idleBelowCpuPercent: ofSetting('idleBelowCpuPercent'),
  ownPid: numberFrom(1, 'a pid'),
};

/**
 * A sampler of this machine. `sample()` reads once; for figures over time call it again, or `start` it.
 * @throws HivepulseError INVALID_OPTION; UNSUPPORTED_PLATFORM where `reader` is `native` and the addon does not load
 */
export async function createSampler(options: CreateSamplerOptions = {}): Promise<RunningSampler> {
  checkOptions('', options, optionTable);
  const { gpu = 'auto', allGpus, root, reader, ...rest } = options;
  const machine = await openMachine({ root, reader, procRoot: rest.procRoot });
  const source =
    typeof gpu === 'string'
      ? createGpuSource({
          gpu,
          ...defined({ intervalMs: rest.intervalMs, allGpus }),
          roots: defined({ sys: rest.sysRoot, proc: rest.procRoot }),
        })
      : gpu;
  return assembleSampler(machine, { ...rest, gpu: source });
}
