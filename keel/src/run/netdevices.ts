import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import {
  type Address,
  addAddress,
  findLink,
  isKept,
  listAddresses,
  moveLink,
  parseReply,
  type Reply,
  setLinkUp,
} from "../net/netlink.ts";
import type { Spec } from "../spec/types.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 0o2000003;

/** An interface of the runtime's network namespace on its way into the container's. */
export interface NetDevice {
  readonly from: string;
  readonly to: string;
  readonly index: number;
  readonly addresses: readonly Address[];
}

export interface NetDevices {
  readonly list: readonly NetDevice[];
  /** Of the namespace they are in; -1 when there are none. */
  readonly socket: number;
}

function openNetlink(): number {
  return must(sys.syscall(sys.syscallNumber("socket"), AF_NETLINK, SOCK_RAW_CLOEXEC, 0), "open a netlink socket");
}

/** Sends one request and gathers its answer; -errno of the kernel is in `error`. */
function ask(socket: number, request: Uint8Array, step: string): Reply {
  must(sys.write(socket, request), step);
  const links: number[] = [];
  const addresses: Reply["addresses"][0][] = [];
  for (;;) {
    const bytes = sys.readBytes(socket, 65536);
    if (bytes === -c.EINTR) continue;
    if (typeof bytes === "number") throw callError(step, bytes);
    const reply = parseReply(bytes);
    for (let i = 0; i < reply.links.length; i++) links.push(reply.links[i] as number);
    for (let i = 0; i < reply.addresses.length; i++) addresses.push(reply.addresses[i] as (typeof addresses)[0]);
    if (reply.error !== undefined && reply.error < 0) throw callError(step, reply.error);
    if (reply.done || reply.error !== undefined) return { error: 0, done: true, links, addresses };
  }
}

/** Looks the interfaces of linux.netDevices up, with their addresses. Changes nothing. */
export function findNetDevices(wanted: NonNullable<Spec["linux"]>["netDevices"]): NetDevices {
  const list: NetDevice[] = [];
  let socket = -1;
  for (const from in wanted || {}) {
    if (socket < 0) socket = openNetlink();
    const [index] = ask(socket, findLink(from), `find linux.netDevices.${from}`).links;
    const { addresses } = ask(socket, listAddresses(), "list the addresses of interfaces");
    const own = addresses.filter((one) => one.index === index && isKept(one.address)).map((one) => one.address);
    const { name } = (wanted as { [from: string]: { name?: string } })[from] as { name?: string };
    list.push({ from, to: name || from, index: index as number, addresses: own });
  }
  return { list, socket };
}

/** Into the namespace of a process (`pid`) or of an open descriptor. */
export function moveNetDevices(devices: NetDevices, target: number, pid: boolean): void {
  for (let i = 0; i < devices.list.length; i++) {
    const { from, to, index } = devices.list[i] as NetDevice;
    ask(devices.socket, moveLink(index, target, pid, to), `move linux.netDevices.${from} into the container as ${to}`);
  }
}

/** In the container's namespace: their addresses again, which a move takes from them, and up. */
export function configureNetDevices(devices: NetDevices): void {
  const socket = openNetlink();
  for (let i = 0; i < devices.list.length; i++) {
    const { from, to, addresses } = devices.list[i] as NetDevice;
    const step = `configure linux.netDevices.${from} in the container`;
    const index = ask(socket, findLink(to), step).links[0] as number;
    for (let k = 0; k < addresses.length; k++) ask(socket, addAddress(index, addresses[k] as Address), step);
    ask(socket, setLinkUp(index), step);
  }
  sys.close(socket);
}
