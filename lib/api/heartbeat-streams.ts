import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { messageTypes, readSchema, StreamCodecError } from '../contract/stream/codec.js';
import { maxTextBytes, type QueenMessage, subprotocol } from '../contract/stream/messages.js';
import { type ProblemError, problems } from '../http/problem.js';
import { SocketRounds } from '../http/socket-rounds.js';
import { serverMessage } from '../http/text-message.js';
import type { Upgrade } from '../http/upgrade.js';
import { onMessages } from '../http/whole-message.js';
import { HeartbeatStream, type StreamOutcome } from '../queen/heartbeat-stream.js';
import type { HeartbeatIntake, HeartbeatSource } from '../queen/intake.js';
import type { Registry } from '../queen/registry.js';
import { planOf, type StreamPlan } from '../queen/stream-plan.js';
import { asciiJson } from '../util/ascii-json.js';
import { ByteBudget } from '../util/byte-budget.js';
import { hasShare } from '../util/fair-share.js';
import { exceededBudget, type JsonBudget } from '../util/json-budget.js';
import { TokenBucket } from '../util/rate-limiter.js';
import { DuplicateIds } from './duplicate-ids.js';
import { KeyframeRounds, type KeyframeSource } from './keyframe-rounds.js';

/**
 * Deltas that a queen answers with one acknowledgement. A hive waits three seconds for it: so it knows of a connection that
 * leads nowhere before it is offline, after ten.
 */
const ackEvery = 5;
/** Shortest time between two keyframes that one hive is asked for. */
const keyframeEveryMs = 2000;
/** Of a connection that says nothing at first. */
const helloMs = 10_000;
/** Longest silence, beside two intervals of the hive. */
const idleMs = 75_000;
const sweepMs = 5000;
/** Between two looks at whose turn it is to send a whole heartbeat. */
const roundMs = 100;
/** So many are read together. Of fewer, each message is taken in as soon as it comes. */
const manyStreams = 256;
/** Unread answers of one connection. */
const maxUnreadBytes = 64 * 1024;
/** Different schemas at once: hives of one version share theirs. */
const maxSchemas = 64;
/** A hello names the columns of each kind of row, with their scales. */
const helloBudget: JsonBudget = { depth: 8, nodes: 4096, keys: 16, stringBytes: 320 };
/** Messages and pings of one connection: a hive sends one each interval, and each interval has its shortest. */
const messageRate = { perSecond: 100, burst: 300 };
/** Messages under way, of which not all bytes are there yet: together, and of one token or one address. */
const bytesUnderWay = { total: 96 * 1024 * 1024, perKey: 24 * 1024 * 1024 };
/** What one connection may have under way without asking. */
const smallBytes = 8 * 1024;
/** Time that a queen that ends gives each connection to come back: many handshakes at once would take all of the next one's. */
const comeBackMs = { perConnection: 2, most: 8000 };
/** How long the ends of connections are waited for. */
const closingMs = 500;

/** Close codes of RFC 6455, and its private ones. */
const closeCodes = { goingAway: 1001, protocolError: 1002, policy: 1008, tryAgainLater: 1013 } as const;

interface HeartbeatStreamDeps {
  readonly registry: Registry;
  readonly intake: HeartbeatIntake;
  readonly log?: { warn(fields: object, message: string): void };
  /** Of one connection; `messageRate` where none is given. */
  readonly messageRate?: { readonly perSecond: number; readonly burst: number };
  /** From how many streams on they are read together; `manyStreams` where it is not given. */
  readonly manyStreams?: number;
}

interface HeldPlan {
  readonly plan: StreamPlan;
  /** Once by each of its users. */
  release(): void;
}

interface Shared extends HeldPlan {
  /** The first hello with this schema. Those of other hives of that version are the same bytes, which need not be read again. */
  readonly hello: Buffer;
  /** Who named this schema first. */
  readonly owner: string;
  users: number;
}

/** The hives that are connected by a stream. */
export class HeartbeatStreams {
  readonly #server: WebSocketServer;
  readonly #open = new Set<Connection>();
  readonly #byHive = new Map<string, Connection>();
  readonly #plans = new Map<string, Shared>();
  readonly #bytes = new ByteBudget(bytesUnderWay);
  readonly #sweep: NodeJS.Timeout;
  readonly #rounds: NodeJS.Timeout;
  /** What all connections share. */
  readonly #host: ConnectionHost;
  /** Undefined: not needed yet; null: there are none here. */
  #socketRounds: SocketRounds | null | undefined;
  #isClosed = false;

