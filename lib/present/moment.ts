/** Absolute times as people read them, in the zone of their machine. */
type Moment = string | number | Date;

/** A format whose formatters are kept: to make one takes a hundred times as long as to use it. The zone may change meanwhile. */
function kept(options: Intl.DateTimeFormatOptions): (at: Date) => string {
  const byOffset = new Map<number, Intl.DateTimeFormat>();
  return (at) => {
    const offset = at.getTimezoneOffset();
    // Which formatters refuse.
    if (Number.isNaN(offset)) return String(at);
    const format = byOffset.get(offset) ?? new Intl.DateTimeFormat('en-GB', options);
    byOffset.set(offset, format);
    return format.format(at);
  };
}

const momentText = kept({ dateStyle: 'medium', timeStyle: 'long' });
const dayText = kept({ day: 'numeric', month: 'short' });

/** `30 Nov 2026, 19:21:59 UTC` */
export const formatMoment = (at: Moment): string => momentText(new Date(at));

export const isToday = (at: Moment, now: Moment = Date.now()): boolean =>
  new Date(at).toDateString() === new Date(now).toDateString();

/** `19:21:59` of today, `29 Nov 19:21:59` of another day: for lists that have the whole moment behind it. */
export function formatClock(at: Moment, now: Moment = Date.now()): string {
  const moment = new Date(at);
  const clock = moment.toLocaleTimeString('en-GB');
  return isToday(moment, now) ? clock : `${dayText(moment)} ${clock}`;
}

/** `UTC`, `GMT+2` */
export const zoneName = (at: Moment): string =>
  new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' })
    .formatToParts(new Date(at))
    .find(({ type }) => type === 'timeZoneName')?.value ?? '';
