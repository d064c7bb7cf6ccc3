import type { RefObject } from 'preact';
import type { FleetEvent } from '../../contract/api.js';
import { eventText, plural } from '../../present/sentences.js';
import { eventStyles, styleOf } from '../../present/status.js';
import { events, eventsSeen, hives, lostEvents, ordered } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { eventGroups, matchesEvent } from '../data/query.js';
import { phone, useMedia } from '../parts/hooks.js';
import { StatusChip } from '../parts/status-chip.js';
import { evenOffsets, Virtual } from '../parts/virtual.js';

const groupWords: Readonly<Record<string, string>> = {
  trouble: 'Trouble',
  workers: 'Workers',
  hives: 'Hives',
  gpus: 'GPUs',
  states: 'State changes',
};

export function EventsView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  eventsSeen.value;
  ordered.value;
  const isPhone = useMedia(phone);
  const filter = { text: at.q.value, kind: at.kind.value, hive: at.hive.value };
  const found = events.filter((event) => matchesEvent(event, filter));
  return (
    <section aria-label="Events">
      <div class="toolbar">
        <input
          type="search"
          class="filter"
          placeholder="Filter by hive, worker or kind   /"
          aria-label="Filter events"
          value={at.q.value}
          onInput={(event) => go({ q: event.currentTarget.value })}
        />
        <div class="choices" role="group" aria-label="Kind">
          {Object.keys(eventGroups).map((group) => (
            <button
              key={group}
              type="button"
              aria-pressed={at.kind.value === group}
              onClick={() => go({ kind: at.kind.value === group ? '' : group })}
            >
              {groupWords[group]}
            </button>
          ))}
        </div>
        <label class="pick">
          <span class="sr-only">Hive</span>
          <select
            value={at.hive.value}
            class={at.hive.value ? 'set' : ''}
            onChange={(event) => go({ hive: event.currentTarget.value })}
          >
            <option value="">Hive: all</option>
            {[...hives.keys()].sort().map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        </label>
        <output class="count">{plural(found.length, 'event')}</output>
      </div>
      {lostEvents.value > 0 && (
        <p class="note" role="status">
          This page read too slowly for the stream: {plural(lostEvents.value, 'event was', 'events were')} left out.
        </p>
      )}
      {found.length === 0 ? (
        <p class="nothing">{events.length === 0 ? 'Nothing has happened yet.' : 'No event matches the filter.'}</p>
      ) : (
        <div class="event-list" role="list">
          <Virtual
            offsets={evenOffsets(found.length, isPhone ? 58 : 34)}
            scroller={scroller}
            row={(index, style, slot) => <EventRow key={slot} event={found[index]!} style={style} />}
          />
        </div>
      )}
    </section>
  );
}

interface EventRowProps {
  readonly event: FleetEvent;
  /** Without the hive, where it is plain whose event it is. */
  readonly brief?: boolean;
  readonly style?: { readonly transform: string; readonly height: string };
}

export function EventRow({ event, brief = false, style }: EventRowProps) {
  const at = new Date(event.at);
  const target = event.workerId
    ? `worker:${event.hive}/${event.workerId}`
    : event.gpuUuid
      ? `gpu:${event.hive}/${event.gpuUuid}`
      : `hive:${event.hive}`;
  const Tag = brief ? 'li' : 'div';
  return (
    <Tag class={`event-row${brief ? ' brief' : ''}`} {...(brief ? {} : { role: 'listitem', style })}>
      <time dateTime={event.at} title={at.toLocaleString()}>
        {at.toLocaleTimeString('en-GB')}
      </time>
      <StatusChip status={styleOf(eventStyles, event.kind)} plain />
      {!brief && (
        <button type="button" class="link" onClick={() => show(`hive:${event.hive}`)}>
          {event.hive}
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
