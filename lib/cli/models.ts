import type { Command } from 'commander';
import type { WorkersQuery } from '../contract/queries.js';
import type { ModelRow } from '../present/model-rows.js';
import { defined } from '../util/defined.js';
import { addFleetFilters, collectPages, labelQuery, limitOf, noteOfNoWorker } from './filters.js';
import { listCommand } from './listing.js';

/** Adds `hivepulse models`. */
export function register(program: Command): void {
  const command = program
    .command('models')
    .summary('list the models that are served')
    .description(
      'Lists every name that clients may ask for: how many workers serve it and are ready, what they have to do, and what is free.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse models --sort waiting
  $ hivepulse models -o json | jq -r '.items[] | select(.ready == 0).name'`,
    );
  listCommand<ModelRow>(addFleetFilters(command), {
    none: 'no worker serves a model that is known.',
    sorts: ['model', 'replicas', 'ready', 'hosts', 'running', 'waiting', 'tokens', 'free', 'vram'],
    columns: async () => (await import('./model-columns.js')).modelColumns,
    query: (flags) => {
      const limit = limitOf(flags);
      const query = defined({ liveness: flags.liveness as WorkersQuery['liveness'], label: labelQuery(flags.label) });
      return async (client) => {
        const { items, warming } = await collectPages(Number.POSITIVE_INFINITY, (range) =>
          client.workers({ ...query, ...range }),
        );
        const { modelRows } = await import('../present/model-rows.js');
        const { compareNames } = await import('../present/search.js');
        const rows = modelRows(items).sort((a, b) => compareNames(a.name, b.name));
        const notes = items.length === 0 ? await noteOfNoWorker(client, undefined) : [];
        return { document: { items: rows, warming }, rows, notes, limit };
      };
    },
  });
}
