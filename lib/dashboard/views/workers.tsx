import type { RefObject } from 'preact';
import { useMemo } from 'preact/hooks';
import type { WorkerView } from '../../contract/api.js';
import { modelsOf } from '../../contract/models.js';
import { countText, oldValuesText, sentence } from '../../present/sentences.js';
import { livenessStyles, workerStateStyles } from '../../present/status.js';
import { hives, membership, ordered, workerOf, workers } from '../data/fleet.js';
import { chosenColumns } from '../data/kept-tables.js';
import { at, go, show } from '../data/location.js';
import { sortWorkers, type WorkerFilter, workerMatcher } from '../data/query.js';
import { Grid, type GridColumn } from '../parts/grid.js';
import { phone, useMedia } from '../parts/hooks.js';
import { StatusLabel } from '../parts/status-chip.js';
import { ColumnChoice, orderOf, sortTable, unsortTable, useColumns, useStill } from '../parts/table-choices.js';
import { Choices, Pick, Toolbar } from '../parts/toolbar.js';
import { MissingList } from './missing.js';
import { ModelLoad } from './model-load.js';
import { loadColumnIds, useColumnIds, workerColumns } from './worker-columns.js';

/** States to filter by. Workers of an offline hive are `offline`, whatever they were last. */
const stateStyles = { ...workerStateStyles, offline: livenessStyles.offline };

type Order = ReturnType<typeof orderOf>;

export function WorkersView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  ordered.value;
  const isPhone = useMedia(phone);
  const kept = useColumns('workers', workerColumns, useColumnIds);
  const isLoad = at.columns.value === 'load';
  const columns = isLoad ? chosenColumns(workerColumns, loadColumnIds, []) : kept;
  const filter = { text: at.q.value, state: at.state.value, model: at.model.value, hive: at.hive.value };
  const order = orderOf('workers', 'worker');
  const listed = useListed(filter, order);
  const sorted = useMemo(() => listed.map((row) => ({ kind: 'row' as const, key: row.key, row })), [listed]);
  const items = useStill(JSON.stringify([filter, order]), sorted);
  // Models come and go with workers.
  const models = useMemo(() => {
    const all = new Set<string>();
    for (const worker of workers.values()) for (const name of modelsOf(worker)) all.add(name);
    return all;
  }, [membership.value]);
  const states = new Set<string>();
  for (const { state, liveness } of workers.values()) states.add(liveness === 'offline' ? liveness : state);
  return (
    <section aria-label="Workers">
      <Toolbar
        label="Filter workers"
        placeholder="Filter by id, model, name or label"
        count={countText(listed.length, workers.size, 'worker')}
      >
        <WorkerChoices models={models} states={states} />
        <ColumnChoice
          name="workers"
          all={workerColumns}
          chosen={columns}
          first={useColumnIds}
          onChoice={() => go({ columns: '' })}
        />
      </Toolbar>
      {filter.model !== '' && <ModelLoad model={filter.model} />}
      {isPhone && <PhoneSort columns={columns} order={order} />}
      <Grid
        kind="worker"
        label="Workers"
        columns={columns}
        items={items}
        rowOf={workerOf}
        rowClass={({ liveness }) => (liveness === 'offline' ? ' stale' : '')}
        rowTitle={({ liveness }) => (liveness === 'online' ? undefined : sentence(oldValuesText(liveness) ?? ''))}
        scroller={scroller}
        selectedKey={at.show.value.startsWith('worker:') ? at.show.value.slice(7) : ''}
        open={(key) => show(`worker:${key}`)}
        walk={(key) => go({ show: `worker:${key}` })}
        {...order}
        sortBy={(column) => sortTable('workers', order, column)}
      />
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

/** The head of a table has no room on a phone. */
export function PhoneSort<Row>({
  columns,
  order,
  name = 'workers',
  unsorted,
}: {
  readonly columns: readonly GridColumn<Row>[];
  readonly order: Order;
  readonly name?: string;
  /** The order before anybody chose, where that is of no column. */
  readonly unsorted?: string;
}) {
  const column = columns.find(({ id }) => id === order.sort) ?? columns[0]!;
  return (
    <div class="phone-sort">
      <label>
        Sort by{' '}
        <select
          value={order.sort}
          onChange={(event) => {
            const chosen = columns.find(({ id }) => id === event.currentTarget.value);
            if (chosen) sortTable(name, order, chosen);
            else unsortTable(name);
          }}
        >
          {unsorted !== undefined && <option value="">{unsorted}</option>}
          {columns.map(({ id, label }) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {order.sort !== '' && (
        <button type="button" onClick={() => sortTable(name, order, column)}>
          {order.dir === 'asc' ? '↑ ascending' : '↓ descending'}
        </button>
      )}
    </div>
  );
}

interface WorkerChoicesProps {
  readonly models: ReadonlySet<string>;
  /** Those that any worker is in. */
  readonly states: ReadonlySet<string>;
}

/** What the list is filtered by beside its text, and which columns it has. */
const WorkerChoices = ({ models, states }: WorkerChoicesProps) => (
  <>
    <Choices
      label="State"
      param="state"
      options={Object.entries(stateStyles)
        .filter(([state]) => states.has(state) || at.state.value === state)
        .map(([state, status]) => [state, <StatusLabel key={state} status={status} plain />])}
    />
    <Choices
      label="Figures"
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
function useListed(filter: WorkerFilter, { sort, dir }: Order): readonly WorkerView[] {
  const fixed = sort === 'worker' && filter.text === '' && filter.state === '' && filter.model === '';
  const version = fixed ? membership.value : ordered.value;
  return useMemo(
    () => sortWorkers([...workers.values()].filter(workerMatcher(filter)), sort, dir),
    [filter.text, filter.state, filter.model, filter.hive, sort, dir, version],
  );
}
