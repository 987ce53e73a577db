/** The parts of the outbox that several relays share out; stored in the row, so that a later change keeps old rows where they are. */
export const SLOTS = 64;

/** The outbox as its statements need it. */
export interface OutboxTable {
  /** The schema's name, ready for SQL. */
  readonly schema: string;
  /** The number of the advisory lock of a transport's slot 0; the others are this one XOR the slot. */
  readonly lockOf: (transport: string) => string;
  /** Whether what was published stays in the table. */
  readonly keeps: boolean;
}
