// The rooms of lib/ and who may import whom. CONTRIBUTING.md has the same list with what is in each.
import { isTypeScript, parse, resolve } from './sources.js';

/** From the lowest up: a file imports only from its own room and from those before it. */
export const rooms =
  'util contract native io cgroup procfs config gpu engines present client workers sampling launch queen nats http metrics cluster hive api daemon doctor dashboard cli index.ts'.split(
    ' ',
  );

/** Besides the order: what must not be reached, not even through other files. */
const apart = [
  { from: ['queen', 'cluster', 'api'], to: ['sampling', 'workers', 'hive'] },
  { from: ['sampling'], to: ['queen'] },
];

const roomOf = (path) => path.split('/')[1];

/** Breadth-first from `start`; the path to the first file that `wanted` accepts, or null. */
function pathTo(start, graph, wanted) {
  const before = new Map([[start, null]]);
  for (const file of before.keys())
    for (const { target } of graph.get(file) ?? []) {
      if (wanted(target)) {
        const path = [target];
        for (let at = file; at !== null; at = before.get(at)) path.unshift(at);
        return path;
      }
      if (!before.has(target)) before.set(target, file);
    }
  return null;
}

function cycles(graph) {
  const reported = new Set();
  return [...graph.keys()].flatMap((file) => {
    if (reported.has(file)) return [];
    const path = pathTo(file, graph, (target) => target === file);
    for (const each of path ?? []) reported.add(each);
    return path === null ? [] : [`${file}: imports itself by way of ${path.join(' -> ')}; move what they share lower`];
  });
}

/** What is wrong with the imports of lib/, given path -> text. */
export function checkRooms(files) {
  const sources = [...files].filter(([path]) => path.startsWith('lib/') && isTypeScript(path));
  const graph = new Map(
    sources.map(([path, text]) => [
      path,
      parse(path, text).imports.flatMap(({ module, line }) => {
        const target = resolve(path, module, files);
        return target?.startsWith('lib/') && isTypeScript(target) ? [{ target, line }] : [];
      }),
    ]),
  );
  const strays = [...graph.keys()].filter((path) => !rooms.includes(roomOf(path)));
  const upward = [...graph].flatMap(([path, imports]) =>
    imports
      .filter(({ target }) => rooms.indexOf(roomOf(target)) > rooms.indexOf(roomOf(path)))
      .map(
        ({ target, line }) =>
          `${path}:${line}: imports ${target}: ${roomOf(target)}/ comes after ${roomOf(path)}/; take it as an argument, or move it lower`,
      ),
  );
  const reached = [...graph.keys()].flatMap((path) =>
    apart
      .filter(({ from }) => from.includes(roomOf(path)))
      .map(({ to }) => pathTo(path, graph, (target) => to.includes(roomOf(target))))
      .filter((found) => found !== null)
      .map((found) => `${found.join(' -> ')}: ${roomOf(path)}/ must not reach ${roomOf(found.at(-1))}/`),
  );
  return [
    ...strays.map(
      (path) => `${path}: ${roomOf(path)} is no room of lib/; see scripts/lint/rooms.js and CONTRIBUTING.md`,
    ),
    ...upward,
    ...reached,
    ...cycles(graph),
  ];
}
