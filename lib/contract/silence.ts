/** What somebody looks at already, or does not want to hear of for a while: kept at the queen with a name and an end. */
import { type Static, Type } from 'typebox';
import { maxSilencedHives } from './limits.js';
import { Id, Nullable, OneOf } from './primitives.js';

export const silenceKinds = ['acknowledged', 'silenced'] as const;
export type SilenceKind = (typeof silenceKinds)[number];

const kind = OneOf(
  silenceKinds,
  'acknowledged: somebody looks at it; it ends once the trouble is over. silenced: nobody is to hear of it, also if it ends and comes again.',
);
const cause = Type.String({
  minLength: 1,
  maxLength: 160,
  description: 'As `GET /v1/attention` names it: `gpuStalled`, `fault:gpu:NO_PERMISSION`.',
});
const reason = Type.String({ minLength: 1, maxLength: 256, description: 'Why, for whoever finds it.' });
const by = Type.String({ minLength: 1, maxLength: 128, description: 'Who did it, in their own words.' });

export const SilenceRequest = Type.Object(
  {
    kind,
    cause,
    hives: Type.Optional(
      Type.Array(Id('The hive.'), {
        minItems: 1,
        maxItems: maxSilencedHives,
        description: 'By default the whole fleet.',
      }),
    ),
    reason,
    by,
    expiresInSeconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 30 * 24 * 3600,
        default: 24 * 3600,
        description: 'It ends by itself then; by default after a day.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type SilenceRequest = Static<typeof SilenceRequest>;

export const Silence = Type.Object({
  kind,
  cause,
  hive: Nullable(Id('The hive; null: the whole fleet.')),
  reason,
  by,
  since: Type.String({ format: 'date-time' }),
  expiresAt: Type.String({ format: 'date-time' }),
});
export type Silence = Static<typeof Silence>;

export const SilenceList = Type.Object({ items: Type.Array(Silence) });
export type SilenceList = Static<typeof SilenceList>;

export const SilenceTarget = Type.Object({ cause, hive: Type.Optional(Id('By default the whole fleet.')) });
export type SilenceTarget = Static<typeof SilenceTarget>;

const AttentionItem = Type.Object({
  id: Type.String(),
  hive: Type.String(),
  count: Type.Integer({ description: 'Hosts, GPUs or workers that it is about.' }),
  title: Type.String(),
  text: Type.String({ description: 'What is wrong, and the fix.' }),
});

export const AttentionLine = Type.Object({
  cause,
  severity: OneOf(
    ['critical', 'warning', 'note'],
    'critical: capacity is lost. warning: something works with less, or nobody knows how it is. note: a limit of a host that stays.',
  ),
  count: Type.Integer(),
  hives: Type.Array(Type.String()),
  title: Type.String(),
  text: Type.String(),
  silence: Nullable(Silence),
  items: Type.Array(AttentionItem, { description: 'At most 100.' }),
});
export type AttentionLine = Static<typeof AttentionLine>;

/** The worst first; those that are acknowledged or silenced last. */
export const AttentionList = Type.Object({ items: Type.Array(AttentionLine), warming: Type.Boolean() });
export type AttentionList = Static<typeof AttentionList>;
