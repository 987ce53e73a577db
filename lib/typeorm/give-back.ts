import type { QueryRunner } from 'typeorm';

/** To the pool; a connection whose transaction could not be ended is closed instead, or the next user would inherit it. */
export function giveBack(runner: QueryRunner): Promise<void> {
  const { releasePostgresConnection: close } = runner as {
    releasePostgresConnection?: (error: Error) => Promise<void>;
  };
  if (!runner.isTransactionActive || close === undefined) return runner.release();
  return close.call(runner, new Error('the transaction on this connection could not be ended'));
}
