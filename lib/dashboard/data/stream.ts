/**
 * The queen's event stream, one for all tabs of a browser: browsers allow six connections to a host, and six open tabs
 * would stall the seventh. The tab that holds a lock reads the stream and passes each message on over a BroadcastChannel.
 * Where the browser has no locks (plain http to another host), each tab reads a stream of its own.
 */
import type { Fleet, FleetEvent, StreamHeartbeat, StreamLagged, StreamSnapshot } from '../../contract/api.js';
import { isUpTo } from '../../contract/event-ids.js';
import { ApiError, address, get } from './api.js';
import {
  applyEvent,
  applyHandover,
  applyHeartbeat,
  applySnapshot,
  type Connection,
  connection,
  type Handover,
  handover,
  loaded,
  lostEvents,
  totals,
  warming,
} from './fleet.js';
import { loadRecentEvents } from './recent-events.js';

type Message =
  | { readonly kind: 'hello' }
  | { readonly kind: 'state'; readonly state: Handover; readonly connection: Connection['kind'] }
  | { readonly kind: 'connection'; readonly connection: Connection['kind'] }
  | { readonly kind: 'sse'; readonly type: SseType; readonly data: string }
  | { readonly kind: 'past'; readonly events: readonly FleetEvent[] };

const sseTypes = ['snapshot', 'heartbeat', 'event', 'queenEvent', 'lagged'] as const;
type SseType = (typeof sseTypes)[number];

const name = `hivepulse:${new URL('.', document.baseURI).pathname}`;
const pollEveryMs = 2000;
/** Silence, in spite of hives that beat, after which a stream is taken for dead. */
const silentMs = 10_000;
const backoffMs = [250, 500, 1000, 2000, 4000] as const;

let channel: BroadcastChannel | null = null;
let source: EventSource | null = null;
let leading = false;
let hasFollowers = false;
let attempts = 0;
let retry: number | null = null;
let lastMessage = performance.now();
/** The newest event that the rows hold already: one up to it, as a stream that is resumed replays them, changes nothing. */
let heldId = '';

export function startStream(): void {
  void poll();
  if ('locks' in navigator && 'BroadcastChannel' in window) {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: MessageEvent<Message>) => receive(data);
    send({ kind: 'hello' });
    lead(false);
  } else {
    leading = true;
    open();
  }
}

/** Opens the stream again at once, as after a login. */
export function reconnect(): void {
  attempts = 0;
  setConnection('connecting');
  if (leading) open();
  else send({ kind: 'hello' });
  void poll();
}

function lead(steal: boolean): void {
  const held = () => {
    leading = true;
    void countFollowers();
    open();
    return new Promise<never>(() => {}); // Until the tab closes or another takes over.
  };
  navigator.locks.request(name, steal ? { steal: true } : {}, held).catch(() => {
    // Taken over by a tab that heard nothing from this one.
    leading = false;
    shut();
    lead(false);
  });
}

/** To the other tabs, where there are any: copying each message for nobody would cost as much as reading it. */
function send(message: Message): void {
  if (channel && (hasFollowers || !leading)) channel.postMessage(message);
}

/** Followers wait for the lock. */
async function countFollowers(): Promise<void> {
  if (!leading || !channel) return;
  const { pending } = await navigator.locks.query();
  hasFollowers = (pending ?? []).some((lock) => lock.name === name);
}

function receive(message: Message): void {
  if (message.kind === 'hello') {
    hasFollowers = true;
    if (leading && loaded.value)
      send({ kind: 'state', state: { ...handover(), lastEventId: heldId }, connection: connection.value.kind });
    else if (leading) send({ kind: 'connection', connection: connection.value.kind });
    return;
  }
  if (leading) return;
  lastMessage = performance.now();
  if (message.kind === 'state') {
    if (!loaded.value) {
      applyHandover(message.state);
      heldId = message.state.lastEventId;
    }
    setConnection(message.connection);
  } else if (message.kind === 'connection') setConnection(message.connection);
  else if (message.kind === 'past') for (const event of message.events) applyEvent(event, 'past');
  else apply(message.type, message.data);
}

function setConnection(kind: Connection['kind']): void {
  const before = connection.value.kind;
  if (before !== kind) {
    connection.value = kind === 'reconnecting' ? { kind, since: performance.now() } : { kind };
  }
  if (leading) send({ kind: 'connection', connection: kind });
}

function shut(): void {
  if (retry !== null) clearTimeout(retry);
  retry = null;
  source?.close();
  source = null;
}

function open(): void {
  shut();
  lastMessage = performance.now();
  const opened = new EventSource(address('v1/events'));
  source = opened;
  for (const type of sseTypes) {
    opened.addEventListener(type, ({ data }: MessageEvent<string>) => {
      lastMessage = performance.now();
      if (type === 'snapshot') {
        attempts = 0;
        setConnection('live');
      }
      send({ kind: 'sse', type, data });
      const first = type === 'snapshot' && !loaded.value;
      apply(type, data);
      if (first) void recall(JSON.parse(data) as StreamSnapshot);
    });
  }
  opened.onerror = () => {
    if (source !== opened) return;
    if (connection.value.kind !== 'unauthorized') setConnection('reconnecting');
    // The browser tries again by itself (with Last-Event-ID) after a broken connection, but not after an answer other than 200.
    if (opened.readyState === EventSource.CLOSED) void openLater();
  };
}

async function openLater(): Promise<void> {
  shut();
  const wait = backoffMs[Math.min(attempts++, backoffMs.length - 1)]!;
  await poll();
  if (connection.value.kind === 'unauthorized' || !leading || source) return;
  retry = window.setTimeout(open, wait * (0.5 + Math.random()));
}

/** A stream begins with the state of now: what happened before is asked for once. */
async function recall({ lastEventId }: StreamSnapshot): Promise<void> {
  const recent = await loadRecentEvents(lastEventId);
  for (const event of recent) applyEvent(event, 'past');
  send({ kind: 'past', events: recent });
}

function apply(type: SseType, data: string): void {
  if (type === 'snapshot') {
    const snapshot = JSON.parse(data) as StreamSnapshot;
    applySnapshot(snapshot);
    heldId = snapshot.lastEventId;
  } else if (type === 'heartbeat') applyHeartbeat(JSON.parse(data) as StreamHeartbeat);
  else if (type === 'lagged') lostEvents.value += (JSON.parse(data) as StreamLagged).dropped;
  else {
    const event = JSON.parse(data) as FleetEvent;
    if (isUpTo(event.id, heldId)) applyEvent(event, 'past');
    else {
      heldId = event.id;
      applyEvent(event, 'now');
    }
  }
}

let polling = false;
let timer: number | null = null;

/** Totals, and whether the queen answers at all: each visible tab asks for itself. */
async function poll(): Promise<void> {
  if (polling) return;
  polling = true;
  if (timer !== null) clearTimeout(timer);
  try {
    const fleet = await get<Fleet>('v1/fleet');
    totals.value = fleet;
    void countFollowers();
    warming.value = fleet.warming;
    if (connection.value.kind === 'unauthorized') reconnect();
    watch(fleet);
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      if (leading) shut();
      setConnection('unauthorized');
    } else if (connection.value.kind === 'live') setConnection('reconnecting');
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
function watch(fleet: Fleet): void {
  if (connection.value.kind === 'reconnecting' && leading && source?.readyState === EventSource.OPEN)
    setConnection('live');
  if (fleet.hives.online === 0 || performance.now() - lastMessage < silentMs) return;
  lastMessage = performance.now();
  if (leading) open();
  else if (channel) lead(true);
}
