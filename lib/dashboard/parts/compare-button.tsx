import { isCompared, toggleCompared } from '../data/compare.js';

/** `of`: what the panel shows. */
export const CompareButton = ({ of }: { readonly of: string }) => (
  <button type="button" class="button small" aria-pressed={isCompared(of)} onClick={() => toggleCompared(of)}>
    {isCompared(of) ? 'Compared' : 'Compare'}
  </button>
);
