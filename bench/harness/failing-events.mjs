/** Which events fail, and how often: the same ones for every contestant. */
import { randomNumbers } from './events.mjs';

/** As often as it is tried. */
export const ALWAYS = Infinity;

/**
 * Poison ones always fail; of the flaky ones every second fails once, the others twice.
 * @param {number} count
 * @param {{ poisonPercent: number, flakyPercent: number }} shares
 * @returns {number[]} how often each event fails before it succeeds
 */
export function failuresOf(count, { poisonPercent, flakyPercent }) {
  const failures = Array.from({ length: count }, () => 0);
  const indices = shuffled(count);
  const poison = Math.round((count * poisonPercent) / 100);
  const flaky = Math.round((count * flakyPercent) / 100);
  for (const index of indices.slice(0, poison)) failures[index] = ALWAYS;
  indices.slice(poison, poison + flaky).forEach((index, place) => (failures[index] = 1 + (place % 2)));
  return failures;
}

/** @param {number} count */
function shuffled(count) {
  const random = randomNumbers();
  return Array.from({ length: count }, (_, index) => ({ index, at: random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ index }) => index);
}
