import { createHash } from 'node:crypto';

/** Everything of this version lives below it; a server's permissions can be written against these names. */
const root = 'hivepulse.v1';

export const eventStream = 'HIVEPULSE_EVENTS';
export const reservationBucket = 'HIVEPULSE_RESERVATIONS';
export const leaseBucket = 'HIVEPULSE_LEASE';
export const leaseKey = 'conclusions';

/** A hive's id as one token of a subject: of what an id may hold, only the dot would end the token. */
export const tokenOf = (hive: string): string => hive.replaceAll('.', '%2E');
export const hiveOfToken = (token: string): string => token.replaceAll('%2E', '.');

/** Where answers go: permissions can let each user read its own alone. */
export const queenInbox = '_INBOX.queen';
export const hiveInbox = (hive: string): string => `_INBOX.hive.${tokenOf(hive)}`;

export const heartbeatSubject = (hive: string): string => `${root}.heartbeat.${tokenOf(hive)}`;
export const hiveEventSubject = (hive: string): string => `${root}.event.${tokenOf(hive)}`;
export const queenEventSubject = (hive: string): string => `${root}.liveness.${tokenOf(hive)}`;
export const actSubject = (hive: string): string => `${root}.act.${tokenOf(hive)}`;
export const removalSubject = (hive: string): string => `${root}.remove.${tokenOf(hive)}`;

/** What changed since the whole heartbeat of a stream, as its hive sent it. */
export const deltaSubject = (hive: string, stream: string): string => `${root}.delta.${tokenOf(hive)}.${stream}`;
/** A queen asks whoever has the stream of a hive for a whole heartbeat. */
export const keyframeSubject = (hive: string): string => `${root}.keyframe.${tokenOf(hive)}`;

export const allHeartbeats = `${root}.heartbeat.*`;
export const allHiveEvents = `${root}.event.*`;
export const allQueenEvents = `${root}.liveness.*`;
export const allDeltas = `${root}.delta.*.*`;
export const allKeyframeWishes = `${root}.keyframe.*`;
export const allActs = `${root}.act.*`;
export const allRemovals = `${root}.remove.*`;

export const isHiveEvent = (subject: string): boolean => subject.startsWith(`${root}.event.`);
/** Hive and stream of a delta. */
export function deltaOf(subject: string): { readonly hive: string; readonly stream: string } {
  const [hive = '', stream = ''] = subject.slice(`${root}.delta.`.length).split('.');
  return { hive: hiveOfToken(hive), stream };
}

export const lastToken = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** The key of a hive's reservations. Keys allow fewer characters than ids do. */
export const hiveKey = (hive: string): string => `hive.${Buffer.from(hive).toString('base64url')}`;
/** The key under which an idempotency key is claimed. */
export const claimKey = (key: string): string => `claim.${createHash('sha256').update(key).digest('base64url')}`;

/** A hive of a key, or null where the key is not one of a hive. */
export function hiveOfKey(key: string): string | null {
  return key.startsWith('hive.') ? Buffer.from(key.slice('hive.'.length), 'base64url').toString('utf8') : null;
}

/** A stream that was made anew numbers from 1 again; the two differ in their time of creation. */
export const epochOf = (created: string): string => createHash('sha256').update(created).digest('hex').slice(0, 8);
