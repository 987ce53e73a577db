/** PostgreSQL knows a fourth, READ UNCOMMITTED, which it treats as the first of these. */
export const ISOLATION_LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const;

export type TransactionIsolation = (typeof ISOLATION_LEVELS)[number];
