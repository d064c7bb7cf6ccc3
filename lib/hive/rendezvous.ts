import { createHash } from 'node:crypto';

/**
 * Queens in the order in which one hive tries them: another order for each hive, the same at each start. So the hives of a
 * fleet are spread over its queens, those of a queen that is lost go to all the others, and each comes back to its own.
 */
export function rendezvousOrder(queens: readonly string[], hive: string): readonly string[] {
  const rank = (queen: string) => createHash('sha256').update(`${hive}\n${queen}`).digest('hex');
  return queens
    .map((queen) => ({ queen, at: rank(queen) }))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .map(({ queen }) => queen);
}
