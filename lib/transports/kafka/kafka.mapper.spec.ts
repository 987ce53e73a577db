import { describe, expect, it } from '@jest/globals';
import type { Reading } from '../../core/cloudevents.js';
import { createEnvelope } from '../../core/envelope.js';
import type { HeaderValue } from '../../core/headers.js';
import { jsonSerializer } from '../../core/serializer.js';
import type { IncomingRecord, RecordHeaders } from './kafka.client.js';
import { decodeHeaders, encodeHeaders, KafkaRawEvent, toContent, toRecord } from './kafka.mapper.js';

/** What Kafka makes of headers: bytes. */
function overTheWire(headers: RecordHeaders): RecordHeaders {
  const bytes = (value: unknown): unknown => (Array.isArray(value) ? value.map(bytes) : Buffer.from(value as string));
  const received = Object.create(null) as Record<string, unknown>;
  for (const name of Object.keys(headers)) received[name] = bytes(headers[name]);
  return received as RecordHeaders;
}

function incoming(record: Partial<IncomingRecord>): IncomingRecord {
  return { offset: '7', timestamp: '0', key: null, value: null, ...record };
}

function content(record: IncomingRecord, reading: Partial<Reading> = {}) {
  const raw = new KafkaRawEvent(record, { transport: 'kafka', topic: 'orders.order', partition: 1 });
  return toContent(record, raw, { serializer: jsonSerializer, ...reading });
}

describe('the headers of a Kafka record', () => {
  it.each<[string, HeaderValue]>([
    ['text', 'ü'],
    ['bytes that are no text', Buffer.from([0xff])],
    ['bytes that could be text', Buffer.from('text')],
    ['a list of texts', ['a', 'b']],
    ['a list of both', ['a', Buffer.from('b'), Buffer.from([0xff])]],
    ['nothing', ''],
  ])('keep the type of %s', (_, value) => {
    const received = decodeHeaders(overTheWire(encodeHeaders({ header: value })));
    expect(received).toEqual({ header: value });
  });

  it('of another program are text where they can be, else bytes', () => {
    const received = decodeHeaders({ text: Buffer.from('ü'), bytes: Buffer.from([0xff]) });
    expect(received).toEqual({ text: 'ü', bytes: Buffer.from([0xff]) });
  });

  it('of another program that uses the name of our own are left alone', () => {
    const received = decodeHeaders({ 'events-binary-headers': Buffer.from('not ours') });
    expect(received).toEqual({ 'events-binary-headers': 'not ours' });
  });

  it('may be called like what every object has', () => {
    // As kafkajs hands it over: it finds Object's own constructor, and takes it for a first value.
    const received = decodeHeaders({ constructor: [Object, Buffer.from('a')] as never });
    expect(received['constructor']).toBe('a');
  });
});

describe('a Kafka record', () => {
  it('gives back the envelope it was made of', () => {
    const envelope = createEnvelope({
      name: 'orders.order.placed',
      source: 'shop',
      data: { n: 1 },
      key: 'ü 🗝',
      subject: 's',
      headers: { bytes: new Uint8Array([255]), text: 't' },
    });
    const record = toRecord(envelope, 'orders.order', jsonSerializer);
    const headers = overTheWire(record.headers);
    expect(content(incoming({ key: record.key, value: record.value, headers }))).toEqual({
      envelope: { ...envelope, headers: { bytes: Buffer.from([255]), text: 't' } },
    });
  });

  it('takes its key from the record when the attribute is missing, also one that is no text', () => {
    const headers = { ce_id: Buffer.from('1'), ce_source: Buffer.from('s'), ce_type: Buffer.from('a.b.c') };
    expect(content(incoming({ key: Buffer.from('k'), headers }))).toMatchObject({ envelope: { key: 'k', data: null } });
    expect(content(incoming({ key: Buffer.from([0xff]), headers }))).toMatchObject({ envelope: { key: '/w==' } });
  });

  it('without an id has one by its hash, which its own key is part of', () => {
    const event = { specversion: '1.0', source: 's', type: 'a.b.c' };
    const modes = [
      { headers: { ce_source: Buffer.from('s'), ce_type: Buffer.from('a.b.c') }, value: Buffer.from('1') },
      { headers: { 'content-type': 'application/cloudevents+json' }, value: Buffer.from(JSON.stringify(event)) },
    ];
    for (const mode of modes) {
      const ids = ['k', 'k', 'other'].map((key) => {
        const read = content(incoming({ ...mode, key: Buffer.from(key) }), { onMissingId: 'hash' });
        return 'envelope' in read && read.envelope.id;
      });
      expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
      expect(ids[0]).toBe(ids[1]);
      expect(ids[0]).not.toBe(ids[2]);
    }
  });

  it('is read in structured mode', () => {
    const event = { specversion: '1.0', id: '1', source: 's', type: 'a.b.c', data: { n: 1 } };
    const headers = { 'content-type': Buffer.from('application/cloudevents+json; charset=utf-8') };
    expect(content(incoming({ value: Buffer.from(JSON.stringify(event)), headers }))).toMatchObject({
      envelope: { id: '1', name: 'a.b.c', data: { n: 1 } },
    });
  });

  it.each([
    ['attributes that are missing', {}],
    ['an id that is no text', { ce_id: Buffer.from([0xff]), ce_source: Buffer.from('s'), ce_type: Buffer.from('a.b') }],
  ])('cannot be decoded with %s', (_, headers) => {
    expect(content(incoming({ value: Buffer.from('{}'), headers }))).toEqual({
      undecodable: expect.objectContaining({ code: 'EVENTS_UNDECODABLE' }) as unknown,
    });
  });
});
