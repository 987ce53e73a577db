import { describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { EventAttempt, OnEvent, Payload, type EventsModuleOptions } from '../../lib/index.js';
import { Gate, eventually } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { printTable } from '../support/print-table.js';
import { uniqueWord } from '../support/unique.js';
import { FailingEvents, type Entry } from './failing-events.js';
import { FIGURES, SEED } from './figures.js';

const EVENTS = FIGURES.failingEvents;
const KEYS = 100;
const ATTEMPTS = 4;
const SENT_AT_ONCE = 500;
/** So many may be in flight in the test of a full window. */
const WINDOW = 10;

export interface FailingTransport {
  readonly kind: string;
  /** A transport on which at most so many deliveries are in flight, where that is not the module's `window`. */
  readonly create: (limits: { readonly inFlight?: number }) => TransportDefinition;
}

/** What one event that fails does to the others: nothing, but to those of its key, which wait for it. */
export function manyFailures({ kind, create }: FailingTransport): void {
  describe(`events that fail, over ${kind}`, () => {
    const start = useApps();
    const open = async (
      Handlers: new () => object,
      { service, inFlight, ...options }: Partial<EventsModuleOptions> & { service: string; inFlight?: number },
    ): Promise<TestApp> => {
      const transports = [create(inFlight === undefined ? {} : { inFlight })];
      return start({ providers: [Handlers], options: { service, transports, ...options } });
    };

    test(`of ${EVENTS} events of ${KEYS} keys, exactly the poison ones are dead letters, the others have one effect, in order`, async () => {
      const service = uniqueWord('failing');
      const failing = new FailingEvents({ count: EVENTS, keys: KEYS, seed: SEED });
      const done = new Map<number, number>();
      const order = new Map<string, number[]>();
      const numbers: string[] = [];
      const attempts = new Map<number, number>();
      @Injectable()
      class Ledger {
        @OnEvent(`${service}.entry.made`, { id: 'book', concurrency: 20 })
        book(@Payload() { n, key }: Entry, @EventAttempt() { attempt }: { attempt: number }): void {
          const seen = (attempts.get(n) ?? 0) + 1;
          attempts.set(n, seen);
          if (attempt !== seen) numbers.push(`${n}: attempt ${attempt} was its ${seen}th`);
          if (attempt <= failing.timesOf(n)) throw new Error(`entry ${n} cannot be booked`);
          done.set(n, (done.get(n) ?? 0) + 1);
          order.set(key, [...(order.get(key) ?? []), n]);
        }
      }
      const app = await open(Ledger, { service });
      const ids = new Map<string, number>();
      for (let from = 0; from < EVENTS; from += SENT_AT_ONCE) {
        const some = failing.entries.slice(from, from + SENT_AT_ONCE);
        const sent = await app.bus.publishAll(
          some.map((entry) => ({ name: `${service}.entry.made`, data: entry, key: entry.key })),
        );
        sent.forEach(({ id }, index) => ids.set(id, from + index));
      }
      const poison = failing.entries.map(({ n }) => n).filter((n) => failing.timesOf(n) === Infinity);
      const good = EVENTS - poison.length;
      await eventually(() => app.of('handled').length >= good && app.of('dead-lettered').length >= poison.length, {
        ...{ what: `${good} handled and ${poison.length} dead letters`, deadlineMs: 240_000 },
      });

      const letters = await app.deadLetters('book', service);
      const wrongAttempts = app.of('handled').filter(({ id, attempt }) => {
        return attempt !== failing.timesOf(ids.get(id ?? '') ?? -1) + 1;
      });
      const disordered = [...order.values()].filter((ns) => ns.some((n, index) => n < (ns[index - 1] ?? -1)));
      printTable(`Events that fail over ${kind} (seed ${SEED})`, [
        {
          events: EVENTS,
          poison: poison.length,
          'dead letters': letters.length,
          handled: done.size,
          retries: app.of('retried').length,
          'keys out of order': disordered.length,
        },
      ]);
      expect(byNumber(letters.map(({ eventId }) => ids.get(eventId ?? '') ?? -1))).toEqual(poison);
      expect(letters.filter((letter) => letter.attempts !== ATTEMPTS)).toEqual([]);
      expect(done.size).toBe(good);
      expect([...done].filter(([, times]) => times !== 1)).toEqual([]);
      expect(disordered).toEqual([]);
      expect(numbers).toEqual([]);
      expect(wrongAttempts).toEqual([]);
      // Each had as many attempts as it needed, and none more.
      expect([...attempts].filter(([n, seen]) => seen !== Math.min(failing.timesOf(n) + 1, ATTEMPTS))).toEqual([]);
    }, 300_000);

    test("holds only its own key; with ordering: 'none' not even that", async () => {
      for (const ordering of ['key', 'none'] as const) {
        const service = uniqueWord('parked');
        const booked: string[] = [];
        // Succeeds when all have been handled that do not have to wait for it.
        const passes = ordering === 'key' ? ['b1', 'b2'] : ['a2', 'a3', 'b1', 'b2'];
        @Injectable()
        class Ledger {
          @OnEvent(`${service}.entry.made`, { id: 'book', ordering, retry: { attempts: 100_000 } })
          book(@Payload() entry: string): void {
            if (entry === 'a1' && !passes.every((each) => booked.includes(each))) throw new Error('not yet');
            booked.push(entry);
          }
        }
        const app = await open(Ledger, { service });
        for (const entry of ['a1', 'a2', 'a3', 'b1', 'b2'])
          await app.bus.publish(`${service}.entry.made`, entry, { key: entry.slice(0, 1) });
        await eventually(() => booked.length === 5);
        const after = booked.slice(booked.indexOf('a1') + 1);
        expect(after).toEqual(ordering === 'key' ? ['a2', 'a3'] : []);
      }
    });

    test('a window full of events that wait for a retry holds up the others, and loses none', async () => {
      const service = uniqueWord('full');
      const gate = new Gate();
      let isOpen = false;
      void gate.passed.then(() => (isOpen = true));
      const booked: number[] = [];
      @Injectable()
      class Ledger {
        @OnEvent(`${service}.entry.made`, { id: 'book', concurrency: 4, retry: { attempts: 100_000 } })
        book(@Payload() n: number): void {
          if (n < WINDOW && !isOpen) throw new Error('not yet');
          booked.push(n);
        }
      }
      const app = await open(Ledger, { service, inFlight: WINDOW, window: { maxDeliveries: WINDOW } });
      const all = Array.from({ length: WINDOW * 10 }, (_, n) => n);
      for (const n of all) await app.bus.publish(`${service}.entry.made`, n, { key: `k${n}` });

      const retriesOf = (id: string | undefined): number => app.of('retried').filter((each) => each.id === id).length;
      const waiting = await eventually(() => {
        const ids = [...new Set(app.of('retried').map(({ id }) => id))];
        return ids.length === WINDOW && ids.every((id) => retriesOf(id) > 5) && ids;
      });
      expect(waiting).toHaveLength(WINDOW);
      expect(booked).toEqual([]);

      gate.open();
      await eventually(() => app.of('handled').length >= all.length, { what: 'all are handled' });
      expect(byNumber(booked)).toEqual(all);
      expect(await app.deadLetters('book', service)).toEqual([]);
    });
  });
}

function byNumber(numbers: readonly number[]): number[] {
  return [...numbers].sort((one, other) => one - other);
}
