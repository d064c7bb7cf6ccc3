/** Ids of events are `epoch-sequence`: the epoch names the stream, the sequence rises by one. */
export function splitId(id: string): readonly [epoch: string, sequence: number] {
  const dash = id.lastIndexOf('-');
  const sequence = Number(id.slice(dash + 1));
  return [id.slice(0, Math.max(0, dash)), Number.isSafeInteger(sequence) ? sequence : 0];
}

/** Whether an event is not newer than another one of the same stream. */
export function isUpTo(id: string, newest: string): boolean {
  const [epoch, sequence] = splitId(id);
  const [newestEpoch, newestSequence] = splitId(newest);
  return epoch === newestEpoch && sequence <= newestSequence;
}

/** The id `count` places before `id`. */
export function before(id: string, count: number): string {
  const [epoch, sequence] = splitId(id);
  return `${epoch}-${Math.max(0, sequence - count)}`;
}
