/** Limits of the contract for those who need no schema: the schemas cost a command line a quarter of a second to load. */

/** One part of a worker id, and a hive id: it becomes a path, a unit name and a URL segment. */
export const idPattern = '^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,127}$';
// `__proto__` would change what object a reader builds, not add a label to it.
export const labelKeyPattern = '^(?!__proto__$)[A-Za-z0-9_./-]{1,63}$';
export const maxLabels = 32;
export const maxLabelLength = 256;
/** Characters of JSON that the detail of one event may have: the ring keeps thousands of them. */
export const maxDetailLength = 4096;
/** Names of one worker's model, and characters of each. */
export const maxModels = 16;
export const maxModelLength = 512;
/** Notes about the limits of one worker, and characters of each. */
export const maxNotes = 16;
export const maxNoteLength = 512;
/** Hives that one request may acknowledge or silence something of. */
export const maxSilencedHives = 1000;
