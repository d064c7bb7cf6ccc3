/** A queen this busy asks its hives to speak less often; one this idle lets them speak as they like again. Shares of a core. */
const busyAbove = 0.9;
/** Less than half of the other: what is halved may use twice as much. */
const idleBelow = 0.4;
/** What heartbeats have to take for fewer of them to help, and below which they are no burden. As above, of a core. */
const heartbeats = { matterAbove: 0.25, lightBelow: 0.1 };
const slowestMs = 10_000;
const firstMs = 2000;

/** Shares of a core since the last look. */
export interface Load {
  /** All that the queen used. */
  readonly all: number;
  /** What it took to read and merge heartbeats. */
  readonly heartbeats: number;
}

/**
 * The interval to ask of hives, from the one asked so far (0: none) and the load of the queen: doubled while it is busy and
 * heartbeats are a part of why, halved once it is not. In between it stays, so that it does not swing. Where others keep the
 * queen busy, with queries or what is refused, hives go on as they were: to slow them down would not help, and serve who attacks.
 */
export function nextRequestedInterval(askedMs: number, load: Load): number {
  if (load.all > busyAbove && load.heartbeats > heartbeats.matterAbove)
    return askedMs === 0 ? firstMs : Math.min(slowestMs, askedMs * 2);
  if (load.all < idleBelow || load.heartbeats < heartbeats.lightBelow) return askedMs <= firstMs ? 0 : askedMs / 2;
  return askedMs;
}
