import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openReader } from '../../lib/cgroup/reader.js';
import { assembleSampler, type HostReaders, type SamplerOptions } from '../../lib/sampling/create.js';
import { type FakeHost, PlainFiles } from './fake-host.js';

export const whole = { memory: false, io: false };

/** A machine whose readers are counted: how many of them are open, what they were asked for, and how often they are to read. */
export function counted(host: FakeHost, over: Partial<HostReaders> = {}) {
  const files: PlainFiles[] = [];
  let readers = 0;
  const asked: unknown[] = [];
  const intervals: number[] = [];
  const machine: HostReaders = {
    place: { root: host.cgroupRoot, prefix: '', missing: whole },
    openReader: (fromProc) => {
      asked.push(fromProc);
      const opened = openReader('files', { procRoot: host.procRoot, memoryStatEvery: 1 });
      readers += 1;
      const close = opened.reader.close.bind(opened.reader);
      const start = opened.reader.start.bind(opened.reader);
      opened.reader.start = (intervalMs) => {
        intervals.push(intervalMs);
        start(intervalMs);
      };
      opened.reader.close = () => {
        readers -= 1;
        close();
      };
      return opened;
    },
    openFiles: () => {
      files.push(new PlainFiles());
      return files.at(-1) as PlainFiles;
    },
    devRoot: join(host.dir, 'dev'),
    clockTicks: 100,
    ...over,
  };
  const open = () => [readers, files.filter(({ closed }) => !closed).length];
  const assemble = (options: SamplerOptions = {}) => {
    const { procRoot, hostRoot, runtimeDir } = host;
    const sampler = assembleSampler(machine, { procRoot, hostRoot, runtimeDir, readiness: false, ...options });
    onTestFinished(() => sampler.close());
    return sampler;
  };
  return { assemble, asked, intervals, open };
}
