import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

/** What a child tells, a JSON line each. */
export interface ChildReport {
  readonly step: string;
}

/** A node process that runs the built library until it is killed. It gets its task as JSON, as its only argument. */
export class NodeChild<R extends ChildReport> {
  readonly reports: R[] = [];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<unknown>;
  #errors = '';

  /** `script`: within the project. */
  constructor(
    private readonly script: string,
    task: unknown,
  ) {
    if (!existsSync(`${PROJECT}dist/lib/index.js`)) {
      throw new Error('dist/lib is not built. Run "npm run build", or the tests with "npm test".');
    }
    this.#child = spawn(process.execPath, [script, JSON.stringify(task)], { cwd: PROJECT });
    this.#gone = once(this.#child, 'close');
    createInterface(this.#child.stdout).on('line', (line) => this.reports.push(JSON.parse(line) as R));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors = (this.#errors + chunk.toString()).slice(-8_000)));
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** What it wrote to stderr, its end. */
  get errors(): string {
    return this.#errors;
  }

  /** Waits for a condition on its reports; rejects when the process ends before. */
  async reaches(condition: (reports: readonly R[]) => boolean, what: string, deadlineMs = 60_000): Promise<void> {
    const seen = await eventually(
      () => {
        if (condition(this.reports)) return 'reached';
        return this.hasEnded ? 'ended' : undefined;
      },
      { what, deadlineMs },
    );
    if (seen === 'reached') return;
    await this.#gone;
    const { exitCode, signalCode } = this.#child;
    throw new Error(`${this.script} ended (${signalCode ?? exitCode}) before ${what}:\n${this.#errors}`);
  }

  /** Resolves when it has ended by SIGKILL and all it said has been read; rejects when it ends in another way. */
  async killed(): Promise<void> {
    await this.#gone;
    const { exitCode, signalCode } = this.#child;
    if (signalCode !== 'SIGKILL') throw new Error(`${this.script} ended (${signalCode ?? exitCode}):\n${this.#errors}`);
  }

  /** No chance to say goodbye: SIGKILL. Resolves when it is gone and all it said has been read. */
  async kill(): Promise<void> {
    if (!this.hasEnded) this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
