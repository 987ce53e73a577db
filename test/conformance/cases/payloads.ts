import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { HeaderValue } from '../../../lib/core/headers.js';
import { uniqueWord } from '../../support/unique.js';
import type { ConformanceSuite } from '../conformance-suite.js';

export function payloads({ open }: ConformanceSuite): void {
  test('headers arrive as they were sent: text, bytes, Unicode, lists', async () => {
    const [domain, group] = [uniqueWord('headers'), uniqueWord('group')];
    const headers: Record<string, HeaderValue> = {
      text: 'plain',
      empty: '',
      unicode: 'größer ☃ 🎈',
      'naïve-ключ': 'a name can be Unicode, too',
      bytes: Buffer.from([0, 255, 128, 10]),
      'utf8-bytes': Buffer.from('looks like text'),
      list: ['a', 'b', 'a'],
      'mixed-list': ['a', Buffer.from([0, 255])],
      constructor: 'no way to a prototype',
    };
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.order.placed`] });

    await transport.publish(`${domain}.order.placed`, null, { headers });

    const [call] = await consumer.handled(1);
    expect(comparable(call?.envelope.headers ?? {})).toEqual(comparable(headers));
  });

  test('bytes arrive as bytes', async () => {
    const [domain, group] = [uniqueWord('binary'), uniqueWord('group')];
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.image.added`] });

    await transport.publish(`${domain}.image.added`, bytes);
    await transport.publish(`${domain}.image.added`, new Uint8Array());

    const calls = await consumer.handled(2);
    const bodies = calls.map(({ envelope }) => Buffer.from(envelope.data as Uint8Array).toString('hex')).sort();
    expect(bodies).toEqual(['', bytes.toString('hex')]);
  });

  test('a payload of 900 KB arrives whole', async () => {
    const [domain, group] = [uniqueWord('large'), uniqueWord('group')];
    const data = { text: 'ü🎈a'.repeat(128_000) };
    expect(Buffer.byteLength(JSON.stringify(data))).toBeGreaterThan(890_000);
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.report.made`] });

    await transport.publish(`${domain}.report.made`, data, { key: 'large' });

    const [call] = await consumer.handled(1);
    expect((call?.envelope.data as typeof data).text === data.text).toBe(true);
  });

  test('a payload that is too large is refused by name, and the next one is published', async () => {
    const [domain, group] = [uniqueWord('too-large'), uniqueWord('group')];
    const name = `${domain}.report.made`;
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [name] });

    await expect(transport.publish(name, 'x'.repeat(1_000_001))).rejects.toMatchObject({
      code: 'EVENTS_PAYLOAD_TOO_LARGE',
      event: name,
      remedy: expect.stringContaining('maxPayloadBytes'),
    });

    await transport.publish(name, 'small');
    await consumer.handled(1);
    expect(consumer.data).toEqual(['small']);
  });

  test('a key is any Unicode text, and keeps its order', async () => {
    const keys = fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), {
      minLength: 20,
      maxLength: 20,
    });
    const special = ['\u0000', 'a\u0000b', '\u{10ffff}', '🎈', 'é', 'e\u0301', '\ufeff', ' ', '\r\n', '__proto__'];
    const transport = await open();
    const arrives = async (chosen: readonly string[]): Promise<void> => {
      const [domain, group] = [uniqueWord('keys'), uniqueWord('group')];
      const consumer = await transport.consume({ group, patterns: [`${domain}.order.changed`] });
      for (let n = 0; n < 2; n++) {
        await Promise.all(chosen.map((key) => transport.publish(`${domain}.order.changed`, { n }, { key })));
      }
      const calls = await consumer.handled(chosen.length * 2);
      await consumer.close();
      for (const key of chosen) {
        const ofKey = calls.filter(({ envelope }) => envelope.key === key);
        expect(ofKey.map(({ envelope }) => envelope.data)).toEqual([{ n: 0 }, { n: 1 }]);
      }
    };

    await arrives(special);
    await fc.assert(fc.asyncProperty(keys, arrives), { numRuns: 3, endOnFailure: true });
  });

  test('every JSON value arrives as it was', async () => {
    const [domain, group] = [uniqueWord('data'), uniqueWord('group')];
    const values = [null, 0, '', false, true, [], {}, 'text', -1.5e-7, [null, { nested: [1] }], { '': 0 }];
    const transport = await open();
    const consumer = await transport.consume({ group, patterns: [`${domain}.thing.said`] });

    for (const value of values) await transport.publish(`${domain}.thing.said`, value, { key: 'in order' });

    await consumer.handled(values.length);
    expect(consumer.data).toEqual(values);
  });
}

/** Bytes are bytes, whichever class carries them. */
function comparable(headers: Readonly<Record<string, HeaderValue>>): [string, unknown][] {
  const one = (value: string | Uint8Array): unknown =>
    typeof value === 'string' ? value : { bytes: Buffer.from(value).toString('hex') };
  return Object.entries(headers)
    .map(([name, value]): [string, unknown] => [
      name,
      typeof value === 'string' || value instanceof Uint8Array ? one(value) : value.map(one),
    ])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
