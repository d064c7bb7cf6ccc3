import type { Heartbeat } from '../contract/heartbeat.js';
import type { GpuReading } from './reading.js';

const maxReasonLength = 512;

/** Sentences without a capital and a full stop, by what a reader does; a fault of its own says more. */
const reasons: Readonly<Record<Exclude<GpuReading['status'], 'working'>, string>> = {
  absent: 'there is no GPU driver on this host',
  off: 'they are not read',
  initializing: 'the driver has not answered yet',
  stalled: 'the driver does not answer',
  failed: 'the driver cannot be read',
  released: 'the driver was released on request',
};

/** Whether the GPUs of a reading are all that the host has, and if not, why. */
export function gpuKnowledge(reading: GpuReading): Pick<Heartbeat, 'gpusKnown' | 'gpusReason'> {
  const { status, devices, faults, reason } = reading;
  if (status === 'working') {
    if (devices.length > 0) return { gpusKnown: 'known', gpusReason: null };
    const unlisted = faults.find(({ field }) => field === 'gpus');
    return unlisted === undefined
      ? { gpusKnown: 'none', gpusReason: 'the driver lists no GPU' }
      : { gpusKnown: 'unknown', gpusReason: cut(unlisted.message) };
  }
  if (status === 'absent') return { gpusKnown: 'none', gpusReason: reasons.absent };
  if (status === 'off') return { gpusKnown: 'unknown', gpusReason: cut(reason ?? reasons.off) };
  const fault = faults.find(({ gpuUuid }) => gpuUuid === undefined);
  return { gpusKnown: 'unknown', gpusReason: cut(fault?.message ?? reasons[status]) };
}

/** A message of a driver as a reason: one line, no full stop at its end. */
const cut = (message: string): string =>
  message.replace(/\s+/g, ' ').trim().replace(/\.$/, '').slice(0, maxReasonLength);
