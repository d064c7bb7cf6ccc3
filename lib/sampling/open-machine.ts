import { openReader, type ReaderChoice } from '../cgroup/reader.js';
import { systemValues } from '../cgroup/system-values.js';
import { findCgroupRoot } from './cgroup-root.js';
import type { CgroupRoot, HostReaders } from './create.js';

export interface MachineOptions {
  readonly root?: string | undefined;
  readonly procRoot?: string | undefined;
  readonly reader?: ReaderChoice | undefined;
}

/** This machine as the sampler sees it. Throws UNSUPPORTED_PLATFORM where `reader` is `native` and it does not load. */
export async function openMachine(options: MachineOptions = {}): Promise<HostReaders> {
  const procRoot = options.procRoot ?? '/proc';
  const place: CgroupRoot | { root: null; reason: string } = await findCgroupRoot(options.root, procRoot);
  return {
    place,
    openReader: ({ memory, io }) =>
      openReader(options.reader ?? 'auto', { procRoot, processMemory: memory, processIo: io }),
    clockTicks: systemValues().clockTicksPerSecond,
  };
}
