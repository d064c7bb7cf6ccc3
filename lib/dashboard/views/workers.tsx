import type { RefObject } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import type { WorkerView } from '../../contract/api.js';
import { modelsOf } from '../../contract/models.js';
import { type AbsenceText, workerGpusText } from '../../present/knowledge.js';
import { moreModels } from '../../present/models.js';
import { noContext, workerNullText } from '../../present/null-text.js';
import { countText, oldValuesText, sentence } from '../../present/sentences.js';
import { requestsText } from '../../present/serving.js';
import { livenessStyles, workerStateStyles, workerStyle } from '../../present/status.js';
import { formatDuration, formatGibOf, unknownText } from '../../present/units.js';
import { memoryOf, workerFigures } from '../../present/worker-figures.js';
import { drawn, hives, membership, ordered, workerOf, workers } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { sortWorkers, type WorkerFilter, type WorkerSort, workerMatcher } from '../data/query.js';
import { filled, sparkOf } from '../data/sparks.js';
import { phone, useMedia } from '../parts/hooks.js';
import { Sparkline } from '../parts/sparkline.js';
import { StatusChip, StatusLabel } from '../parts/status-chip.js';
import { Choices, Pick, Toolbar } from '../parts/toolbar.js';
import { evenOffsets, Virtual } from '../parts/virtual.js';
import { MissingList } from './missing.js';
import { ModelLoad } from './model-load.js';
import { LoadCells, loadColumns } from './worker-load.js';

const rowHeight = 44;
const phoneRowHeight = 92;
const headHeight = 34;

interface Column {
  readonly sort: WorkerSort;
  readonly label: string;
  readonly number?: true;
}

const nameColumns: readonly Column[] = [
  { sort: 'worker', label: 'Worker' },
  { sort: 'model', label: 'Model' },
  { sort: 'state', label: 'State' },
];

/** What processes use. */
const useColumns: readonly Column[] = [
  { sort: 'cpu', label: 'Cores', number: true },
  { sort: 'memory', label: 'Memory', number: true },
  { sort: 'gpu', label: 'GPU', number: true },
  { sort: 'vram', label: 'VRAM', number: true },
];

const columnsOf = (isLoad: boolean): readonly Column[] => [
  ...nameColumns,
  ...(isLoad ? loadColumns : useColumns),
  { sort: 'uptime', label: 'Uptime', number: true },
];

/** States to filter by. Workers of an offline hive are `offline`, whatever they were last. */
const stateStyles = { ...workerStateStyles, offline: livenessStyles.offline };

