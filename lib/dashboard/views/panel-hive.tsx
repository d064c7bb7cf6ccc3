import type { FleetEvent, HiveView } from '../../contract/api.js';
import { hostFields } from '../../contract/fields/host.js';
import { containerText, throttledText } from '../../present/container.js';
import { cpusOf, usedMemoryOf } from '../../present/host-figures.js';
import { gpuReadersText, hiveGpusText } from '../../present/knowledge.js';
import { formatMoment } from '../../present/moment.js';
import { plural } from '../../present/sentences.js';
import { gpuStyle, hiveStateStyles, livenessStyles, styleOf } from '../../present/status.js';
import { formatAge, formatCores, formatCount, formatGib, formatGibOf, unknownText } from '../../present/units.js';
import { ageOf, drawn, eventsSeen, type Hive, newestEvents, workersOf } from '../data/fleet.js';
import { go } from '../data/location.js';
import { Chart } from '../parts/chart.js';
import { ChartWindow } from '../parts/chart-window.js';
import { useHistory } from '../parts/history.js';
import { StatusChip } from '../parts/status-chip.js';
import { CordonChip, CordonSection } from './cordon.js';
import { EventRow, eventListClass } from './events.js';
import { AbsenceNote, Faults, fieldRows, Labels, LinkTo, RowList } from './panel-parts.js';

const readers = { native: 'native', files: 'TypeScript', none: 'none' } as const;

function useHiveSeries(hive: Hive, workers: number, own: readonly FleetEvent[]) {
  const { id, host } = hive.view;
  const { cpuPercent, memoryAvailableBytes, load1 } = host;
  return useHistory({ hive: id }, hive, () => ({ cpuPercent, memoryAvailableBytes, load1, workers }), own);
}

export function HivePanel({ hive }: { readonly hive: Hive }) {
  eventsSeen.value;
  drawn.value;
  const { view } = hive;
  const { host, collection, liveness } = view;
  const workers = workersOf(view.id);
  const own = newestEvents((event) => event.hive === view.id, 20);
  const series = useHiveSeries(hive, workers.length, own);
  const total = host.memoryTotalBytes;
  const used = usedMemoryOf(host);
  return (
    <div class="panel-body">
      <header>
        <h2>{view.id}</h2>
        <p class="sub">
          <StatusChip status={livenessStyles[liveness]} />
          {liveness === 'offline' ? (
            <span>last known: {styleOf(hiveStateStyles, view.state).word}</span>
          ) : (
            <StatusChip status={styleOf(hiveStateStyles, view.state)} plain />
          )}
          <CordonChip view={view} />
          <span>heard {formatAge(ageOf(hive))} ago</span>
        </p>
        <Inside host={host} />
      </header>
      {liveness !== 'online' && <p class="note old">{livenessStyles[liveness].hint} These values are old.</p>}
      <Faults faults={view.faults} />
      <ChartWindow />
      <div class="charts">
        <Chart
          title="CPU, cores"
          now={`${formatCores(host.cpuPercent)} of ${formatCount(cpusOf(host))}`}
          {...series('cpuPercent')}
          format={formatCores}
          top={cpusOf(host) * 100}
          limit={host.container?.cpus == null ? null : host.container.cpus * 100}
        />
        <Chart
          title="Memory in use"
          now={formatGibOf(used, total)}
          {...series('memoryAvailableBytes', (value) => (value === null || total === null ? null : total - value))}
          format={formatGib}
          {...(total === null ? {} : { top: total })}
        />
        <Chart
          title="Load"
          now={host.load1 === null ? unknownText : host.load1.toFixed(1)}
          {...series('load1')}
          format={(v) => (v === null ? unknownText : v.toFixed(1))}
          tone="waiting"
        />
        <Chart
          title="Workers"
          now={String(workers.length)}
          {...series('workers')}
          format={(v) => (v === null ? unknownText : v.toFixed(0))}
          top={4}
          tone="good"
        />
      </div>
      <p>
        <button
          type="button"
          class="button"
          onClick={() => go({ view: 'workers', hive: view.id, q: '', show: '' }, 'step')}
        >
          Show its {plural(workers.length, 'worker')}
        </button>
      </p>
      <Gpus view={view} />
      <CordonSection view={view} />
      <h3>Pressure</h3>
      <RowList rows={fieldRows(hostFields, 'pressure', host)} />
      <h3>Host</h3>
      <HostRows view={view} />
      <h3>Collection</h3>
      <RowList
        rows={[
          [
            'cgroup reader',
            `${readers[collection.cgroupReader] ?? collection.cgroupReader}${because(collection.cgroupReaderReason)}`,
          ],
          ['GPU reader', `${gpuReadersText(collection)}${because(collection.gpuReaderReason)}`],
          ['Last pass took', collection.durationMs === null ? unknownText : `${collection.durationMs.toFixed(1)} ms`],
          ['GPU values are', collection.gpuAgeMs === null ? unknownText : `${formatAge(collection.gpuAgeMs)} old`],
        ]}
      />
      <h3>Events</h3>
      {own.length === 0 ? (
        <p class="nothing small">No recent events.</p>
      ) : (
        <ul class={eventListClass(own)}>
          {own.map((event) => (
            <EventRow key={event.id} event={event} brief />
          ))}
        </ul>
      )}
    </div>
  );
}

const HostRows = ({ view }: { readonly view: HiveView }) => (
  <RowList
    rows={[
      ['Hostname', view.hostname],
      ['Address', view.address ?? unknownText],
      ...fieldRows(hostFields, 'host', view.host),
      ['Hive started', formatMoment(view.startedAt)],
      ['Version', view.version],
      ['Heartbeat every', `${view.intervalMs / 1000} s`],
      ['Labels', <Labels key="l" labels={view.labels} />],
    ]}
  />
);

function Inside({ host }: Pick<HiveView, 'host'>) {
  const texts = [containerText(host), throttledText(host)].filter((text) => text !== null);
  return texts.length === 0 ? null : <p class="sub inside">{texts.join('; ')}</p>;
}

const because = (reason: string | null) => (reason === null ? '' : ` (${reason})`);

function Gpus({ view }: { readonly view: HiveView }) {
  const absence = hiveGpusText(view, view.collection.gpuAgeMs);
  if (absence !== null) return <AbsenceNote absence={absence} />;
  return (
    <>
      <h3>GPUs</h3>
      <ul class="held">
        {view.gpus.map((gpu) => (
          <li key={gpu.uuid}>
            <LinkTo to={`gpu:${view.id}/${gpu.uuid}`}>GPU {gpu.index}</LinkTo>
            <span>{gpu.name ?? unknownText}</span>
            <StatusChip status={gpuStyle({ health: gpu.health, liveness: view.liveness })} plain />
          </li>
        ))}
      </ul>
    </>
  );
}
