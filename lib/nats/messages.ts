import { isUtf8 } from 'node:buffer';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { FleetEvent } from '../contract/api.js';
import type { EventDraft } from '../contract/event-draft.js';
import type { HiveEvent } from '../contract/heartbeat.js';

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });

const common = {
  at: Type.String({ maxLength: 64 }),
  kind: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9.]{0,63}$' }),
  hive: text(128),
  workerId: Type.Optional(text(512)),
  gpuUuid: Type.Optional(text(128)),
  model: Type.Optional(Type.Union([Type.String({ maxLength: 512 }), Type.Null()])),
  detail: Type.Record(Type.String(), Type.Unknown()),
};

/** A fact as it lies in the stream; `incarnation` and `seq` say which, so that every queen knows what is safe. */
const Fact = Type.Object({
  ...common,
  incarnation: text(64),
  seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});
const Conclusion = Type.Object(common);
export type Fact = Static<typeof Fact>;

const fact = Compile(Fact);
const conclusion = Compile(Conclusion);

/** Longer ones are none of ours. */
const maxBytes = 64 * 1024;

/** The fact of a hive. `model` is that of its worker, where it is known. */
export function factOf(hive: string, incarnation: string, event: HiveEvent, model: string | null | undefined): Fact {
  return {
    at: event.at,
    kind: event.kind,
    hive,
    ...(event.workerId === undefined ? {} : { workerId: event.workerId }),
    ...(event.gpuUuid === undefined ? {} : { gpuUuid: event.gpuUuid }),
    ...(model === undefined ? {} : { model }),
    detail: event.detail,
    incarnation,
    seq: event.seq,
  };
}

/** Under this id the server takes a message once. */
export const messageId = ({ hive, incarnation, seq }: Pick<Fact, 'hive' | 'incarnation' | 'seq'>): string =>
  `${hive}/${incarnation}/${seq}`;

export type Received =
  | { readonly type: 'event'; readonly event: FleetEvent; readonly incarnation: string; readonly seq: number }
  | { readonly type: 'queenEvent'; readonly event: FleetEvent };

/** What a message of the stream says; null where it is not one of ours. Pure. */
export function readMessage(data: Uint8Array, isFact: boolean, id: string): Received | null {
  if (data.length > maxBytes || !isUtf8(data)) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return null;
  }
  if (isFact) {
    if (!fact.Check(value)) return null;
    const { incarnation, seq } = value;
    return { type: 'event', event: eventOf(value, id), incarnation, seq };
  }
  return conclusion.Check(value) ? { type: 'queenEvent', event: eventOf(value, id) } : null;
}

function eventOf(draft: Static<typeof Conclusion>, id: string): FleetEvent {
  const { at, kind, hive, workerId, gpuUuid, model, detail } = draft;
  return {
    id,
    at,
    kind,
    hive,
    ...(workerId === undefined ? {} : { workerId }),
    ...(gpuUuid === undefined ? {} : { gpuUuid }),
    ...(model === undefined ? {} : { model }),
    detail,
  };
}

export const conclusionBytes = (draft: EventDraft): string => JSON.stringify(draft);
