import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { explain } from '../../lib/cluster/nats-store.js';
import { StandbyEvents } from '../../lib/cluster/standby-events.js';
import { idPattern } from '../../lib/contract/primitives.js';
import { sentSchema } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { rendezvousOrder } from '../../lib/hive/rendezvous.js';
import { messageId, publishDelta, readHeartbeatMessage, readMessage } from '../../lib/nats/messages.js';
import { connectionOptions, identityAmong, versionNotes } from '../../lib/nats/nats-link.js';
import {
  claimKey,
  deltaSubject,
  heartbeatSubject,
  hiveEventSubject,
  hiveKey,
  hiveOfKey,
  hiveOfToken,
  lastToken,
  queenEventSubject,
  tokenOf,
} from '../../lib/nats/subjects.js';
import { AckedSeqs } from '../../lib/queen/acked-seqs.js';

const ids = fc.stringMatching(new RegExp(idPattern));

describe('a heartbeat on the bus', () => {
  const subject = heartbeatSubject('a');
  const data = Buffer.from('{}');
  const message = (headerBytes: number, read: () => unknown) => ({
    subject,
    data,
    size: () => subject.length + data.length + headerBytes,
    get headers() {
      return read() as never;
    },
  });

  it('of a heartbeat with more headers than one has none is read', () => {
    const encodingOf = (headerBytes: number, read: () => unknown) =>
      readHeartbeatMessage(message(headerBytes, read))?.body.encoding;
    expect(encodingOf(4097, () => expect.unreachable())).toBeUndefined();
    expect(encodingOf(0, () => undefined)).toBeNull();
    expect(encodingOf(40, () => ({ get: () => '' }))).toBeNull();
    expect(encodingOf(4096, () => ({ get: (name: string) => `${name}: gzip` }))).toBe('content-encoding: gzip');
  });

  it('there is room for the columns of a stream', () => {
    expect(JSON.stringify(sentSchema(ownSchema)).length + 256).toBeLessThan(4096);
  });

  it('one whose headers cannot be read is none', () => {
    const bad = message(40, () => {
      throw new Error('bad name');
    });
    expect(readHeartbeatMessage(bad)).toBeNull();
  });
});

describe('names on the bus', () => {
  it('an id is one token of a subject, whatever it holds, and comes back as it was', () => {
    fc.assert(
      fc.property(ids, (id) => {
        expect(tokenOf(id)).not.toMatch(/[.*> \t\r\n]/);
        expect(hiveOfToken(lastToken(heartbeatSubject(id)))).toBe(id);
      }),
    );
  });

  it('an id is a key that a bucket takes, and comes back as it was', () => {
    fc.assert(
      fc.property(ids, (id) => {
        expect(hiveKey(id)).toMatch(/^[-/=.\w]+$/);
        expect(hiveOfKey(hiveKey(id))).toBe(id);
      }),
    );
    expect(hiveOfKey(claimKey('any key at all *.>'))).toBeNull();
    expect(claimKey('any key at all *.>')).toMatch(/^[-/=.\w]+$/);
  });
});

