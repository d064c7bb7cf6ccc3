import type { EventDraft } from '../contract/event-draft.js';

/** What a bus needs before its registry exists: the registry hands it its conclusions. */
export interface Journal {
  readonly journal: (draft: EventDraft) => void;
  bind(to: (draft: EventDraft) => void): void;
}

export function makeJournal(): Journal {
  let to: ((draft: EventDraft) => void) | null = null;
  return {
    journal: (draft) => to?.(draft),
    bind: (receiver) => {
      to = receiver;
    },
  };
}
