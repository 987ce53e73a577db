import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { memory, OnEvent } from '../../lib/index.js';
import type { LoggedAttempt } from '../../lib/retry/attempt-log.js';
import { thisProcess, type AppIdentity } from '../../lib/retry/this-process.js';
import { TypeormAttempts } from '../../lib/retry/typeorm-attempts.js';
import { typeormAttempts } from '../../lib/typeorm.js';
import { TransactionContext } from '../../lib/typeorm/transaction-context.js';
import { StoreDatabase } from '../../lib/typeorm/store-database.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { ManualClock } from '../support/manual-clock.js';
import { useApps } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';

const SELF = thisProcess();
/** Above what Linux and macOS give out. */
const NO_SUCH_PID = 2 ** 22 + 7;
/** A process of this machine that has ended. */
const ENDED = { host: SELF.host, pid: NO_SUCH_PID, origin: SELF.origin - 60_000 };
const ELSEWHERE = { host: 'elsewhere', pid: 1, origin: SELF.origin };
const HEARTBEAT_MS = 10_000;

const culprit: LoggedAttempt = { consumer: 'shop.mails', delivery: randomUUID() };
const neighbour: LoggedAttempt = { consumer: 'shop.mails', delivery: randomUUID() };

@Injectable()
class Mails {
  @OnEvent('orders.order.placed', { id: 'mails' })
  send(): void {}
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('typeormAttempts', () => {
    const startApp = useApps();
    let world: TypeormWorld;
    let clock: ManualClock;
    let logs: TypeormAttempts[];

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      clock = new ManualClock();
      logs = [];
    });
    afterEach(async () => {
      for (const log of logs) log.release();
      await world.close();
    });

    const create = async (identity: Partial<AppIdentity> = {}): Promise<TypeormAttempts> => {
      const environment = world.environment({ clock });
      const database = new StoreDatabase({ schema: world.schema }, environment, 'attempts');
      const log = new TypeormAttempts(database, environment, { ...SELF, id: randomUUID(), ...identity });
      logs.push(log);
      await log.prepare();
      return log;
    };
    /** A process that runs. */
    const start = async (identity: Partial<AppIdentity> = {}): Promise<TypeormAttempts> => {
      const log = await create(identity);
      await log.open('shop');
      return log;
    };
    /** How many a process finds that starts now. */
    const found = async (service = 'shop'): Promise<number> => {
      const log = await create();
      const count = await log.open(service);
      await log.close();
      return count;
    };
    const silence = (host: string, seconds: number): Promise<unknown> =>
      world.rows(
        `UPDATE ${world.schema}.processes SET seen_at = now() - make_interval(secs => ${seconds}) WHERE host = $1`,
        [host],
      );

    test('a process that ended as it should leaves nothing', async () => {
      const log = await start();
      expect(await world.count('processes')).toBe(1);
      await log.begin(culprit);
      await log.close();
      expect([await world.count('processes'), await world.count('delivery_attempts')]).toEqual([0, 0]);
      expect([await found(), clock.pending]).toEqual([0, 0]);
    });

    test.each<[string, Partial<AppIdentity>, number]>([
      ['on this machine, and its pid is gone', ENDED, 1],
      ['with this pid in an earlier life, as in a container', { origin: SELF.origin - 1 }, 1],
      ['in this very process: another application of it', {}, 0],
      ['on this machine, and lives', { pid: process.ppid, origin: SELF.origin - 60_000 }, 0],
      ['on another machine, and was heard of', ELSEWHERE, 0],
    ])('a process that ran %s', async (_, identity, expected) => {
      await start(identity);
      expect(await found()).toBe(expected);
    });

    test('a process of another machine has ended when nothing was heard of it for a minute', async () => {
      await start(ELSEWHERE);
      await silence('elsewhere', 55);
      expect(await found()).toBe(0);
      await silence('elsewhere', 65);
      expect(await found()).toBe(1);
    });

    test('other services are none of its business', async () => {
      await start(ENDED);
      expect(await found('mail')).toBe(0);
    });

    test('whoever starts is told, until somebody has looked after it', async () => {
      await start(ENDED);
      const first = await create();
      expect([await first.open('shop'), await found()]).toEqual([1, 1]);
      await first.lookedAfter();
      await first.close();
      expect(await found()).toBe(0);
    });

    test('looking after one is not looking after those that end meanwhile', async () => {
      await start(ENDED);
      const first = await create();
      await first.open('shop');
      await start({ ...ENDED, pid: NO_SUCH_PID + 1 });
      expect(await found()).toBe(2);
      await first.lookedAfter();
      expect(await found()).toBe(1);
    });

