import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { Message } from 'amqplib';
import fc from 'fast-check';
import { Acknowledger } from './rabbitmq.acknowledger.js';

/** A channel as the broker sees it: it knows the open tags, and closes for any other. */
class BrokerChannel {
  readonly open = new Set<number>();
  readonly acknowledged = new Set<number>();
  readonly returned = new Set<number>();
  frames = 0;

  ack({ fields: { deliveryTag } }: Message, multiple = false): void {
    this.#take(deliveryTag, multiple, this.acknowledged);
  }

  nack({ fields: { deliveryTag } }: Message, multiple = false): void {
    this.#take(deliveryTag, multiple, this.returned);
  }

  #take(tag: number, multiple: boolean, into: Set<number>): void {
    this.frames++;
    if (!this.open.has(tag)) throw new Error(`PRECONDITION_FAILED - unknown delivery tag ${tag}`);
    for (const each of multiple ? [...this.open].filter((one) => one <= tag) : [tag]) {
      this.open.delete(each);
      into.add(each);
    }
  }
}

function receive(count: number): {
  channel: BrokerChannel;
  acknowledger: Acknowledger;
  tags: ReturnType<Acknowledger['received']>[];
} {
  const channel = new BrokerChannel();
  const acknowledger = new Acknowledger(channel);
  const tags = Array.from({ length: count }, (_, index) => {
    channel.open.add(index + 1);
    return acknowledger.received(index + 1);
  });
  return { channel, acknowledger, tags };
}

describe('the acknowledger', () => {
  it('writes one frame a turn for a settled stretch', async () => {
    const { channel, acknowledger, tags } = receive(100);
    for (const tag of [...tags].reverse()) acknowledger.acknowledge(tag);
    expect(channel.frames).toBe(0);
    await turn();
    expect(channel.frames).toBe(1);
    expect(channel.open.size).toBe(0);
  });

  it('acknowledges above an open tag one by one, and the rest without naming a tag twice', async () => {
    const { channel, acknowledger, tags } = receive(4);
    const [parked, ...others] = tags;
    for (const tag of others) acknowledger.acknowledge(tag);
    await turn();
    expect([...channel.open]).toEqual([1]);
    if (parked !== undefined) acknowledger.acknowledge(parked);
    await turn();
    expect([...channel.acknowledged].sort()).toEqual([1, 2, 3, 4]);
  });

  it('writes nothing once its channel is lost', async () => {
    const { channel, acknowledger, tags } = receive(2);
    for (const tag of tags) acknowledger.acknowledge(tag);
    acknowledger.lost();
    await turn();
    expect(channel.frames).toBe(0);
  });

  it('tells each outcome exactly once, whatever the order and the turns', () => {
    const step = fc.record({ index: fc.nat(29), release: fc.boolean(), flush: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { channel, acknowledger, tags } = receive(30);
        const expected = new Map<number, 'acknowledged' | 'returned'>();
        for (const { index, release, flush } of steps) {
          const tag = tags[index];
          if (tag === undefined) continue;
          if (!expected.has(index + 1)) expected.set(index + 1, release ? 'returned' : 'acknowledged');
          if (release) acknowledger.release(tag);
          else acknowledger.acknowledge(tag);
          if (flush) acknowledger.flush();
        }
        acknowledger.flush();
        const told = (how: 'acknowledged' | 'returned'): number[] =>
          [...expected].flatMap(([tag, outcome]) => (outcome === how ? [tag] : [])).sort((a, b) => a - b);
        expect([...channel.acknowledged].sort((a, b) => a - b)).toEqual(told('acknowledged'));
        expect([...channel.returned].sort((a, b) => a - b)).toEqual(told('returned'));
        expect(acknowledger.pending).toBe(30 - expected.size);
      }),
    );
  });
});
