import type { HivepulseClient, StreamMessage } from '../../client/client.js';
import type { History } from '../../contract/api.js';
import { before, isUpTo, splitId } from '../../contract/event-ids.js';
import { HivepulseError } from '../../util/errors.js';
import { outputWidth, printLines, wantsColours } from '../client.js';
import { newestEventId } from '../event-ids.js';
import { exitCodeOf, exitCodes, explain } from '../exit.js';
import { parseKeys } from './keys.js';
import { FleetModel } from './model.js';
import { plainFrame, plainUi } from './plain.js';
import { pageSize, render, type TopState } from './render.js';
import { Screen } from './screen.js';
import { type Items, initialUi, press, type Ui, type View } from './ui.js';

export interface TopOptions {
  readonly intervalMs: number | null;
  readonly view: View;
  readonly filter: string;
}

const drawEveryMs = 250;
/** A queen keeps at least as many, so that asking for them is never refused. */
const eventsBefore = 100;
const historyEveryMs = 10_000;

export async function runTop(client: HivepulseClient, urls: readonly string[], options: TopOptions): Promise<void> {
  const terminal = process.stdin.isTTY && process.stdout.isTTY && process.env.TERM !== 'dumb';
  if (terminal) await watch(client, urls, options);
  else await print(client, urls, options);
}

const itemsAt = (model: FleetModel, nowMs: number): Items => ({
  hives: model.hives(nowMs),
  workers: model.workers(),
  gpus: model.gpus(),
  events: model.events,
});

function apply(model: FleetModel, message: StreamMessage, nowMs: number): void {
  switch (message.type) {
    case 'snapshot':
      model.snapshot(message.data, nowMs);
      return;
    case 'heartbeat':
      model.heartbeat(message.data, nowMs);
      return;
    case 'event':
    case 'queenEvent':
      model.event(message.data);
      return;
    case 'closed':
      model.lost(explain(message.error), nowMs);
      return;
    default:
  }
}

/** Tables for a pipe: once, or each interval until the reader goes or the process is ended. */
async function print(client: HivepulseClient, urls: readonly string[], options: TopOptions): Promise<void> {
  const { intervalMs, view, filter } = options;
  const model = new FleetModel();
  const ui = plainUi(view, filter);
  const stop = new AbortController();
  const newest = view === 'events' ? await newestEventId(client, stop.signal) : null;
  const from = newest === null ? {} : { lastEventId: before(newest, eventsBefore) };
  // Events that have been are replayed behind the snapshot, and the newest of them is the last.
  let recalled = newest === null || splitId(newest)[1] === 0;
  let timer: NodeJS.Timeout | null = null;
  const frame = (): void => {
    const nowMs = performance.now();
    const state: TopState = {
      ui,
      items: itemsAt(model, nowMs),
      source: sourceOf(client, urls),
      connection: model.connection,
      warming: model.warming,
      history: null,
      nowMs,
      clock: clock(),
      colours: wantsColours(),
    };
    printLines(plainFrame(state, outputWidth()));
  };
  try {
    for await (const message of client.events({}, { ...from, signal: stop.signal })) {
      if (message.type === 'closed' && model.connection.kind === 'connecting') throw message.error;
      apply(model, message, performance.now());
      if (message.type === 'reset') recalled = true;
      if (newest !== null && (message.type === 'event' || message.type === 'queenEvent'))
        recalled ||= isUpTo(newest, message.id);
      if (model.connection.kind === 'connecting' || !recalled || timer !== null) continue;
      frame();
      if (intervalMs === null) return;
      // By the clock, not by messages: a queen that is gone sends none, and that is what is to be told.
      timer = setInterval(() => {
        process.stdout.write('\n');
        frame();
      }, intervalMs);
    }
  } finally {
    if (timer !== null) clearInterval(timer);
    stop.abort();
  }
}

const sourceOf = (client: HivepulseClient, urls: readonly string[]): string =>
  urls.length > 1 ? client.url : (urls[0] ?? '');
const clock = (): string => new Date().toTimeString().slice(0, 8);

