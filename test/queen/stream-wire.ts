import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { type DeltaHeader, encodeDelta, encodeKeyframe } from '../../lib/contract/stream/codec.js';
import { ownSchema, type RowType, type StreamSchema } from '../../lib/contract/stream/columns.js';
import { countRows, NumericState } from '../../lib/contract/stream/state.js';
import { HeartbeatStream } from '../../lib/queen/heartbeat-stream.js';
import type { HeartbeatSource, StreamIntake } from '../../lib/queen/intake.js';
import type { Registry } from '../../lib/queen/registry.js';
import { planOf } from '../../lib/queen/stream-plan.js';
import { gpuOf, heartbeatOf, servingOf, workerOf } from '../harness/heartbeats.js';
import { intakeOf } from './stream-model.js';

export const source: HeartbeatSource = { key: 'k', owner: 'o', hive: null };

/** Every record that an item may have is there, in some rows; of each type of row there are several. */
export const wholeHeartbeat = (id: string): Heartbeat =>
  heartbeatOf(id, 1, {
    host: {
      ...heartbeatOf(id).host,
      container: {
        cpus: 4,
        memoryBytes: 2 ** 34,
        throttledPercent: 1.5,
        machineCpuCount: 64,
        machineMemoryTotalBytes: 2 ** 39,
        machineMemoryAvailableBytes: 2 ** 38,
      },
    },
    gpus: [
      gpuOf(`GPU-${id}-0`, { nvlinks: { up: 1, total: 4 } }),
      gpuOf(`GPU-${id}-1`, { index: 1, powerWatts: null, memoryTotalBytes: 48 * 2 ** 30, memoryUsedBytes: 2 ** 30 }),
    ],
    workers: [
      workerOf('llm/0', { serving: null, gpus: [] }),
      workerOf('llm/1', {
        serving: servingOf(),
        gpus: [0, 1].map((i) => ({ uuid: `GPU-${id}-${i}`, memoryUsedBytes: 2 ** 30, utilizationPercent: 5 + i })),
      }),
      workerOf('llm/2', {
        serving: servingOf({ running: 1 }),
        gpus: [{ uuid: `GPU-${id}-1`, memoryUsedBytes: 2 ** 29, utilizationPercent: 1 }],
      }),
    ],
  });

/** Changes numbers of a state; a row is counted within its type. */
export type Change = (set: (type: RowType, row: number, column: string, value: number) => void) => void;

type Given = Partial<Omit<DeltaHeader, 'text'>> & { readonly text?: unknown; readonly change?: Change };

/** The hive's end of a stream that a test writes byte by byte, before a queen's own. */
export class Wire {
  readonly stream: HeartbeatStream;
  readonly heartbeat: Heartbeat;
  #state: NumericState;
  #index = 0;
  #seq: number;

  constructor(queen: Registry, heartbeat: Heartbeat, over: { schema?: StreamSchema; intake?: StreamIntake } = {}) {
    const { schema = ownSchema, intake = intakeOf(queen) } = over;
    this.stream = new HeartbeatStream(queen, intake, source, planOf(schema), 'wire');
    this.heartbeat = heartbeat;
    this.#seq = heartbeat.seq;
    this.#state = new NumericState(schema, countRows(heartbeat));
    this.#state.take(heartbeat);
  }

  /** Of the numbers that were sent last. */
  get checksum(): number {
    return this.#state.checksum();
  }

  /** Its numbers are known to have been sent, whatever way. */
  adopt(heartbeat: Heartbeat): void {
    this.#state = this.#state.likewise();
    this.#state.take(heartbeat);
  }

  keyframe(epoch = 1, heartbeat: Heartbeat = this.heartbeat) {
    this.#index = 0;
    this.#seq = heartbeat.seq;
    this.#state.take(heartbeat);
    const body = Buffer.from(JSON.stringify(heartbeat));
    return this.stream.receive(encodeKeyframe({ epoch, encoding: null, body }));
  }

  /** The next delta, but for what is given. */
  deltaBytes({ text, change, ...header }: Given = {}): Buffer {
    const after = this.#state.likewise();
    after.values.set(this.#state.values);
    change?.((type, row, column, value) => {
      const first = { head: 0, gpu: after.firstGpu, worker: after.firstWorker, held: after.firstHeld }[type];
      const at = after.schema[type].findIndex(({ name }) => name === column);
      after.values[after.offsetOf(first + row) + at] = value;
    });
    const bytes = encodeDelta(
      {
        ...{ epoch: 1, index: this.#index + 1, seq: this.#seq + 1, wantsAck: true, checksum: null },
        ...header,
        text: text === undefined ? null : Buffer.from(typeof text === 'string' ? text : JSON.stringify(text)),
      },
      this.#state,
      after,
    );
    this.#state = after;
    this.#index++;
    if (header.isLoad !== true) this.#seq++;
    return bytes;
  }

  delta(given: Given = {}) {
    return this.stream.receive(this.deltaBytes(given));
  }

  /** What engines say of their load. */
  load(change: Change, given: Given = {}) {
    return this.delta({ isLoad: true, wantsAck: false, seq: this.#seq, change, ...given });
  }
}
