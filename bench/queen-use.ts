/** Of Node, as the shipped units start a queen. */
export const queenFlags = ['--max-semi-space-size=32'] as const;

/** What `processes/queen.js` answers. */
export interface QueenUse {
  /** CPU time of the whole process, µs. */
  readonly cpuMicros: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** How late the event loop was in 99 of 100 cases since the last answer, ms; 0 where nobody watches. */
  readonly loopDelayMs: number;
  /** The same since the last answer to a question that `beginsAnew`. */
  readonly wholeLoopDelayMs: number;
  /** How long its main thread has waited for a core, ms: the machine was busy with others. */
  readonly waitedMs: number;
}