async function watch(client: HivepulseClient, urls: readonly string[], options: TopOptions): Promise<void> {
  const screen = new Screen(process.stdout);
  const model = new FleetModel();
  const abort = new AbortController();
  let ui: Ui = { ...initialUi, view: options.view, filter: options.filter };
  let held: Items | null = null;
  let history: { key: string; value: History | null; atMs: number } | null = null;
  let timer: NodeJS.Timeout | null = null;
  let lastDrawMs = Number.NEGATIVE_INFINITY;

  const state = (): TopState => {
    const nowMs = performance.now();
    if (!ui.paused) held = null;
    else held ??= itemsAt(model, nowMs);
    return {
      ui,
      items: held ?? itemsAt(model, nowMs),
      source: sourceOf(client, urls),
      connection: model.connection,
      warming: model.warming,
      history: history?.key === ui.detail?.key ? (history?.value ?? null) : null,
      nowMs,
      clock: clock(),
      colours: !process.env.NO_COLOR,
    };
  };
  const draw = (): void => {
    timer = null;
    lastDrawMs = performance.now();
    screen.draw(render(state(), screen.size));
    schedule(1000); // ages and the clock go on when nothing else happens
  };
  const schedule = (inMs: number): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(draw, inMs);
  };
  const soon = (): void => schedule(Math.max(0, lastDrawMs + (options.intervalMs ?? drawEveryMs) - performance.now()));

  const refreshHistory = (): void => {
    if (ui.detail?.kind !== 'worker') return;
    const { key } = ui.detail;
    if (history?.key === key && performance.now() - history.atMs < historyEveryMs) return;
    history = { key, value: history?.key === key ? history.value : null, atMs: performance.now() };
    // A history that can't be had (a worker just gone, a queen just lost) leaves the detail without its curves.
    client.history({ worker: key }, { signal: abort.signal }).then(
      (value) => {
        if (history?.key === key) history = { key, value, atMs: performance.now() };
        soon();
      },
      () => undefined,
    );
  };

  const onKeys = (data: string): void => {
    for (const key of parseKeys(data)) {
      if (key === 'suspend') suspend();
      else if (key === 'redraw') screen.invalidate();
      else {
        const current = state();
        ui = press(ui, key, current.items, pageSize(current, screen.size));
      }
    }
    if (ui.quit) abort.abort();
    refreshHistory();
    schedule(0);
  };
  const onResize = (): void => {
    screen.invalidate();
    schedule(0);
  };
  const suspend = (): void => {
    screen.leave();
    process.stdin.setRawMode(false);
    process.kill(process.pid, 'SIGSTOP');
  };
  const onContinue = (): void => {
    process.stdin.setRawMode(true);
    screen.enter();
    onResize();
  };
  // Whatever ends the process, the terminal is given back; 'exit' also comes after a crash.
  const restore = (): void => screen.leave();
  const onSignal = (): void => abort.abort();
  const crash = (error: unknown): never => {
    restore();
    process.stderr.write(`hivepulse: ${explain(error)}\n`);
    process.exit(exitCodes.internal);
  };
  process.on('exit', restore);
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal);
  process.on('SIGCONT', onContinue);
  process.stdout.on('resize', onResize);
  process.stdin.setEncoding('utf8').setRawMode(true).on('data', onKeys).resume();

  screen.enter();
  draw();
  try {
    // The newest events of the time before, so that the pane does not begin empty. Without them it does.
    const newest = await newestEventId(client, abort.signal).catch(() => null);
    const from = newest === null ? {} : { lastEventId: before(newest, eventsBefore) };
    for await (const message of client.events({}, { ...from, signal: abort.signal })) {
      apply(model, message, performance.now());
      refreshHistory();
      soon();
    }
  } catch (error) {
    if (!(error instanceof HivepulseError)) throw error;
    restore();
    process.stderr.write(`hivepulse: ${explain(error)}\n`);
    process.exitCode = exitCodeOf(error);
  } finally {
    abort.abort();
    if (timer !== null) clearTimeout(timer);
    restore();
    process.stdin.setRawMode(false).pause();
  }
}
