import { useEffect, useRef, useState } from 'preact/hooks';
import type { History } from '../../contract/api.js';
import { get } from '../data/api.js';

export interface Series {
  /** Seconds before now, rising to 0. */
  readonly ages: readonly number[];
  readonly values: readonly (number | null)[];
}

interface Live {
  readonly at: number;
  readonly values: Readonly<Record<string, number | null>>;
}

const refreshMs = 30_000;
const maxLive = 240;

/**
 * The last hour of one thing: the queen's history, with what the stream has said since then behind it. `path` names the
 * history; `sample` gives the values now, `beat` changes with each of them.
 */
export function useHistory(path: string, sample: () => Readonly<Record<string, number | null>> | null, beat: unknown) {
  const [past, setPast] = useState<{ readonly history: History; readonly at: number } | null>(null);
  const live = useRef<Live[]>([]);

  useEffect(() => {
    let gone = false;
    let timer = 0;
    live.current = [];
    setPast(null);
    const load = async () => {
      try {
        const history = await get<History>(path);
        if (gone) return;
        const at = performance.now();
        // Samples that the history now holds would be drawn twice.
        live.current = live.current.filter((sample) => at - sample.at < history.newestAgeMs);
        setPast({ history, at });
      } catch {
        // It comes with the next try; the stream's own samples are drawn meanwhile.
      }
      if (!gone) timer = window.setTimeout(load, refreshMs);
    };
    void load();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [path]);

  useEffect(() => {
    const values = sample();
    const last = live.current.at(-1);
    if (!values || (last && performance.now() - last.at < 900)) return;
    live.current.push({ at: performance.now(), values });
    if (live.current.length > maxLive) live.current.shift();
  }, [beat]);

  return (name: string, from: (value: number | null) => number | null = (value) => value): Series => {
    const now = performance.now();
    const ages: number[] = [];
    const values: (number | null)[] = [];
    const series = past?.history.series[name];
    if (past && series) {
      const { stepMs, newestAgeMs } = past.history;
      series.forEach((value, index) => {
        const age = -(now - past.at + newestAgeMs + (series.length - 1 - index) * stepMs) / 1000;
        if (age < -3600) return;
        ages.push(age);
        values.push(value === null ? null : from(value));
      });
    }
    const last = ages.at(-1) ?? Number.NEGATIVE_INFINITY;
    for (const sample of live.current) {
      const age = (sample.at - now) / 1000;
      if (age <= last) continue;
      ages.push(age);
      values.push(from(sample.values[name] ?? null));
    }
    return { ages, values };
  };
}
