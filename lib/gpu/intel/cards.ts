import type { DrmClient } from '../../native/drm-clients.js';
import type { CardIdentity, CardReading, Read } from '../drm/card.js';
import {
  busiest,
  type CardContext,
  type CardMeter,
  type CardValues,
  type DrmDriver,
  noComputeHolders,
  unasked,
  ValueSheet,
} from '../drm/driver.js';
import { gpuReason } from '../reasons.js';

const tiles = ['tile0', 'tile1'];
const vramSizes = tiles.map((tile) => `device/${tile}/physical_vram_size_bytes`);
/** MHz: of xe, of i915, and of i915 before it had several GTs. */
const clocks = ['device/tile0/gt0/freq0/act_freq', 'gt/gt0/rps_act_freq_mhz', 'gt_act_freq_mhz'];
/** microjoules: of the card where it is counted, else of the package. */
const energies = ['hwmon/energy1_input', 'hwmon/energy2_input'];
const temperatures = ['hwmon/temp2_input', 'hwmon/temp1_input'];
const limits = ['hwmon/power1_max', 'hwmon/power2_max'];

const withoutPrefix = (name: string) => name.slice('hwmon/'.length);

const files = {
  once: [],
  fast: clocks,
  slow: vramSizes,
  hwmon: [...energies, ...temperatures].map(withoutPrefix),
  slowHwmon: limits.map(withoutPrefix),
};

/** A sum over clients leaves out what the kernel and firmware hold, and buffers without a client: no measure of free memory. */
const lowerBound = gpuReason('driverTooOld', 'this driver says what its clients hold, and not what is in use');
const noTotal = gpuReason('driverTooOld', 'this driver does not say how much memory the card has');
const first = gpuReason('notReady', 'there is no earlier reading yet');

/** Integrated GPUs are always at this place. */
const integratedAt = '0000:00:02.0';

const deviceRegion = /^(?:local|vram)\d{1,2}$/;
const hostRegion = /^(?:system\d{0,2}|gtt|stolen|stolen-system\d{0,2})$/;

class IntelCard implements CardMeter {
  readonly #identity: CardIdentity;
  #energy: { readonly name: string; readonly joules: number; readonly atMs: number } | null = null;

  constructor(identity: CardIdentity) {
    this.#identity = identity;
  }

  get unifiedMemory(): boolean {
    return this.#identity.pdev === integratedAt;
  }

  measure(reading: CardReading, context: CardContext): CardValues {
    const sheet = new ValueSheet();
    const total = this.#total(reading);
    sheet.set('memoryTotalBytes', total);
    // On unified memory what its processes hold is counted, as the driver has none of its own.
    sheet.set('memoryUsedBytes', { reason: this.unifiedMemory ? gpuReason('notSupported') : lowerBound });
    const busy = context.incomplete === null ? busiest(context.holders) : null;
    sheet.set('utilizationPercent', busy === null ? { reason: context.incomplete ?? first } : { value: busy });
    sheet.set('temperatureCelsius', reading.first(temperatures, 1e3, true));
    sheet.set('powerWatts', this.#power(reading, context.atMs));
    sheet.set('powerLimitWatts', reading.first(limits, 1e6));
    sheet.set('smClockMhz', reading.first(clocks));
    sheet.set('migMode', { value: false });
    unasked(sheet);
    return {
      name: `Intel ${this.unifiedMemory ? 'integrated ' : ''}GPU ${this.#identity.pciId}`.trim(),
      computeCapability: '',
      values: sheet.values as CardValues['values'],
      reasons: sheet.reasons,
    };
  }

  bytesOf(client: DrmClient): number | null {
    const counted = this.unifiedMemory ? hostRegion : deviceRegion;
    let bytes: number | null = null;
    for (const [i, region] of client.shape.regions.entries())
      if (counted.test(region)) bytes = (bytes ?? 0) + client.bytes(i);
    return bytes;
  }

  #total(reading: CardReading): Read<number> {
    if (this.unifiedMemory) return { reason: gpuReason('notSupported') };
    const sizes = vramSizes.map((name) => reading.number(name));
    const refused = sizes.find((size) => 'reason' in size && size.reason.name !== 'notSupported');
    if (refused !== undefined) return refused;
    const known = sizes.flatMap((size) => ('value' in size ? [size.value] : []));
    return known.length === 0 ? { reason: noTotal } : { value: known.reduce((one, other) => one + other) };
  }

  #power(reading: CardReading, atMs: number): Read<number> {
    const name = energies.find((each) => 'value' in reading.number(each));
    if (name === undefined) return reading.first(energies);
    const joules = (reading.number(name, 1e6) as { value: number }).value;
    const earlier = this.#energy;
    this.#energy = { name, joules, atMs };
    // The counter begins anew where the driver is bound anew, or wraps.
    if (earlier?.name !== name || joules < earlier.joules || atMs <= earlier.atMs) return { reason: first };
    return { value: ((joules - earlier.joules) * 1e3) / (atMs - earlier.atMs) };
  }
}

export const intelCards: DrmDriver = {
  vendor: 'Intel',
  drivers: ['i915', 'xe'],
  openCards: () => ({
    filesOf: () => files,
    open: (identity) => new IntelCard(identity),
    computeHolders: async () => noComputeHolders,
  }),
};
