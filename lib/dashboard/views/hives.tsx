import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import type { HiveView } from '../../contract/api.js';
import { wordsOf } from '../../present/search.js';
import { countText } from '../../present/sentences.js';
import { livenessStyles } from '../../present/status.js';
import { hives, ordered, workers, workersOf } from '../data/fleet.js';
import { groupNamesOf, type HiveGroup, hiveHasWords, noGroupText } from '../data/fleet-rows.js';
import { at, go } from '../data/location.js';
import { sortHives } from '../data/query.js';
import { groupRows } from '../data/rows.js';
import { holdsWhileOver } from '../data/still.js';
import { useWidth } from '../parts/hooks.js';
import { StatusLabel } from '../parts/status-chip.js';
import { useStill } from '../parts/table-choices.js';
import { Choices, Toolbar } from '../parts/toolbar.js';
import { AttentionList } from './attention.js';
import { GroupChoice, groupText } from './groups.js';
import { HeatChoice, HeatMap } from './heat-map.js';
import { HiveCards } from './hive-cards.js';
import { HiveColumns, HiveTable } from './hive-table.js';
import { MissingList } from './missing.js';

function selectHives(): HiveView[] {
  const liveness = at.liveness.value;
  const words = wordsOf(at.q.value);
  const found = Array.from(hives.values(), ({ view }) => view).filter(
    (view) => (liveness === '' || view.liveness === liveness) && hiveHasWords(words, view),
  );
  return sortHives(found, [...workers.values()]);
}

function groupHives(found: readonly HiveView[], by: string): HiveGroup[] {
  if (by === '') return [{ name: '', text: '', views: found }];
  const namesOf = ({ labels, gpus, id }: HiveView) => groupNamesOf(by, { labels, gpus, workers: workersOf(id) });
  return groupRows(found, namesOf).map(({ name, rows }) => ({
    name: name ?? noGroupText(by),
    text: groupText(rows),
    views: rows,
  }));
}

export function HivesView({ scroller }: { readonly scroller: RefObject<HTMLElement> }) {
  ordered.value;
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [as, by] = [at.as.value, at.group.value];
  const found = selectHives();
  const question = JSON.stringify([at.q.value, at.liveness.value, by]);
  const groups = useStill(question, groupHives(found, by));
  const shared = { groups, scroller };
  return (
    <section aria-label="Hives">
      <AttentionList />
      <Toolbar
        label="Filter hives"
        placeholder="Filter by name, GPU or label"
        count={countText(found.length, hives.size, 'hive')}
      >
        <Choices
          label="Liveness"
          param="liveness"
          options={Object.entries(livenessStyles).map(([value, status]) => [
            value,
            <StatusLabel key={value} status={status} plain />,
          ])}
        />
        <Choices
          label="Shown as"
          param="as"
          options={[
            ['', 'Cards'],
            ['table', 'Table'],
            ['heat', 'Heat map'],
          ]}
        />
        <GroupChoice />
        {as === 'heat' && <HeatChoice />}
        {as === 'table' && <HiveColumns />}
      </Toolbar>
      <div ref={box} {...holdsWhileOver}>
        {as === 'table' ? (
          <HiveTable {...shared} />
        ) : (
          width > 0 && (as === 'heat' ? <HeatMap {...shared} width={width} /> : <HiveCards {...shared} width={width} />)
        )}
        {found.length === 0 && (
          <p class="nothing">
            No hive matches the filter.{' '}
            <button type="button" class="link" onClick={() => go({ q: '', liveness: '' })}>
              Clear the filters
            </button>
          </p>
        )}
      </div>
      <MissingList kinds={['hive', 'gpu']} />
    </section>
  );
}
