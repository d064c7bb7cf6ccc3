import type { VNode } from 'preact';

/** Lines of what a component draws: one for each element with its attributes, and one for each text. */
export function drawnLines(node: unknown, indent = ''): string[] {
  if (Array.isArray(node)) return node.flatMap((child) => drawnLines(child, indent));
  if (node === null || node === undefined || typeof node === 'boolean') return [];
  if (typeof node !== 'object') return [`${indent}${node}`];
  const { type, props } = node as VNode<Record<string, unknown>>;
  const { children, ...rest } = props;
  if (typeof type === 'function') return drawnLines((type as (given: unknown) => unknown)(props), indent);
  const attributes = Object.entries(rest)
    .filter(([name, value]) => name !== 'ref' && typeof value !== 'function' && value !== undefined)
    .map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return [`${indent}<${type}${attributes.join('')}>`, ...drawnLines(children, `${indent}  `)];
}
