import { fromCloudEvent, toCloudEvent, type Reading } from '../../core/cloudevents.js';
import type { Delivery, RawEvent } from '../../core/delivery.js';
import type { Envelope } from '../../core/envelope.js';
import { emptyHeaders } from '../../core/headers.js';
import type { Serializer } from '../../core/serializer.js';
import type { StoredEvent } from './memory.broker.js';

const PREFIX = 'ce_';
const CONTENT_TYPE = 'content-type';
const OWN_HEADERS = new Set([CONTENT_TYPE]);

export function toStored(envelope: Envelope, serializer: Serializer): Omit<StoredEvent, 'position' | 'deliveries'> {
  const { attributes, contentType, body } = toCloudEvent(envelope, serializer);
  const headers = Object.assign(emptyHeaders(), envelope.headers, { [CONTENT_TYPE]: contentType });
  for (const [name, value] of Object.entries(attributes)) headers[PREFIX + name] = value;
  return { name: envelope.name, key: envelope.key, headers, body };
}

export function toRaw(stored: StoredEvent, transport: string): RawEvent {
  return {
    place: { transport, address: stored.name, position: String(stored.position) },
    body: stored.body,
    headers: stored.headers,
    ...(stored.key === undefined ? {} : { key: Buffer.from(stored.key, 'utf8') }),
  };
}

/** From what a dead letter keeps as well: the key is among the attributes. */
export function toContent(
  { headers, body }: Pick<RawEvent, 'headers' | 'body'>,
  reading: Reading,
): Delivery['content'] {
  const contentType = headers[CONTENT_TYPE];
  try {
    return {
      envelope: fromCloudEvent(
        {
          ...{ headers, body, prefixes: [PREFIX], ownHeaders: OWN_HEADERS },
          contentType: typeof contentType === 'string' ? contentType : undefined,
        },
        reading,
      ),
    };
  } catch (undecodable) {
    return { undecodable };
  }
}
