/**
 * Prints `N passed, N failed, N skipped` of a file that jest wrote with --json, and exits with 1 where that is
 * not a success: a failure, nothing run, or with CI=true something skipped.
 */
import { readJson } from './servers/records.mjs';

const results = readJson(process.argv[2] ?? '') ?? {};
const passed = results.numPassedTests ?? 0;
// n.b. a file that cannot be loaded fails without a failed test
const failed = (results.numFailedTests ?? 0) + (results.numRuntimeErrorTestSuites ?? 0);
const skipped = (results.numPendingTests ?? 0) + (results.numTodoTests ?? 0);

if (passed + failed === 0) console.error('No test was run.');
if (skipped > 0 && process.env.CI === 'true') console.error('With CI=true nothing may be skipped.');
const ok = failed === 0 && passed > 0 && !(skipped > 0 && process.env.CI === 'true');
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = ok ? 0 : 1;
