import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { connect, type Channel, type ChannelModel } from 'amqplib';
import { sleep, within, type Clock } from '../../core/clock.js';
import type { EventsLogger } from '../../core/logger.js';
import { Waiters } from '../../core/waiters.js';
import { brokerText, connectError, isLoginRefused, transportClosed } from './rabbitmq.errors.js';
import type { RabbitmqSettings } from './rabbitmq.options.js';

const ATTEMPT_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5_000;

export interface HealingConnectionOptions {
  /** How the connection introduces itself to the broker's operators. */
  readonly label: string;
  readonly settings: RabbitmqSettings;
  readonly clock: Clock;
  readonly logger: EventsLogger;
  /** Told of every change. */
  readonly changed: (error?: unknown) => void;
}

/**
 * One connection that heals: when it is lost, the next url is tried, with growing pauses, until {@link close}.
 * What was on it (channels, consumers) is restored by `HealingChannel`, which waits here for the next one.
 */
export class HealingConnection {
  readonly #closing = new AbortController();
  readonly #waiting = new Waiters();
  readonly #unblocked = new Set<() => void>();
  #model: ChannelModel | undefined;
  #started: Promise<void> | undefined;
  #blocked: string | undefined;
  #end: (error?: Error) => void = () => undefined;
  #nextUrl = 0;
  #gathering = false;

  constructor(private readonly options: HealingConnectionOptions) {}

  /** Whether {@link connect} was called. */
  get started(): boolean {
    return this.#started !== undefined;
  }

  get connected(): boolean {
    return this.#model !== undefined;
  }

  /** The open connection, if there is one. */
  get model(): ChannelModel | undefined {
    return this.#model;
  }

