import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { withBrokersAlone } from '../../support/broker-lock.js';
import { eventually } from '../../support/eventually.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

const PUBLISHERS = 5;
const TIMEOUT_MS = 600_000;
/** n.b. RabbitMQ 3.10 writes down a new queue up to 3 s late: killed before, it has forgotten the queue's events. */
const SETTLED_AFTER_MS = 5_000;

/** For transports whose confirmed events survive their broker's end. The last case: it waits until no other file needs a broker. */
export function restart({ open, harness }: ConformanceSuite): void {
  const { restartBroker } = harness;
  if (restartBroker === undefined) {
    if (process.env['CI'] === 'true')
      throw new Error('This broker cannot be restarted from here, and CI=true skips nothing.');
    test.skip('the broker restarts (skipped: this broker was not started by the project, so it is not killed)', () =>
      undefined);
    return;
  }

  test(
    'the broker is killed and comes back in the middle of publishing and consuming: nothing is lost',
    () => withBrokersAlone(() => survives(open, restartBroker)),
    TIMEOUT_MS,
  );
}

async function survives(open: ConformanceSuite['open'], restartBroker: () => Promise<void>): Promise<void> {
  const [domain, group] = [uniqueWord('restart'), uniqueWord('group')];
  const [publisher, consuming] = await Promise.all([open(), open()]);
  const consumer = await consuming.consume({ group, patterns: [`${domain}.order.placed`], handle: () => sleep(2) });
  const confirmed: string[] = [];
  const refused: unknown[] = [];
  let stop = false;
  const publish = async (p: number): Promise<void> => {
    for (let n = 0; !stop; n++) {
      try {
        confirmed.push((await publisher.publish(`${domain}.order.placed`, { p, n }, { key: `key-${p}` })).id);
      } catch (error) {
        refused.push(error);
      }
      await sleep(2);
    }
  };
  const startedAt = performance.now();
  const publishing = Promise.all(Array.from({ length: PUBLISHERS }, (_, p) => publish(p)));
  await eventually(() => consumer.ids.size >= 100 && performance.now() - startedAt > SETTLED_AFTER_MS, {
    what: 'events before the end of the broker',
  });

  await restartBroker();

  const before = confirmed.length;
  await eventually(() => confirmed.length >= before + 100, { what: 'publishing again', deadlineMs: 60_000 });
  stop = true;
  await publishing;
  await eventually(() => confirmed.every((id) => consumer.ids.has(id)), {
    what: 'every confirmed event',
    deadlineMs: 60_000,
  });
  // A publish may fail while the broker is away, but then it says so by a code of ours.
  for (const error of refused) expect(error).toMatchObject({ code: expect.stringMatching(/^EVENTS_/) });
  await eventually(() => publisher.transport.isConnected() && consuming.transport.isConnected(), {
    what: 'both being connected again, also the one that publishes nothing',
  });
}
