import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HivepulseClient, type StreamMessage } from '../../lib/client/client.js';
import { sseMessage } from '../../lib/http/sse.js';
import { anyLetter } from '../harness/any-letter.js';
import { portion } from '../harness/draws.js';

/** A client whose queen answers with these bytes, cut where they are cut. */
async function read(pieces: readonly Uint8Array[]): Promise<StreamMessage[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const client = new HivepulseClient({
    url: 'http://queen.example',
    fetch: async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
  });
  const messages: StreamMessage[] = [];
  for await (const message of client.events()) {
    messages.push(message);
    if (message.type === 'closed') break;
  }
  return messages;
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const fact = fc.record({
  kind: fc.string(),
  hive: fc.string({ unit: anyLetter }),
  text: fc.string({ unit: 'grapheme' }),
});
const junk = fc.constantFrom(
  ':\n\n',
  ': a comment\n',
  'retry: 5\n\n',
  'unknown: field\n\n',
  'event: other\ndata: {"a":1}\n\n',
);

describe('event streams as they arrive', () => {
  it('hostile stream: the same messages wherever the bytes are cut, comments and unknown events between', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fact, fc.array(junk, { maxLength: 3 })), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        async (facts, places) => {
          const text = facts
            .map(([data, noise], i) => noise.join('') + sseMessage('event', JSON.stringify(data), `e-${i}`))
            .join('');
          const messages = await read(cut(Buffer.from(text), places));
          const events = messages.filter(({ type }) => type === 'event') as { id: string; data: unknown }[];
          expect(events.map(({ id }) => id)).toEqual(facts.map((_, i) => `e-${i}`));
          expect(events.map(({ data }) => data)).toEqual(facts.map(([data]) => JSON.parse(JSON.stringify(data))));
          expect(messages.at(-1)?.type).toBe('closed');
        },
      ),
      { numRuns: portion(150) },
    );
  });

  it('hostile stream: bytes of any kind end in `closed`, never in an exception or a message of unknown type', async () => {
    const known = ['open', 'closed', 'snapshot', 'heartbeat', 'event', 'queenEvent', 'reset', 'lagged', 'position'];
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 500 }),
          fc.string({ unit: anyLetter, maxLength: 300 }).map((text) => new Uint8Array(Buffer.from(text))),
          fc.string().map((text) => new Uint8Array(Buffer.from(`event: event\nid: 1\ndata: ${text}\n\n`))),
        ),
        async (bytes) => {
          const messages = await read([bytes]);
          expect(messages.at(-1)?.type).toBe('closed');
          for (const { type } of messages) expect(known).toContain(type);
        },
      ),
      { numRuns: portion(300) },
    );
  });
});
