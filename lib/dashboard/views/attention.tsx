import { effect } from '@preact/signals';
import { useState } from 'preact/hooks';
import { plural } from '../../present/sentences.js';
import { attentionCount } from '../data/ended.js';
import { mirror, ordered } from '../data/fleet.js';
import { show } from '../data/location.js';
import { type Attention, attentionOf, sortAttention } from '../data/query.js';
import { phone, useMedia } from '../parts/hooks.js';
import { missingAttention } from './missing.js';

const symbols = { bad: '✕', warning: '◆', unknown: '?' } as const;
/** What needs attention now, the worst first: what is missing, then what the hives say. */
export const attentionNow = (): Attention[] =>
  sortAttention([...missingAttention(), ...attentionOf(mirror.hivesAt(performance.now()))]);

/** Keeps the count in the title of the tab. */
export const startAttention = (): (() => void) =>
  effect(() => {
    ordered.value;
    attentionCount.value = attentionNow().length;
  });

const few = 4;
const fewOnPhone = 2;

/** What is wrong, each with its fix. Absent when all is well. */
export function AttentionList({ items }: { readonly items: readonly Attention[] }) {
  const [all, setAll] = useState(false);
  const shown = useMedia(phone) ? fewOnPhone : few;
  if (items.length === 0) return null;
  const listed = all ? items.slice(0, 200) : items.slice(0, shown);
  return (
    <section class="attention" aria-label="Needs attention">
      <h2>
        {plural(items.length, 'thing needs', 'things need')} attention
        {items.length > shown && (
          <button type="button" class="link quiet" aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? 'Show fewer' : 'Show all'}
          </button>
        )}
      </h2>
      <ul>
        {listed.map((item) => (
          <li key={item.id} class={`tone-${item.tone}`}>
            <span class="symbol" aria-hidden="true">
              {symbols[item.tone]}
            </span>
            <button type="button" class="link" onClick={() => show(item.show)}>
              {item.title}
            </button>
            <span class="text">{item.text}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
