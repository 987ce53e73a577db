import { EventsError } from '../core/errors.js';
import type { Subscription } from '../core/subscription.js';
import type { Transport } from '../core/transport.js';
import type { TransportRegistry } from '../core/transport-registry.js';

/** A handler's subscription and the transport it insists on, if any. */
export interface PlacedSubscription {
  readonly subscription: Subscription;
  readonly transport: string | undefined;
}

/** What one group consumes from one transport. */
export interface Plan {
  readonly transport: Transport;
  readonly group: string;
  readonly subscriptions: readonly Subscription[];
}

/** Throws EVENTS_TRANSPORT_UNKNOWN. */
export function planOf(subscriptions: readonly PlacedSubscription[], transports: TransportRegistry): Plan[] {
  const plans = new Map<string, Plan & { readonly subscriptions: Subscription[] }>();
  for (const placed of subscriptions) {
    const { subscription } = placed;
    for (const transport of transportsOf(placed, transports)) {
      const key = JSON.stringify([transport.name, subscription.group]);
      const plan = plans.get(key);
      if (plan !== undefined) plan.subscriptions.push(subscription);
      else plans.set(key, { transport, group: subscription.group, subscriptions: [subscription] });
    }
  }
  return [...plans.values()];
}

function transportsOf({ subscription, transport }: PlacedSubscription, transports: TransportRegistry): Transport[] {
  try {
    if (transport !== undefined) return [transports.get(transport)];
    return [...new Set(subscription.patterns.flatMap((pattern) => transports.forPattern(pattern)))];
  } catch (error) {
    throw error instanceof EventsError ? error.concerning({ handler: subscription.handler }) : error;
  }
}
