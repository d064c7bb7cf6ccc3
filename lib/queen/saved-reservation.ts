import { type Static, Type } from 'typebox';
import type { SavedReservation } from './reservations.js';

/** A reservation as it is kept outside the registry: in the state file of a queen, in the bucket that queens share. */
export const SavedReservationSchema = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  idempotencyKey: Type.Union([Type.String({ maxLength: 128 }), Type.Null()]),
  request: Type.String(),
  hive: Type.String({ minLength: 1 }),
  gpuUuids: Type.Array(Type.String()),
  vramBytes: Type.Number({ minimum: 0 }),
  memoryBytes: Type.Number({ minimum: 0 }),
  expiresAt: Type.Number(),
});

// A field that one of the two has and the other lacks does not compile.
type Same<A, B> = [A, B] extends [B, A] ? true : never;
true satisfies Same<keyof Static<typeof SavedReservationSchema>, keyof SavedReservation>;
