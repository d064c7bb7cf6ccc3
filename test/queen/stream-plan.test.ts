import { describe, expect, it } from 'vitest';
import {
  encodeDelta,
  encodeKeyframe,
  readSchema,
  StreamCodecError,
  sentSchema,
} from '../../lib/contract/stream/codec.js';
import { type Column, ownSchema, type StreamSchema } from '../../lib/contract/stream/columns.js';
import { countRows, NumericState } from '../../lib/contract/stream/state.js';
import { HeartbeatStream } from '../../lib/queen/heartbeat-stream.js';
import { planOf } from '../../lib/queen/stream-plan.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { copyOf, intakeOf, pairOfQueens } from './stream-model.js';

type Kind = Partial<Pick<Column, 'scale' | 'words'>>;

/** The columns of another version of a hive, as they travel. */
function withColumn(type: keyof StreamSchema, name: string, kind: Kind): StreamSchema {
  const others = ownSchema[type].filter((column) => column.name !== name);
  const column: Column = { name, path: name.split('.'), scale: 1, ...kind };
  const schema = { ...ownSchema, [type]: [...others, column] };
  return readSchema(JSON.parse(JSON.stringify(sentSchema(schema))));
}

describe('stream-columns-of-another-version', () => {
  it.each<[string, keyof StreamSchema, string, Kind]>([
    ['a word that is a number', 'worker', 'state', {}],
    ['a number that is a word', 'worker', 'cpuPercent', { words: ['low', 'high'] }],
    ['text of a worker', 'worker', 'origin', { words: ['launched', 'adopted'] }],
    ['text of what it serves', 'worker', 'serving.engine', { words: ['vllm'] }],
    ['text of a GPU', 'gpu', 'health', { words: ['ok', 'lost'] }],
    ['text of what it holds', 'held', 'uuid', { words: ['one'] }],
    ['text of the head', 'head', 'collection.gpuReader', { words: ['native'] }],
  ])('are refused where the queen would never hear of what it knows: %s', (_, type, name, kind) => {
    expect(() => planOf(withColumn(type, name, kind))).toThrow(StreamCodecError);
  });

  it.each<[string, keyof StreamSchema, string, Kind]>([
    ['a number', 'worker', 'dreams', {}],
    ['a word', 'gpu', 'mood', { words: ['good', 'bad'] }],
    ['of something unknown', 'worker', 'serving.mood.depth', {}],
  ])('are left out where it knows nothing of them: %s', (_, type, name, kind) => {
    expect(() => planOf(withColumn(type, name, kind))).not.toThrow();
  });

  it.each([[[]], [['a', 'a']], [['a b']], [[1]], [Array.from({ length: 65 }, (_, i) => `w${i}`)], [0], [1.5], ['a']])(
    'are no schema with such a kind: %j',
    (kind) => {
      const sent = JSON.parse(JSON.stringify(sentSchema(ownSchema))) as Record<string, unknown[]>;
      expect(() => readSchema({ ...sent, worker: [...sent.worker!, ['mood', kind]] })).toThrow(StreamCodecError);
    },
  );

  it('may have words in another order, and one that the queen does not know is read as the one that promises least', async () => {
    const words = ['dreaming', 'busy', 'idle', 'unknown'];
    const schema = withColumn('worker', 'state', { words });
    const { streamed } = pairOfQueens(0);
    const hive = new SimulatedHive({ id: 'a', workers: 2, gpus: 2, seed: 1 });
    const heartbeat = copyOf(hive.nextHeartbeat());
    for (const worker of heartbeat.workers) worker.state = 'idle';
    const plan = planOf(schema);
    const stream = new HeartbeatStream(streamed, intakeOf(streamed), { key: 'k', owner: 'o', hive: null }, plan);
    const body = Buffer.from(JSON.stringify(heartbeat));
    expect(await stream.receive(encodeKeyframe({ epoch: 1, encoding: null, body }))).toMatchObject({ deltas: true });
    const states = () => streamed.workers({}).items.map(({ state }) => state);
    const byState = () => streamed.fleet().workers.byState;
    let before = new NumericState(schema, countRows(heartbeat));
    before.take(heartbeat);
    const place = schema.worker.findIndex(({ name }) => name === 'state');
    for (const [i, [word, read]] of [
      ['busy', 'busy'],
      ['dreaming', 'unknown'],
      ['idle', 'idle'],
    ].entries()) {
      const after = before.likewise();
      after.values.set(before.values);
      after.values[after.offsetOf(after.firstWorker) + place] = words.indexOf(word!);
      const header = { epoch: 1, index: i + 1, seq: heartbeat.seq + i + 1, wantsAck: true, checksum: null, text: null };
      expect(await stream.receive(encodeDelta(header, before, after))).toMatchObject({ kind: 'ack' });
      expect(states()).toEqual([read, 'idle']);
      expect(byState()).toMatchObject(read === 'idle' ? { idle: 2 } : { [read!]: 1, idle: 1 });
      expect(streamed.workers({ state: read as 'idle' }).items).toHaveLength(read === 'idle' ? 2 : 1);
      before = after;
    }
    const kinds = streamed.eventsSince(`${streamed.events.epoch}-0`);
    expect(JSON.stringify(kinds)).toContain('workerStateChanged');
    // None of its words has this place.
    const beyond = before.likewise();
    beyond.values.set(before.values);
    beyond.values[beyond.offsetOf(beyond.firstWorker) + place] = words.length;
    const header = { epoch: 1, index: 4, seq: heartbeat.seq + 4, wantsAck: true, checksum: null, text: null };
    expect(await stream.receive(encodeDelta(header, before, beyond))).toEqual({ kind: 'resync', reason: 'value' });
    expect(states()).toEqual(['idle', 'idle']);
  });
});
