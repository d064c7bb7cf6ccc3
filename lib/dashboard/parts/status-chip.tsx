import type { StatusStyle } from '../../present/status.js';

/** A state: symbol, word and colour together, so that none of them carries it alone. */
export function StatusChip({ status, plain = false }: { readonly status: StatusStyle; readonly plain?: boolean }) {
  return (
    <span class={`status tone-${status.tone}${plain ? ' plain' : ''}`} title={status.hint || undefined}>
      <span class="symbol" aria-hidden="true">
        {status.symbol}
      </span>
      {status.word}
    </span>
  );
}
