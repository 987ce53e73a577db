import { PatternTrie } from '../../core/event-name.js';
import { Fifo } from '../../core/fifo.js';
import type { Headers } from '../../core/headers.js';
import { MemoryDeadLetters } from './memory.dead-letters.js';

/** An event as the broker keeps it: bytes, so that publisher and handlers share nothing. */
export interface StoredEvent {
  readonly name: string;
  readonly key: string | undefined;
  readonly headers: Headers;
  readonly body: Uint8Array | null;
  /** Counts up per queue. */
  position: number;
  deliveries: number;
}

/** A consumer that takes events of a queue. */
export interface QueueMember {
  hasRoom(): boolean;
  take(event: StoredEvent): void;
}

/**
 * One queue per handler of a group; the group's members share its events. Events of one key that are in flight stay
 * with one member, so their order holds across instances.
 */
export class MemoryQueue {
  #waiting = new Fifo<StoredEvent>();
  readonly #members = new Set<QueueMember>();
  readonly #holders = new Map<string, { member: QueueMember; inFlight: number }>();
  #nextPosition = 0;
  #turn = 0;

  get size(): number {
    return this.#waiting.size;
  }

  put(event: Omit<StoredEvent, 'position' | 'deliveries'>): void {
    this.#waiting.push({ ...event, position: this.#nextPosition++, deliveries: 0 });
    this.dispatch();
  }

  join(member: QueueMember): void {
    this.#members.add(member);
    this.dispatch();
  }

  leave(member: QueueMember): void {
    this.#members.delete(member);
  }

  settled(event: StoredEvent): void {
    this.#letGo(event);
    this.dispatch();
  }

  /** Puts events back where they were, before those that came later. */
  giveBack(event: StoredEvent): void {
    this.#letGo(event);
    const others = this.#waiting.clear();
    const index = others.findIndex((other) => other.position > event.position);
    others.splice(index === -1 ? others.length : index, 0, event);
    for (const other of others) this.#waiting.push(other);
    this.dispatch();
  }

  /** Hands waiting events, in order, to members with room. */
  dispatch(): void {
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      const member = this.#memberFor(next);
      if (member === undefined) return;
      this.#waiting.shift();
      this.#hold(next, member);
      next.deliveries++;
      member.take(next);
    }
  }

  #memberFor(event: StoredEvent): QueueMember | undefined {
    const holder = event.key === undefined ? undefined : this.#holders.get(event.key);
    if (holder !== undefined) {
      return this.#members.has(holder.member) && holder.member.hasRoom() ? holder.member : undefined;
    }
    const free = [...this.#members].filter((member) => member.hasRoom());
    return free.length === 0 ? undefined : free[this.#turn++ % free.length];
  }

  #hold(event: StoredEvent, member: QueueMember): void {
    if (event.key === undefined) return;
    const holder = this.#holders.get(event.key);
    if (holder === undefined) this.#holders.set(event.key, { member, inFlight: 1 });
    else holder.inFlight++;
  }

  #letGo(event: StoredEvent): void {
    if (event.key === undefined) return;
    const holder = this.#holders.get(event.key);
    if (holder !== undefined && --holder.inFlight === 0) this.#holders.delete(event.key);
  }
}

/**
 * What a real broker would be, in this process. Transports that are given the same broker see the same events; closing
 * and reopening a transport goes on where it was. All of it is gone when the process ends.
 */
export class MemoryBroker {
  readonly #queues = new Map<string, MemoryQueue>();
  readonly #bound = new Set<string>();
  readonly #bindings = new PatternTrie<MemoryQueue>();
  readonly #deadLetters = new Map<string, MemoryDeadLetters>();

  /** The queue of that name, bound to the patterns from now on. */
  declare(name: string, patterns: readonly string[]): MemoryQueue {
    let queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, (queue = new MemoryQueue()));
    for (const pattern of patterns) {
      const binding = JSON.stringify([name, pattern]);
      if (this.#bound.has(binding)) continue;
      this.#bound.add(binding);
      this.#bindings.add(pattern, queue);
    }
    return queue;
  }

  /** Returns whether a queue took the event. */
  publish(event: Omit<StoredEvent, 'position' | 'deliveries'>): boolean {
    const queues = this.#bindings.match(event.name);
    for (const queue of queues) queue.put(event);
    return queues.length > 0;
  }

  /** Those of one handler. */
  deadLettersOf(consumer: string): MemoryDeadLetters {
    let letters = this.#deadLetters.get(consumer);
    if (letters === undefined) this.#deadLetters.set(consumer, (letters = new MemoryDeadLetters()));
    return letters;
  }
}
