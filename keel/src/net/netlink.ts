import { putU32 } from "../lib/bytes.ts";

// Messages of rtnetlink(7); the numbers are those of linux/rtnetlink.h, if_link.h and if_addr.h.
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const REQUEST = 1;
const ACK = 4;
const DUMP = 0x300;
const CREATE_NEW = 0x600;
const IFLA_IFNAME = 3;
const IFLA_NET_NS_PID = 19;
const IFLA_NET_NS_FD = 28;
const IFA_BROADCAST = 4;
const IFA_LABEL = 3;
const IFA_FLAGS = 8;
const IFF_UP = 1;
const IFA_F_PERMANENT = 0x80;
const HEADER = 16;

/** An address of an interface, ready to be given to another one: the kernel's own bytes. */
export interface Address {
  /** struct ifaddrmsg without the interface's index. */
  readonly head: readonly number[];
  /** Attributes: type and bytes. */
  readonly attributes: readonly (readonly [number, readonly number[]])[];
}

/** What one datagram of the kernel says. */
export interface Reply {
  /** Of an acknowledgement: 0 or -errno; undefined when there is none in it. */
  readonly error: number | undefined;
  readonly done: boolean;
  /** Indexes of the links it describes. */
  readonly links: readonly number[];
  readonly addresses: readonly { readonly index: number; readonly address: Address }[];
}

function attribute(type: number, data: readonly number[]): number[] {
  const size = 4 + data.length;
  const out = [size & 255, size >> 8, type & 255, type >> 8].concat(data);
  while (out.length % 4 !== 0) out.push(0);
  return out;
}

function text(value: string): number[] {
  const out: number[] = [];
  for (let i = 0; i < value.length; i++) out.push(value.charCodeAt(i) & 255);
  out.push(0);
  return out;
}

function u32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255];
}

function message(type: number, flags: number, body: readonly number[]): Uint8Array {
  const out = new Uint8Array(HEADER + body.length);
  putU32(out, 0, out.length);
  putU32(out, 4, type | (flags << 16));
  putU32(out, 8, 1);
  for (let i = 0; i < body.length; i++) out[HEADER + i] = body[i] as number;
  return out;
}

/** struct ifinfomsg: family, type, index, flags, change. */
function link(index: number, flags: number, change: number): number[] {
  return [0, 0, 0, 0].concat(u32(index), u32(flags), u32(change));
}

export function findLink(name: string): Uint8Array {
  return message(RTM_GETLINK, REQUEST | ACK, link(0, 0, 0).concat(attribute(IFLA_IFNAME, text(name))));
}

/** Moves a link into the namespace of a descriptor, or with `pid` of a process, under a new name. */
export function moveLink(index: number, target: number, pid: boolean, name: string): Uint8Array {
  const into = attribute(pid ? IFLA_NET_NS_PID : IFLA_NET_NS_FD, u32(target));
  return message(RTM_NEWLINK, REQUEST | ACK, link(index, 0, IFF_UP).concat(into, attribute(IFLA_IFNAME, text(name))));
}

export function setLinkUp(index: number): Uint8Array {
  return message(RTM_NEWLINK, REQUEST | ACK, link(index, IFF_UP, IFF_UP));
}

export function listAddresses(): Uint8Array {
  return message(RTM_GETADDR, REQUEST | DUMP, [0, 0, 0, 0, 0, 0, 0, 0]);
}

export function addAddress(index: number, address: Address): Uint8Array {
  let body = address.head.concat(u32(index));
  for (let i = 0; i < address.attributes.length; i++) {
    const [type, data] = address.attributes[i] as (typeof address.attributes)[0];
    body = body.concat(attribute(type, data));
  }
  return message(RTM_NEWADDR, REQUEST | ACK | CREATE_NEW, body);
}

/** Reads one datagram; bytes that are no whole message are left out. Pure, as all of this file. */
export function parseReply(bytes: Uint8Array): Reply {
  const links: number[] = [];
  const addresses: { index: number; address: Address }[] = [];
  let error: number | undefined;
  let done = false;
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const size = getU32(bytes, at);
    const type = getU32(bytes, at + 4) & 0xffff;
    const end = at + size;
    if (size < HEADER || end > bytes.length) break;
    const body = at + HEADER;
    if (type === NLMSG_DONE) done = true;
    else if (type === NLMSG_ERROR) error = getU32(bytes, body) | 0;
    else if (type === RTM_NEWLINK) links.push(getU32(bytes, body + 4));
    else if (type === RTM_NEWADDR)
      addresses.push({ index: getU32(bytes, body + 4), address: readAddress(bytes, body, end) });
    at += (size + 3) & ~3;
  }
  return { error, done, links, addresses };
}

function readAddress(bytes: Uint8Array, at: number, end: number): Address {
  const head = [bytes[at] as number, bytes[at + 1] as number, bytes[at + 2] as number, bytes[at + 3] as number];
  const attributes: [number, number[]][] = [];
  for (let i = at + 8; i + 4 <= end; ) {
    const size = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
    const type = (bytes[i + 2] as number) | ((bytes[i + 3] as number) << 8);
    if (size < 4 || i + size > end) break;
    // local and peer address and the broadcast; a label names the old interface, the rest the kernel makes anew
    if (type <= IFA_BROADCAST && type !== IFA_LABEL) {
      const data: number[] = [];
      for (let k = i + 4; k < i + size; k++) data.push(bytes[k] as number);
      attributes.push([type, data]);
    }
    if (type === IFA_FLAGS) head[2] = getU32(bytes, i + 4) & 255;
    i += (size + 3) & ~3;
  }
  return { head, attributes };
}

/** Global and set by somebody: what a link keeps when it moves. Link-local ones come by themselves. */
export function isKept(address: Address): boolean {
  return ((address.head[2] as number) & IFA_F_PERMANENT) !== 0 && address.head[3] === 0;
}

function getU32(bytes: Uint8Array, at: number): number {
  const high = (bytes[at + 3] as number) * 0x1000000;
  return high + (((bytes[at + 2] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at] as number));
}
