// What `npm run test:mutation` changes and which tests must notice, by room: unit tests only, nothing that waits on real time
// or starts daemons.
import { readFileSync } from 'node:fs';
import { at, read } from '../../scripts/run.js';

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
      'test/gpu/nvidia/{doctor,helper,impossible,nvidia-smi-*,nvml,nvml-times,places,report,vendor}.test.ts',
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

const filesUnder = (directory) =>
  read('git', ['ls-files', '--cached', '--others', '--exclude-standard', directory]).split('\n');

/** The sources of a room. */
export const filesOf = (room) => filesUnder('lib').filter((file) => file.endsWith('.ts') && roomOf(file) === room);

/** The tests that import none of some files, or only types of them; none where that would be all of the room's. */
export function otherTests(room, files) {
  const names = files.map((file) => `/${file.replace(/\.ts(:.*)?$/, '.js')}'`);
  const isOwn = (test) => {
    const imports = readFileSync(at(test), 'utf8').replace(/^import type .*$/gm, '');
    return names.some((name) => imports.includes(name));
  };
  const all = filesUnder('test').filter((file) => file.endsWith('.test.ts'));
  const directories = room.tests.map((pattern) => /^[^*!{]*\//.exec(pattern)[0]);
  const own = all.filter((file) => directories.some((directory) => file.startsWith(directory)) && isOwn(file));
  return own.length === 0 ? [] : all.filter((file) => !own.includes(file));
}
