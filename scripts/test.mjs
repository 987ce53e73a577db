/**
 * `npm test [-- jest's arguments]`: everything, against real servers. A server is the one named in the environment,
 * else one that `npm run brokers` started, else a container, else a native one; those started here are stopped here.
 */
import { ensureBuilt } from './build.mjs';
import { ensureInstalled, requireNode } from './install.mjs';
import { nodeModule, onInterrupt, runNode } from './run.mjs';
import { ADDRESS_VARIABLES, chooseServers, SERVER_NAMES, toServerNames } from './servers/index.mjs';

/**
 * @typedef {import('./servers/index.mjs').Server} Server
 * @typedef {import('./run.mjs').Run} Run
 */

requireNode();

/** @type {Run | undefined} */
let running;
let interrupted = false;
/** @type {Server[]} */
const startedHere = [];
/** @type {string[]} */
const durations = [];

onInterrupt((signal) => {
  if (!interrupted) console.error('\nInterrupted: stopping what was started …');
  interrupted = true;
  running?.interrupt(signal);
});

try {
  process.exitCode = await test(process.argv.slice(2));
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
} finally {
  if (startedHere.length > 0) await phase('stop', () => Promise.all(startedHere.map((server) => server.stop())));
  if (durations.length > 0) console.error(`Took ${durations.join(', ')}.`);
  if (interrupted) process.exitCode = 130;
}

/**
 * @param {string[]} jestArguments
 * @returns {Promise<number>} the exit code
 */
async function test(jestArguments) {
  const skipped = skippedServers();
  await phase('install', ensureInstalled);
  const env = await phase('servers', () => startServers(skipped));
  await phase('build', () => ensureBuilt(keep));
  const jest = ['--experimental-vm-modules', '--no-warnings=ExperimentalWarning', nodeModule('jest/bin/jest.js')];
  return phase('tests', () => keep(runNode([...jest, ...jestArguments], { env, wholeGroup: true })).exitCode);
}

/** @param {Run} run */
function keep(run) {
  running = run;
  return run;
}

function skippedServers() {
  const skipped = toServerNames(
    (process.env.SKIP_BROKERS ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean),
  );
  if (skipped.length === 0) return skipped;
  if (process.env.CI === 'true') throw new Error('SKIP_BROKERS is set, but with CI=true nothing may be skipped.');
  console.error(`\n*** SKIP_BROKERS: the tests that need ${skipped.join(', ')} are NOT run ***\n`);
  return skipped;
}

/**
 * @param {string[]} skipped
 * @returns {Promise<Record<string, string>>} the addresses
 */
async function startServers(skipped) {
  const wanted = SERVER_NAMES.filter((name) => !skipped.includes(name));
  const given = wanted.filter((name) => process.env[ADDRESS_VARIABLES[name]]);
  for (const name of given) console.error(`${name}: the one in ${ADDRESS_VARIABLES[name]}`);
  const servers = chooseServers(wanted.filter((name) => !given.includes(name)));
  const results = await Promise.allSettled(servers.map(start));
  const failures = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason.message);
  if (failures.length > 0) throw new Error(failures.join('\n\n'));
  const addresses = servers.flatMap((server) => Object.entries(server.env() ?? {}));
  return { ...Object.fromEntries(addresses), SKIP_BROKERS: skipped.join(',') };
}

/** @param {Server} server */
async function start(server) {
  const startedNow = await server.start();
  if (startedNow) startedHere.push(server);
  console.error(`${server.name}: ${startedNow ? 'started' : 'already running, and left running'}`);
}

/**
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function phase(name, work) {
  if (interrupted && name !== 'stop') throw new Error(`Interrupted before: ${name}.`);
  const begin = performance.now();
  try {
    return await work();
  } finally {
    durations.push(`${name} ${((performance.now() - begin) / 1_000).toFixed(1)} s`);
  }
}
