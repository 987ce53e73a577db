import { afterAll, beforeAll } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/**
 * Files of tests run side by side and share the brokers; a test that kills one must be alone with it. Loaded before
 * each file (`setupFilesAfterEnv`), this holds a share while the file runs; {@link withBrokersAlone} waits for the rest.
 * One empty file per holder, named `<kind>.<process id>.<random>`: what a dead process left does not count.
 */
const FOLDER = join(
  tmpdir(),
  `nestjs-events-locks${fileURLToPath(new URL('../../', import.meta.url)).replaceAll('/', '-')}`,
);
const WAIT_MS = 600_000;
const POLL_MS = 50;

let share: string | undefined;

beforeAll(async () => {
  share = await acquire('share');
}, WAIT_MS);

afterAll(() => {
  release(share);
  share = undefined;
});

/** Runs `work` while no other file of tests runs that may need a broker. */
export async function withBrokersAlone<T>(work: () => Promise<T>): Promise<T> {
  // Two that both want to be alone must not wait for each other's share.
  release(share);
  const alone = await acquire('alone');
  try {
    return await work();
  } finally {
    release(alone);
    share = await acquire('share');
  }
}

/** A share goes beside other shares; `alone` goes beside nothing. Who meets something in the way steps back and waits. */
async function acquire(kind: 'share' | 'alone'): Promise<string> {
  mkdirSync(FOLDER, { recursive: true });
  const mine = join(FOLDER, `${kind}.${process.pid}.${randomUUID()}`);
  for (;;) {
    writeFileSync(mine, '');
    const others = holders().filter((holder) => holder !== basename(mine));
    if (!others.some((holder) => kind === 'alone' || holder.startsWith('alone.'))) return mine;
    release(mine);
    // Not all at the same rhythm, or two would step back for each other for ever.
    await sleep(POLL_MS * (1 + Math.random()));
  }
}

function holders(): string[] {
  return readdirSync(FOLDER).filter((holder) => {
    if (isAlive(Number(holder.split('.')[1]))) return true;
    release(join(FOLDER, holder));
    return false;
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function release(file: string | undefined): void {
  if (file !== undefined) rmSync(file, { force: true });
}
