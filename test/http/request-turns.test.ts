import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { answerInTurns, RequestTurns } from '../../lib/http/request-turns.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Turns with a clock and an event loop of their own; `settled`: how one knows that an answer is made. */
function manual(settled: { readonly settled?: (then: () => void) => void } = { settled: (then) => then() }) {
  let nowMs = 0;
  let later: (() => void)[] = [];
  const turns = new RequestTurns({ now: () => nowMs, soon: (run) => void later.push(run), ...settled });
  return {
    turns,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** Ends a turn of the loop; false where nothing waited for it. */
    turn: (): boolean => {
      const runs = later;
      later = [];
      for (const run of runs) run();
      return runs.length > 0;
    },
  };
}

test('a request that comes alone is answered at once', () => {
  const { turns } = manual();
  let isAnswered = false;
  turns.take(
    () => 'a',
    () => {
      isAnswered = true;
    },
  );
  expect(isAnswered).toBe(true);
});

test('one caller with many requests delays another by one', () => {
  const { turns, pass, turn } = manual();
  const answered: string[] = [];
  const ask = (caller: string) =>
    turns.take(
      () => caller,
      () => {
        answered.push(caller);
        pass(2);
      },
    );
  for (let i = 0; i < 600; i++) ask('many');
  ask('one');
  const before = answered.length;
  while (turn());
  expect(before).toBe(3);
  expect(answered.indexOf('one') - before).toBeLessThanOrEqual(1);
  expect(answered).toHaveLength(601);
});

test('an answer that is made behind promises takes its time of the turn: none other begins before', async () => {
  const { turns, pass, turn } = manual({});
  const [begun, made]: [number[], number[]] = [[], []];
  for (let i = 0; i < 20; i++)
    turns.take(
      () => `caller-${i}`,
      async () => {
        begun.push(i);
        for (let promises = 0; promises < 10; promises++) await null;
        pass(4);
        made.push(i);
      },
    );
  expect(begun).toEqual([0]);
  const madeByTurn: number[] = [];
  do {
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toEqual(made);
    madeByTurn.push(made.length);
  } while (turn());
  expect(made).toHaveLength(20);
  expect(madeByTurn.slice(0, 4)).toEqual([1, 3, 5, 7]);
});

test('an answer that fails at once keeps none from the next', () => {
  const { turns, turn } = manual();
  const fails = () => {
    throw new Error('of the handler');
  };
  expect(() => turns.take(() => 'a', fails)).toThrow('of the handler');
  let isAnswered = false;
  turns.take(
    () => 'b',
    () => {
      isAnswered = true;
    },
  );
  while (turn());
  expect(isAnswered).toBe(true);
});

test('requests wait while connections arrive, but not for ever', () => {
  const { turns, pass, turn } = manual();
  let answeredAtTurn: number | null = null;
  let turnNumber = 0;
  turns.accepted();
  turns.take(
    () => 'a',
    () => {
      answeredAtTurn = turnNumber;
    },
  );
  for (; turnNumber < 300; turnNumber++) {
    turns.accepted();
    pass(1);
    turn();
  }
  expect(answeredAtTurn).toBeGreaterThan(90);
  expect(answeredAtTurn).toBeLessThan(110);
});

test('connections that arrive have half of the time, however costly the requests are', () => {
  const { turns, pass, turn } = manual();
  let [answered, accepted] = [0, 0];
  turns.accepted();
  for (let i = 0; i < 50; i++)
    turns.take(
      () => 'listings',
      () => {
        answered++;
        pass(15);
      },
    );
  pass(200);
  // A connection takes a third of a millisecond, and its turn.
  while (accepted < 300) {
    accepted++;
    turns.accepted();
    pass(0.3);
    turn();
  }
  expect(answered).toBe(6);
});

test('each request is answered once, those of one caller in their order, whatever they cost and whoever connects', () => {
  const callers = ['a', 'b', 'c'] as const;
  const step = fc.oneof(
    fc.record({ caller: fc.constantFrom(...callers), ms: fc.nat({ max: 9 }) }),
    fc.constantFrom('accept' as const, 'turn' as const),
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const { turns, pass, turn } = manual();
      const asked = { a: [] as number[], b: [] as number[], c: [] as number[] };
      const answered = { a: [] as number[], b: [] as number[], c: [] as number[] };
      steps.forEach((each, i) => {
        if (each === 'accept') turns.accepted();
        else if (each === 'turn') turn();
        else {
          asked[each.caller].push(i);
          turns.take(
            () => each.caller,
            () => {
              answered[each.caller].push(i);
              pass(each.ms);
            },
          );
        }
      });
      while (turn()) pass(1);
      expect(answered).toEqual(asked);
    }),
  );
});

test('a connection behind 300 others that ask without a pause is answered after few of their answers', async () => {
  let answers = 0;
  const server = createServer((_request, response) => {
    answers++;
    const until = performance.now() + 1;
    while (performance.now() < until);
    response.end(String(answers));
  });
  answerInTurns(server, new RequestTurns(), ({ socket }) => socket.remoteAddress ?? '');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const request = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const others = Array.from({ length: 300 }, () => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.9' });
    socket.on('error', () => {});
    socket.on('data', () => socket.write(request));
    socket.write(request);
    return socket;
  });
  closers.push(() => {
    for (const socket of others) socket.destroy();
  });
  const honest = connect({ port, host: '127.0.0.1' });
  honest.write(request);
  const [answer] = (await once(honest, 'data')) as [Buffer];
  honest.destroy();
  expect(Number(answer.toString().split('\r\n\r\n')[1])).toBeLessThan(600);
});
