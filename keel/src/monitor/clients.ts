import type { FRAME_EVENT, FRAME_REPLY, MonitorEvent, MonitorReply } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { type Decoder, type Frame, newDecoder, putHeader } from "./frames.ts";

/** One connection. */
export interface Client {
  /** From 1 up; 0 is nobody. */
  readonly id: number;
  readonly fd: number;
  readonly decoder: Decoder;
  /** Frames behind a request that has to wait; nothing more is read while there are any. */
  backlog: Frame[];
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** It will send no more (half closed). */
  ended: boolean;
  /** Since when (monotonic ms) its socket is full while the container has output for it; 0: it is not. */
  stalledSince: number;
  closed: boolean;
}

export interface Clients {
  list: Client[];
  lastId: number;
}

export function newClients(): Clients {
  return { list: [], lastId: 0 };
}

export function addClient(clients: Clients, fd: number): Client {
  sys.setNonblock(fd, true);
  const client: Client = {
    id: ++clients.lastId,
    fd,
    decoder: newDecoder(),
    backlog: [],
    stdin: false,
    stdout: false,
    stderr: false,
    ended: false,
    stalledSince: 0,
    closed: false,
  };
  clients.list.push(client);
  return client;
}

export function findClient(clients: Clients, id: number): Client | undefined {
  for (let i = 0; i < clients.list.length; i++) {
    const client = clients.list[i] as Client;
    if (client.id === id) return client;
  }
  return undefined;
}

/** Takes it out of the list and closes its socket. */
export function removeClient(clients: Clients, client: Client): void {
  const at = clients.list.indexOf(client);
  if (at >= 0) clients.list.splice(at, 1);
  client.closed = true;
  sys.close(client.fd);
}

/** A frame ready to be written to any number of clients. */
export function controlFrame(
  type: typeof FRAME_EVENT | typeof FRAME_REPLY,
  value: MonitorEvent | MonitorReply,
): Uint8Array {
  const frame = sys.bytesFromString(`\u0001\u0001\u0001\u0001\u0001${JSON.stringify(value)}`);
  putHeader(frame, type);
  return frame;
}

/**
 * Whether the frame went out whole. A control frame is far smaller than a socket's buffer: it does not fit only when
 * the client has not read for long, and half a frame would break the stream, so the caller drops that client.
 */
export function sendFrame(client: Client, frame: Uint8Array): boolean {
  return sys.write(client.fd, frame) === frame.length;
}

/**
 * Those of `clients` whose sockets cannot take a whole output frame now. A stream socket reports POLLOUT while at
 * most a quarter of its buffer is used and then takes one more write of any size that we make, so relay neither
 * blocks on nor tears a frame for a client that is not in this list.
 */
export function fullClients(clients: readonly Client[]): Client[] {
  const fds: number[] = [];
  for (let i = 0; i < clients.length; i++) fds.push((clients[i] as Client).fd, c.POLLOUT);
  const ready: number[] = [];
  sys.poll(fds, 0, ready);
  const full: Client[] = [];
  for (let i = 0; i < clients.length; i++) {
    // an error or hang-up counts as ready: relay's write fails and tells
    if (!ready[i]) full.push(clients[i] as Client);
  }
  return full;
}
