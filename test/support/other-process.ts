import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const SCRIPT = fileURLToPath(new URL('other-process.child.mjs', import.meta.url));

/** What the other process does; it reports a JSON line for each step. */
export interface OtherProcessTask {
  readonly transport: { readonly module: string; readonly factory: string; readonly options: unknown };
  /** Consume: ids of handled events are reported; events whose data says `{ hang: true }` are started and never end. */
  readonly consume?: { readonly group: string; readonly patterns: readonly string[] };
  /** Publish `{ n }` one after another until killed: ids of confirmed events are reported. */
  readonly publish?: { readonly name: string };
}

export interface Report {
  readonly step: 'ready' | 'started' | 'handled' | 'published';
  readonly id?: string;
}

/** A process that runs the built library, to be killed in the middle of its work. */
export class OtherProcess {
  readonly reports: Report[] = [];
  #errors = '';

  private constructor(private readonly child: ChildProcess) {
    if (child.stdout === null || child.stderr === null) throw new Error('the child has no output');
    createInterface(child.stdout).on('line', (line) => this.reports.push(JSON.parse(line) as Report));
    child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
  }

  static async start(task: OtherProcessTask): Promise<OtherProcess> {
    if (!existsSync(`${PROJECT}${task.transport.module}`)) {
      throw new Error(`${task.transport.module} is not built. Run "npm run build", or the tests with "npm test".`);
    }
    const child = spawn(process.execPath, [SCRIPT, JSON.stringify(task)], { cwd: PROJECT });
    const started = new OtherProcess(child);
    await started.reaches((reports) => reports.some(({ step }) => step === 'ready'), 'a process that is ready');
    return started;
  }

  /** The ids reported for a step. */
  ids(step: Report['step']): Set<string> {
    return new Set(this.reports.filter((report) => report.step === step).map(({ id }) => id ?? ''));
  }

  async reaches(condition: (reports: readonly Report[]) => boolean, what: string): Promise<void> {
    await eventually(
      () => {
        if (this.child.exitCode === null) return condition(this.reports);
        throw new Error(`the process ended with ${this.child.exitCode}: ${this.#errors.slice(-2_000)}`);
      },
      { what, deadlineMs: 40_000 },
    );
  }

  /** No chance to say goodbye: SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'close');
    this.child.kill('SIGKILL');
    await gone;
  }
}
