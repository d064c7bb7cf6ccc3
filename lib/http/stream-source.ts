import type { WorkerView } from '../contract/api.js';
import { maxPageSize } from '../queen/queries.js';
import type { Registry } from '../queen/registry.js';
import type { StreamSource } from './stream-hub.js';

/** The registry as streams see it. */
export function streamSource(registry: Registry): StreamSource {
  return {
    get warming() {
      return registry.warming;
    },
    get lastEventId() {
      return registry.events.lastId;
    },
    eventsSince: (id) => registry.replay(id),
    hiveIds: () => {
      const ids: string[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = registry.hives({ limit: maxPageSize, cursor });
        for (const hive of page.items) ids.push(hive.id);
        cursor = page.nextCursor;
        if (cursor === null) return ids;
      }
    },
    hive: (id) => registry.hive(id),
    workersOf: (hive) => {
      const rows: WorkerView[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = registry.workers({ hive, limit: maxPageSize, cursor });
        rows.push(...page.items);
        cursor = page.nextCursor;
        if (cursor === null) return rows;
      }
    },
    subscribe: (listener) => registry.subscribe(listener),
  };
}
