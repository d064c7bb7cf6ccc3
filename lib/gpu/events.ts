import type { GpuDevice, GpuEvent } from './reading.js';

/** Events from what readers say, once each: GPUs lost and found again, and Xids. */
export class GpuEvents {
  readonly #lost = new Set<string>();
  readonly #indexes = new Map<string, number>();
  readonly #lastXid = new Map<string, number>();
  #pending: GpuEvent[] = [];

  /** Only for answers of the driver: one that is silent has lost nothing yet. */
  observe(devices: readonly GpuDevice[], at: string): void {
    for (const { uuid, index, name, pciBusId, health } of devices) {
      this.#indexes.set(uuid, index);
      const out = health === 'lost' || health === 'resetRequired';
      if (out === this.#lost.has(uuid)) continue;
      if (out) this.#lost.add(uuid);
      else this.#lost.delete(uuid);
      const detail = { index, name, pciBusId, health };
      this.#pending.push({ kind: out ? 'gpuLost' : 'gpuRecovered', gpuUuid: uuid, at, detail });
    }
  }

  /** What the driver itself reported. */
  add(event: GpuEvent): void {
    if (typeof event.detail.xid === 'number') this.#lastXid.set(event.gpuUuid, event.detail.xid);
    const index = this.#indexes.get(event.gpuUuid);
    // People know a GPU by its number.
    this.#pending.push(index === undefined ? event : { ...event, detail: { index, ...event.detail } });
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