  constructor(deps: HeartbeatStreamDeps) {
    this.#host = {
      ...deps,
      duplicates: new DuplicateIds(),
      plan: (hello, owner) => this.#plan(hello, owner),
      take: (keys, bytes) => this.#bytes.take(keys, bytes),
      answer: (send) => (this.#socketRounds ? this.#socketRounds.answer(send) : send()),
      socketRounds: () => {
        if (this.#open.size < (deps.manyStreams ?? manyStreams) || this.#isClosed) return null;
        if (this.#socketRounds === undefined) this.#socketRounds = SocketRounds.create();
        return this.#socketRounds;
      },
      isOf: (connection, hive, before) => {
        this.#forget(before, connection);
        this.#byHive.set(hive, connection);
      },
    };
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: deps.intake.limits.maxHeartbeatBytes,
      // A message of each connection in a turn of the event loop, however many have come.
      allowSynchronousEvents: false,
      handleProtocols: (offered) => offered.has(subprotocol) && subprotocol,
    });
    this.#sweep = setInterval(() => {
      const nowMs = performance.now();
      for (const connection of this.#open) connection.endIfIdle(nowMs);
    }, sweepMs).unref();
    const rounds = new KeyframeRounds(this.#open, performance.now());
    this.#rounds = setInterval(() => rounds.look(performance.now()), roundMs).unref();
  }

