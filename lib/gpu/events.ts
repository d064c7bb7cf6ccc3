import type { GpuDevice, GpuEvent } from './reading.js';

/** Turns what readers say into facts, once each: GPUs lost and found again, and Xids. */
export class GpuEvents {
  readonly #lost = new Set<string>();
  readonly #lastXid = new Map<string, number>();
  #pending: GpuEvent[] = [];

  /** Only for answers that were really had: a driver that says nothing has lost nothing yet. */
  observe(devices: readonly GpuDevice[], at: string): void {
    for (const { uuid, index, name, pciBusId, health } of devices) {
      const out = health === 'lost' || health === 'resetRequired';
      if (out === this.#lost.has(uuid)) continue;
      if (out) this.#lost.add(uuid);
      else this.#lost.delete(uuid);
      const detail = { index, name, pciBusId, health };
      this.#pending.push({ kind: out ? 'gpuLost' : 'gpuRecovered', gpuUuid: uuid, at, detail });
    }
  }

  xid(uuid: string, xid: number, at: string): void {
    this.#lastXid.set(uuid, xid);
    this.#pending.push({ kind: 'xid', gpuUuid: uuid, at, detail: { xid } });
  }

  lastXid(uuid: string): number | null {
    return this.#lastXid.get(uuid) ?? null;
  }

  take(): readonly GpuEvent[] {
    const taken = this.#pending;
    this.#pending = [];
    return taken;
  }
}
