/** What `npm run bench` is told on the command line. Only Node's own modules: it is read before anything is installed. */
import { parseArgs } from 'node:util';

export const SUITES = /** @type {const} */ (['kafka', 'rabbitmq', 'effects', 'failures']);

export const USAGE = `npm run bench -- ${SUITES.join('|')} [--rounds N] [--quick] [--only TEXT]
  --rounds N   how often each contestant runs each case (default 3)
  --quick      short runs that show that everything works; their figures mean nothing
  --only TEXT  only the cases and contestants with this in "<case>: <contestant>"
A full run writes bench/results/<suite>.json, the others bench/results/<suite>.partial.json.`;

/**
 * @typedef {object} BenchOptions
 * @property {number} rounds
 * @property {boolean} quick
 * @property {string | undefined} only
 */

/**
 * @param {string[]} args
 * @returns {BenchOptions} Throws an error with what is wrong.
 */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: { rounds: { type: 'string' }, quick: { type: 'boolean' }, only: { type: 'string' } },
  });
  const quick = values.quick ?? false;
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number above 0');
  return { rounds, quick, only: values.only };
}