describe('messages of the stream', () => {
  const fact = {
    at: '2026-01-02T03:04:05.000Z',
    kind: 'oomKill',
    hive: 'a',
    workerId: 'llm/1',
    model: null,
    detail: { kills: 1 },
    incarnation: 'run',
    seq: 7,
  };
  const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

  it('a fact tells which it is, and becomes an event under the id of the stream', () => {
    const { incarnation, seq, ...event } = fact;
    expect(readMessage(bytes(fact), hiveEventSubject('a'), 's-9')).toEqual({
      type: 'event',
      event: { id: 's-9', ...event },
      incarnation,
      seq,
    });
    expect(messageId(fact, 'me')).toBe('a/run/7/me');
    expect(messageId(fact)).toBe(messageId(fact));
    expect(messageId(fact)).toMatch(/^a\/run\/7\/[0-9a-f-]{36}$/);
  });

  it('a conclusion carries no number of a hive', () => {
    const received = readMessage(
      bytes({ at: fact.at, kind: 'hiveOffline', hive: 'a', detail: {}, evil: 1 }),
      queenEventSubject('a'),
      's-1',
    );
    expect(received).toEqual({
      type: 'queenEvent',
      event: { id: 's-1', at: fact.at, kind: 'hiveOffline', hive: 'a', detail: {} },
    });
  });

  it('what is none of ours is left out', () => {
    for (const value of [
      null,
      [],
      'x',
      {},
      { ...fact, seq: 0 },
      { ...fact, seq: 1.5 },
      { ...fact, kind: '<b>' },
      { ...fact, hive: '' },
      { ...fact, hive: 'another' },
      { ...fact, kind: 'hiveRemoved' },
      { ...fact, kind: 'duplicateHiveId' },
      { ...fact, detail: { text: 'x'.repeat(5000) } },
    ])
      expect(readMessage(bytes(value), hiveEventSubject('a'), 's-1')).toBeNull();
    expect(readMessage(Buffer.from([0xff, 0xfe]), hiveEventSubject('a'), 's-1')).toBeNull();
    expect(readMessage(Buffer.alloc(100_000, 0x20), hiveEventSubject('a'), 's-1')).toBeNull();
  });

  it('an event nested so deep that no serializer could follow is left out unread', () => {
    const deep = JSON.stringify({ ...fact, detail: { x: 0 } }).replace(
      '"x":0',
      `"x":${'['.repeat(15_000)}${']'.repeat(15_000)}`,
    );
    for (const subject of [hiveEventSubject('a'), queenEventSubject('a')])
      expect(readMessage(Buffer.from(deep), subject, 's-1')).toBeNull();
  });

  it('a queen event is of the hive that its subject names', () => {
    const event = bytes({ at: fact.at, kind: 'hiveOffline', hive: 'a', detail: {} });
    expect(readMessage(event, queenEventSubject('b'), 's-1')).toBeNull();
  });

  it('any bytes are an event or nothing, never a crash', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        fc.boolean(),
        (data, isHiveEvent) => {
          const received = readMessage(data, isHiveEvent ? hiveEventSubject('a') : queenEventSubject('a'), 's-1');
          if (received !== null) expect(received.event.id).toBe('s-1');
        },
      ),
    );
  });
});

describe('what is acknowledged', () => {
  it('rises within a run, begins anew with another, and is bounded', () => {
    const known = new AckedSeqs(2);
    known.set('a', '1', 5);
    known.set('a', '1', 3);
    expect(known.get('a', '1')).toBe(5);
    expect(known.get('a', '2')).toBe(0);
    known.set('a', '2', 1);
    expect(known.get('a', '1')).toBe(0);
    known.set('b', '1', 1);
    known.set('c', '1', 1);
    expect(known.get('a', '2')).toBe(0);
    expect(known.get('c', '1')).toBe(1);
  });
});

describe('conclusions of a queen that does not speak', () => {
  const draft = (kind: string, hive: string) => ({ at: '2026-01-02T03:04:05.000Z', kind, hive, detail: {} });

  it('what the speaker can no longer have said is kept, and what it said is not', () => {
    let now = 0;
    const silent = new StandbyEvents(() => now, 15_000);
    silent.add(draft('hiveLate', 'a'));
    now = 1000;
    silent.add(draft('hiveOffline', 'a'));
    silent.markPublished(draft('hiveOffline', 'a'));
    silent.add(draft('hiveOffline', 'b'));
    expect(silent.take(500).map(({ hive }) => hive)).toEqual(['b']);
    expect(silent.take(0)).toEqual([]);
  });

  it('what the speaker said before this queen came to it is not said again', () => {
    const silent = new StandbyEvents(() => 0, 15_000);
    silent.markPublished(draft('hiveOffline', 'a'));
    silent.add(draft('hiveOffline', 'a'));
    silent.add(draft('hiveOffline', 'a'));
    expect(silent.take(0)).toHaveLength(1);
  });

  it('is bounded in time and number', () => {
    let now = 0;
    const silent = new StandbyEvents(() => now, 1000);
    for (let i = 0; i < 20_000; i++) silent.add(draft('hiveLate', `h${i}`));
    expect(silent.size).toBeLessThanOrEqual(10_000);
    now = 5000;
    silent.add(draft('hiveLate', 'z'));
    expect(silent.size).toBe(1);
  });
});

