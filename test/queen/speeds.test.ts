import { describe, expect, it } from 'vitest';
import { LearnedSpeeds, WorkerClass } from '../../lib/queen/speeds.js';

const rates = (running: number | null, prompts: number | null, tokens: number | null) => ({
  running,
  promptTokensPerSecond: prompts,
  generationTokensPerSecond: tokens,
});

describe('what workers of one kind have in common', () => {
  it('is taken from the first of them, and moves by a fiftieth towards each later one', () => {
    const like = new WorkerClass('L4');
    expect([like.gpuName, like.prefillTokensPerSecond, like.stepMs, like.meanPromptTokens]).toEqual([
      'L4',
      5000,
      30,
      1000,
    ]);
    expect(new WorkerClass().gpuName).toBeNull();
    like.learn({ prefillTokensPerSecond: 2000, stepMs: 50 });
    expect([like.prefillTokensPerSecond, like.stepMs]).toEqual([2000, 50]);
    like.learn({ prefillTokensPerSecond: 90_000, stepMs: 1 });
    expect([like.prefillTokensPerSecond, like.stepMs]).toEqual([2040, 49]);
    like.learn({ prefillTokensPerSecond: 2040, stepMs: 49 });
    expect([like.prefillTokensPerSecond, like.stepMs]).toEqual([2040, 49]);
    like.learn({ prefillTokensPerSecond: 1, stepMs: 90 });
    expect(like.prefillTokensPerSecond).toBeCloseTo(2040 * 0.98, 9);
    expect(like.stepMs).toBeCloseTo(49 * 1.02, 9);
  });

  it('the mean of their prompts moves by a hundredth', () => {
    const like = new WorkerClass();
    like.learnPrompt(2000);
    expect(like.meanPromptTokens).toBe(1010);
    like.learnPrompt(10);
    expect(like.meanPromptTokens).toBe(1000);
  });
});

describe('the speeds of one worker', () => {
  it('are those of its kind while its engine does not say what they follow from', () => {
    const like = new WorkerClass();
    const speeds = new LearnedSpeeds(like);
    for (const missing of [rates(null, 900, 40), rates(4, null, 40), rates(4, 900, null)])
      speeds.learn(missing, 60_000);
    expect([speeds.promptTokensPerSecond, speeds.prefillTokensPerSecond, speeds.stepMs]).toEqual([0, 5000, 30]);
    like.learn({ prefillTokensPerSecond: 700, stepMs: 11 });
    expect([speeds.prefillTokensPerSecond, speeds.stepMs]).toEqual([700, 11]);
  });

  it('follow its counters, its own as much as those of its kind after half a minute', () => {
    const like = new WorkerClass();
    const speeds = new LearnedSpeeds(like);
    speeds.learn(rates(4, 900, 80), 29_999);
    const promptRate = 900 * (1 - Math.exp(-29_999 / 5000));
    const weight = 29_999 / 59_999;
    // Four at 80 tokens a second: each waits 50 ms for one.
    expect(speeds.promptTokensPerSecond).toBeCloseTo(promptRate, 6);
    expect(speeds.prefillTokensPerSecond).toBeCloseTo(weight * promptRate + (1 - weight) * 5000, 6);
    expect(speeds.stepMs).toBeCloseTo(weight * 50 + (1 - weight) * 30, 6);
    // It has not been seen for long enough to say anything of its kind.
    expect([like.prefillTokensPerSecond, like.stepMs]).toEqual([5000, 30]);
    speeds.learn(rates(4, 900, 80), 1);
    expect(like.prefillTokensPerSecond).toBeCloseTo(900 - (900 - promptRate) * Math.exp(-1 / 5000), 6);
    expect(like.stepMs).toBeCloseTo(50, 6);
  });

  it('the peak stays where it is not reached again, and is half of it after half an hour', () => {
    const like = new WorkerClass();
    const speeds = new LearnedSpeeds(like);
    speeds.learn(rates(4, 900, 80), 3_600_000);
    expect(speeds.prefillTokensPerSecond).toBeCloseTo(900 + (900 - 900) * 0, -1);
    speeds.learn(rates(4, 0, 80), 1_800_000);
    expect(speeds.promptTokensPerSecond).toBeCloseTo(0, 6);
    const weight = 5_400_000 / 5_430_000;
    expect(speeds.prefillTokensPerSecond).toBeCloseTo(weight * 450 + (1 - weight) * like.prefillTokensPerSecond, 6);
  });

  it('while nothing runs, or nothing comes of it, it is not seen', () => {
    const like = new WorkerClass();
    const speeds = new LearnedSpeeds(like);
    for (const idle of [rates(0, 900, 80), rates(4, 900, 0)]) speeds.learn(idle, 60_000);
    expect([like.prefillTokensPerSecond, like.stepMs]).toEqual([5000, 30]);
    // All of its weight is that of its kind still.
    expect([speeds.prefillTokensPerSecond, speeds.stepMs]).toEqual([5000, 30]);
  });

  it.each([
    ['a token of a prompt a second', rates(4, 0.9, 80), rates(4, 1.1, 80)],
    ['a token in a hundred seconds', rates(4, 900, 0.009), rates(4, 900, 0.011)],
    ['a thousandth of a request', rates(0.0009, 900, 80), rates(0.0011, 900, 80)],
  ])('less than %s is none', (_, less, more) => {
    for (const [given, isSeen] of [
      [less, false],
      [more, true],
    ] as const) {
      const speeds = new LearnedSpeeds(new WorkerClass());
      speeds.learn(given, 3_600_000);
      expect(speeds.stepMs === 30 && speeds.prefillTokensPerSecond === 5000).toBe(!isSeen);
    }
  });
});
