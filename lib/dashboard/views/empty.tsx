import { fleetWorkersText } from '../../present/knowledge.js';
import { sentence } from '../../present/sentences.js';
import { hives } from '../data/fleet.js';

const command = 'npx hivepulse run --group demo --instance busy -- node -e "for(;;);"';
const hiveCommand = 'npx hivepulse hive --queen ';

/** What to do when there is nothing to see yet. */
export function EmptyFleet() {
  return (
    <section class="empty" aria-label="Nothing yet">
      <h2>No hive has reported yet</h2>
      <p>Start one on each host, pointed at this queen:</p>
      <pre>
        {hiveCommand}
        {new URL('.', document.baseURI).href.replace(/\/$/, '')}
      </pre>
      <p class="hint">A hive that runs but does not show up: run npx hivepulse doctor on its host.</p>
    </section>
  );
}

export function NoWorkers() {
  const missing = fleetWorkersText(Array.from(hives.values(), ({ view }) => view));
  return (
    <section class="empty" aria-label="No workers yet">
      <h2>{missing === null ? 'No worker yet' : 'No worker is known'}</h2>
      <p>
        {missing === null
          ? `${hives.size === 1 ? 'This host is' : 'These hosts are'} watched, and nothing that serves a model runs.`
          : sentence(missing)}{' '}
        Start a worker to see it here within three seconds:
      </p>
      <pre>{command}</pre>
      <p class="hint">Containers, known engines and whatever holds a GPU are discovered; more with --watch.</p>
    </section>
  );
}
