import type { Attack } from '../attack.js';
import { followerAttacks } from './followers.js';
import { identityAttacks } from './identity.js';
import { inputAttacks } from './input.js';
import { memoryAttacks } from './memory.js';
import { shareAttacks, siteAttacks } from './shares.js';
import { streamAttacks } from './streams.js';

export const attacks: readonly Attack[] = [
  ...inputAttacks,
  ...identityAttacks,
  ...memoryAttacks,
  ...shareAttacks,
  ...siteAttacks,
  ...streamAttacks,
  ...followerAttacks,
];
