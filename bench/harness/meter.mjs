/**
 * Starts measuring wall time and this process's CPU time.
 * @returns {() => { seconds: number, cpuMicroseconds: number }} since then
 */
export function meter() {
  const begin = performance.now();
  const cpu = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { seconds: (performance.now() - begin) / 1_000, cpuMicroseconds: user + system };
  };
}