  /** Why the broker takes no publishes right now, in its words. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Throws EVENTS_TRANSPORT_UNREACHABLE after `connectTimeoutMs`, EVENTS_TRANSPORT_UNAUTHORIZED at once. May be called again. */
  connect(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** The open connection, as soon as there is one; `undefined` once the signal aborts or the connection is closed. */
  async ready(signal: AbortSignal): Promise<ChannelModel | undefined> {
    while (this.#model === undefined) {
      if (signal.aborted || this.#closing.signal.aborted) return undefined;
      await this.#waiting.wait(signal);
    }
    return this.#model;
  }

  /** Calls back whenever the broker takes publishes again. */
  onUnblocked(listener: () => void): void {
    this.#unblocked.add(listener);
  }

  /** Gathers the frames of this turn into few writes: amqplib writes each message on its own, and a system call costs more than the rest. */
  gather(): void {
    const socket = this.#model === undefined ? undefined : socketOf(this.#model);
    if (socket === undefined || this.#gathering) return;
    this.#gathering = true;
    socket.cork();
    const write = (): void => {
      this.#gathering = false;
      socket.uncork();
    };
    // amqplib hands its frames to the socket in the next turn.
    setImmediate(() => setImmediate(write));
  }

  /** Gives up a connection that does not work any more; the next one is made. */
  drop(model: ChannelModel, reason: string): void {
    if (this.#model === model) this.#end(new Error(reason));
    // n.b. with an error, so that amqplib closes its channels too; its own close() waits for a peer that may be silent
    socketOf(model)?.destroy(new Error(reason));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const model = this.#model;
    this.#waiting.wake();
    if (model === undefined) return;
    await within(this.options.clock, CLOSE_TIMEOUT_MS, closed(model));
    socketOf(model)?.destroy();
  }

  async #start(): Promise<void> {
    const { clock, settings } = this.options;
    try {
      const model = await this.#dial(clock.now() + settings.connectTimeoutMs);
      if (model === undefined) throw transportClosed(settings.name);
      void this.#keep(model);
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
  }

  async #keep(first: ChannelModel): Promise<void> {
    for (let model: ChannelModel | undefined = first; model !== undefined; model = await this.#dial()) {
      const error = await this.#serve(model);
      if (!this.#closing.signal.aborted) {
        this.options.logger.warn(`${this.options.label}: connection lost: ${brokerText(error)}`);
      }
      this.options.changed(error);
    }
  }

  /** Holds one connection until it is closed; resolves with the reason. */
  async #serve(model: ChannelModel): Promise<unknown> {
    let reason: unknown = new Error('closed');
    const ended = new Promise<void>((resolve) => {
      this.#end = (error) => {
        reason = error ?? reason;
        resolve();
      };
      model.on('error', (error) => (reason = error));
      model.on('close', this.#end);
    });
    const stopWatching = this.#watchBlocked(model);
    this.#model = model;
    this.options.changed();
    this.#waiting.wake();
    await ended;
    stopWatching();
    this.#model = undefined;
    return reason;
  }

  /** n.b. only connections that publish are ever blocked: the broker stops reading from them when memory or disk run short. */
  #watchBlocked(model: ChannelModel): () => void {
    const { clock, logger, label, settings } = this.options;
    let cancel = (): void => undefined;
    model.on('blocked', (reason) => {
      this.#blocked = reason;
      logger.warn(`${label}: RabbitMQ blocks publishing (${reason}); publishes wait`);
      cancel();
      cancel = clock.after(settings.blockedTimeoutMs, () => this.drop(model, 'blocked for too long'));
    });
    const unblock = (): void => {
      cancel();
      this.#blocked = undefined;
    };
    model.on('unblocked', () => {
      unblock();
      for (const listener of this.#unblocked) listener();
    });
    return unblock;
  }

  /** Tries the urls in turn. Without a deadline it goes on until closed, also past a refused login: passwords are rotated. */
  async #dial(deadline?: number): Promise<ChannelModel | undefined> {
    const { clock, settings, logger, label } = this.options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const url = settings.urls[this.#nextUrl++ % settings.urls.length] as string;
      const remainingMs = deadline === undefined ? ATTEMPT_TIMEOUT_MS : Math.max(1, deadline - clock.now());
      try {
        const model = await this.#open(url, Math.min(ATTEMPT_TIMEOUT_MS, remainingMs));
        if (!signal.aborted) return model;
        await closed(model);
      } catch (error) {
        failures++;
        const pauseMs = failures % settings.urls.length === 0 ? backoffMs(failures / settings.urls.length) : 0;
        if (deadline !== undefined && (isLoginRefused(error) || clock.now() + pauseMs >= deadline)) {
          throw connectError(
            error,
            isLoginRefused(error) ? addressOf(url) : this.#addresses(),
            settings.connectTimeoutMs,
          );
        }
        // Once: whoever waits at start shall know what for, and not be told twice a second.
        logger[failures === 1 ? 'warn' : 'debug'](
          `${label}: no connection to ${addressOf(url)} yet: ${brokerText(error)}`,
        );
        await sleep(clock, pauseMs, signal);
      }
    }
    return undefined;
  }

  #open(url: string, timeoutMs: number): Promise<ChannelModel> {
    const { settings, label } = this.options;
    const target = new URL(url);
    if (!target.searchParams.has('heartbeat')) target.searchParams.set('heartbeat', String(settings.heartbeatSeconds));
    return connect(target.href, {
      ...settings.tls,
      // Without it Nagle's algorithm holds small frames back for up to 40 ms.
      noDelay: true,
      timeout: timeoutMs,
      clientProperties: { connection_name: label },
    });
  }

  #addresses(): string {
    return this.options.settings.urls.map(addressOf).join(', ');
  }
}

/** A pause that doubles from 100 ms to 5 s, less up to half of it, so that instances do not come back all at once. */
export function backoffMs(failures: number): number {
  const full = Math.min(5_000, 100 * 2 ** Math.max(0, failures - 1));
  return full * (1 - Math.random() / 2);
}

function addressOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === '' ? (protocol === 'amqps:' ? 5671 : 5672) : port}`;
}

/** Closes a connection or channel. n.b. amqplib's own promise stays open for ever when the connection is lost meanwhile. */
export async function closed(what: ChannelModel | Channel): Promise<void> {
  await Promise.race([once(what, 'close'), what.close()]).catch(() => undefined);
}

type Socket = Pick<Duplex, 'cork' | 'uncork' | 'destroy'>;

/** n.b. amqplib keeps its socket to itself, and has no other way to gather frames or to end one whose peer is silent. */
function socketOf(model: ChannelModel): Socket | undefined {
  return (model.connection as { stream?: Socket }).stream;
}
