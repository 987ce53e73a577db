import { eventually } from './eventually.js';

const SOCKETS = new Set(['TCPSocketWrap', 'TCPWRAP', 'TLSWrap', 'TCPServerWrap']);

/** How many sockets keep this process alive. */
export function openSockets(): number {
  return process.getActiveResourcesInfo().filter((resource) => SOCKETS.has(resource)).length;
}

/** Fails when more sockets stay open than there were before. */
export async function assertSocketsClosed(before: number): Promise<void> {
  await eventually(() => openSockets() <= before, {
    deadlineMs: 5_000,
    what: `closing every connection (${openSockets() - before} more than before the test)`,
  });
}
