import type { StatusStyle } from '../../present/status.js';

/** A state: symbol, word and colour together, so that none of them carries it alone. */
export function FaceChip({ face, plain = false }: { readonly face: StatusStyle; readonly plain?: boolean }) {
  return (
    <span class={`face tone-${face.tone}${plain ? ' plain' : ''}`} title={face.hint || undefined}>
      <span class="symbol" aria-hidden="true">
        {face.symbol}
      </span>
      {face.word}
    </span>
  );
}
