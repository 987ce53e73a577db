import { Fifo } from '../core/fifo.js';

/**
 * Runs tasks one after another, in the order they came. A task that fails does not stop the next. The first starts at
 * once: most transactions have one statement at a time, and each comes through here.
 */
export class SerialQueue {
  readonly #waiting = new Fifo<() => void>();
  #busy = false;

  /** @param onFailure is told first of what a task rejects with */
  constructor(private readonly onFailure: (error: unknown) => void = () => undefined) {}

  run<T>(task: () => Promise<T>): Promise<T> {
    if (!this.#busy) return this.#start(task);
    return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(() => this.#start(task));
  }

  #start<T>(task: () => Promise<T>): Promise<T> {
    this.#busy = true;
    return startOf(task).then(
      (result) => {
        this.#next();
        return result;
      },
      (error: unknown) => {
        this.onFailure(error);
        this.#next();
        throw error;
      },
    );
  }

  /** n.b. stays busy for the one that is woken: nobody comes in between. */
  #next(): void {
    const wake = this.#waiting.shift();
    if (wake === undefined) this.#busy = false;
    else wake();
  }
}

/** pg throws at once when it is given no statement. */
async function rejected<T>(error: unknown): Promise<T> {
  throw error;
}

function startOf<T>(task: () => Promise<T>): Promise<T> {
  try {
    return task();
  } catch (error) {
    return rejected(error);
  }
}
