import type { ComponentChildren, RefObject } from 'preact';
import { useCallback, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { scrolling } from '../data/scrolling.js';
import { viewportOf } from './viewport.js';

/** Where rows begin. `offsets[n]` is the height of all n rows. */
export type Offsets = Float64Array;

export const evenOffsets = (count: number, height: number): Offsets =>
  Float64Array.from({ length: count + 1 }, (_, index) => index * height);

export function offsetsOf(heights: readonly number[]): Offsets {
  const offsets = new Float64Array(heights.length + 1);
  for (let i = 0; i < heights.length; i++) offsets[i + 1] = offsets[i]! + heights[i]!;
  return offsets;
}

/** The first row that ends after `y`. */
export function rowAt(offsets: Offsets, y: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsets[middle + 1]! > y) high = middle;
    else low = middle + 1;
  }
  return Math.min(low, Math.max(0, offsets.length - 2));
}

/** The offsets of before while they are the same: what did not move need not be measured again. */
function useSame(offsets: Offsets): Offsets {
  const kept = useRef(offsets);
  const old = kept.current;
  if (old.length !== offsets.length || offsets.some((offset, index) => offset !== old[index])) kept.current = offsets;
  return kept.current;
}

/** Drawn ahead on either side, px: a few frames of fast scrolling. */
const overscan = 360;

interface VirtualProps {
  readonly offsets: Offsets;
  readonly scroller: RefObject<HTMLElement>;
  readonly row: (
    index: number,
    style: { readonly transform: string; readonly height: string },
    slot: number,
  ) => ComponentChildren;
  /** Brought into view when it changes; -1: none. */
  readonly reveal?: number;
  /** The part of that row that is, where a row is more than can be seen at once: from and to, px. */
  readonly part?: readonly [number, number] | undefined;
  /** Height covered by what sticks to the top of the scroller. */
  readonly covered?: number;
}

/**
 * Draws only the rows in view. Rows are absolutely placed in a box of the whole height, and their elements are used again
 * for the next row that needs one (the `slot` is their key), so that scrolling makes no garbage.
 */
export function Virtual({ offsets: given, scroller, row, reveal = -1, part, covered = 0 }: VirtualProps) {
  const offsets = useSame(given);
  const box = useRef<HTMLDivElement>(null);
  const slots = useRef(1);
  const [range, setRange] = useState<readonly [number, number]>([0, 0]);
  const count = offsets.length - 1;
  const total = offsets[count]!;

  const placed = useRef(offsets);
  placed.current = offsets;
  const follow = useCallback(() => {
    if (!scroller.current || !box.current) return;
    const seen = viewportOf(scroller.current);
    const top = seen.top - seen.boxTop(box.current);
    const first = rowAt(placed.current, Math.max(0, top - overscan));
    const last = rowAt(placed.current, Math.max(0, top + seen.height + overscan));
    setRange((old) => (old[0] === first && old[1] === last ? old : [first, last]));
  }, [scroller]);

  useLayoutEffect(() => {
    const [outer, inner] = [scroller.current, box.current];
    if (!outer || !inner) return;
    viewportOf(outer).add(inner, follow);
    return () => viewportOf(outer).remove(inner);
  }, [scroller, follow]);
  useLayoutEffect(follow, [offsets, follow]);

  useLayoutEffect(() => {
    const outer = scroller.current;
    if (!outer || !box.current || reveal < 0 || reveal >= count) return;
    const seen = viewportOf(outer);
    const start = seen.boxTop(box.current) + offsets[reveal]!;
    const top = start + (part?.[0] ?? 0);
    const bottom = part === undefined ? seen.boxTop(box.current) + offsets[reveal + 1]! : start + part[1];
    if (top - covered < outer.scrollTop) outer.scrollTop = top - covered;
    else if (bottom > outer.scrollTop + outer.clientHeight) outer.scrollTop = bottom - outer.clientHeight;
  }, [reveal, part?.[0]]);

  const last = Math.min(range[1], count - 1);
  // It only grows: a number that changed with each step would give every row another element.
  slots.current = Math.max(slots.current, last - range[0] + 2);
  const rows = useDrawnRows(row, offsets, slots.current, range[0], last);
  const order = useElementOrder(box, [...rows.keys()]);
  return (
    <div ref={box} class="virtual" role="presentation" style={{ height: `${total}px` }}>
      {order.map((slot) => rows.get(slot))}
    </div>
  );
}

type Row = VirtualProps['row'];

/**
 * What is drawn, by slot. A row that stays in view is the same as before, as long as nothing but the range changed: it is
 * neither drawn nor compared again.
 */
function useDrawnRows(row: Row, offsets: Offsets, slots: number, first: number, last: number) {
  const drawn = useRef({ row, offsets, slots, rows: new Map<number, ComponentChildren>() });
  const before = drawn.current;
  const isSame = before.row === row && before.offsets === offsets && before.slots === slots;
  const rows = new Map<number, ComponentChildren>();
  const bySlot = new Map<number, ComponentChildren>();
  for (let index = first; index <= last; index++) {
    const slot = index % slots;
    const style = {
      transform: `translateY(${offsets[index]}px)`,
      height: `${offsets[index + 1]! - offsets[index]!}px`,
    };
    const kept = isSame ? before.rows.get(index) : undefined;
    const vnode = kept ?? row(index, style, slot);
    rows.set(index, vnode);
    bySlot.set(slot, vnode);
  }
  drawn.current = { row, offsets, slots, rows };
  return bySlot;
}

/**
 * The order of elements, by slot. An element that moves among others is laid out anew with all that is in it, so they stay
 * where they are while one scrolls, and are put in the order in which they are read afterwards; not under the focus, which
 * a move would take away.
 */
function useElementOrder(box: RefObject<HTMLElement>, read: readonly number[]): readonly number[] {
  const order = useRef<readonly number[]>(read);
  const hasFocus = box.current?.contains(document.activeElement) ?? false;
  if (scrolling.value || hasFocus) {
    const kept = order.current.filter((slot) => read.includes(slot));
    order.current = [...kept, ...read.filter((slot) => !kept.includes(slot))];
  } else order.current = read;
  return order.current;
}
