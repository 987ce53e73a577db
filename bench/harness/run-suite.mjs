/**
 * Runs the cases of a suite: in each round every contestant once, in another order than before, each in a process of
 * its own. So what else the machine does meets all of them alike.
 */
import { join } from 'node:path';
import { parseOptions } from './options.mjs';
import { caseTables, factTables, progress } from './report.mjs';
import { Results, writeResults } from './results.mjs';
import { runJob } from './run-job.mjs';

/**
 * @typedef {object} Entry a contestant in a case
 * @property {string} contestant its name in the results
 * @property {string} module of `contestants/`
 * @property {Record<string, unknown>} [options] for that module
 * @property {string} [baseline] the contestant whose figure is 1. Default: the first of the case
 *
 * @typedef {object} Case
 * @property {string} title
 * @property {string} measure a module of `measures/`
 * @property {Record<string, number>} settings of the measure
 * @property {Record<string, number>} quick what is different with --quick
 * @property {number} [rounds] at most so many, for a case that takes minutes
 * @property {Entry[]} entries
 *
 * @typedef {object} Run one contestant in one round of one case
 * @property {Case} benchCase
 * @property {Entry} entry
 * @property {Record<string, number>} settings
 * @property {number} number of the run, in this suite
 *
 * @typedef {object} Suite
 * @property {string} name
 * @property {Case[]} cases
 * @property {(run: Run) => Promise<import('./types.mjs').Target>} prepare makes the place where the run happens
 * @property {(run: Run, target: import('./types.mjs').Target) => Promise<void>} cleanUp
 * @property {() => Promise<void>} close removes everything
 * @property {() => Promise<Record<string, string>>} versions
 */

const RESULTS = join(import.meta.dirname, '..', 'results');

/**
 * @param {Suite} suite
 * @param {string[]} args of the command line
 */
export async function runSuite(suite, args) {
  const options = parseOptions(args);
  const results = new Results();
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => interrupted.abort());
  const runs = plan(suite, options);
  if (runs.length === 0) throw new Error(`--only ${options.only} leaves nothing of the suite ${suite.name}.`);
  try {
    for (const [index, run] of runs.entries()) {
      if (interrupted.signal.aborted) break; // n.b. the run itself was ended by the same signal
      const done = progress(`${index + 1}/${runs.length} ${label(run.benchCase, run.entry)}`);
      done(await runOnce(suite, run, results));
    }
  } finally {
    await suite.close();
  }
  if (interrupted.signal.aborted) {
    process.exitCode = 130;
    return;
  }

  for (const table of [...caseTables(results), ...factTables(results)]) console.log(table);
  const whole = !options.quick && options.only === undefined && results.failures.length === 0;
  const file = join(RESULTS, `${suite.name}${whole ? '' : '.partial'}.json`);
  writeResults(file, results, await suite.versions());
  console.log(`Written to ${file}`);
  for (const failure of results.failures) console.error(`\nFAILED ${failure}`);
  if (results.failures.length > 0) process.exitCode = 1;
}

/**
 * @param {Suite} suite
 * @param {import('./options.mjs').BenchOptions} options
 * @returns {Run[]}
 */
function plan({ cases }, { rounds, quick, only }) {
  /** @type {Run[]} */
  const runs = [];
  for (const benchCase of cases) {
    const settings = { ...benchCase.settings, ...(quick ? benchCase.quick : {}) };
    const entries = benchCase.entries.filter((entry) => label(benchCase, entry).includes(only ?? ''));
    for (let round = 0; round < Math.min(rounds, benchCase.rounds ?? rounds); round++) {
      const turn = entries.length === 0 ? 0 : round % entries.length;
      for (const entry of [...entries.slice(turn), ...entries.slice(0, turn)]) {
        runs.push({ benchCase, entry, settings, number: runs.length });
      }
    }
  }
  return runs;
}

/**
 * @param {Suite} suite
 * @param {Run} run
 * @param {Results} results
 * @returns {Promise<string>} what came of it, in a few words
 */
async function runOnce(suite, run, results) {
  const { benchCase, entry, settings } = run;
  results.expect(benchCase, entry);
  try {
    const target = await suite.prepare(run);
    try {
      const { module, options = {} } = entry;
      const measured = await runJob({ measure: benchCase.measure, module, options, target, settings });
      return results.add(benchCase, entry, measured);
    } finally {
      await suite.cleanUp(run, target);
    }
  } catch (error) {
    results.failures.push(`${label(benchCase, entry)}: ${/** @type {Error} */ (error).message}`);
    return 'failed';
  }
}

/**
 * @param {Case} benchCase
 * @param {Entry} entry
 */
function label({ title }, { contestant }) {
  return `${title}: ${contestant}`;
}
