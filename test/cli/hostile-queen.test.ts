import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { showEvents } from '../../lib/cli/event-tail.js';
import { exitCodeOf, explain } from '../../lib/cli/exit.js';
import { writeNote } from '../../lib/cli/output.js';
import { createProgram } from '../../lib/cli/program.js';
import type { HivepulseClient } from '../../lib/client/client.js';
import { anyLetter } from '../harness/any-letter.js';

const cli = fileURLToPath(new URL('../../lib/cli', import.meta.url));
/** Everything that a terminal obeys or that hides or turns text, but ends of lines. */
const steering = /(?![\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

let server: Server;
let answer: { status?: number; type?: string; body: string } = { body: '{}' };
let printed = '';

beforeAll(async () => {
  server = createServer((_request, response) => {
    const { status = 200, type = 'application/json', body } = answer;
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  printed = '';
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
  }
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  process.exitCode = undefined;
});

/** What `hivepulse <args>` prints and how it ends, against a queen that gives `with`. */
async function run(args: readonly string[], given: typeof answer): Promise<{ text: string; code: number }> {
  answer = given;
  printed = '';
  const { port } = server.address() as AddressInfo;
  let code = 0;
  try {
    await createProgram().parseAsync(['node', 'hivepulse', ...args, '--queen', `http://127.0.0.1:${port}`]);
  } catch (error) {
    writeNote(explain(error));
    code = exitCodeOf(error);
  }
  return { text: printed, code };
}

const sequences = [
  '\u001b]52;c;AAAA\u0007',
  '\u001b[2J',
  '\u009b31m',
  '\u009d0;title\u009c',
  '\u202e',
  '\u2066',
  '\u200b',
  '\u{e0041}',
  '\u00ad',
  '\ud800',
  '\r',
  '\u0008',
  '\u2028',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...sequences), fc.string({ unit: anyLetter, maxLength: 8 })), { maxLength: 8 })
  .map((parts) => parts.join(''));

describe('whatever a queen says, the terminal obeys none of it', () => {
  const commands = [['hives'], ['workers'], ['events'], ['hives', '--json'], ['events', '--json'], ['doctor'], ['top']];

  it.each(commands)('%s %s: a refusal, by title, detail and code', async (...args) => {
    await fc.assert(
      fc.asyncProperty(text, fc.constantFrom(401, 403, 404, 422), async (said, status) => {
        const body = JSON.stringify({ code: said, title: said, detail: said, status });
        const { text: shown } = await run(args, { status, type: 'application/problem+json', body });
        expect(shown).not.toBe('');
        expect(shown).not.toMatch(steering);
      }),
      { numRuns: args[0] === 'doctor' ? 5 : 25 },
    );
  });

  it('--json: every value comes through as it was sent', async () => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(text, fc.oneof(text, fc.double({ noNaN: true }))), async (hive) => {
        const body = JSON.stringify({ items: [hive], nextCursor: null, warming: false });
        const { text: shown, code } = await run(['hives', '--json'], { body });
        expect(code).toBe(0);
        expect(shown).not.toMatch(steering);
        expect(JSON.parse(shown).items[0]).toEqual(JSON.parse(body).items[0]);
      }),
      { numRuns: 50 },
    );
  });
});

it('nothing in lib/cli writes past the filter', () => {
  const sources = readdirSync(cli, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  expect(sources.length).toBeGreaterThan(30);
  for (const path of sources) {
    // main.ts waits until all is written, program.ts filters what the parser says.
    if (['output.ts', 'main.ts', 'program.ts'].includes(path)) continue;
    expect(readFileSync(join(cli, path), 'utf8'), path).not.toMatch(/process\.std(?:out|err)\.write|console\./);
  }
});

describe('a malformed answer ends in an error', () => {
  it.each([
    ['no list', { body: '{}' }],
    ['a list without an end', { body: '{"items":[],"nextCursor":"a","warming":false}' }],
    ['the same page again and again', { body: '{"items":[{}],"nextCursor":"a","warming":false}' }],
    ['items of another form', { body: '{"items":[{}],"nextCursor":null,"warming":false}' }],
    ['half a body', { body: '{"items":[' }],
    ['text', { type: 'text/html', body: '<html>' }],
  ])('%s', async (_what, given) => {
    for (const command of ['hives', 'workers']) {
      const { text: shown, code } = await run([command], given);
      expect(code).toBe(1);
      expect(shown).not.toContain('internal error');
    }
  });

  it.each([
    ['a snapshot that is none', 'event: snapshot\ndata: {}\n\n'],
    ['a snapshot without an id', 'event: snapshot\ndata: {"hives":[],"workers":[]}\n\n'],
    ['no JSON', 'event: snapshot\ndata: {\n\n'],
    ['null', 'event: snapshot\ndata: null\n\n'],
    ['nothing at all', ''],
  ])('a stream of %s', async (_what, body) => {
    for (const args of [['events'], ['events', '--follow'], ['top']]) {
      const { text: shown, code } = await run(args, { type: 'text/event-stream', body });
      expect(code).toBeGreaterThan(0);
      expect(shown).not.toContain('internal error');
    }
  });

  it('a stream that stays open and never has the newest event is given up after 20 s', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const snapshot = { hives: [], workers: [], warming: false, lastEventId: 'a-9' };
    let streams = 0;
    const client = {
      url: 'http://queen',
      async *events(_query: object, { signal }: { signal: AbortSignal }) {
        streams += 1;
        if (streams === 1) yield { type: 'snapshot', data: snapshot };
        else await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      },
    } as unknown as HivepulseClient;
    const wanted = { hive: undefined, kinds: undefined, worker: undefined, fromMs: undefined };
    const shown = showEvents(client, wanted, 5, true, () => undefined).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await shown).toMatchObject({ code: 'REQUEST_TIMEOUT' });
  });
});
