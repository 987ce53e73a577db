/** `npm start`: installs and builds what is needed, then runs the sample app. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt } from './build.mjs';
import { ensureInstalled, requireNode } from './install.mjs';
import { onInterrupt, runNode } from './run.mjs';
import { PROJECT } from './servers/records.mjs';

requireNode();

/** @type {import('./run.mjs').Run | undefined} */
let running;
onInterrupt((signal) => (running ? running.interrupt(signal) : process.exit(130)));

try {
  await ensureInstalled();
  await ensureBuilt((run) => {
    console.error('Building …');
    running = run;
  });
  const main = join(PROJECT, 'dist', 'sample-app', 'main.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: delete the folder dist and try again.`);
  running = runNode(['--enable-source-maps', main]);
  process.exitCode = await running.exitCode;
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
}
