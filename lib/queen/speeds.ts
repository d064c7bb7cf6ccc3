/** How fast a worker is. */
export interface Speeds {
  /** Tokens of prompts computed a second while there are enough of them. */
  readonly prefillTokensPerSecond: number;
  /** From one token of a sequence to its next, ms. */
  readonly stepMs: number;
}

/** Taken for a worker while nothing is known of it or its like. */
const unknownSpeeds: Speeds = { prefillTokensPerSecond: 5000, stepMs: 30 };

/** What the counters of an engine did between two reports. Null: it does not report that. */
export interface Rates {
  readonly running: number | null;
  readonly promptTokensPerSecond: number | null;
  readonly generationTokensPerSecond: number | null;
}

/** How far one report moves the median. */
const medianStep = 0.02;
/** How far one prompt moves the mean. */
const promptStep = 0.01;

/** Of a prompt whose length no router has said. */
const usualPromptTokens = 1000;

/**
 * Workers of one model on one GPU model: their median speeds, which a new one is taken to have, and the mean of their prompts.
 * Each report moves the median a little towards itself, so it needs no list of them.
 */
export class WorkerClass implements Speeds {
  prefillTokensPerSecond = unknownSpeeds.prefillTokensPerSecond;
  stepMs = unknownSpeeds.stepMs;
  meanPromptTokens = usualPromptTokens;
  /** Null: not known, or the worker holds none. */
  readonly gpuName: string | null;
  #isKnown = false;

  constructor(gpuName: string | null = null) {
    this.gpuName = gpuName;
  }

  learnPrompt(tokens: number): void {
    this.meanPromptTokens += promptStep * (tokens - this.meanPromptTokens);
  }

  learn({ prefillTokensPerSecond, stepMs }: Speeds): void {
    if (this.#isKnown) {
      this.prefillTokensPerSecond *= 1 + medianStep * Math.sign(prefillTokensPerSecond - this.prefillTokensPerSecond);
      this.stepMs *= 1 + medianStep * Math.sign(stepMs - this.stepMs);
    } else {
      this.prefillTokensPerSecond = prefillTokensPerSecond;
      this.stepMs = stepMs;
      this.#isKnown = true;
    }
  }
}

/** Prompts a second are averaged over this before their peak is taken: a counter jumps by a whole prompt when that is done. */
const smoothMs = 5000;
/** Time in which a peak that is not reached again is halved. */
const peakHalfLifeMs = 1_800_000;
const stepMs = 30_000;
/** Seen for this long, a worker's own speeds count as much as those of its class. */
const trustMs = 30_000;

/** The speeds of one worker. Its prefill speed is the most that it has reached, its step how long a running request waits for a token. */
export class LearnedSpeeds {
  /** Replaced when the worker holds another GPU or serves another model. */
  like: WorkerClass;
  #promptRate = 0;
  #peak = 0;
  #running = 0;
  #tokenRate = 0;
  #seenMs = 0;

  constructor(like: WorkerClass) {
    this.like = like;
  }

  learn({ running, promptTokensPerSecond, generationTokensPerSecond }: Rates, sinceMs: number): void {
    if (promptTokensPerSecond === null || running === null || generationTokensPerSecond === null) return;
    this.#promptRate += (1 - Math.exp(-sinceMs / smoothMs)) * (promptTokensPerSecond - this.#promptRate);
    this.#peak = Math.max(this.#promptRate, this.#peak * 2 ** (-sinceMs / peakHalfLifeMs));
    const weight = 1 - Math.exp(-sinceMs / stepMs);
    this.#running += weight * (running - this.#running);
    this.#tokenRate += weight * (generationTokensPerSecond - this.#tokenRate);
    if (running > 0 && generationTokensPerSecond > 0) this.#seenMs += sinceMs;
    if (this.#seenMs >= trustMs && this.#isSeen)
      this.like.learn({ prefillTokensPerSecond: this.#peak, stepMs: this.#ownStepMs });
  }

  /** Tokens of prompts computed a second of late. */
  get promptTokensPerSecond(): number {
    return this.#promptRate;
  }

  get prefillTokensPerSecond(): number {
    return this.#mixed(this.#peak, this.like.prefillTokensPerSecond);
  }

  get stepMs(): number {
    return this.#mixed(this.#ownStepMs, this.like.stepMs);
  }

  get #ownStepMs(): number {
    return (1000 * this.#running) / this.#tokenRate;
  }

  get #isSeen(): boolean {
    return this.#peak >= 1 && this.#tokenRate >= 0.01 && this.#running >= 0.001;
  }

  #mixed(own: number, like: number): number {
    if (!this.#isSeen) return like;
    const weight = this.#seenMs / (this.#seenMs + trustMs);
    return weight * own + (1 - weight) * like;
  }
}
