import type { DrmClient } from '../../native/drm-clients.js';
import type { CardIdentity, CardReading, Read } from '../drm/card.js';
import {
  busiest,
  type CardContext,
  type CardMeter,
  type CardValues,
  type DrmDriver,
  sum,
  unasked,
  ValueSheet,
} from '../drm/driver.js';
import { type GpuReason, gpuReason } from '../reasons.js';
import { Kfd, type KfdNode } from './kfd.js';

/** Parts of a card that may count errors; which of them do, the kernel says by their files (amdgpu_ras.c). */
const errorCounts = [
  ...['umc', 'sdma', 'gfx', 'mmhub', 'athub', 'pcie_bif', 'hdp', 'xgmi_wafl', 'df', 'smn', 'sem', 'mp0', 'mp1', 'fuse'],
  ...['mca', 'vcn', 'jpeg', 'ih', 'mpio', 'mmsch'],
].map((part) => `device/ras/${part}_err_count`);

// Never `pcie_bw`, which sleeps for a second. What `gpu_metrics` says of throttling is not shown: on some cards a limit of
// temperature is set in it nearly always, at the highest clock too.
const files = {
  once: ['device/gpu_metrics', 'device/product_name'],
  fast: ['device/gpu_busy_percent', 'device/mem_busy_percent', 'device/mem_info_vram_used', 'device/mem_info_gtt_used'],
  slow: [
    'device/mem_info_vram_total',
    'device/mem_info_gtt_total',
    'device/current_compute_partition',
    'device/current_memory_partition',
    ...errorCounts,
  ],
  hwmon: ['temp1_input', 'temp2_input', 'power1_average', 'power1_input', 'freq1_input', 'fan1_input'],
  slowHwmon: ['power1_cap', 'fan1_max'],
};

/** So many readings in a row, at 100 % beside engines that stand still, are no coincidence. */
const suspectAfter = 2;

const suspect: GpuReason = {
  name: 'other',
  code: 'UTILIZATION_SUSPECT',
  text: 'the driver says 100 % while no engine works for any process; some cards latch there until a reset',
};

/** Whose `gpu_metrics` have revision 2 or 3 of its format are APUs; revision 1 is of cards with memory of their own. */
function isApu(reading: CardReading, node: KfdNode | undefined): boolean {
  if (node?.hasCores) return true;
  const format = reading.byte('device/gpu_metrics', 2);
  if (format !== null) return format === 2 || format === 3;
  // Of an older kernel: APUs do not count how busy their memory is, and have neither a fan nor a limit of power. Vega 10
  // does not count it either.
  return ['device/mem_busy_percent', 'hwmon/fan1_input', 'hwmon/power1_cap'].every((name) => {
    const read = reading.number(name);
    return 'reason' in read && read.reason.name === 'notSupported';
  });
}

/** Of all parts that count them; of a sum with one that is not known nothing is known. */
function uncorrected(reading: CardReading): Read<number> {
  const counts = errorCounts
    .filter((name) => !reading.lacks(name))
    .map((name) => reading.labelled(name, 'ue'))
    .filter((read) => 'value' in read || read.reason.name !== 'notSupported');
  const [first, ...others] = counts;
  return first === undefined ? { reason: gpuReason('notSupported') } : others.reduce(sum, first);
}

class AmdCard implements CardMeter {
  readonly #identity: CardIdentity;
  readonly #kfd: Kfd;
  #stoodStill = 0;
  #isApu = false;

  constructor(identity: CardIdentity, kfd: Kfd) {
    this.#identity = identity;
    this.#kfd = kfd;
  }

  get unifiedMemory(): boolean {
    return this.#isApu || this.#kfd.nodeAt(this.#identity.pdev)?.hasCores === true;
  }