  get size(): number {
    return this.#open.size;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Goes on with a connection whose request was judged already. */
  accept(request: IncomingMessage, { socket, head }: Upgrade, source: HeartbeatSource, keys: readonly string[]): void {
    this.#server.handleUpgrade(request, socket, head, (client) => this.#add(client, request.socket, source, keys));
  }

  /** Nothing of it may keep the request, for as long as the connection lives. */
  #add(client: WebSocket, socket: Socket, source: HeartbeatSource, keys: readonly string[]): void {
    const connection = new Connection(client, socket, source, keys, this.#host);
    this.#open.add(connection);
    client.once('close', () => {
      this.#open.delete(connection);
      this.#forget(connection.hive, connection);
    });
  }

  /** Another queen needs a whole heartbeat of a hive, which may be connected here. */
  askForKeyframe(hive: string): void {
    this.#byHive.get(hive)?.askForKeyframe(performance.now());
  }

  /** Ends the connections of callers that are no longer welcome. */
  endWhere(isUnwelcome: (owner: string) => boolean): void {
    for (const connection of this.#open) if (isUnwelcome(connection.owner)) connection.end(closeCodes.policy);
  }

  /** Says to all hives when to come back, and ends their connections. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweep);
    clearInterval(this.#rounds);
    const withinMs = Math.min(comeBackMs.most, this.#open.size * comeBackMs.perConnection);
    await Promise.all([...this.#open].map((connection) => connection.goAway(withinMs)));
    this.#socketRounds?.close();
  }

  #forget(hive: string | null, connection: Connection): void {
    if (hive !== null && this.#byHive.get(hive) === connection) this.#byHive.delete(hive);
  }

  /** One plan for all hives with the same columns; null: there are too many already. @throws StreamCodecError, SyntaxError */
  #plan(hello: Buffer, owner: string): HeldPlan | null {
    const shared = this.#planOfSame(hello) ?? this.#planOf(hello, owner);
    if (shared !== null) shared.users++;
    return shared;
  }

  #planOfSame(hello: Buffer): Shared | null {
    for (const shared of this.#plans.values()) if (shared.hello.equals(hello)) return shared;
    return null;
  }

  #planOf(hello: Buffer, owner: string): Shared | null {
    const schema = schemaOf(hello);
    const key = JSON.stringify(schema);
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    let own = 0;
    for (const plan of this.#plans.values()) if (plan.owner === owner) own++;
    if (!hasShare(own, maxSchemas - this.#plans.size)) return null;
    const shared: Shared = {
      plan: planOf(readSchema(schema)),
      hello: Buffer.from(hello),
      owner,
      users: 0,
      release: () => {
        if (--shared.users === 0) this.#plans.delete(key);
      },
    };
    this.#plans.set(key, shared);
    return shared;
  }
}

/** What a hello says the columns are. @throws StreamCodecError, SyntaxError */
function schemaOf(text: Buffer): unknown {
  const isHello = text.length <= maxTextBytes && exceededBudget(text, helloBudget) === null;
  const hello: unknown = isHello ? JSON.parse(text.toString()) : null;
  const { type, schema } = (hello ?? {}) as { readonly type?: unknown; readonly schema?: unknown };
  if (type !== 'hello') throw new StreamCodecError('it is no hello');
  return schema;
}

interface ConnectionHost extends HeartbeatStreamDeps {
  readonly duplicates: DuplicateIds;
  /** @throws StreamCodecError, SyntaxError */
  plan(hello: Buffer, owner: string): HeldPlan | null;
  /** The connection is of this hive, and was of another. */
  isOf(connection: Connection, hive: string, before: string | null): void;
  /** Room for bytes under way; null: there is none. */
  take(keys: readonly string[], bytes: number): (() => void) | null;
  /** Sends an answer, with those of others that are read together. */
  answer(send: () => void): void;
  /** What reads the sockets of many; null: each is read by itself. */
  socketRounds(): SocketRounds | null;
}

/** One hive's connection. */
class Connection implements KeyframeSource {
  readonly owner: string;
  /** Null: not known yet. */
  hive: string | null = null;
  readonly #client: WebSocket;
  /** Of the client. What is sent goes past it: it would write each message in two pieces. */
  readonly #socket: Socket;
  readonly #source: HeartbeatSource;
  readonly #address: string | undefined;
  readonly #keys: readonly string[];
  readonly #host: ConnectionHost;
  #stream: HeartbeatStream | null = null;
  #heardAtMs = performance.now();
  /** The hive's own, ms, and what the queen said of it last. */
  #intervalMs = 0;
  #grantedMs = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  keyframeAtMs: number | null = null;
  keyframeBytes = 0;
  #underWay = 0;
  #giveBack: (() => void) | null = null;
  #plan: HeldPlan | null = null;
  readonly #messages: TokenBucket;

  constructor(
    client: WebSocket,
    socket: Socket,
    source: HeartbeatSource,
    keys: readonly string[],
    host: ConnectionHost,
  ) {
    this.#client = client;
    this.#socket = socket;
    this.#source = source;
    this.#keys = keys;
    this.#host = host;
    this.#messages = new TokenBucket(host.messageRate ?? messageRate, performance.now());
    this.owner = source.owner;
    this.#address = socket.remoteAddress;
    // Before the parser of messages: it has done with what came earlier.
    const count = (chunk: Buffer) => this.#count(chunk.length);
    socket.prependListener('data', count);
    const receive = (data: RawData, isBinary: boolean) => void (this.#isTooFast() || this.#receive(data, isBinary));
    onMessages(client, socket, receive, host.socketRounds);
    client.on('ping', () => this.#isTooFast());
    client.on('pong', () => this.#isTooFast());
    client.on('error', () => client.terminate());
    client.once('close', () => {
      socket.off('data', count);
      this.#giveBack?.();
      this.#plan?.release();
      this.#stream = null;
    });
  }

  askForKeyframe(nowMs: number): void {
    if (nowMs - this.#askedAtMs < keyframeEveryMs) return;
    this.#askedAtMs = nowMs;
    if (this.keyframeAtMs !== null) this.keyframeAtMs = nowMs;
    this.#send({ type: 'keyframe' });
  }

  endIfIdle(nowMs: number): void {
    const mostMs = this.#stream === null ? helloMs : idleMs + 2 * this.#intervalMs;
    if (nowMs - this.#heardAtMs > mostMs) this.#client.terminate();
  }

  end(code: number): void {
    this.#client.close(code);
    setTimeout(() => this.#client.terminate(), closingMs).unref();
  }

  goAway(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(() => this.#client.terminate(), closingMs);
      this.#client.once('close', () => {
        clearTimeout(late);
        resolve();
      });
      this.#send({ type: 'goaway', withinMs });
      this.#client.close(closeCodes.goingAway);
    });
  }

  #count(bytes: number): void {
    this.#underWay += bytes;
    if (this.#underWay <= smallBytes) return;
    this.#giveBack?.();
    this.#giveBack = this.#host.take(this.#keys, this.#underWay);
    if (this.#giveBack !== null) return;
    this.end(closeCodes.tryAgainLater);
    // Whoever does not close and goes on sending is not read any more.
    this.#client.pause();
  }

  /** Ends a connection on which more comes than any hive sends. */
  #isTooFast(): boolean {
    if (this.#client.readyState !== WebSocket.OPEN) return true;
    if (this.#messages.take(this.#host.messageRate ?? messageRate, performance.now()) === 0) return false;
    this.#host.intake.countRefusal(this.#source.key, 'RATE_LIMITED', true);
    this.#client.terminate();
    return true;
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#underWay = 0;
    this.#giveBack?.();
    this.#giveBack = null;
    this.#heardAtMs = performance.now();
    if (this.#stream === null || !isBinary) {
      if (isBinary || this.#stream !== null) this.end(closeCodes.protocolError);
      else this.#greet(data as Buffer);
      return;
    }
    const limited = this.#host.intake.admit(this.#source.key);
    if (limited !== null) {
      this.#refuse(limited);
      return;
    }
    let message = data as Buffer;
    if (message[0] === messageTypes.keyframe) {
      this.keyframeAtMs = this.#heardAtMs;
      this.keyframeBytes = message.length;
      // It may wait for its turn, and is passed on whole. A delta is taken in before this returns.
      message = Buffer.from(message);
    }
    const outcome = this.#stream.receive(message);
    if (outcome instanceof Promise) outcome.then((done) => this.#answer(done)).catch(() => this.#client.terminate());
    else this.#answer(outcome);
  }

  #greet(text: Buffer): void {
    try {
      const held = this.#host.plan(text, this.owner);
      if (held === null) {
        this.end(closeCodes.tryAgainLater);
        return;
      }
      this.#plan = held;
      this.#stream = new HeartbeatStream(this.#host.registry, this.#host.intake, this.#source, held.plan);
    } catch (error) {
      if (!(error instanceof StreamCodecError || error instanceof SyntaxError)) throw error;
      this.#host.intake.countRefusal(this.#source.key, 'INVALID_REQUEST', true);
      this.end(closeCodes.protocolError);
      return;
    }
    const { queenId, requestedIntervalMs } = this.#host.registry;
    this.#send({
      type: 'welcome',
      queenId,
      intervalMs: requestedIntervalMs,
      ackEvery,
      takesLoads: true,
      asksForKeyframes: true,
    });
  }

  #answer(outcome: StreamOutcome): void {
    if (outcome.kind === 'refused') {
      this.#host.duplicates.refused(outcome.refusal, this.#host.log, this.#address);
      this.#refuse(outcome.refusal);
      return;
    }
    if (outcome.kind === 'resync') {
      this.#resync(outcome);
      return;
    }
    if (outcome.kind === 'ignored' || outcome.kind === 'load') return;
    const { epoch, index, deltas, reply, isWanted } = outcome;
    const isChanged = reply.intervalMs !== this.#grantedMs;
    this.#grantedMs = reply.intervalMs;
    const hive = this.#stream?.hive ?? null;
    if (hive !== null) {
      this.#intervalMs = hive.intervalMs;
      if (this.hive !== hive.id) this.#host.isOf(this, hive.id, this.hive);
      this.hive = hive.id;
    }
    if (isWanted) this.#send({ type: 'ack', epoch, index, deltas, reply });
    else if (isChanged) this.#send({ type: 'interval', intervalMs: reply.intervalMs });
  }

  #resync({ reason }: Extract<StreamOutcome, { kind: 'resync' }>): void {
    const { intake, log } = this.#host;
    if (reason === 'malformed' || reason === 'outOfOrder')
      intake.countRefusal(this.#source.key, 'INVALID_HEARTBEAT', reason === 'malformed');
    if (reason === 'checksum') {
      intake.countRefusal(this.#source.key, 'CHECKSUM_MISMATCH', false);
      log?.warn({ address: this.#address }, 'numbers of a hive were not those that it has: it sends all again');
    }
    this.#send({ type: 'resync', reason });
  }

  #refuse({ code, message, retryAfterSeconds }: { code: string; message: string; retryAfterSeconds?: number }): void {
    const [status] = problems[code as ProblemError['code']] ?? problems.INTERNAL;
    const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
    this.#send({ type: 'refused', status, code, message, ...retry });
  }

  #send(message: QueenMessage): void {
    this.#host.answer(() => this.#write(message));
  }

  #write(message: QueenMessage): void {
    if (this.#client.readyState !== WebSocket.OPEN) return;
    if (this.#client.bufferedAmount > maxUnreadBytes) this.#client.terminate();
    else this.#socket.write(serverMessage(asciiJson(message)), 'latin1');
  }
}
