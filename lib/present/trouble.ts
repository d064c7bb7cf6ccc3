/** How bad hives, workers and GPUs are, by the severities of what needs attention: tables begin with the worst. Pure. */
import type { HiveView, WorkerView } from '../contract/api.js';
import { attentionOf, attentionRank } from './attention.js';
import { causeOfHealth, causes } from './severity.js';

/** Of what nothing is wrong with. The lower, the worse. */
export const calm = 10;
/** It works, at its limit: after what is wrong, before the limits of a host. */
const saturated = attentionRank({ severity: 'note', tone: 'bad' }) - 0.5;

type GpuOf = { readonly hive: string; readonly uuid: string };
const gpuName = ({ hive, uuid }: GpuOf): string => `gpu:${hive}/${uuid}`;

/** The rank of everything in a fleet. */
export class Troubles {
  readonly #ranks = new Map<string, number>();

  constructor(hives: readonly HiveView[], workers: readonly WorkerView[]) {
    const stalled = new Map<string, WorkerView[]>();
    for (const worker of workers)
      if (worker.state === 'stalled') stalled.set(worker.hive, [...(stalled.get(worker.hive) ?? []), worker]);
    for (const { id, gpus } of hives)
      for (const { uuid, health } of gpus) {
        const cause = causeOfHealth(health);
        if (cause !== null) this.#add(gpuName({ hive: id, uuid }), attentionRank(causes[cause]));
      }
    const sources = hives.map((view) => ({ view, workers: stalled.get(view.id) ?? [] }));
    for (const item of attentionOf(sources)) {
      this.#add(item.show, attentionRank(item));
      this.#add(`hive:${item.hive}`, attentionRank(item));
      if (item.cause === 'hiveOffline' || item.cause === 'hiveLate')
        this.#add(`liveness:${item.hive}`, attentionRank(item));
    }
  }

  readonly ofHive = ({ id }: Pick<HiveView, 'id'>): number => this.#rank(`hive:${id}`);

  readonly ofGpu = (gpu: GpuOf): number => Math.min(this.#rank(gpuName(gpu)), this.#rank(`liveness:${gpu.hive}`));

  /** Its own, that of its hive's silence, and of the GPUs that it holds. */
  readonly ofWorker = ({ hive, key, state, gpus }: Pick<WorkerView, 'hive' | 'key' | 'state' | 'gpus'>): number =>
    Math.min(
      ...[this.#rank(`worker:${key}`), this.#rank(`liveness:${hive}`), state === 'saturated' ? saturated : calm],
      ...gpus.map(({ uuid }) => this.#rank(gpuName({ hive, uuid }))),
    );

  #add(name: string, rank: number): void {
    if (rank < this.#rank(name)) this.#ranks.set(name, rank);
  }

  #rank(name: string): number {
    return this.#ranks.get(name) ?? calm;
  }
}
