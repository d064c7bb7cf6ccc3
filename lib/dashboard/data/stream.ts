/**
 * Keeps the mirror of this tab up to date. All tabs of a browser share one stream: browsers allow six connections to a
 * host, and six open tabs would stall the seventh. The tab that holds a lock reads the stream and passes each message on
 * over a BroadcastChannel. Where the browser has no locks (plain http to another host), each tab reads its own stream.
 */
import type { Connection } from '../../client/mirror.js';
import { recentEvents } from '../../client/recent-events.js';
import type { StreamMessage } from '../../client/stream.js';
import type { Fleet, FleetEvent, StreamSnapshot } from '../../contract/api.js';
import { client, isRefused } from './client.js';
import { mirror, totals } from './fleet.js';

type TabMessage =
  | { readonly kind: 'hello' }
  | { readonly kind: 'state'; readonly snapshot: StreamSnapshot; readonly events: readonly FleetEvent[] }
  | { readonly kind: 'connection'; readonly connection: Connection['kind'] }
  | { readonly kind: 'message'; readonly message: StreamMessage }
  | { readonly kind: 'events'; readonly events: readonly FleetEvent[] };

const name = `hivepulse:${new URL('.', document.baseURI).pathname}`;
const pollEveryMs = 2000;
/** A stream that is silent for so long although hives are online is dead. */
const silentMs = 10_000;
const maxBackoffMs = 4000;
const eventsBefore = 500;
const eventsDeadlineMs = 5000;

let channel: BroadcastChannel | null = null;
let leading = false;
let hasFollowers = false;
/** Ends the stream that this tab reads. */
let stream = new AbortController();
let isOpen = false;
let lastMessageMs = performance.now();

export function startStream(): void {
  mirror.subscribe(announceConnection);
  void poll();
  if ('locks' in navigator && 'BroadcastChannel' in window) {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: MessageEvent<TabMessage>) => receive(data);
    send({ kind: 'hello' });
    lead(false);
  } else {
    leading = true;
    void read();
  }
}

/** Opens the stream again at once, as after a login. */
export function reconnect(): void {
  mirror.setConnection('connecting');
  if (leading) void read();
  else send({ kind: 'hello' });
  void poll();
}

/** The cookie is gone: no tab reads on by a stream that was opened with it. */
export function signedOut(): void {
  send({ kind: 'connection', connection: 'unauthorized' });
  endSession();
}

function endSession(): void {
  stream.abort();
  mirror.setConnection('unauthorized');
}

function lead(steal: boolean): void {
  const held = () => {
    leading = true;
    void countFollowers();
    void read();
    return new Promise<never>(() => {}); // Until the tab closes or another takes over.
  };
  navigator.locks.request(name, steal ? { steal: true } : {}, held).catch(() => {
    // A tab that received nothing from this one has taken over.
    leading = false;
    stream.abort();
    lead(false);
  });
}

/** To the other tabs, where there are any: a copy of each message for nobody would cost as much as reading it. */
function send(message: TabMessage): void {
  if (channel && (hasFollowers || !leading)) channel.postMessage(message);
}

/** Followers wait for the lock. */
async function countFollowers(): Promise<void> {
  if (!leading || !channel) return;
  const { pending } = await navigator.locks.query();
  hasFollowers = (pending ?? []).some((lock) => lock.name === name);
}

let announced: Connection['kind'] = 'connecting';
function announceConnection(): void {
  const { kind } = mirror.connection;
  if (!leading || kind === announced) return;
  announced = kind;
  send({ kind: 'connection', connection: kind });
}

function receive(message: TabMessage): void {
  if (message.kind === 'hello') {
    hasFollowers = true;
    if (!leading) return;
    if (mirror.loaded) send({ kind: 'state', snapshot: mirror.snapshotAt(performance.now()), events: mirror.events });
    send({ kind: 'connection', connection: mirror.connection.kind });
    return;
  }
  if (message.kind === 'connection' && message.connection === 'unauthorized') endSession();
  if (leading) return;
  lastMessageMs = performance.now();
  if (message.kind === 'message') mirror.apply(message.message, lastMessageMs);
  else if (message.kind === 'connection') setConnection(message.connection);
  else {
    if (message.kind === 'state' && !mirror.loaded)
      mirror.apply({ type: 'snapshot', data: message.snapshot }, lastMessageMs);
    for (const event of message.events) mirror.addEvent(event);
  }
}

function setConnection(kind: Connection['kind']): void {
  if (kind !== 'lost') mirror.setConnection(kind);
  else if (mirror.connection.kind !== 'lost') mirror.disconnected('', performance.now());
}

/** Reads the stream from where the mirror stands, until another reader or `stream.abort()` ends it. */
async function read(): Promise<void> {
  stream.abort();
  stream = new AbortController();
  const { signal } = stream;
  isOpen = false;
  lastMessageMs = performance.now();
  const from = mirror.lastEventId === '' ? {} : { lastEventId: mirror.lastEventId };
  try {
    for await (const message of client.events({ changes: true, lists: true }, { ...from, signal, maxBackoffMs })) {
      lastMessageMs = performance.now();
      isOpen = message.type !== 'closed';
      const isFirst = message.type === 'snapshot' && !mirror.loaded;
      if (message.type !== 'closed') {
        mirror.apply(message, lastMessageMs);
        send({ kind: 'message', message });
      } else if (mirror.connection.kind !== 'unauthorized') {
        mirror.apply(message, lastMessageMs);
        void poll();
      }
      if (isFirst) void listRecentEvents();
    }
  } catch (error) {
    // Another try with the same token gets the same answer; anything else may be a proxy whose queen is away.
    if (isRefused(error)) mirror.setConnection('unauthorized');
    else {
      mirror.disconnected(error, performance.now());
      setTimeout(() => {
        if (leading && !signal.aborted) void read();
      }, maxBackoffMs * Math.random());
    }
  }
}

/** A stream begins with the present state: what happened before is asked for once. */
async function listRecentEvents(): Promise<void> {
  const signal = AbortSignal.timeout(eventsDeadlineMs);
  const events = await recentEvents(client, mirror.lastEventId, eventsBefore, { signal }).catch(() => []);
  for (const event of events) mirror.addEvent(event);
  send({ kind: 'events', events });
}

let polling = false;
let timer = 0;

/** Totals, and whether the queen answers at all: each visible tab asks for itself. */
async function poll(): Promise<void> {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  try {
    const fleet = await client.fleet();
    totals.value = fleet;
    void countFollowers();
    mirror.setWarming(fleet.warming);
    if (mirror.connection.kind === 'unauthorized') reconnect();
    reviveSilent(fleet);
  } catch (error) {
    if (isRefused(error)) {
      if (leading) stream.abort();
      mirror.setConnection('unauthorized');
    } else if (mirror.connection.kind === 'live') mirror.disconnected(error, performance.now());
  } finally {
    polling = false;
    timer = window.setTimeout(() => {
      if (document.visibilityState === 'visible') void poll();
    }, pollEveryMs);
  }
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void poll();
});

/** A stream can die without a word (a proxy, a sleeping laptop, a stuck tab). */
function reviveSilent(fleet: Fleet): void {
  if (mirror.connection.kind === 'lost') {
    if (!leading) send({ kind: 'hello' });
    else if (isOpen && mirror.loaded) mirror.setConnection('live');
  }
  if (fleet.hives.online === 0 || performance.now() - lastMessageMs < silentMs) return;
  lastMessageMs = performance.now();
  if (leading) void read();
  else if (channel) lead(true);
}
