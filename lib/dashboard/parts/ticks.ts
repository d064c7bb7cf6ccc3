/** Round numbers and times for the axes of charts. Pure. */

const heads = [1, 2, 4, 6, 8, 10] as const;

/** The least round number from `most` on, whose half is round too; from a million on in the units of bytes. */
export function roundTop(most: number): number {
  if (!(most > 0)) return 1;
  const unit = most >= 2 ** 20 ? 1024 ** Math.floor(Math.log2(most) / 10) : 1;
  const scaled = most / unit;
  const power = 10 ** Math.floor(Math.log10(scaled));
  // 7.000000001 of a sum of floats is 7.
  const head = heads.find((each) => each * power >= scaled * (1 - 1e-9)) ?? 10;
  return head * power * unit;
}

const minute = 60_000;
const stepsMs = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * minute);

/** Round times of day between two times, about four of them. `zoneMs`: what the local time is ahead of UTC. */
export function timeTicks(fromMs: number, toMs: number, zoneMs: number): number[] {
  const step = stepsMs.find((each) => (toMs - fromMs) / each <= 5) ?? 1440 * minute;
  const ticks: number[] = [];
  for (let at = Math.ceil((fromMs + zoneMs) / step) * step - zoneMs; at <= toMs; at += step) ticks.push(at);
  return ticks;
}
