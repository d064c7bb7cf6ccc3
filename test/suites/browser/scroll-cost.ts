/** What scrolling costs: time between frames that are shown, and the CPU time that each takes, by the trace of the browser. */
import type { Browser, Page } from 'playwright-core';

/** Parts of what the page's main thread does. */
export const parts = ['script', 'style', 'layout', 'paint', 'other'] as const;
export type Part = (typeof parts)[number];

export interface ScrollCost {
  /** Time from one frame to the next: what somebody sees on this machine, with all else that runs on it. */
  readonly shown: {
    readonly frames: number;
    readonly medianMs: number;
    readonly p95Ms: number;
    readonly longestMs: number;
  };
  /** CPU time of the page's main thread for each frame at 60 Hz, which no faster graphics would save. */
  readonly main: {
    readonly medianMs: number;
    readonly p95Ms: number;
    readonly longestTaskMs: number;
    readonly percentOfCore: number;
    /** Of a frame, in the mean. */
    readonly meanMs: Readonly<Record<Part, number>>;
  };
  /** CPU time of all threads that turn what is painted to pixels, of a frame in the mean: nearly nothing with a GPU. */
  readonly rasterMeanMs: number;
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds, by the clock and of the CPU. */
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** Scrolls for `forMs`, a step each frame, under a trace. */
export async function scroll(browser: Browser, page: Page, forMs: number): Promise<ScrollCost> {
  await browser.startTracing(page, {
    categories: ['toplevel', 'devtools.timeline', 'cc', '__metadata'],
  });
  const times = await page.evaluate(async (duration) => {
    const main = document.querySelector('main')!;
    const stamps: number[] = [];
    const started = performance.now();
    await new Promise<void>((resolve) => {
      requestAnimationFrame(function step(now) {
        stamps.push(now);
        main.scrollTop = (main.scrollTop + 90) % Math.max(1, main.scrollHeight - main.clientHeight);
        if (now - started < duration) requestAnimationFrame(step);
        else resolve();
      });
    });
    return stamps.slice(1).map((stamp, index) => stamp - stamps[index]!);
  }, forMs);
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  return costOf(trace.traceEvents, times);
}

const tenth = (value: number) => Math.round(value * 10) / 10;
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const shareOf = (values: readonly number[], share: number) =>
  tenth([...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0);

/** @internal */
export function costOf(events: readonly TraceEvent[], shownMs: readonly number[]): ScrollCost {
  const main = mainThread(events);
  const tasks = main.filter(isTask);
  const starts = main.filter(({ name }) => name === 'FireAnimationFrame').map(({ ts }) => ts);
  const ofFrames = frameTimes(tasks, frameStarts(starts)).slice(1);
  const frames = Math.max(1, shownMs.length);
  const own = ownTimes(main);
  return {
    shown: {
      frames: shownMs.length,
      medianMs: shareOf(shownMs, 0.5),
      p95Ms: shareOf(shownMs, 0.95),
      longestMs: tenth(Math.max(...shownMs)),
    },
    main: {
      medianMs: shareOf(ofFrames, 0.5),
      p95Ms: shareOf(ofFrames, 0.95),
      longestTaskMs: tenth(Math.max(...tasks.map(cpuMs))),
      percentOfCore: tenth((sum(tasks.map(cpuMs)) / sum(shownMs)) * 100),
      meanMs: Object.fromEntries(parts.map((part) => [part, tenth(own[part] / frames)])) as Record<Part, number>,
    },
    rasterMeanMs: tenth(sum(events.filter(({ name, ph }) => name === 'RasterTask' && ph === 'X').map(cpuMs)) / frames),
  };
}

const cpuMs = ({ tdur = 0 }: TraceEvent) => tdur / 1000;
const isTask = ({ name, ph }: TraceEvent) => ph === 'X' && name === 'RunTask';

/** What the busiest main thread of all pages did, outermost first. */
function mainThread(events: readonly TraceEvent[]): TraceEvent[] {
  const mains = events
    .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
    .map(({ pid, tid }) => events.filter((event) => event.pid === pid && event.tid === tid && event.ph === 'X'));
  const busy = (thread: readonly TraceEvent[]) => sum(thread.filter(isTask).map(cpuMs));
  const busiest = mains.sort((a, b) => busy(b) - busy(a))[0];
  if (!busiest?.some(isTask)) throw new Error('the trace holds no task of the page');
  return busiest.sort((a, b) => a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0));
}

/** Callbacks of one frame come one after the other; between frames there is more time. */
const frameStarts = (starts: readonly number[]): number[] =>
  starts.filter((start, index) => index === 0 || start - starts[index - 1]! > 4000);

const frameMs = 1000 / 60;

/**
 * CPU time of each frame, ms: of the task that makes it, and of those between it and the next. Of these only what falls on
 * a sixtieth of a second, since a frame that other programs hold up has more of them.
 */
function frameTimes(tasks: readonly TraceEvent[], starts: readonly number[]): number[] {
  const times: number[] = [];
  let next = 0;
  for (let frame = 0; frame + 1 < starts.length; frame++) {
    const [start, end] = [starts[frame]!, starts[frame + 1]!];
    const share = Math.min(1, frameMs / ((end - start) / 1000));
    let time = 0;
    for (; next < tasks.length && tasks[next]!.ts + (tasks[next]!.dur ?? 0) <= end; next++) {
      const task = tasks[next]!;
      const makesFrame = task.ts <= start && start < task.ts + (task.dur ?? 0);
      time += cpuMs(task) * (makesFrame ? 1 : share);
    }
    times.push(time);
  }
  return times;
}

const partOf: Readonly<Record<string, Part>> = {
  FunctionCall: 'script',
  EventDispatch: 'script',
  FireAnimationFrame: 'script',
  TimerFire: 'script',
  RunMicrotasks: 'script',
  'v8.callFunction': 'script',
  MajorGC: 'script',
  MinorGC: 'script',
  'V8.GC_SCAVENGER': 'script',
  UpdateLayoutTree: 'style',
  Layout: 'layout',
  PrePaint: 'paint',
  Paint: 'paint',
  Layerize: 'paint',
  Commit: 'paint',
};

/** CPU time of each part without what is within it. */
function ownTimes(thread: readonly TraceEvent[]): Record<Part, number> {
  const own: Record<Part, number> = { script: 0, style: 0, layout: 0, paint: 0, other: 0 };
  const open: { readonly part: Part; readonly endsAt: number }[] = [];
  for (const event of thread) {
    while (open.length > 0 && open.at(-1)!.endsAt <= event.ts) open.pop();
    const around = open.at(-1)?.part;
    const part = partOf[event.name] ?? around ?? (isTask(event) ? 'other' : undefined);
    if (part === undefined) continue;
    own[part] += cpuMs(event);
    if (around !== undefined) own[around] -= cpuMs(event);
    open.push({ part, endsAt: event.ts + (event.dur ?? 0) });
  }
  return own;
}
