import type { TransportCapabilities, TransportDefinition, TransportEnvironment } from '../../lib/core/transport.js';
import type { RawSender } from '../support/raw-senders.js';
import type { TestTransport } from '../support/transport-world.js';

/** What a transport brings to join the suite. */
export interface TransportHarness {
  /** What it promises. Cases follow from it: a promise that is not made is not tested, one that is made is. */
  readonly capabilities: TransportCapabilities;
  /** A definition of the transport. All of them see the same broker. */
  create(): TransportDefinition;
  /** Hands the broker bytes that no mapper of ours wrote, to be routed as that event. */
  publishRaw(name: string, raw: { readonly headers: Record<string, string>; readonly body: Buffer }): Promise<void>;
  /** Many such, in order, each with whatever attributes, headers and key. */
  readonly sendRaw: RawSender;
  /** For `durable` ones: how another process makes the same transport out of the build. */
  readonly inAnotherProcess?: {
    /** Relative to the project: `dist/lib/kafka.js`. */
    readonly module: string;
    readonly factory: string;
    readonly options: unknown;
  };
  /** For `durable` ones: kills the broker and starts it again on the same data. Absent when it is not ours to kill. */
  readonly restartBroker?: () => Promise<void>;
}

/** What the cases work with. */
export interface ConformanceSuite {
  readonly harness: TransportHarness;
  /** Opens one more transport on the same broker. Closed after the test, with all that runs on it. */
  open(overrides?: Partial<TransportEnvironment>): Promise<TestTransport>;
}
