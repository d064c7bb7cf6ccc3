/** Words for a host that is a container: what it has of the machine around it. Pure. */
import type { HostSample } from '../contract/heartbeat.js';
import { formatBytes, formatPercent } from './units.js';

type Share = Pick<
  NonNullable<HostSample['container']>,
  'cpus' | 'machineCpuCount' | 'memoryBytes' | 'machineMemoryTotalBytes'
>;

/** `8 of 64 CPUs, 32 of 512 GiB` */
export function containerShare({ cpus, machineCpuCount, memoryBytes, machineMemoryTotalBytes }: Share): string {
  const ofCpus =
    share(cpus, machineCpuCount, (count) => ({ amount: numeral(count), unit: 'CPUs' })) ?? 'CPUs not known';
  const ofMemory = share(memoryBytes, machineMemoryTotalBytes, memory) ?? 'memory not known';
  return `${ofCpus}, ${ofMemory}`;
}

/** `inside a container: 8 of 64 CPUs, 32 of 512 GiB`; null: it is the machine itself. */
export const containerText = ({ container }: { readonly container?: Share | null | undefined }): string | null =>
  container == null ? null : `inside a container: ${containerShare(container)}`;

/** `throttled in 12 % of periods`; null: it was not, or its CPUs are not limited. */
export const throttledText = ({ container }: Pick<HostSample, 'container'>): string | null =>
  container?.throttledPercent ? `throttled in ${formatPercent(container.throttledPercent)} of periods` : null;

interface Amount {
  readonly amount: string;
  readonly unit: string;
}

/** `8 of 64 CPUs`, `all 64 CPUs`, `8 CPUs`, `512 MiB of 15.6 GiB`; null where nothing is known. */
function share(own: number | null, machine: number | null, write: (value: number) => Amount): string | null {
  const [mine, all] = [own, machine].map((value) => (value === null ? null : write(value)));
  if (mine == null) return null;
  if (all == null) return `${mine.amount} ${mine.unit}`;
  if ((own as number) >= (machine as number)) return `all ${all.amount} ${all.unit}`;
  return mine.unit === all.unit
    ? `${mine.amount} of ${all.amount} ${all.unit}`
    : `${mine.amount} ${mine.unit} of ${all.amount} ${all.unit}`;
}

/** Up to one decimal: `8`, `2.5`. */
const numeral = (value: number): string => String(Math.round(value * 10) / 10);

function memory(bytes: number): Amount {
  const [amount = '', unit = ''] = formatBytes(bytes).split(' ');
  return { amount: numeral(Number(amount)), unit };
}
