import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { OnEvent, Payload } from '../../lib/index.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { printTable } from '../support/print-table.js';
import type { DeadLetterBroker } from './dead-letter-brokers.js';
import { Entries, handledIds, inOrder, isFree, isPoison, POISON_COUNT, type Entry } from './dead-letter-entries.js';
import { FIGURES } from './figures.js';

const AWAY_MS = FIGURES.targetAwayMs;
const EVENTS = 200;
/** Published one after the other when dead letters already wait. */
const LATER = 40;
const PUBLISH_EVERY_MS = 25;
/** The longest wait between two tries to write a dead letter is 10 s. */
const RECOVERY_MS = 45_000;

/** The broker does not take dead letters for a while. */
export function deadLettersRefused(create: () => DeadLetterBroker): void {
  describe(`dead letters that ${create().kind} refuses for ${AWAY_MS} ms`, () => {
    const start = useApps();
    let broker: DeadLetterBroker;
    beforeEach(() => {
      broker = create();
    });
    afterEach(() => broker.close());

    test('are not acknowledged and not lost; only their keys wait', async () => {
      const { group, kind } = broker;
      const runs: number[] = [];
      @Injectable()
      class Ledger {
        @OnEvent(`${group}.entry.made`, { id: 'book', retry: { attempts: 1 } })
        book(@Payload() { n }: Entry): void {
          runs.push(n);
          if (isPoison(n)) throw new Error(`entry ${n} cannot be booked`);
        }
      }
      const app = await start({
        providers: [Ledger],
        options: { service: group, transports: [broker.transport()] },
      });
      const entries = new Entries(app, `${group}.entry.made`);

      await broker.takeAway();
      const awayAt = performance.now();
      await entries.publish(0, EVENTS);
      const alarms = (): Set<string | undefined> => new Set(app.of('dead-letter-failed').map(({ id }) => id));
      await eventually(() => alarms().size === POISON_COUNT, { what: 'an alarm for each poison event' });
      const alarmedAt = performance.now();
      let slowestMs = 0;
      for (let n = EVENTS; n < EVENTS + LATER; n++) {
        const begin = performance.now();
        await entries.publish(n, n + 1);
        slowestMs = Math.max(slowestMs, performance.now() - begin);
        await sleep(PUBLISH_EVERY_MS);
      }
      const free = entries.idsOf(isFree);
      await eventually(() => app.of('handled').length >= free.length, { what: 'the other keys are handled' });
      const kept = new Set(entries.idsOf((n) => !isFree(n)));
      await eventually(() => broker.keepsOnly(kept), { what: `${kept.size} events are not acknowledged` });
      await sleep(AWAY_MS - (performance.now() - awayAt));
      expect(await broker.keepsOnly(kept)).toBe(true);
      const [handled, tries] = [app.of('handled').length, app.of('dead-letter-failed').length];
      expect(app.of('dead-lettered')).toEqual([]);
      expect(handledIds(app)).toEqual(free);
      expect(app.logger.messages('error').filter((line) => line.includes('could not be written'))).toHaveLength(tries);

      await broker.giveBack();
      const backAt = performance.now();
      const poison = entries.idsOf(isPoison);
      const good = entries.idsOf((n) => !isPoison(n));
      const settled = (): number => app.of('handled').length + app.of('dead-lettered').length;
      await eventually(() => settled() >= EVENTS + LATER, {
        ...{ what: 'everything has its outcome', deadlineMs: RECOVERY_MS },
      });
      const doneAt = performance.now();
      await eventually(() => broker.keepsOnly(new Set()), { what: 'everything is acknowledged' });
      const written = await broker.written();
      printTable(`Dead letters refused by ${kind} for ${Math.round(backAt - awayAt)} ms: ${broker.trouble}`, [
        {
          published: EVENTS + LATER,
          'handled meanwhile': handled,
          'kept meanwhile': kept.size,
          'tries that failed': tries,
          'first alarms, ms': Math.round(alarmedAt - awayAt),
          'slowest publish meanwhile, ms': Math.round(slowestMs),
          'handled in all': app.of('handled').length,
          'dead letters': written,
          'done after it was back, ms': Math.round(doneAt - backAt),
        },
      ]);

      const letters = await app.deadLetters('book', group);
      expect(letters.map(({ eventId }) => eventId).sort()).toEqual(poison);
      expect(written).toBe(POISON_COUNT);
      expect(handledIds(app)).toEqual(good);
      expect(runs).toHaveLength(EVENTS + LATER);
      expect(inOrder(runs)).toBe(true);
    }, 180_000);
  });
}
