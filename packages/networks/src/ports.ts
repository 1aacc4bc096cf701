import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { errnoOf } from "@berth/base";
import type { State } from "@berth/state";
import { cannotBind, noFreePort, onlyIpv4, portTaken } from "./errors.ts";
import { isAny } from "./plan.ts";
import * as store from "./store.ts";
import type { PublishedPort } from "./types.ts";

/** Tries to find a port that neither a process nor a container has. */
const TRIES = 50;
/** Linux' default of net.ipv4.ip_local_port_range. */
const EPHEMERAL = [32_768, 61_000] as const;

/**
 * Reserves host ports for a container: free in the records, which all containers of this machine share, and with no
 * process listening. (Forwarded ports have no listening socket, so that neither check alone is enough.)
 *
 * @returns the ports with 0 replaced; those of a failed call go with the container's attachment
 * @throws {BerthError} FailedPrecondition naming the port; ResourceExhausted; Unimplemented for IPv6
 */
export async function reservePorts(
  state: State,
  containerId: string,
  ports: readonly PublishedPort[],
): Promise<readonly PublishedPort[]> {
  const reserved: PublishedPort[] = [];
  for (const port of ports) {
    if (port.hostIp.includes(":")) throw onlyIpv4(port);
    reserved.push(
      port.hostPort === 0 ? await reserveFree(state, containerId, port) : await reserve(state, containerId, port),
    );
  }
  return reserved;
}

async function reserve(state: State, containerId: string, port: PublishedPort): Promise<PublishedPort> {
  const holder = claim(state, containerId, port);
  if (holder !== undefined) throw portTaken(port, `container ${holder.slice(0, 12)} publishes it`);
  const error = await tryListen(port);
  if (error === undefined) return port;
  const errno = errnoOf(error);
  if (errno === "EADDRINUSE") throw portTaken(port, "a process of this host listens there", error);
  throw cannotBind(port, errno ?? String(error), error);
}

async function reserveFree(state: State, containerId: string, port: PublishedPort): Promise<PublishedPort> {
  for (let i = 0; i < TRIES; i++) {
    const chosen = { ...port, hostPort: randomInt(...EPHEMERAL) };
    if (claim(state, containerId, chosen) !== undefined) continue;
    const error = await tryListen(chosen);
    if (error === undefined) return chosen;
    store.removePort(state.db, normal(chosen));
    if (errnoOf(error) !== "EADDRINUSE") throw cannotBind(port, errnoOf(error) ?? String(error), error);
  }
  throw noFreePort(port);
}

/** Writes the reservation, or returns who has the port. */
function claim(state: State, containerId: string, port: PublishedPort): string | undefined {
  const wanted = normal(port);
  return state.transaction(() => {
    const holder = store.findPortHolder(state.db, wanted);
    if (holder === undefined) store.addPort(state.db, containerId, wanted);
    return holder;
  });
}

function normal(port: PublishedPort): PublishedPort {
  return isAny(port.hostIp) ? { ...port, hostIp: "" } : port;
}

/** Listens for a moment; returns why that fails. SCTP cannot be tried from here. */
async function tryListen({ hostIp, hostPort, protocol }: PublishedPort): Promise<unknown> {
  const host = isAny(hostIp) ? "0.0.0.0" : hostIp;
  if (protocol === "sctp") return undefined;
  if (protocol === "udp") {
    return new Promise((resolve) => {
      const socket = createSocket("udp4");
      socket.on("error", resolve);
      socket.bind({ address: host, port: hostPort, exclusive: true }, () => socket.close(() => resolve(undefined)));
    });
  }
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", resolve);
    server.listen({ host, port: hostPort, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
