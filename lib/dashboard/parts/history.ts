import { useEffect, useRef, useState } from 'preact/hooks';
import type { History } from '../../contract/api.js';
import { get } from '../data/api.js';
import { type Hive, quietAfterMs } from '../data/fleet.js';
import { LiveSamples, type Point } from '../data/live-samples.js';

export interface Series {
  /** Seconds before now, rising to 0. */
  readonly ages: readonly number[];
  /** null: not known. */
  readonly values: readonly (number | null)[];
  /** Since the last beat, where beats are missing: what the hive said last is then not what is now. Else null. */
  readonly silentMs: number | null;
}

const refreshMs = 30_000;

/**
 * The last hour of one thing: the queen's history, with what the stream has said since then behind it. `path` names the
 * history; `sample` gives what the newest beat of `hive` said. Silence is a gap, not the last value over again.
 */
export function useHistory(
  path: string,
  hive: Hive | undefined,
  sample: () => Readonly<Record<string, number | null>>,
): (name: string, from?: (value: number | null) => number | null) => Series {
  const [past, setPast] = useState<{ readonly history: History; readonly at: number } | null>(null);
  const live = useRef(new LiveSamples());

  useEffect(() => {
    let gone = false;
    let timer = 0;
    live.current.forget();
    setPast(null);
    const load = async () => {
      clearTimeout(timer);
      try {
        const history = await get<History>(path);
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
  }, [path]);

  useEffect(() => {
    if (hive) live.current.take(hive.heardAt, sample());
  }, [hive?.heardAt]);

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
    const silent = hive ? now - hive.heardAt : Number.POSITIVE_INFINITY;
    const silentMs = silent > quietMs ? silent : null;
    if (silentMs !== null) points.push({ at: now, value: null });
    const shown = points.filter(({ at }) => now - at <= 3_600_000);
    return {
      ages: shown.map(({ at }) => (at - now) / 1000),
      values: shown.map(({ value }) => (value === null ? null : from(value))),
      silentMs,
    };
  };
}
