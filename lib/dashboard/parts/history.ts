import { useEffect, useRef, useState } from 'preact/hooks';
import type { FleetEvent, History } from '../../contract/api.js';
import { windowSeconds } from '../data/chart-window.js';
import { client } from '../data/client.js';
import { type Hive, quietAfterMs } from '../data/fleet.js';
import { LiveSamples, type Point } from '../data/live-samples.js';

export interface Series {
  /** Seconds before now, rising to 0. */
  readonly ages: readonly number[];
  /** null: not known. */
  readonly values: readonly (number | null)[];
  /** Age of the last heartbeat where heartbeats are missing, so that its values are old; else null. */
  readonly silentMs: number | null;
  /** Ages of events that happened to it, as those of `ages`. */
  readonly marks: readonly number[];
}

const refreshMs = 30_000;

/**
 * The last hour or day of a hive, worker or GPU: the queen's history, continued from the stream. `sample` gives the values of the
 * newest heartbeat of `hive`. Silence is a gap: the last value is not repeated. `of` null: of nothing.
 */
export function useHistory(
  of: Parameters<typeof client.history>[0] | null,
  hive: Hive | undefined,
  sample: () => Readonly<Record<string, number | null>>,
  events: readonly FleetEvent[] = [],
): (name: string, from?: (value: number | null) => number | null) => Series {
  const [past, setPast] = useState<{ readonly history: History; readonly at: number } | null>(null);
  const live = useRef(new LiveSamples());
  const seconds = windowSeconds();
  const span = seconds > 3600 ? 'day' : 'hour';

  useEffect(() => {
    let gone = false;
    let timer = 0;
    live.current.forget();
    setPast(null);
    if (of === null) return;
    const load = async () => {
      clearTimeout(timer);
      try {
        const history = await client.history(of, { span });
        if (gone) return;
        const at = performance.now();
        // Samples that the history now holds would be drawn twice.
        live.current.forget(at - history.newestAgeMs);
        setPast({ history, at });
      } catch {
        // It comes with the next try; the stream's own samples are drawn meanwhile.
      }
      clearTimeout(timer);
      if (!gone) timer = window.setTimeout(load, refreshMs);
    };
    // A hidden tab takes no samples: the queen has them.
    const onVisible = () => {
      if (document.visibilityState === 'visible') void load();
    };
    document.addEventListener('visibilitychange', onVisible);
    void load();
    return () => {
      gone = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [JSON.stringify(of), span]);

  useEffect(() => {
    if (hive) live.current.take(hive.heardAtMs, sample());
  }, [hive?.heardAtMs]);

  return (name, from = (value) => value): Series => {
    const now = performance.now();
    const quietMs = hive ? quietAfterMs(hive) : 0;
    const points: Point[] = [];
    const fresh = live.current.points(name, quietMs);
    if (past) {
      const { stepMs, newestAgeMs, series } = past.history;
      const newest = past.at - newestAgeMs;
      const values = series[name] ?? [];
      for (const [index, value] of values.entries()) {
        points.push({ at: newest - (values.length - 1 - index) * stepMs, value });
      }
      while (fresh[0] && fresh[0].at <= newest) fresh.shift();
      const end = newest + stepMs;
      if (fresh[0] && fresh[0].at - end > quietMs) points.push({ at: end, value: null });
    }
    points.push(...fresh);
    const silent = hive ? now - hive.heardAtMs : Number.POSITIVE_INFINITY;
    const silentMs = silent > quietMs ? silent : null;
    if (silentMs !== null) points.push({ at: now, value: null });
    const shown = points.filter(({ at }) => now - at <= seconds * 1000);
    return {
      ages: shown.map(({ at }) => (at - now) / 1000),
      values: shown.map(({ value }) => (value === null ? null : from(value))),
      silentMs,
      marks: events.map((event) => (Date.parse(event.at) - Date.now()) / 1000),
    };
  };
}
