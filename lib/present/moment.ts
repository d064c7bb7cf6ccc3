/** Absolute times as people read them, in the zone of their machine. */
type Moment = string | number | Date;

/** `30 Nov 2026, 19:21:59 UTC` */
export const formatMoment = (at: Moment): string =>
  new Date(at).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

export const isToday = (at: Moment, now: Moment = Date.now()): boolean =>
  new Date(at).toDateString() === new Date(now).toDateString();

/** `19:21:59` of today, `29 Nov 19:21:59` of another day: for lists that have the whole moment behind it. */
export function formatClock(at: Moment, now: Moment = Date.now()): string {
  const moment = new Date(at);
  const clock = moment.toLocaleTimeString('en-GB');
  if (isToday(moment, now)) return clock;
  return `${moment.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock}`;
}

/** `UTC`, `GMT+2` */
export const zoneName = (at: Moment): string =>
  new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' })
    .formatToParts(new Date(at))
    .find(({ type }) => type === 'timeZoneName')?.value ?? '';
