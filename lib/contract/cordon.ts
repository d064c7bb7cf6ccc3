/** A host that an admin took out of scheduling at the queen. Its workers go on, and are still shown. */
import { type Static, Type } from 'typebox';
import { Nullable } from './primitives.js';

const reason = Type.String({ minLength: 1, maxLength: 256, description: 'Why, for whoever finds it.' });
const by = Type.String({ minLength: 1, maxLength: 128, description: 'Who did it, in their own words.' });

export const CordonRequest = Type.Object(
  {
    reason,
    by: Type.Optional(by),
    expiresInSeconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 30 * 24 * 3600,
        description: 'It ends by itself then; by default it does not.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type CordonRequest = Static<typeof CordonRequest>;

export const Cordon = Type.Object({
  reason,
  by: Nullable(by),
  since: Type.String({ format: 'date-time' }),
  expiresAt: Nullable(Type.String({ format: 'date-time' })),
});
export type Cordon = Static<typeof Cordon>;
