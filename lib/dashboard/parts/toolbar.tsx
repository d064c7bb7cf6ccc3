import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { at, go, type Param } from '../data/location.js';
import { isPinned } from '../data/still.js';

interface ToolbarProps {
  /** Said of the text filter: what it filters. */
  readonly label: string;
  readonly placeholder: string;
  readonly count: string;
  readonly children: ComponentChildren;
}

/** The text filter, what else a view filters by, and how many rows are left. */
export function Toolbar({ label, placeholder, count, children }: ToolbarProps) {
  return (
    <div class="toolbar">
      <input
        type="search"
        class="filter"
        placeholder={`${placeholder}   /`}
        aria-label={label}
        value={at.q.value}
        onInput={(event) => go({ q: event.currentTarget.value })}
      />
      {children}
      <output class="count">
        {isPinned.value && <span class="still">⏸ order held: press Space to release it</span>}
        {count}
      </output>
    </div>
  );
}

interface ChoicesProps {
  readonly label: string;
  readonly param: Param;
  readonly options: readonly (readonly [value: string, shown: ComponentChildren])[];
}

/** One of a few, or none. */
export function Choices({ label, param, options }: ChoicesProps) {
  const chosen = at[param].value;
  return (
    <div class="choices" role="group" aria-label={label}>
      {options.map(([value, shown]) => (
        <button
          key={value}
          type="button"
          aria-pressed={chosen === value}
          onClick={() => go({ [param]: chosen === value ? '' : value })}
        >
          {shown}
        </button>
      ))}
    </div>
  );
}

interface PickProps {
  readonly label: string;
  readonly param: Param;
  readonly options: readonly string[];
}

/** One of many, or all. */
export function Pick({ label, param, options }: PickProps) {
  const value = at[param].value;
  const all = useMemo(() => [...options].sort(), [options.length]);
  return (
    <label class="pick">
      <span class="sr-only">{label}</span>
      <select value={value} class={value ? 'set' : ''} onChange={(event) => go({ [param]: event.currentTarget.value })}>
        <option value="">{label}: all</option>
        {value !== '' && !all.includes(value) && <option value={value}>{value}</option>}
        {all.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </label>
  );
}
