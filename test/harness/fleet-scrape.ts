import { type FleetScrape, type FleetSource, scrapeSteps } from '../../lib/api/metric-families.js';

/** What a scrape sees, in one piece. */
export function fleetScrape(source: FleetSource): FleetScrape {
  const steps = scrapeSteps(source);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
