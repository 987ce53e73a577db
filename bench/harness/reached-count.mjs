/** Counts, and tells when a number is reached. */

const STALL_MS = 30_000;

export class ReachedCount {
  count = 0;
  #waitsFor = Infinity;
  /** @type {(reached: unknown) => void} */
  #reached = () => {};

  add() {
    if (++this.count >= this.#waitsFor) this.#reached(undefined);
  }

  /**
   * Throws when the count stands still.
   * @param {number} count
   */
  async reaches(count) {
    if (this.count >= count) return;
    let before = this.count;
    this.#waitsFor = count;
    await new Promise((resolve, reject) => {
      const watch = setInterval(() => {
        if (this.count === before) done(() => reject(new Error(`It stands still: ${before} of ${count} events.`)));
        before = this.count;
      }, STALL_MS);
      const done = (/** @type {() => void} */ how) => {
        clearInterval(watch);
        how();
      };
      this.#reached = () => done(() => resolve(undefined));
    });
    this.#waitsFor = Infinity;
  }
}
