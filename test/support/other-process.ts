import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BatchOptions } from '../../lib/core/subscription.js';
import { NodeChild } from './node-child.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const SCRIPT = 'test/support/other-process.child.mjs';

/** What the other process does; it reports a JSON line for each step. */
export interface OtherProcessTask {
  readonly transport: { readonly module: string; readonly factory: string; readonly options: unknown };
  /** Consume: ids of handled events are reported; events whose data says `{ hang: true }` are started and never end. */
  readonly consume?: { readonly group: string; readonly patterns: readonly string[]; readonly batch?: BatchOptions };
  /** Publish `{ n }` one after another until killed: ids of confirmed events are reported. */
  readonly publish?: { readonly name: string };
}

export interface Report {
  readonly step: 'ready' | 'started' | 'handled' | 'published';
  readonly id?: string;
}

/** A process that runs the built library, to be killed in the middle of its work. */
export class OtherProcess extends NodeChild<Report> {
  static async start(task: OtherProcessTask): Promise<OtherProcess> {
    if (!existsSync(`${PROJECT}${task.transport.module}`)) {
      throw new Error(`${task.transport.module} is not built. Run "npm run build", or the tests with "npm test".`);
    }
    const started = new OtherProcess(SCRIPT, task);
    await started.reaches((reports) => reports.some(({ step }) => step === 'ready'), 'a process that is ready');
    return started;
  }

  /** The ids reported for a step. */
  ids(step: Report['step']): Set<string> {
    return new Set(this.reports.filter((report) => report.step === step).map(({ id }) => id ?? ''));
  }
}
