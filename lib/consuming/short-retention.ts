import { messageOf, withoutCredentials } from '../core/errors.js';
import { printable, type EventsLogger } from '../core/logger.js';
import type { Transport, TransportRetention } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';
import type { PlacedSubscription } from './subscription-plan.js';

export interface RetentionCheck {
  /** How long handled events are remembered. */
  readonly rememberedMs: number;
  readonly subscriptions: readonly PlacedSubscription[];
  readonly transports: TransportRegistry;
  readonly logger: EventsLogger;
}

const UNITS = [
  ['day', 24 * 3_600_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const;

/** Warns of transports that keep events for longer than it is remembered that they were handled. Never rejects. */
export async function warnOfShortRetention(check: RetentionCheck): Promise<void> {
  await Promise.all(check.transports.all.map((transport) => checkTransport(transport, check)));
}

async function checkTransport(transport: Transport, check: RetentionCheck): Promise<void> {
  const { rememberedMs, logger } = check;
  try {
    const subscriptions = subscriptionsOn(transport, check);
    const kept = subscriptions.length === 0 ? undefined : await transport.retention?.(subscriptions);
    if (kept !== undefined && kept.ms > rememberedMs) logger.warn(describe(transport.name, kept, rememberedMs));
  } catch (error) {
    const reason = printable(withoutCredentials(messageOf(error)));
    logger.debug(`${transport.name} does not say how long it keeps events: ${reason}`);
  }
}

function subscriptionsOn(transport: Transport, { subscriptions, transports }: RetentionCheck) {
  return subscriptions
    .filter(({ subscription, transport: wanted }) => {
      if (!subscription.idempotent) return false;
      if (wanted !== undefined) return wanted === transport.name;
      return subscription.patterns.some((pattern) => transports.forPattern(pattern).includes(transport));
    })
    .map(({ subscription }) => subscription);
}

function describe(transport: string, { ms, where, setting }: TransportRetention, rememberedMs: number): string {
  const kept = ms === Infinity ? 'without end' : `for ${duration(ms)}`;
  const remedy =
    ms === Infinity
      ? 'Raise the retention of the idempotency store'
      : `Raise the retention of the idempotency store to ${duration(ms)}`;
  return (
    `${where} of the transport "${transport}" keeps events ${kept}, but that they were handled is remembered for ` +
    `${duration(rememberedMs)} only: an older event that is read again has a second effect. ${remedy} ` +
    `(typeormIdempotency({ retention: { days } })), or lower ${setting}.`
  );
}

function duration(ms: number): string {
  const [unit, length] = UNITS.find(([, each]) => ms >= each) ?? ['second', 1_000];
  const count = Math.ceil((ms / length) * 10) / 10;
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
