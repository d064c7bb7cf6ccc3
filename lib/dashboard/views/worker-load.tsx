import type { WorkerView } from '../../contract/api.js';
import { sentence } from '../../present/sentences.js';
import { servingText } from '../../present/serving.js';
import { formatPercent, formatPerSecond, unknownText } from '../../present/units.js';
import type { WorkerSort } from '../data/query.js';
import { type Metric, sparkOf } from '../data/sparks.js';
import { Sparkline } from '../parts/sparkline.js';

/** What an engine has to do, as columns of the list of workers. */
export const loadColumns: readonly { readonly sort: WorkerSort; readonly label: string; readonly number: true }[] = [
  { sort: 'running', label: 'Running', number: true },
  { sort: 'waiting', label: 'Waiting', number: true },
  { sort: 'kv', label: 'KV cache', number: true },
  { sort: 'tokens', label: 'Tokens/s', number: true },
];

const countOf = (value: number | null): string => (value === null ? unknownText : value.toLocaleString('en'));

/** The cells of `loadColumns` for one worker. */
export function LoadCells({ worker }: { readonly worker: WorkerView }) {
  const { serving } = worker;
  const reason = servingText(worker);
  const title = reason === null ? 'its engine does not say' : `not known: ${reason}`;
  const cell = (label: string, metric: Metric, text: string, max: number | null) => (
    <div
      role="gridcell"
      class={`metric-cell${text === unknownText ? ' none' : ''}`}
      data-label={label}
      title={text === unknownText ? sentence(title) : undefined}
    >
      <span class={text === unknownText ? 'value unknown' : 'value'}>
        {text}
        {text === unknownText && <span class="sr-only">unknown</span>}
      </span>
      {text !== unknownText && <Sparkline values={sparkOf(worker, metric)} max={max} />}
    </div>
  );
  return (
    <>
      {cell('Running', 'running', countOf(serving?.running ?? null), null)}
      {cell('Waiting', 'waiting', countOf(serving?.waiting ?? null), null)}
      {cell('KV cache', 'kv', formatPercent(serving?.kvPercent ?? null), 100)}
      {cell('Tokens/s', 'tokens', formatPerSecond(serving?.generationTokensPerSecond ?? null).replace('/s', ''), null)}
    </>
  );
}
