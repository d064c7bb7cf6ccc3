/** A process with its parent. */
export interface ChildProcess {
  readonly pid: number;
  readonly parentPid: number;
}

/** From the parent upwards, within `byPid`. A loop, which a reused pid may make, ends it. */
export function* ancestorsOf<P extends ChildProcess>(
  { pid, parentPid }: ChildProcess,
  byPid: ReadonlyMap<number, P>,
): Generator<P> {
  const seen = new Set([pid]);
  let at = byPid.get(parentPid);
  while (at !== undefined && !seen.has(at.pid)) {
    seen.add(at.pid);
    yield at;
    at = byPid.get(at.parentPid);
  }
}
