/** A queen this busy asks its hives to speak less often; one this idle lets them speak as they like again. Shares of a core. */
const busyAbove = 0.9;
/** Less than half of the other: what is halved may use twice as much. */
const idleBelow = 0.4;
const slowestMs = 10_000;
const firstMs = 2000;

/**
 * The interval to ask of hives, from the one asked so far (0: none) and the share of a core that the queen used since the
 * last look: doubled while it is busy, halved once it is not. Between the two shares it stays, so that it does not swing.
 */
export function nextRequestedInterval(askedMs: number, share: number): number {
  if (share > busyAbove) return askedMs === 0 ? firstMs : Math.min(slowestMs, askedMs * 2);
  if (share < idleBelow) return askedMs <= firstMs ? 0 : askedMs / 2;
  return askedMs;
}
