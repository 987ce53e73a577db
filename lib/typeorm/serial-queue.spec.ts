import { describe, expect, test } from '@jest/globals';
import { SerialQueue } from './serial-queue.js';

describe('SerialQueue', () => {
  test('runs one after another in order, failures included', async () => {
    const queue = new SerialQueue();
    const steps: string[] = [];
    const task =
      (name: string, fail = false) =>
      async (): Promise<string> => {
        steps.push(`${name} starts`);
        await Promise.resolve();
        steps.push(`${name} ends`);
        if (fail) throw new Error(name);
        return name;
      };
    const results = await Promise.allSettled([queue.run(task('a')), queue.run(task('b', true)), queue.run(task('c'))]);
    expect(steps).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends']);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  test('the first starts at once, and one that throws instead of rejecting stops nobody', async () => {
    const failures: unknown[] = [];
    const queue = new SerialQueue((error) => failures.push(error));
    const failure = new Error('thrown');
    let started = false;
    const first = queue.run(() => {
      started = true;
      throw failure;
    });
    expect(started).toBe(true);
    const second = queue.run(async () => 'second');
    await expect(first).rejects.toBe(failure);
    expect(await second).toBe('second');
    expect(failures).toEqual([failure]);
  });

  test('what comes when the queue has been woken does not overtake', async () => {
    const queue = new SerialQueue();
    const order: string[] = [];
    const late = queue
      .run(async () => void order.push('first'))
      .then(() => queue.run(async () => void order.push('late')));
    await Promise.all([queue.run(async () => void order.push('second')), late]);
    expect(order).toEqual(['first', 'second', 'late']);
  });
});
