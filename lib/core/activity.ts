import type { Place } from './delivery.js';

interface About {
  readonly event: string;
  readonly id: string;
  readonly transport: string;
}
interface AboutHandler extends Partial<About> {
  readonly handler: string;
  readonly group: string;
}

/** What happens inside, as it happens: logs, metrics, traces and the application itself build on it. */
export type Activity =
  | ({ readonly type: 'published' } & About)
  | ({ readonly type: 'enrolled' } & Omit<About, 'transport'>)
  | ({ readonly type: 'unroutable' } & About)
  | ({ readonly type: 'handled'; readonly tookMs: number; readonly attempt: number } & AboutHandler)
  | ({ readonly type: 'duplicate' } & AboutHandler)
  | ({
      readonly type: 'retried';
      readonly attempt: number;
      readonly afterMs: number;
      readonly dependency: boolean;
      /** Whether the attempt was used up. */
      readonly counts: boolean;
      readonly error: unknown;
    } & AboutHandler)
  | ({
      readonly type: 'dead-lettered';
      readonly attempt: number;
      readonly error: unknown;
      readonly data?: unknown;
    } & AboutHandler)
  | ({ readonly type: 'dead-letter-failed'; readonly error: unknown } & AboutHandler)
  | ({ readonly type: 'dropped'; readonly reason: string } & AboutHandler)
  | ({ readonly type: 'released' } & AboutHandler)
  | { readonly type: 'unhandled'; readonly event: string; readonly group: string; readonly place: Place }
  /** Of events handled so long ago that they need not be remembered: rows deleted, whole days dropped. */
  | { readonly type: 'cleaned'; readonly rows: number; readonly days: number; readonly tookMs: number }
  | {
      readonly type: 'relay-failed';
      readonly transport?: string;
      readonly event?: string;
      readonly error: unknown;
    }
  | ({ readonly type: 'relay-parked'; readonly error: unknown } & Partial<About>)
  | { readonly type: 'transport-connected'; readonly transport: string }
  | { readonly type: 'transport-disconnected'; readonly transport: string; readonly error?: unknown }
  | { readonly type: 'consumer-started' | 'consumer-stopped'; readonly transport: string; readonly group: string };

/** Takes what happened. It must be quick and must not throw. */
export type Report = (activity: Activity) => void;
