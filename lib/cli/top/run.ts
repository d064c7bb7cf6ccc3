import type { HivepulseClient } from '../../client/client.js';
import { FleetMirror } from '../../client/mirror.js';
import { recentEvents } from '../../client/recent-events.js';
import { HivepulseError } from '../../util/errors.js';
import { answerMs, noAnswer } from '../event-ids.js';
import { exitCodeOf, exitCodes, explain } from '../exit.js';
import { outputWidth, printLines, wantsColours, writeNote, writeText } from '../output.js';
import { AttentionWatch } from './attention.js';
import { type Key, type Mouse, parseInput } from './keys.js';
import { PastOfDetail } from './past.js';
import { plainFrame, plainUi } from './plain.js';
import { click, press, scroll } from './press.js';
import { render, shownOf, type TopState, targetAt } from './render.js';
import type { Items } from './rows.js';
import { Screen } from './screen.js';
import { initialUi, type Ui, type View } from './ui.js';

export interface TopOptions {
  readonly intervalMs: number | null;
  readonly view: View;
  readonly filter: string;
}

/** The queen, and the addresses that the person gave for it. */
interface Source {
  readonly client: HivepulseClient;
  readonly urls: readonly string[];
}

const drawEveryMs = 250;
/** A queen keeps at least as many. */
const eventsBefore = 100;

export async function runTop(client: HivepulseClient, urls: readonly string[], options: TopOptions): Promise<void> {
  const terminal = process.stdin.isTTY && process.stdout.isTTY && process.env.TERM !== 'dumb';
  if (terminal) await new LiveTop({ client, urls }, options).run();
  else await print({ client, urls }, options);
}

export const itemsAt = (mirror: FleetMirror, nowMs: number): Items => ({
  hives: mirror.hivesAt(nowMs),
  workers: Array.from(mirror.workers.values(), (worker) => mirror.currentOf(worker)),
  gpus: mirror.gpus(),
  events: mirror.events,
});

function stateOf(
  { client, urls }: Source,
  mirror: FleetMirror,
  ui: Ui,
  attention: AttentionWatch,
  held: Items | null = null,
): TopState {
  const nowMs = performance.now();
  return {
    ui,
    items: held ?? itemsAt(mirror, nowMs),
    source: urls.length > 1 ? client.url : (urls[0] ?? ''),
    connection: mirror.connection,
    warming: mirror.warming,
    attention: attention.lines,
    missing: attention.missing,
    history: null,
    past: null,
    nowMs,
    clock: new Date().toTimeString().slice(0, 8),
    colours: wantsColours(),
  };
}

/** Lists the newest events from before the stream was opened. Where they cannot be had, the list begins empty. */
async function addRecentEvents({ client }: Source, mirror: FleetMirror, signal: AbortSignal): Promise<void> {
  const events = await recentEvents(client, mirror.lastEventId, eventsBefore, { signal }).catch(() => []);
  for (const event of events) mirror.addEvent(event);
}

/** Tables for a pipe: once, or each interval until the reader goes or the process is ended. */
async function print(source: Source, { intervalMs, view, filter }: TopOptions): Promise<void> {
  const mirror = new FleetMirror();
  const ui = plainUi(view, filter);
  const stop = new AbortController();
  const attention = new AttentionWatch(source.client, mirror);
  const frame = (): void => printLines(plainFrame(stateOf(source, mirror, ui, attention), outputWidth()));
  let timer: NodeJS.Timeout | null = null;
  const late = setTimeout(() => stop.abort(), answerMs);
  try {
    for await (const message of source.client.events({}, { signal: stop.signal })) {
      if (message.type === 'closed' && !mirror.loaded) throw message.error;
      mirror.apply(message, performance.now());
      if (!mirror.loaded || timer !== null) continue;
      clearTimeout(late);
      if (view === 'events') await addRecentEvents(source, mirror, stop.signal);
      await attention.refresh(stop.signal);
      frame();
      if (intervalMs === null) return;
      // By the clock, not by messages: a queen that is gone sends none, and that must be shown.
      timer = setInterval(() => {
        writeText('\n');
        void attention.refresh(stop.signal);
        frame();
      }, intervalMs);
    }
    if (!mirror.loaded) throw noAnswer(source.client, 'snapshot');
  } finally {
    clearTimeout(late);
    if (timer !== null) clearInterval(timer);
    stop.abort();
  }
}

/** `top` on a terminal: draws what changes, obeys keys, and gives the terminal back however the process ends. */
class LiveTop {
  readonly #source: Source;
  readonly #drawEveryMs: number;
  readonly #screen = new Screen(process.stdout);
  readonly #mirror = new FleetMirror();
  readonly #abort = new AbortController();
  readonly #attention: AttentionWatch;
  #ui: Ui;
  /** The rows while the picture is held. */
  #held: Items | null = null;
  readonly #past: PastOfDetail;
  /** The beginning of a sequence of the terminal whose end has not come. */
  #typed = '';
  #timer: NodeJS.Timeout | null = null;
  #lastDrawMs = Number.NEGATIVE_INFINITY;

