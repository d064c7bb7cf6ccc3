import { known, type Shape } from './shape.js';

const datePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;
const patterns = new Map<string, RegExp>();

function compiled(pattern: string): RegExp {
  let found = patterns.get(pattern);
  if (found === undefined) {
    found = new RegExp(pattern, 'u');
    patterns.set(pattern, found);
  }
  return found;
}

/**
 * Where a value does not fit a shape, and why: `/labels/zone must be a string`; null where it fits. For who reads a file
 * now and then and need not load the schema library for it. Properties that the shape does not name are let through.
 */
export function shapeProblem(shape: Shape<unknown>, value: unknown, path = ''): string | null {
  const problem = (what: string) => `${path || '/'} ${what}`;
  if (shape.anyOf !== undefined) return value === null ? null : shapeProblem(known(shape), value, path);
  if (shape.enum !== undefined)
    return shape.enum.includes(value as string) ? null : problem(`must be one of ${shape.enum.join(', ')}`);
  switch (shape.type) {
    case 'string':
      return typeof value === 'string' ? textProblem(shape, value, problem) : problem('must be a string');
    case 'integer':
    case 'number':
      return numberProblem(shape, value, problem);
    case 'boolean':
      return typeof value === 'boolean' ? null : problem('must be true or false');
    case 'array':
      return Array.isArray(value) ? listProblem(shape, value, path) : problem('must be a list');
    default:
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return problem('must be an object');
      return objectProblem(shape, value as Readonly<Record<string, unknown>>, path);
  }
}

type Problem = (what: string) => string;

function numberProblem(shape: Shape<unknown>, value: unknown, problem: Problem): string | null {
  const whole = shape.type === 'integer';
  if (typeof value !== 'number' || !(whole ? Number.isInteger(value) : Number.isFinite(value)))
    return problem(`must be ${whole ? 'an integer' : 'a number'}`);
  if (value < (shape.minimum ?? value)) return problem(`must be at least ${shape.minimum}`);
  return value > (shape.maximum ?? value) ? problem(`must be at most ${shape.maximum}`) : null;
}

function textProblem(shape: Shape<unknown>, text: string, problem: Problem): string | null {
  if (shape.maxLength !== undefined && [...text].length > shape.maxLength)
    return problem(`must have at most ${shape.maxLength} characters`);
  if (shape.minLength !== undefined && text.length < shape.minLength)
    return problem(`must have at least ${shape.minLength} characters`);
  if (shape.pattern !== undefined && !compiled(shape.pattern).test(text)) return problem(`must match ${shape.pattern}`);
  if (shape.format === 'date-time' && !(datePattern.test(text) && Number.isFinite(Date.parse(text))))
    return problem('must be a time (RFC 3339)');
  return null;
}

function listProblem(shape: Shape<unknown>, values: readonly unknown[], path: string): string | null {
  if (values.length > (shape.maxItems ?? values.length))
    return `${path || '/'} must have at most ${shape.maxItems} items`;
  for (const [i, value] of values.entries()) {
    const problem = shapeProblem(shape.items as Shape<unknown>, value, `${path}/${i}`);
    if (problem !== null) return problem;
  }
  return null;
}

function objectProblem(shape: Shape<unknown>, value: Readonly<Record<string, unknown>>, path: string): string | null {
  for (const name of shape.required ?? []) if (!Object.hasOwn(value, name)) return `${path}/${name} is missing`;
  for (const [name, property] of Object.entries(shape.properties ?? {})) {
    if (!Object.hasOwn(value, name)) continue;
    const problem = shapeProblem(property, value[name], `${path}/${name}`);
    if (problem !== null) return problem;
  }
  const names = Object.keys(value);
  if (names.length > (shape.maxProperties ?? names.length))
    return `${path || '/'} must have at most ${shape.maxProperties} entries`;
  for (const [pattern, property] of Object.entries(shape.patternProperties ?? {}))
    for (const name of names) {
      if (!compiled(pattern).test(name)) return `${path || '/'} has a key that does not match ${pattern}`;
      const problem = shapeProblem(property, value[name], `${path}/${name}`);
      if (problem !== null) return problem;
    }
  return null;
}
