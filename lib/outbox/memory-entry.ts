import type { Envelope } from '../core/envelope.js';
import { envelopeFromJson, envelopeToJson } from './outbox-entry.js';
import type { OutboxEntry, ParkedEvent, Relayed, TakenEntry } from './outbox-store.js';

/** An entry as the memory outbox keeps it: as text, so that what the publisher changes later changes nothing here. */
export class MemoryEntry implements TakenEntry {
  readonly id: string;
  readonly event: string;
  readonly transport: string;
  readonly line: string | undefined;
  readonly enrolledAt: number;
  readonly #text: string;
  #failures = 0;
  #error = '';
  /** Not to be handed over earlier. */
  dueAt: number;
  parkedAt: number | undefined;
  /** By a relay at work. */
  held = false;

  /** Throws EVENTS_DATA_NOT_SERIALIZABLE. */
  constructor({ envelope, transport, delayMs, notBefore }: OutboxEntry, now: number) {
    this.id = envelope.id;
    this.event = envelope.name;
    this.transport = transport;
    this.enrolledAt = now;
    this.#text = envelopeToJson(envelope);
    this.dueAt = notBefore?.getTime() ?? now + (delayMs ?? 0);
    const hasOwnTime = notBefore !== undefined || delayMs !== undefined;
    this.line = hasOwnTime ? undefined : envelope.key;
  }

  get failures(): number {
    return this.#failures;
  }

  get waitsSince(): number {
    return this.#failures > 0 ? this.enrolledAt : Math.max(this.enrolledAt, this.dueAt);
  }

  read(): Envelope {
    return envelopeFromJson(this.#text);
  }

  /** Its own time has not come; one that failed waits for another reason. */
  isDelayed(now: number): boolean {
    return this.parkedAt === undefined && this.#failures === 0 && this.dueAt > now;
  }

  failed(answer: Extract<Relayed, { error: string }>, now: number): void {
    this.#failures++;
    this.#error = answer.error;
    if (answer.type === 'parked') this.parkedAt = now;
    else this.dueAt = now + answer.retryAfterMs;
  }

  release(): void {
    this.#failures = 0;
    this.dueAt = 0;
    this.parkedAt = undefined;
  }

  toParked(): ParkedEvent | undefined {
    if (this.parkedAt === undefined) return undefined;
    const { id, event, transport } = this;
    return {
      ...{ id, event, transport, attempts: this.#failures, error: this.#error, envelope: this.read() },
      enrolledAt: new Date(this.enrolledAt),
      parkedAt: new Date(this.parkedAt),
    };
  }
}
