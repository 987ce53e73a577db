import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

const KEEP_ALIVE_MS = 60_000;

interface SocketTarget {
  readonly host: string;
  readonly port: number;
  readonly ssl: ConnectionOptions | boolean | null | undefined;
  readonly onConnect: () => void;
}

/**
 * The sockets of one client. kafkajs cannot be told to give up a send: it goes on retrying, and reconnects for it even
 * after disconnect(). Without sockets it cannot.
 */
export class KafkajsSockets {
  readonly #open = new Set<Socket>();
  #cut = false;

  constructor(private readonly onNoneLeft: () => void = () => undefined) {}

  readonly create = ({ host, port, ssl, onConnect }: SocketTarget): Socket => {
    if (this.#cut) throw new Error('this client has been replaced');
    const socket = this.#connect({ host, port, ssl, onConnect });
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setNoDelay(true);
    const connected = ssl ? 'secureConnect' : 'connect';
    socket.once(connected, () => this.#open.add(socket));
    socket.once('close', () => {
      if (this.#open.delete(socket) && this.#open.size === 0) this.onNoneLeft();
    });
    return socket;
  };

  /** Ends every connection and refuses new ones. */
  cut(): void {
    this.#cut = true;
    // With an error: kafkajs overlooks a plain `close`, and its requests would wait for their timeouts.
    for (const socket of this.#open) socket.destroy(new Error('this client has been replaced'));
  }

  #connect({ host, port, ssl, onConnect }: SocketTarget): Socket {
    if (!ssl) return connectPlain({ host, port }, onConnect);
    const serverName = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ host, port, ...serverName, ...(ssl === true ? {} : ssl) }, onConnect);
  }
}