    test('attempts are counted that ended with their process', async () => {
      for (let life = 0; life < 3; life++) {
        const log = await start({ ...ENDED, pid: NO_SUCH_PID + life });
        expect(await log.begin(culprit)).toBe(life);
        expect(await log.begin(neighbour)).toBe(0);
        await log.end(neighbour);
        // The next one finds that it has ended.
        expect(await found()).toBe(life + 1);
      }
      const last = await start();
      expect(await last.begin(culprit)).toBe(3);
      await last.forget(culprit);
      expect([await last.begin(culprit), await last.begin(neighbour)]).toEqual([0, 0]);
    });

    test('attempts still count when the process that ended was looked after', async () => {
      const log = await start(ENDED);
      await log.begin(culprit);
      const next = await start();
      await next.lookedAfter();
      expect([await world.count('processes'), await next.begin(culprit)]).toEqual([1, 1]);
    });

    test('attempts of the same event that end well, or run in a process that lives, do not count', async () => {
      const other = await start(ELSEWHERE);
      await other.begin(culprit);
      const log = await start();
      expect(await log.begin(culprit)).toBe(0);
      await log.end(culprit);
      expect(await log.begin(culprit)).toBe(0);
      await silence('elsewhere', 65);
      await found();
      expect(await log.begin(culprit)).toBe(1);
    });

    test('an end takes only the own attempt, an event that has come to its end takes all', async () => {
      const dead = await start(ENDED);
      await dead.begin(culprit);
      const log = await start();
      await log.begin(culprit);
      await log.end(culprit);
      expect(await world.count('delivery_attempts')).toBe(1);
      await log.forget(culprit);
      expect(await world.count('delivery_attempts')).toBe(0);
    });

    test('a process says every ten seconds that it lives, also when it was taken for ended or its row is gone', async () => {
      const log = await start(ELSEWHERE);
      const lives = (): Promise<unknown> =>
        eventually(
          async () => {
            const [row] = await world.rows<{ lives: boolean }>(
              `SELECT lost_at IS NULL AND seen_at > now() - interval '5 seconds' AS lives
               FROM ${world.schema}.processes WHERE host = 'elsewhere'`,
            );
            return row?.lives;
          },
          { what: 'a sign of life', deadlineMs: 5_000 },
        );
      await silence('elsewhere', 65);
      expect(await found()).toBe(1);
      clock.advance(HEARTBEAT_MS);
      await lives();
      await world.rows(`DELETE FROM ${world.schema}.processes`);
      clock.advance(HEARTBEAT_MS);
      await lives();
      await log.close();
      expect(await world.count('processes')).toBe(0);
    });

    test('what nobody will ask for again does not pile up', async () => {
      const log = await start(ENDED);
      await log.begin(culprit);
      await log.begin(neighbour);
      await world.rows(
        `UPDATE ${world.schema}.delivery_attempts SET begun_at = now() - interval '8 days' WHERE delivery = $1`,
        [culprit.delivery],
      );
      await world.rows(
        `INSERT INTO ${world.schema}.processes (id, service, host, pid, origin, started_at, lost_at)
         SELECT gen_random_uuid(), 'shop', 'elsewhere', 1, 1, now() - interval '1 hour', now() FROM generate_series(1, 100)`,
      );
      expect(await found()).toBe(20);
      expect([await world.count('processes'), await world.count('delivery_attempts')]).toEqual([20, 1]);
    });

    test('what is written down stays, whatever becomes of the transaction it is called in', async () => {
      const log = await start();
      const context = TransactionContext.of(world.dataSource) as TransactionContext;
      const failed = context.run(
        async () => {
          await log.begin(culprit);
          throw new Error('failed');
        },
        { owner: 'caller' },
      );
      await expect(failed).rejects.toThrow('failed');
      expect(await world.count('delivery_attempts')).toBe(1);
    });

    test('an application says when an earlier one has ended uncleanly, and stops as it should', async () => {
      await start(ENDED);
      const options = { attempts: typeormAttempts({ schema: world.schema }), transports: [memory()] };
      const providers = [Mails, { provide: DataSource, useValue: world.dataSource }];
      const app = await startApp({ options, providers });
      expect(app.logger.messages('warn')).toContainEqual(
        expect.stringMatching(/^1 earlier process\(es\) of shop ended/),
      );
      expect(await world.count('processes')).toBe(2);
      await app.close();
      // The dead one is left to the next: what it had in flight is not through.
      expect(await world.count('processes')).toBe(1);
      await world.rows(`DELETE FROM ${world.schema}.processes`);
      const second = await startApp({ options, providers });
      expect(second.logger.messages('warn').filter((line) => line.includes('ended without'))).toEqual([]);
    });
  });
});
