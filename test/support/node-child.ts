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

  /** `script`: within the project. `flags`: of node. */
  constructor(
    private readonly script: string,
    task: unknown,
    flags: readonly string[] = [],
  ) {
    if (!existsSync(`${PROJECT}dist/lib/index.js`)) {
      throw new Error('dist/lib is not built. Run "npm run build", or the tests with "npm test".');
    }
    this.#child = spawn(process.execPath, [...flags, script, JSON.stringify(task)], { cwd: PROJECT });
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

  /** Resolves with its exit code, or the signal that ended it, when it is gone and all it said has been read. */
  async ended(): Promise<number | string | null> {
    await this.#gone;
    return this.#child.signalCode ?? this.#child.exitCode;
  }

  /** Asks it to end: SIGTERM. Resolves like {@link ended}. */
  stop(): Promise<number | string | null> {
    if (!this.hasEnded) this.#child.kill('SIGTERM');
    return this.ended();
  }

  /** No chance to say goodbye: SIGKILL. Resolves when it is gone and all it said has been read. */
  async kill(): Promise<void> {
    if (!this.hasEnded) this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
