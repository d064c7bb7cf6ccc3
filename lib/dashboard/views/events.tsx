import type { RefObject } from 'preact';
import type { FleetEvent } from '../../contract/api.js';
import { formatClock, formatMoment, isToday, zoneName } from '../../present/moment.js';
import { eventText, plural } from '../../present/sentences.js';
import { eventStyles, styleOf } from '../../present/status.js';
import { eventsSeen, hives, mirror, newestEvents, ordered } from '../data/fleet.js';
import { at, show } from '../data/location.js';
import { eventGroups, matchesEvent } from '../data/query.js';
import { phone, useMedia } from '../parts/hooks.js';
import { StatusLabel } from '../parts/status-chip.js';
import { Choices, Pick, Toolbar } from '../parts/toolbar.js';
import { evenOffsets, offsetsOf, Virtual } from '../parts/virtual.js';

export function EventsView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  eventsSeen.value;
  ordered.value;
  const isPhone = useMedia(phone);
  const filter = { text: at.q.value, kind: at.kind.value, hive: at.hive.value };
  const found = newestEvents((event) => matchesEvent(event, filter));
  return (
    <section aria-label="Events">
      <Toolbar label="Filter events" placeholder="Filter by hive, worker or kind" count={plural(found.length, 'event')}>
        <Choices
          label="Kind"
          param="kind"
          options={Object.entries(eventGroups).map(([group, { label }]) => [group, label])}
        />
        <Pick label="Hive" param="hive" options={[...hives.keys()]} />
        <small class="zone">Times in {zoneName(Date.now())}</small>
      </Toolbar>
      {mirror.lostEvents > 0 && (
        <p class="note" role="status">
          This page could not keep up with the stream: {plural(mirror.lostEvents, 'event was', 'events were')} left out.
        </p>
      )}
      {found.length === 0 ? (
        <p class="nothing">{mirror.events.length === 0 ? 'No events yet.' : 'No event matches the filter.'}</p>
      ) : (
        <div class={eventListClass(found)} role="list">
          <Virtual
            offsets={isPhone ? phoneOffsets(found, scroller.current?.clientWidth ?? 0) : evenOffsets(found.length, 34)}
            scroller={scroller}
            row={(index, style, slot) => <EventRow key={slot} event={found[index]!} style={style} />}
          />
        </div>
      )}
    </section>
  );
}

/** On a phone the text of an event has a line of its own, and a second one where it is long. */
const phoneOffsets = (events: readonly FleetEvent[], width: number) =>
  offsetsOf(events.map((event) => (eventText(event).length * letterWidth > width - 46 ? 76 : 58)));
/** At most, on average, px. */
const letterWidth = 7.2;

/** Times of another day have it before them. The oldest is last. */
export const eventListClass = (events: readonly FleetEvent[]): string =>
  isToday(events.at(-1)?.at ?? Date.now()) ? 'event-list' : 'event-list with-days';

interface EventRowProps {
  readonly event: FleetEvent;
  /** Without the hive, where it is plain whose event it is. */
  readonly brief?: boolean;
  readonly style?: { readonly transform: string; readonly height: string };
}

export function EventRow({ event, brief = false, style }: EventRowProps) {
  const target = event.workerId
    ? `worker:${event.hive}/${event.workerId}`
    : event.gpuUuid
      ? `gpu:${event.hive}/${event.gpuUuid}`
      : `hive:${event.hive}`;
  const Tag = brief ? 'li' : 'div';
  return (
    <Tag class={`event-row${brief ? ' brief' : ''}`} {...(brief ? {} : { role: 'listitem', style })}>
      <time dateTime={event.at} title={formatMoment(event.at)}>
        {formatClock(event.at)}
      </time>
      <StatusLabel status={styleOf(eventStyles, event.kind)} plain />
      {!brief && (
        <button type="button" class="link" onClick={() => show(`hive:${event.hive}`)}>
          {event.hive === '*' ? 'all hosts' : event.hive}
        </button>
      )}
      <span class="text">
        {brief ? (
          eventText(event)
        ) : (
          <button type="button" class="plain-link" onClick={() => show(target)}>
            {eventText(event)}
          </button>
        )}
      </span>
    </Tag>
  );
}