  constructor(source: Source, { intervalMs, view, filter }: TopOptions) {
    this.#source = source;
    this.#attention = new AttentionWatch(source.client, this.#mirror);
    this.#past = new PastOfDetail(source.client, () => this.#drawSoon());
    this.#drawEveryMs = intervalMs ?? drawEveryMs;
    this.#ui = { ...initialUi, view, filter };
  }

  async run(): Promise<void> {
    const { signal } = this.#abort;
    this.#takeTerminal();
    this.#draw();
    this.#mirror.subscribe(() => this.#drawSoon());
    try {
      for await (const message of this.#source.client.events({}, { signal })) {
        const isFirst = message.type === 'snapshot' && !this.#mirror.loaded;
        this.#mirror.apply(message, performance.now());
        if (isFirst) void addRecentEvents(this.#source, this.#mirror, signal);
        this.#refreshPast();
      }
    } catch (error) {
      if (!(error instanceof HivepulseError)) throw error;
      this.#screen.leave();
      writeNote(explain(error));
      process.exitCode = exitCodeOf(error);
    } finally {
      this.#abort.abort();
      this.#past.close();
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#screen.leave();
      process.stdin.setRawMode(false).pause();
    }
  }

  #takeTerminal(): void {
    const end = (): void => this.#abort.abort();
    const crash = (error: unknown): never => {
      this.#screen.leave();
      writeNote(explain(error));
      process.exit(exitCodes.internal);
    };
    // 'exit' also comes after a crash.
    process.on('exit', () => this.#screen.leave());
    process.on('uncaughtException', crash);
    process.on('unhandledRejection', crash);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end);
    process.on('SIGCONT', () => {
      process.stdin.setRawMode(true);
      this.#screen.enter();
      this.#screen.reportMouse(this.#ui.mouse);
      this.#redraw();
    });
    process.stdout.on('resize', () => this.#redraw());
    process.stdin
      .setEncoding('utf8')
      .setRawMode(true)
      .on('data', (data: string) => this.#press(data))
      .resume();
    this.#screen.enter();
    this.#screen.reportMouse(this.#ui.mouse);
  }

  #state(): TopState {
    this.#held = this.#ui.paused ? (this.#held ?? itemsAt(this.#mirror, performance.now())) : null;
    return {
      ...stateOf(this.#source, this.#mirror, this.#ui, this.#attention, this.#held),
      history: this.#past.history,
      past: this.#past.events,
      colours: !process.env.NO_COLOR,
    };
  }

  #draw(): void {
    this.#lastDrawMs = performance.now();
    if (this.#mirror.loaded) void this.#attention.refresh(this.#abort.signal, () => this.#drawSoon());
    this.#screen.draw(render(this.#state(), this.#screen.size));
    this.#schedule(1000); // Ages and the clock go on when nothing else happens.
  }

  #schedule(inMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#abort.signal.aborted) this.#timer = setTimeout(() => this.#draw(), inMs);
  }

  #drawSoon(): void {
    this.#schedule(Math.max(0, this.#lastDrawMs + this.#drawEveryMs - performance.now()));
  }

  #redraw(): void {
    this.#screen.invalidate();
    this.#schedule(0);
  }

  #press(data: string): void {
    const { keys, rest } = parseInput(this.#typed + data);
    this.#typed = rest;
    for (const key of keys) {
      if (key === 'suspend') this.#suspend();
      else if (key === 'redraw') this.#screen.invalidate();
      else this.#ui = this.#after(key);
    }
    this.#screen.reportMouse(this.#ui.mouse);
    if (this.#ui.quit) this.#abort.abort();
    this.#refreshPast();
    this.#schedule(0);
  }

  #after(key: Key | Mouse): Ui {
    const state = this.#state();
    const { size } = this.#screen;
    const shown = shownOf(state, size);
    if (typeof key === 'string') return press(this.#ui, key, state.items, shown);
    if (key.kind === 'click') return click(this.#ui, targetAt(state, size, key), state.items, shown);
    return scroll(this.#ui, key.kind === 'wheelDown' ? 1 : -1, state.items, shown);
  }

  #suspend(): void {
    this.#screen.leave();
    process.stdin.setRawMode(false);
    process.kill(process.pid, 'SIGSTOP');
  }

  #refreshPast(): void {
    if (this.#mirror.loaded) this.#past.refresh(this.#ui, this.#mirror.lastEventId);
  }
}
