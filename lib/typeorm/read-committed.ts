import type { QueryRunner } from 'typeorm';

/**
 * Runs `work` in a transaction on this runner: committed when it resolves, rolled back when it rejects. Read committed,
 * whatever the DataSource's default: each statement sees what others have committed by then.
 */
export async function readCommitted<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  await runner.startTransaction('READ COMMITTED');
  try {
    const result = await work();
    await runner.commitTransaction();
    return result;
  } catch (error) {
    await runner.rollbackTransaction().catch(() => undefined); // the first error is the one to tell
    throw error;
  }
}
