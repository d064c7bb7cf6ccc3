// What `npm run test:mutation` changes and which tests must notice, by room: unit tests only, nothing that waits on real time
// or starts daemons.
import { read } from '../../scripts/run.js';

/** @type {readonly { name: string, changes: RegExp, tests: readonly string[] }[]} */
export const rooms = [
  {
    name: 'contract',
    changes: /^lib\/contract\/|^lib\/queen\/merge\./,
    tests: ['test/contract/**/*.test.ts', 'test/queen/merge*.test.ts'],
  },
  { name: 'sampling', changes: /^lib\/sampling\//, tests: ['test/sampling/*.test.ts'] },
  { name: 'queen', changes: /^lib\/queen\//, tests: ['test/queen/!(merge*).test.ts'] },
  { name: 'engines', changes: /^lib\/engines\//, tests: ['test/engines/**/*.test.ts'] },
  {
    name: 'gpu',
    changes: /^lib\/gpu\//,
    // None that reads on a thread of the addon: what a test puts into its environment it does not see in a thread of Node.
    tests: [
      'test/gpu/*.test.ts',
      'test/gpu/drm/*.test.ts',
      'test/gpu/nvidia/{impossible,nvidia-smi-csv,nvidia-smi-exit,nvidia-smi-run,nvml,places,report}.test.ts',
    ],
  },
  {
    name: 'io',
    changes: /^lib\/io\//,
    tests: ['test/io/*.test.ts', 'test/gpu/drm/parity.test.ts', 'test/procfs/sockets.test.ts'],
  },
  { name: 'workers', changes: /^lib\/workers\//, tests: ['test/workers/*.test.ts'] },
  {
    name: 'hive',
    changes: /^lib\/hive\/(event-log|heartbeat-sender)\./,
    tests: ['test/hive/event-log.test.ts', 'test/hive/*sender*.test.ts'],
  },
  {
    name: 'api',
    changes: /^lib\/api\/stream-(group|hub|rows)\./,
    tests: ['test/api/stream*.test.ts', 'test/api/shares.test.ts'],
  },
];

export const roomOf = (file) => rooms.find(({ changes }) => changes.test(file));

/** The sources of a room. */
export const filesOf = (room) =>
  read('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'lib'])
    .split('\n')
    .filter((file) => file.endsWith('.ts') && roomOf(file) === room);
