import type { Registry } from '../queen/registry.js';
import type { StreamSource } from './stream-hub.js';

/** The registry as streams see it. */
export const streamSource = (registry: Registry): StreamSource => registry;
