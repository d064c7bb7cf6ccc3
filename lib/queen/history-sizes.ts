export const historyStepMs = 10_000;
/** One hour. */
export const historySteps = 360;
/** Series of one ring. */
export const seriesPerRing = 4;
/** A step of the day is two minutes. */
export const stepsPerDayStep = 12;
