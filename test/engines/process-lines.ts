/** The words of a command line without quotes. */
export const argv = (line: string): string[] => line.split(' ');

/** Processes of a worker: each line is a command, started by the one above that is indented less. */
export function tree(lines: readonly string[]) {
  const parents: { indent: number; pid: number }[] = [];
  return lines.map((line, index) => {
    const text = line.trimStart();
    const indent = line.length - text.length;
    while ((parents.at(-1)?.indent ?? -1) >= indent) parents.pop();
    const pid = 100 + index;
    const parentPid = parents.at(-1)?.pid ?? 1;
    parents.push({ indent, pid });
    return { pid, parentPid, argv: argv(text) };
  });
}