  measure(reading: CardReading, context: CardContext): CardValues {
    const node = this.#kfd.nodeAt(this.#identity.pdev);
    this.#isApu = isApu(reading, node);
    const sheet = new ValueSheet();
    const memory = (what: 'total' | 'used') => {
      const vram = reading.number(`device/mem_info_vram_${what}`);
      return this.#isApu ? sum(vram, reading.number(`device/mem_info_gtt_${what}`)) : vram;
    };
    sheet.set('memoryTotalBytes', memory('total'));
    sheet.set('memoryUsedBytes', memory('used'));
    sheet.set('utilizationPercent', reading.number('device/gpu_busy_percent'));
    if (this.#isSuspect(sheet, context)) sheet.refuse('utilizationPercent', suspect);
    sheet.set('memoryBusPercent', reading.number('device/mem_busy_percent'));
    sheet.set('temperatureCelsius', reading.first(['hwmon/temp1_input', 'hwmon/temp2_input'], 1e3, true));
    sheet.set('powerWatts', reading.first(['hwmon/power1_average', 'hwmon/power1_input'], 1e6));
    sheet.set('powerLimitWatts', reading.number('hwmon/power1_cap', 1e6));
    sheet.set('smClockMhz', reading.number('hwmon/freq1_input', 1e6));
    sheet.set('eccUncorrected', uncorrected(reading));
    const [fan, most] = [reading.number('hwmon/fan1_input'), reading.number('hwmon/fan1_max')];
    if ('reason' in fan || 'reason' in most) sheet.set('fanPercent', 'reason' in fan ? fan : most);
    else if (most.value > 0) sheet.set('fanPercent', { value: Math.round((100 * fan.value) / most.value) });
    unasked(sheet);
    return {
      name: this.#name(reading) + this.#partition(reading, sheet),
      computeCapability: node?.target ?? '',
      values: sheet.values as CardValues['values'],
      reasons: sheet.reasons,
    };
  }

  bytesOf(client: DrmClient): number | null {
    const vram = client.bytesIn('vram');
    if (!this.#isApu) return vram;
    const gtt = client.bytesIn('gtt');
    return vram === null || gtt === null ? (vram ?? gtt) : vram + gtt;
  }

  /** Stuck at 100: engines of all processes are known, and none of them moves. */
  #isSuspect({ values }: ValueSheet, { holders, computeHolders, incomplete }: CardContext): boolean {
    // Engine time of ROCm's queues is counted nowhere.
    const uncounted = computeHolders.some(({ bytes }) => bytes !== 0);
    const atMost = values.utilizationPercent === 100 && incomplete === null && !uncounted;
    const moves = atMost && busiest(holders) !== 0;
    this.#stoodStill = atMost && !moves ? this.#stoodStill + 1 : 0;
    return this.#stoodStill >= suspectAfter;
  }

  #name(reading: CardReading): string {
    const product = reading.text('device/product_name');
    const name = 'value' in product ? product.value.replace(/[^\x20-\x7e]/g, '').trim() : '';
    return (name === '' ? `AMD GPU ${this.#identity.pciId}`.trim() : name).slice(0, 80);
  }

  /** A card that is cut into partitions says so behind its name, and has no room as a whole. */
  #partition(reading: CardReading, sheet: ValueSheet): string {
    const compute = reading.text('device/current_compute_partition');
    if ('reason' in compute) {
      if (compute.reason.name === 'notSupported') sheet.set('migMode', { value: false });
      else sheet.refuse('migMode', compute.reason);
      return '';
    }
    if (!/^[A-Z]{3}$/.test(compute.value)) return '';
    sheet.set('migMode', { value: compute.value !== 'SPX' });
    if (compute.value === 'SPX') return '';
    const memory = reading.text('device/current_memory_partition');
    return `, ${compute.value}${'value' in memory && /^NPS\d$/.test(memory.value) ? `/${memory.value}` : ''}`;
  }
}

export const amdCards: DrmDriver = {
  vendor: 'AMD',
  drivers: ['amdgpu'],
  openCards(reader, sysRoot) {
    const kfd = new Kfd(reader, sysRoot);
    return {
      filesOf: () => files,
      open: (identity) => new AmdCard(identity, kfd),
      computeHolders: () => kfd.read(),
    };
  },
};
