import { useMemo } from 'preact/hooks';
import type { WorkerView } from '../../contract/api.js';
import { servesModel } from '../../contract/models.js';
import { countText } from '../../present/sentences.js';
import { workerStyle } from '../../present/status.js';
import { sumOf } from '../../present/totals.js';
import { formatPercent, formatTokensPerSecond, formatWhole } from '../../present/units.js';
import { drawn, membership, workerOf, workers } from '../data/fleet.js';
import { show } from '../data/location.js';
import { Meter } from '../parts/meter.js';
import { StatusChip } from '../parts/status-chip.js';

/** Workers that are shown one by one: those with the most to do. */
const shownWorkers = 12;

type Serving = NonNullable<WorkerView['serving']>;
type Figure = 'running' | 'waiting' | 'kvPercent' | 'generationTokensPerSecond';

/** Over those that say it; null where none does. */
const valuesOf = (all: readonly Serving[], figure: Figure): readonly number[] =>
  all.map((serving) => serving[figure]).filter((value) => value !== null);

const totalOf = (all: readonly Serving[], figure: Figure): number | null =>
  sumOf(all.map((serving) => serving[figure]));

const requestsOf = ({ serving }: WorkerView): number => (serving?.running ?? 0) + (serving?.waiting ?? 0);

/** How a model's load is spread over the workers that serve it. */
export function ModelLoad({ model }: { readonly model: string }) {
  drawn.value;
  const keys = useMemo(
    () => [...workers.values()].filter((worker) => servesModel(worker, model)).map(({ key }) => key),
    [model, membership.value],
  );
  const all = keys.map(workerOf).filter((worker) => worker !== undefined);
  const fresh = all.filter(({ liveness, serving }) => liveness !== 'offline' && serving !== null);
  if (fresh.length === 0) return null;
  const said = fresh.map(({ serving }) => serving as Serving);
  const [running, waiting] = [totalOf(said, 'running'), totalOf(said, 'waiting')];
  const tokens = totalOf(said, 'generationTokensPerSecond');
  const fullest = valuesOf(said, 'kvPercent').reduce<number | null>((most, kv) => Math.max(most ?? 0, kv), null);
  const listed = [...fresh].sort((a, b) => requestsOf(b) - requestsOf(a) || (a.key < b.key ? -1 : 1));
  const most = Math.max(1, ...fresh.map(requestsOf));
  const fastest = Math.max(1, ...valuesOf(said, 'generationTokensPerSecond'));
  return (
    <section class="model-load" aria-label={`Load of ${model}`}>
      <header>
        <h2>{model}</h2>
        <dl>
          {[
            ['running', formatWhole(running)],
            ['waiting', formatWhole(waiting)],
            ['fullest KV cache', formatPercent(fullest)],
            ['generated', formatTokensPerSecond(tokens)],
          ].map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {fresh.length < all.length && (
          <p class="note plain">{countText(fresh.length, all.length, 'worker')} say their load.</p>
        )}
      </header>
      <ul>
        {listed.slice(0, shownWorkers).map((worker) => (
          <WorkerLoad key={worker.key} worker={worker} most={most} fastest={fastest} />
        ))}
      </ul>
      {listed.length > shownWorkers && (
        <p class="more">
          {(listed.length - shownWorkers).toLocaleString('en')} more with less to do, in the list below.
        </p>
      )}
    </section>
  );
}

interface WorkerLoadProps {
  readonly worker: WorkerView;
  /** Requests of the worker that has the most, and tokens a second of the fastest: ends of the bars. */
  readonly most: number;
  readonly fastest: number;
}

function WorkerLoad({ worker, most, fastest }: WorkerLoadProps) {
  const { running, waiting, kvPercent, generationTokensPerSecond: tokens } = worker.serving as Serving;
  const share = (value: number | null) => `${Math.min(100, (100 * (value ?? 0)) / most).toFixed(1)}%`;
  return (
    <li>
      <button type="button" class="link name" onClick={() => show(`worker:${worker.key}`)}>
        <strong>{worker.id}</strong> <small>{worker.hive}</small>
      </button>
      <StatusChip status={workerStyle(worker)} />
      <span class="requests" title="Requests running and waiting">
        <span class="shares" aria-hidden="true">
          {(running ?? 0) > 0 && <span class="tone-active fill" style={{ width: share(running) }} />}
          {(waiting ?? 0) > 0 && <span class="tone-warning fill" style={{ width: share(waiting) }} />}
        </span>
        <span class="number">
          {formatWhole(running)} <small>running,</small> {formatWhole(waiting)} <small>waiting</small>
        </span>
      </span>
      <span class="kv" title="KV cache in use">
        {kvPercent !== null && <Meter value={kvPercent} max={100} tone={kvPercent > 90 ? 'warning' : 'active'} />}
        <span class="number">
          {formatPercent(kvPercent)} <small>KV</small>
        </span>
      </span>
      <span class="tokens" title="Tokens generated per second">
        {tokens !== null && <Meter value={tokens} max={fastest} tone="good" />}
        <span class="number">{formatTokensPerSecond(tokens)}</span>
      </span>
    </li>
  );
}
