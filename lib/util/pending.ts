interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Answers that are outstanding, by number. `keepAlive` is called when the first comes and the last goes. */
export class Pending<T> {
  readonly #outstanding = new Map<number, Settle<T>>();
  readonly #keepAlive: (yes: boolean) => void;

  constructor(keepAlive: (yes: boolean) => void) {
    this.#keepAlive = keepAlive;
  }

  add(id: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#outstanding.size === 0) this.#keepAlive(true);
      this.#outstanding.set(id, { resolve, reject });
    });
  }

  resolve(id: number, value: T): void {
    const settle = this.#outstanding.get(id);
    if (!settle) return;
    this.#outstanding.delete(id);
    if (this.#outstanding.size === 0) this.#keepAlive(false);
    settle.resolve(value);
  }

  rejectAll(reason: unknown): void {
    if (this.#outstanding.size === 0) return;
    const all = [...this.#outstanding.values()];
    this.#outstanding.clear();
    this.#keepAlive(false);
    for (const settle of all) settle.reject(reason);
  }
}
