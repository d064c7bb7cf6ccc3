import { type StatusStyle, unknownStyle } from '../../present/status.js';
import { ended, endedText } from '../data/ended.js';

interface StatusProps {
  readonly status: StatusStyle;
  readonly plain?: boolean;
}

/** A state: symbol, word and colour together, so that none of them carries it alone. */
export function StatusLabel({ status, plain = false }: StatusProps) {
  return (
    <span class={`status tone-${status.tone}${plain ? ' plain' : ''}`} title={status.hint || undefined}>
      <span class="symbol" aria-hidden="true">
        {status.symbol}
      </span>
      {status.word}
    </span>
  );
}

/** How something is now: unknown once the queen has not been heard for a while. */
export const statusNow = (status: StatusStyle): StatusStyle =>
  ended.value ? { ...unknownStyle, hint: `${endedText} It was ${status.word}.` } : status;

/** The state that something is in now. */
export const StatusChip = ({ status, plain = false }: StatusProps) => (
  <StatusLabel status={statusNow(status)} plain={plain} />
);