export function WorkersView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  ordered.value;
  const isPhone = useMedia(phone);
  const columns = columnsOf(at.columns.value === 'load');
  const grid = useRef<HTMLDivElement>(null);
  const filter = { text: at.q.value, state: at.state.value, model: at.model.value, hive: at.hive.value };
  const listed = useListed(filter);
  // Models come and go with workers.
  const models = useMemo(() => {
    const all = new Set<string>();
    for (const worker of workers.values()) for (const name of modelsOf(worker)) all.add(name);
    return all;
  }, [membership.value]);
  const height = isPhone ? phoneRowHeight : rowHeight;
  const offsets = useMemo(() => evenOffsets(listed.length, height), [listed.length, height]);
  const shownKey = at.show.value.startsWith('worker:') ? at.show.value.slice(7) : '';
  const selected = listed.findIndex((worker) => worker.key === shownKey);

  const sortBy = (sort: WorkerSort, number: boolean) => {
    const same = at.sort.value === sort;
    const first = number ? 'desc' : 'asc';
    go({ sort, dir: same ? (at.dir.value === 'asc' ? 'desc' : 'asc') : first });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 400) / height) - 2);
    const moves: Record<string, number> = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: page,
      PageUp: -page,
      Home: -listed.length,
      End: listed.length,
    };
    const move = moves[event.key];
    if (move === undefined || event.ctrlKey || event.metaKey || event.altKey || listed.length === 0) return;
    event.preventDefault();
    const next = selected < 0 ? (move > 0 ? 0 : listed.length - 1) : selected + move;
    const worker = listed[Math.min(listed.length - 1, Math.max(0, next))]!;
    go({ show: `worker:${worker.key}` });
  };

  return (
    <section aria-label="Workers">
      <Toolbar
        label="Filter workers"
        placeholder="Filter by id, model, name or label"
        count={countText(listed.length, workers.size, 'worker')}
      >
        <WorkerChoices models={models} />
      </Toolbar>
      {filter.model !== '' && <ModelLoad model={filter.model} />}
      {isPhone && (
        <label class="phone-sort">
          Sort by{' '}
          <select value={at.sort.value} onChange={(event) => go({ sort: event.currentTarget.value })}>
            {columns.map((column) => (
              <option key={column.sort} value={column.sort}>
                {column.label}
              </option>
            ))}
          </select>
          <button type="button" onClick={() => go({ dir: at.dir.value === 'asc' ? 'desc' : 'asc' })}>
            {at.dir.value === 'asc' ? '↑ ascending' : '↓ descending'}
          </button>
        </label>
      )}
      <div
        ref={grid}
        class="worker-grid"
        role="grid"
        aria-label="Workers"
        aria-rowcount={listed.length + 1}
        aria-colcount={columns.length}
        tabIndex={0}
        aria-activedescendant={selected >= 0 ? `worker-row-${selected}` : undefined}
        onKeyDown={onKeyDown}
      >
        <div class="worker-head" role="row" aria-rowindex={1}>
          {columns.map((column) => {
            const active = at.sort.value === column.sort;
            return (
              <div
                key={column.sort}
                role="columnheader"
                class={column.number ? 'number' : ''}
                aria-sort={active ? (at.dir.value === 'desc' ? 'descending' : 'ascending') : 'none'}
              >
                <button type="button" onClick={() => sortBy(column.sort, column.number ?? false)}>
                  {column.label}
                  <span class="arrow" aria-hidden="true">
                    {active ? (at.dir.value === 'desc' ? '↓' : '↑') : ''}
                  </span>
                </button>
              </div>
            );
          })}
        </div>
        <Virtual
          offsets={offsets}
          scroller={scroller}
          reveal={selected}
          covered={headHeight}
          row={(index, style, slot) => (
            <WorkerRow
              key={slot}
              index={index}
              workerKey={listed[index]!.key}
              style={style}
              selected={index === selected}
            />
          )}
        />
      </div>
      {listed.length === 0 && workers.size > 0 && (
        <p class="nothing">
          No worker matches.{' '}
          <button type="button" class="link" onClick={() => go({ q: '', state: '', model: '', hive: '' })}>
            Clear the filters
          </button>
        </p>
      )}
      <MissingList kinds={['worker']} />
    </section>
  );
}

/** What the list is filtered by beside its text, and which columns it has. */
const WorkerChoices = ({ models }: { readonly models: ReadonlySet<string> }) => (
  <>
    <Choices
      label="State"
      param="state"
      options={Object.entries(stateStyles).map(([state, status]) => [
        state,
        <StatusLabel key={state} status={status} plain />,
      ])}
    />
    <Choices
      label="Columns"
      param="columns"
      options={[
        ['', 'Use'],
        ['load', 'Load'],
      ]}
    />
    <Pick label="Model" param="model" options={[...models]} />
    <Pick label="Hive" param="hive" options={[...hives.keys()]} />
  </>
);

/** Names stay as they are while nobody comes or goes: their order need not be made again each second. */
function useListed(filter: WorkerFilter): readonly WorkerView[] {
  const [sort, dir] = [at.sort.value, at.dir.value];
  const fixed = sort === 'worker' && filter.text === '' && filter.state === '' && filter.model === '';
  const version = fixed ? membership.value : ordered.value;
  return useMemo(
    () => sortWorkers([...workers.values()].filter(workerMatcher(filter)), sort, dir),
    [filter.text, filter.state, filter.model, filter.hive, sort, dir, version],
  );
}

interface RowProps {
  readonly index: number;
  readonly workerKey: string;
  readonly style: { readonly transform: string; readonly height: string };
  readonly selected: boolean;
}

