/**
 * What this transport needs of a Kafka client. kafkajs implements it today; another client would be one more file like
 * kafkajs.client.ts.
 */

/** Repeated names have a list. */
export type RecordHeaders = Readonly<Record<string, HeaderBytes | readonly HeaderBytes[] | undefined>>;
type HeaderBytes = Buffer | string;

export interface OutgoingRecord {
  readonly topic: string;
  /** Decides the partition (murmur2, as Java's clients); `null` spreads. */
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
}

export interface IncomingRecord {
  readonly offset: string;
  /** Milliseconds since the Unix epoch, as text. */
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: RecordHeaders | undefined;
}

/** What one fetch brought of one partition. Offsets grow and may have gaps. */
export interface IncomingBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly IncomingRecord[];
  /** The next offset that the partition will give. */
  readonly end: string;
  /** The next fetch starts behind this offset. Records after the last accepted one are fetched again. */
  accepted(offset: string): void;
  /** Stops fetching this partition until the returned function is called. */
  pause(): () => void;
  /** `false` once the consumer is stopping: accept nothing more. */
  isRunning(): boolean;
}

export interface PartitionOffset {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to read. */
  readonly offset: string;
}

/** Topic → partitions. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

export interface ProducerClient {
  /** Connects, or makes sure that it still is. */
  connect(): Promise<void>;
  /** Resolves when all in-sync replicas have all records. Order per key is the order given. */
  send(records: readonly OutgoingRecord[]): Promise<void>;
  /** Cuts its connections for good: nothing of a send under way goes out later. */
  abandon(): void;
  disconnect(): Promise<void>;
}

export interface ConsumerClientOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** How long one fetch may wait for records. It is also how long leaving may take. */
  readonly maxWaitMs: number;
  /** This member's share from now on. Called before the first batch of it. */
  readonly onJoined: (assignment: Assignment, memberId: string) => void;
  /** The share is about to change; what is committed at once still counts. */
  readonly onRebalancing: () => void;
  /** Partitions run side by side, batches of one partition one after another. */
  readonly onBatch: (batch: IncomingBatch) => Promise<void>;
  /** A fetch of a partition is through, also one that held no records for us (transaction markers). */
  readonly onPosition?: (position: PartitionOffset) => void;
  /** The client has given up; it will call nothing more. */
  readonly onCrash: (error: unknown) => void;
}

export interface ConsumerClient {
  start(): Promise<void>;
  /** One try, in the generation of this moment. Rejects when the broker did not take it. */
  commit(offsets: readonly PartitionOffset[]): Promise<void>;
  /** Stops fetching for good, but stays a member of the group. */
  pause(): void;
  /** Leaves the group. */
  stop(): Promise<void>;
}

export interface NewTopic {
  readonly topic: string;
  readonly partitions: number;
  /** -1: the broker's default. */
  readonly replication: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface AdminClient {
  listTopics(): Promise<string[]>;
  /** Existing topics are left as they are. */
  createTopics(topics: readonly NewTopic[]): Promise<void>;
  /** First and next offset of each partition. */
  offsets(topic: string): Promise<readonly { partition: number; low: string; high: string }[]>;
  /** What a group has committed; partitions without a commit are left out. */
  committed(group: string, topics: readonly string[]): Promise<PartitionOffset[]>;
  /** Sets what a group without members has committed. */
  setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void>;
  groupIsEmpty(group: string): Promise<boolean>;
  /** How long each topic keeps records, in milliseconds; `Infinity`: without end. */
  retention(topics: readonly string[]): Promise<ReadonlyMap<string, number>>;
  deleteGroup(group: string): Promise<void>;
}

export interface KafkaClient {
  /** `onConnectionLost` is called when its last connection ends without being asked to. */
  producer(onConnectionLost: () => void): ProducerClient;
  consumer(options: ConsumerClientOptions): ConsumerClient;
  /** Connects, works, disconnects: such work is rare, and an idle connection is one more to keep alive. */
  withAdmin<T>(work: (admin: AdminClient) => Promise<T>): Promise<T>;
}
