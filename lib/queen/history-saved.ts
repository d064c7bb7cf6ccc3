import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type DayPoints, dayStepMs, daySteps, toHalf } from './history-day.js';
import { seriesPerRing } from './history-sizes.js';

const unknown = toHalf(Number.NaN);

/** `points`: Base64 of the upper halves of Float32, little endian, series after series, each up to the newest whole step of the day. */
export const SavedDay = Type.Object({
  ageMs: Type.Number({ description: 'How long ago its newest step ended.' }),
  points: Type.String({ pattern: '^[A-Za-z0-9+/]*={0,2}$', maxLength: 8000 }),
});
export type SavedDay = Static<typeof SavedDay>;

const SavedRing = Type.Intersect([SavedDay, Type.Object({ key: Type.String({ minLength: 1, maxLength: 512 }) })]);
const valid = Compile(SavedRing);

const littleEndian = (halves: Uint16Array): Buffer => {
  const bytes = Buffer.alloc(halves.length * 2);
  halves.forEach((half, index) => {
    bytes.writeUInt16LE(half, index * 2);
  });
  return bytes;
};

/** From the first step of which anything is known to `last`; null where nothing is. */
export function saveDay(points: DayPoints, last: number, ageMs: number): SavedDay | null {
  const known = (at: number) => {
    for (let series = 0; series < seriesPerRing; series++) if (points.get(series, at) !== unknown) return true;
    return false;
  };
  let first = last - daySteps + 1;
  while (first <= last && !known(first)) first++;
  const length = last - first + 1;
  if (length <= 0) return null;
  const halves = new Uint16Array(length * seriesPerRing);
  for (let series = 0; series < seriesPerRing; series++)
    for (let at = 0; at < length; at++) halves[series * length + at] = points.get(series, first + at);
  return { ageMs, points: littleEndian(halves).toString('base64') };
}

/** Writes what was saved so that its newest step is `last`; what is no such text changes nothing. */
export function restoreDay(points: DayPoints, saved: string, last: number): void {
  const bytes = Buffer.from(saved, 'base64');
  const length = bytes.length / (2 * seriesPerRing);
  if (!Number.isInteger(length) || length > daySteps) return;
  for (let series = 0; series < seriesPerRing; series++)
    for (let at = 0; at < length; at++)
      points.set(series, last - length + 1 + at, bytes.readUInt16LE((series * length + at) * 2));
}

/** Whoever is not heard within an hour has no history of before, ms. */
const keptForMs = 3_600_000;

/** Days of a run before this one, by the key of what they are of. */
export class KeptDays {
  readonly #days = new Map<string, SavedDay & { readonly adoptedAtMs: number }>();
  readonly nowMs: () => number;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** `ageMs`: of the file. What is no day, or is of more than a day ago, is left out. */
  adopt(rings: readonly unknown[], ageMs: number): void {
    for (const ring of rings)
      if (valid.Check(ring) && ring.ageMs + ageMs < daySteps * dayStepMs && ring.ageMs + ageMs >= 0)
        this.#days.set(ring.key, { ageMs: ring.ageMs + ageMs, points: ring.points, adoptedAtMs: this.nowMs() });
  }

  take(key: string): SavedDay | undefined {
    const kept = this.#days.get(key);
    if (kept === undefined) return undefined;
    this.#days.delete(key);
    return this.#aged(kept);
  }

  /** Those that nobody took yet. */
  *left(): Generator<{ readonly key: string } & SavedDay, void> {
    for (const [key, kept] of this.#days)
      if (this.nowMs() - kept.adoptedAtMs > keptForMs) this.#days.delete(key);
      else yield { key, ...this.#aged(kept) };
  }

  #aged({ ageMs, points, adoptedAtMs }: SavedDay & { readonly adoptedAtMs: number }): SavedDay {
    return { ageMs: ageMs + this.nowMs() - adoptedAtMs, points };
  }
}
