import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { fromAttributes, fromCloudEvent, type ReceivedCloudEvent } from './cloudevents.js';
import { idInstead, type OnMissingId } from './missing-id.js';
import { jsonSerializer } from './serializer.js';

const UUID_8 = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The same event, received in every way there is. */
const MODES: [string, (body: string, key?: Uint8Array) => ReceivedCloudEvent][] = [
  [
    'binary mode',
    (body, key) => ({
      headers: { ce_source: 's', ce_type: 'a.b' },
      contentType: 'application/json',
      body: Buffer.from(body),
      key,
      prefixes: ['ce_'],
    }),
  ],
  [
    'structured mode',
    (body, key) => ({
      headers: {},
      contentType: 'application/cloudevents+json',
      body: Buffer.from(`{"specversion":"1.0","source":"s","type":"a.b","data":${body}}`),
      key,
      prefixes: ['ce_'],
    }),
  ],
];

describe.each(MODES)('an event without an id, in %s', (_, received) => {
  const id = (onMissingId: OnMissingId, body: string, key?: string): string =>
    fromCloudEvent(received(body, key === undefined ? undefined : Buffer.from(key)), {
      serializer: jsonSerializer,
      onMissingId,
    }).id;

  it('cannot be decoded, unless asked for: the error names the event and the option', () => {
    const expected = expect.objectContaining({
      code: 'EVENTS_UNDECODABLE',
      event: 'a.b',
      message: expect.stringMatching(/missing: id \(event "a\.b"\).*onMissingId: 'hash' \| 'handle'/) as unknown,
    });
    expect(() => fromCloudEvent(received('1'), { serializer: jsonSerializer })).toThrow(expected);
    expect(() => id('dead-letter', '1')).toThrow(expected);
  });

  it('gets one from its content: the same content is the same event', () => {
    expect(id('hash', '{"n":1}', 'k')).toMatch(UUID_8);
    expect(id('hash', '{"n":1}', 'k')).toBe(id('hash', '{"n":1}', 'k'));
    expect(new Set([id('hash', '1'), id('hash', '2'), id('hash', '1', 'k'), id('hash', '1', 'l')]).size).toBe(4);
  });

  it('gets a new one each time it is handed over', () => {
    expect(id('handle', '1')).not.toBe(id('handle', '1'));
  });
});

test('an id that is there is never replaced', () => {
  const attributes: Record<string, string> = { id: '1', source: 's', type: 'a.b' };
  for (const onMissingId of ['hash', 'handle'] as const) {
    const envelope = fromAttributes(
      { attribute: (name) => attributes[name], headers: {}, contentType: undefined, body: null },
      { serializer: jsonSerializer, onMissingId },
    );
    expect(envelope.id).toBe('1');
  }
});

test('source, name, key and body all count, and none runs into another', () => {
  const texts = fc.record({ source: fc.string(), name: fc.string(), key: fc.option(fc.string(), { nil: undefined }) });
  const contents = fc.tuple(texts, fc.uint8Array()).map(([rest, body]) => ({ ...rest, body }));
  fc.assert(
    fc.property(contents, contents, (a, b) => {
      const same =
        a.source === b.source && a.name === b.name && a.key === b.key && Buffer.compare(a.body, b.body) === 0;
      expect(idInstead('hash', a) === idInstead('hash', b)).toBe(same);
    }),
  );
});
