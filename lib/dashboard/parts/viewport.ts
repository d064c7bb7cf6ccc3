/** What is seen of an element that scrolls: read once for each scroll event, for all lists in it, and never laid out for. */
import { noteScroll } from '../data/scrolling.js';

interface Placed {
  /** Top of the box within what is scrolled, px. */
  boxTop: number;
  readonly onChange: () => void;
}

/** One for each element that scrolls. */
class Viewport {
  top = 0;
  height = 0;
  readonly #outer: HTMLElement;
  readonly #boxes = new Map<HTMLElement, Placed>();
  /** Called after layout: where boxes are can be asked for without another one. */
  readonly #sizes = new ResizeObserver(() => this.#place());
  /** What is put above a list moves it, and may have a size from the start. */
  readonly #children = new MutationObserver(() => this.#observeChildren());

  constructor(outer: HTMLElement) {
    this.#outer = outer;
  }

  add(box: HTMLElement, onChange: () => void): void {
    if (this.#boxes.size === 0) this.#start();
    this.#boxes.set(box, { boxTop: this.#topOf(box), onChange });
    this.#sizes.observe(box);
    this.#readScroll();
  }

  remove(box: HTMLElement): void {
    this.#boxes.delete(box);
    this.#sizes.unobserve(box);
    if (this.#boxes.size === 0) this.#stop();
  }

  boxTop(box: HTMLElement): number {
    return this.#boxes.get(box)?.boxTop ?? 0;
  }

  #start(): void {
    this.height = this.#outer.clientHeight;
    this.#outer.addEventListener('scroll', this.#onScroll, { passive: true });
    this.#sizes.observe(this.#outer);
    this.#children.observe(this.#outer, { childList: true });
    this.#observeChildren();
  }

  #stop(): void {
    this.#outer.removeEventListener('scroll', this.#onScroll);
    this.#sizes.disconnect();
    this.#children.disconnect();
  }

  #observeChildren(): void {
    for (const child of this.#outer.children) this.#sizes.observe(child);
  }

  #topOf(box: HTMLElement): number {
    return box.getBoundingClientRect().top - this.#outer.getBoundingClientRect().top + this.#outer.scrollTop;
  }

  #readScroll(): void {
    this.top = this.#outer.scrollTop;
  }

  readonly #onScroll = (): void => {
    noteScroll();
    this.#readScroll();
    for (const { onChange } of this.#boxes.values()) onChange();
  };

  #place(): void {
    this.height = this.#outer.clientHeight;
    this.#readScroll();
    for (const [box, placed] of this.#boxes) placed.boxTop = this.#topOf(box);
    for (const { onChange } of this.#boxes.values()) onChange();
  }
}

const viewports = new WeakMap<HTMLElement, Viewport>();

export function viewportOf(outer: HTMLElement): Viewport {
  const known = viewports.get(outer) ?? new Viewport(outer);
  viewports.set(outer, known);
  return known;
}
