import type { FleetEvent } from './api.js';

/** An event before it has its place in the stream. */
export type EventDraft = Omit<FleetEvent, 'id'>;