describe('servers', () => {
  it('an older server: what is lost is said, and one that is too old is not used', () => {
    expect(versionNotes('2.11.3')).toEqual({ supported: true, lost: [] });
    expect(versionNotes('2.10.14').lost).toEqual([expect.stringContaining('time limits of single keys')]);
    expect(versionNotes('2.9.10').lost).toHaveLength(2);
    expect(versionNotes('2.8.4')).toMatchObject({ supported: false });
    expect(versionNotes('custom')).toMatchObject({ supported: true, lost: [expect.stringContaining('custom')] });
  });

  it('`jetstream is not enabled` is said in words for who runs the server', () => {
    expect(explain(new Error('jetstream is not enabled'))).toContain('-js');
    expect(explain(new Error('timeout'))).toBe('timeout');
  });

  it('addresses, TLS and credentials: a file that is missing is named', () => {
    const transport = { credsAuthenticator: () => () => ({}) } as never;
    const plain = connectionOptions({ servers: ['nats://a:1', 'nats://b:2'] }, { transport }, 'x');
    expect(plain).toMatchObject({ servers: ['a:1', 'b:2'], noEcho: true, reconnect: false });
    expect(plain.tls).toBeUndefined();
    expect(connectionOptions({ servers: ['tls://a:1'] }, { transport }, 'x').tls).toEqual({
      checkServerIdentity: expect.any(Function),
    });
    expect(() =>
      connectionOptions({ servers: ['nats://a:1'], credentialsFile: '/nonexistent/creds' }, { transport }, 'x'),
    ).toThrow(expect.objectContaining({ code: 'CONFIG_UNREADABLE', subject: '/nonexistent/creds' }));
  });
});

describe('queens of a hive', () => {
  it('hives are spread over the queens, and those of a lost one over all that are left', () => {
    const queens = ['http://a:1', 'http://b:1', 'http://c:1'];
    const orders = Array.from({ length: 300 }, (_, i) => rendezvousOrder(queens, `hive-${i}`));
    for (const order of orders) expect([...order].sort()).toEqual(queens);
    for (const queen of queens) {
      const own = orders.filter(([first]) => first === queen);
      expect(own.length).toBeGreaterThan(70);
      for (const other of queens.filter((each) => each !== queen))
        expect(own.filter(([, second]) => second === other).length).toBeGreaterThan(20);
    }
    expect(rendezvousOrder(queens, 'hive-1')).toEqual(rendezvousOrder(queens.toReversed(), 'hive-1'));
  });
});

describe('whose certificate is taken', () => {
  const certificate = (subjectaltname: string) => ({ subject: { CN: 'x' }, subjectaltname }) as never;

  it.each([
    // servers, what Node asks for, names in the certificate, taken
    [['tls://10.0.0.1:4222'], 'localhost', 'IP Address:10.0.0.1', true],
    [['tls://10.0.0.1:4222', 'tls://10.0.0.2:4222'], 'localhost', 'IP Address:10.0.0.2', true],
    [['tls://[fd00::1]:4222'], 'localhost', 'IP Address:FD00:0:0:0:0:0:0:1', true],
    [['tls://10.0.0.1:4222'], 'localhost', 'IP Address:10.0.0.9', false],
    // Nobody named it: a certificate for "localhost" is somebody else's.
    [['tls://10.0.0.1:4222'], 'localhost', 'DNS:localhost', false],
    [['tls://localhost:4222'], 'localhost', 'DNS:localhost', true],
    [['tls://n1.example:4222'], 'n1.example', 'DNS:n1.example', true],
    [['tls://n1.example:4222', 'tls://10.0.0.1:4222'], 'n1.example', 'IP Address:10.0.0.1', false],
    [['tls://n1.example:4222'], 'localhost', 'DNS:n1.example', false],
  ])('of %j, asked for %s, with %s: %s', (servers, asked, names, taken) => {
    expect(identityAmong(servers)(asked, certificate(names)) === undefined).toBe(taken);
  });
});

describe('a delta that is passed on', () => {
  it('is sent as it came, whatever is read into its place afterwards', () => {
    const publish = vi.fn();
    const bytes = Buffer.from([2, 0, 7]);
    publishDelta({ publish } as never, 'a', 's', bytes);
    bytes.fill(0xff);
    expect(publish.mock.calls).toEqual([[deltaSubject('a', 's'), Buffer.from([2, 0, 7])]]);
  });
});
