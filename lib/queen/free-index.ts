import type { GpuRecord } from './records.js';

/** Width of a step of room. A GPU whose use wavers within one does not move. */
const stepBytes = 256 * 2 ** 20;

const stepOf = (freeBytes: number | null): number => (freeBytes === null ? -1 : Math.floor(freeBytes / stepBytes));

/** GPUs by the room they have, in steps of 256 MiB: moving one costs the same however many there are. */
export class FreeIndex {
  readonly #steps: (Set<GpuRecord> | undefined)[] = [];
  #size = 0;

  /** GPUs that are in, also those whose room is not known. */
  get size(): number {
    return this.#size;
  }

  add(gpu: GpuRecord): void {
    const step = stepOf(gpu.freeBytes);
    this.#size++;
    if (step < 0) return;
    const members = this.#steps[step];
    if (members) members.add(gpu);
    else this.#steps[step] = new Set([gpu]);
  }

  delete(gpu: GpuRecord): void {
    const step = stepOf(gpu.freeBytes);
    this.#size--;
    if (step >= 0) this.#take(gpu, step);
  }

  /** Sets what is free, and moves the GPU where that now belongs. */
  set(gpu: GpuRecord, freeBytes: number | null): void {
    const from = stepOf(gpu.freeBytes);
    const to = stepOf(freeBytes);
    if (from !== to) this.delete(gpu);
    gpu.freeBytes = freeBytes;
    if (from !== to) this.add(gpu);
  }

  /** Whether it stands where its room says. */
  has(gpu: GpuRecord): boolean {
    const step = stepOf(gpu.freeBytes);
    return step < 0 || (this.#steps[step]?.has(gpu) ?? false);
  }

  /** Those with at least this much room; the most first, to within a step. */
  *atLeast(bytes: number): Generator<GpuRecord, void> {
    const least = Math.max(0, stepOf(bytes));
    for (let step = this.#steps.length - 1; step >= least; step--)
      for (const gpu of this.#steps[step] ?? []) if (gpu.freeBytes !== null && gpu.freeBytes >= bytes) yield gpu;
  }

  /** All in steps, for the audit. */
  *members(): Generator<GpuRecord, void> {
    for (const step of this.#steps) if (step) yield* step;
  }

  #take(gpu: GpuRecord, step: number): void {
    const members = this.#steps[step];
    members?.delete(gpu);
    if (members?.size === 0) this.#steps[step] = undefined;
  }
}
