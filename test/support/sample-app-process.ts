import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const ORDER = { items: [{ sku: 'tea', quantity: 2, price: 4.5 }] };

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The built sample app in a process of its own, to be killed and started again at one port. */
export class SampleAppProcess {
  #child: ChildProcess | undefined;
  #port = 0;
  #output = '';
  kills = 0;

  constructor(private readonly environment: Record<string, string>) {}

  async start(): Promise<void> {
    this.#port ||= await freePort();
    const child = spawn(process.execPath, ['dist/sample-app/main.js'], {
      cwd: PROJECT,
      env: { ...process.env, SIMULATED_LATENCY_SCALE: '0', ...this.environment, PORT: String(this.#port) },
    });
    const keep = (chunk: Buffer): void => void (this.#output = (this.#output + chunk.toString()).slice(-8_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.#child = child;
    await eventually(
      async () => {
        if (child.exitCode !== null) return true;
        return (await this.#fetch('/orders', { signal: AbortSignal.timeout(2_000) }))?.ok ?? false;
      },
      // A member of a Kafka group that was killed is missed only when its session of 30 s has passed.
      { what: `the sample app to answer`, deadlineMs: 120_000 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#output}`, { cause: error });
    });
    if (child.exitCode !== null) throw new Error(`the sample app ended with ${child.exitCode}:\n${this.#output}`);
  }

  /** The order's id when it was accepted; `undefined` when there was no answer, or none in time. */
  async checkout(userId: string): Promise<string | undefined> {
    const response = await this.#fetch('/checkout', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ userId, ...ORDER }),
      signal: AbortSignal.timeout(10_000),
    });
    if (response?.status !== 202) return undefined;
    try {
      return ((await response.json()) as { orderId: string }).orderId;
    } catch {
      return undefined; // killed while it answered
    }
  }

  get(path: string): Promise<Answer> {
    return this.#answer(path, {});
  }

  post(path: string, body: unknown): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    return this.#answer(path, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  async page(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#port}/`)).text();
  }

  /** Starts it in an environment it cannot use, and waits for its end. */
  static async fails(environment: Record<string, string>): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, ['dist/sample-app/main.js'], {
      cwd: PROJECT,
      env: { ...process.env, ...environment },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await once(child, 'close');
    return { code: child.exitCode, output };
  }

  /** No chance to say goodbye. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
    this.kills++;
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'close');
    child.kill(signal);
    await gone;
  }

  async #answer(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, init);
    return { status: response.status, body: await response.json() };
  }

  async #fetch(path: string, init: RequestInit): Promise<Response | undefined> {
    try {
      return await fetch(`http://127.0.0.1:${this.#port}${path}`, init);
    } catch {
      return undefined;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
