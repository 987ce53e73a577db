import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { matchesPattern } from './event-name.js';
import type { Transport } from './transport.js';
import { patternsOverlap, TransportRegistry } from './transport-registry.js';

const transport = (name: string): Transport => ({ name }) as Transport;
const registry = new TransportRegistry([transport('kafka'), transport('rabbitmq'), transport('memory')], {
  'mail.urgent.#': 'memory',
  'mail.#': 'rabbitmq',
  'audit.*.logged': 'memory',
});
const names = (transports: readonly Transport[]): string[] => transports.map(({ name }) => name);

describe('routes', () => {
  it('publish a name where the first matching route says, else on the first transport', () => {
    expect(registry.forName('mail.urgent.sent').name).toBe('memory');
    expect(registry.forName('mail.daily.sent').name).toBe('rabbitmq');
    expect(registry.forName('orders.order.placed').name).toBe('kafka');
  });

  it('make a subscription listen where its events can arrive', () => {
    expect(names(registry.forPattern('mail.daily.sent'))).toEqual(['rabbitmq']);
    expect(names(registry.forPattern('mail.#'))).toEqual(['rabbitmq', 'memory']);
    expect(names(registry.forPattern('orders.#'))).toEqual(['kafka']);
    expect(names(registry.forPattern('*.*.logged'))).toEqual(['kafka', 'rabbitmq', 'memory']);
    expect(names(registry.forPattern('#'))).toEqual(['kafka', 'rabbitmq', 'memory']);
  });

  it('that name a transport nobody configured are refused with the names there are', () => {
    expect(() => new TransportRegistry([transport('kafka')], { 'a.#': 'rabbit' })).toThrow(
      /no transport named "rabbit".*Configured are: kafka/,
    );
  });
});

describe('whether two patterns overlap', () => {
  const word = fc.constantFrom('a', 'b', '*', '#');
  const pattern = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('.'));

  it('agrees with trying names', () => {
    const candidates: string[][] = [[]];
    for (let length = 0; length < 6; length++) {
      const longest = candidates.filter((each) => each.length === length);
      candidates.push(
        ...longest.flatMap((each) => [
          [...each, 'a'],
          [...each, 'b'],
        ]),
      );
    }
    const tried = candidates.filter((each) => each.length > 0).map((each) => each.join('.'));
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        const found = tried.some((name) => matchesPattern(left, name) && matchesPattern(right, name));
        // Two patterns of `#` alone also meet in the empty name, which no event has; they meet in others too.
        expect(patternsOverlap(left, right)).toBe(found);
      }),
      { numRuns: 300 },
    );
  });
});