function WorkerRow({ index, workerKey, style, selected }: RowProps) {
  drawn.value;
  filled.value;
  const worker = workerOf(workerKey);
  if (!worker) return <div class="worker-row" role="row" style={style} />;
  const stale = worker.liveness === 'offline';
  const old = oldValuesText(worker.liveness);
  const isLoad = at.columns.value === 'load';
  const requests = stale || isLoad ? null : requestsText(worker);
  const titleOf = titlesOf(worker);
  return (
    // The grid itself takes the keys; a row is only clicked.
    // biome-ignore lint/a11y/useKeyWithClickEvents: arrow keys are handled by the grid
    <div
      id={`worker-row-${index}`}
      class={`worker-row${index % 2 ? ' odd' : ''}${stale ? ' stale' : ''}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      data-key={worker.key}
      title={old === null ? undefined : sentence(old)}
      style={style}
      onClick={() => show(`worker:${worker.key}`)}
    >
      <div role="gridcell" class="who">
        <strong>{worker.id}</strong>
        <small>
          {worker.hive}
          {worker.name !== null && ` · ${worker.name}`}
        </small>
      </div>
      <div role="gridcell" class="model" title={modelsOf(worker).join(', ') || titleOf('model')}>
        <span>
          {worker.model ?? unknownText}
          {moreModels(worker)}
        </span>
        {requests !== null && <small title={requests}>{requests}</small>}
      </div>
      <div role="gridcell" class="state">
        <StatusChip status={workerStyle(worker)} />
        {old !== null && <span class="sr-only">{old}</span>}
      </div>
      {isLoad ? <LoadCells worker={worker} /> : <UseCells worker={worker} />}
      <div role="gridcell" class="number uptime" title={titleOf('uptimeSeconds')}>
        {formatDuration(worker.uptimeSeconds)}
      </div>
    </div>
  );
}

/** The cells of `useColumns` for one worker. */
function UseCells({ worker }: { readonly worker: WorkerView }) {
  const view = hives.get(worker.hive)?.view;
  const absence = workerGpusText(worker, view?.collection.gpuAgeMs ?? null);
  const titleOf = titlesOf(worker);
  const figures = workerFigures(worker);
  return (
    <>
      <Cell
        label="Cores"
        text={figures.cpu}
        title={titleOf('cpuPercent')}
        values={sparkOf(worker, 'cpu')}
        max={worker.cpuLimitPercent}
      />
      <Cell
        label="Memory"
        text={figures.memory}
        title={memoryOf(worker) === null ? titleOf('memoryBytes') : undefined}
        values={sparkOf(worker, 'memory')}
        max={worker.memoryLimitBytes}
      />
      {absence !== null ? (
        <Absent label="GPU" absence={absence} />
      ) : (
        <Cell
          label="GPU"
          text={figures.gpu}
          title={titleOf('gpuUtilizationPercent')}
          values={sparkOf(worker, 'gpu')}
          max={worker.gpus.length * 100}
        />
      )}
      {absence !== null ? (
        <Absent label="VRAM" absence={absence} text={absence.since} />
      ) : (
        <Cell
          label="VRAM"
          text={figures.vram}
          title={titleOf('vramUsedBytes') ?? formatGibOf(worker.vramUsedBytes, worker.vramTotalBytes)}
          values={sparkOf(worker, 'vram')}
          max={worker.vramTotalBytes}
        />
      )}
    </>
  );
}

/** Why a value of it is not known. */
const titlesOf = (worker: WorkerView) => (path: keyof WorkerView) =>
  worker[path] === null
    ? sentence(workerNullText(worker, path, hives.get(worker.hive)?.view ?? noContext).text)
    : undefined;

interface AbsentProps {
  readonly label: string;
  readonly absence: AbsenceText;
  readonly text?: string | null;
}

const Absent = ({ label, absence: { reason, unknown }, text = null }: AbsentProps) => (
  <Cell
    label={label}
    text={text ?? (unknown ? 'unknown' : 'none')}
    {...(reason === null ? {} : { title: sentence(reason) })}
    values={null}
    max={null}
  />
);

interface CellProps {
  readonly label: string;
  readonly text: string;
  readonly title?: string | undefined;
  /** null: there is nothing to measure. */
  readonly values: readonly (number | null)[] | null;
  readonly max: number | null;
}

function Cell({ label, text, title, values, max }: CellProps) {
  return (
    <div role="gridcell" class={`metric-cell${values === null ? ' none' : ''}`} data-label={label} title={title}>
      <span class={text === unknownText ? 'value unknown' : 'value'}>
        {text}
        {text === unknownText && <span class="sr-only">unknown</span>}
      </span>
      {values !== null && <Sparkline values={values} max={max} />}
    </div>
  );
}
