/** Programs of the operating system that the servers need. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * @param {string} command
 * @returns {string | undefined} its full path
 */
export function findCommand(command) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'].filter(Boolean);
  return folders.map((folder) => join(folder, command)).find(isExecutable);
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Installs with apt-get what is missing, where that is possible (root on Debian or Ubuntu).
 * @param {{ server: string, missing: string[], packages: string[], variable: string }} need
 */
export function installPackages({ server, missing, packages, variable }) {
  const canInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version') && findCommand('apt-get');
  if (!canInstall) {
    throw new Error(
      `${server} needs ${missing.join(' and ')}, which ${missing.length > 1 ? 'are' : 'is'} not on this machine. ` +
        `Install ${missing.length > 1 ? 'them' : 'it'} (Debian: apt-get install ${packages.join(' ')}), or start a container engine, ` +
        `or name a running server in ${variable}, or leave it out with SKIP_BROKERS=${server}.`,
    );
  }
  console.error(`${server}: ${missing.join(' and ')} missing, installing with apt-get: ${packages.join(' ')}`);
  aptGet(['update', '-q']);
  aptGet(['install', '-q', '-y', '--no-install-recommends', ...packages]);
}

/** @param {string[]} args */
function aptGet(args) {
  const options = ['-o', 'DPkg::Lock::Timeout=300'];
  const { status, stdout, stderr } = spawnSync('apt-get', [...options, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`apt-get ${args.join(' ')} failed:\n${stdout}${stderr}`);
}
