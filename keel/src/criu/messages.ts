// The messages of CRIU's RPC (criu.org "RPC", images/rpc.proto): field numbers and what we send and read of them.
import { decodeMessage, encodeMessage, type Field, lastField, type Received } from "./wire.ts";

export const DUMP = 1;
export const RESTORE = 2;
export const PRE_DUMP = 4;
export const NOTIFY = 6;

/** criu_opts; each is sent when it is there. */
export interface Options {
  readonly imagesDir: number;
  readonly workDir?: number;
  readonly logFile: string;
  readonly root: string;
  readonly pid?: number;
  readonly leaveRunning?: boolean;
  readonly extUnixSk?: boolean;
  readonly tcpEstablished?: boolean;
  readonly tcpSkipInFlight?: boolean;
  readonly tcpClose?: boolean;
  readonly evasiveDevices?: boolean;
  readonly shellJob?: boolean;
  readonly fileLocks?: boolean;
  readonly linkRemap?: boolean;
  readonly autoDedup?: boolean;
  readonly lazyPages?: boolean;
  readonly statusFd?: number;
  readonly trackMem?: boolean;
  readonly parentImage?: string;
  readonly pageServer?: { readonly address: string; readonly port: number };
  readonly manageCgroups: number;
  readonly freezeCgroup?: string;
  readonly emptyNamespaces?: number;
  readonly networkLock?: number;
  readonly lsmProfile?: string;
  readonly lsmMountContext?: string;
  readonly configFile?: string;
  readonly rstSibling?: boolean;
  /** [what it is called in the images or below the root, what it is called outside]. */
  readonly mounts: readonly (readonly [string, string])[];
  /** What of outside is not saved but given again at restore: `net[INODE]:KEY`, `file[MOUNT:INODE]`. */
  readonly external?: readonly string[];
  /** [key, descriptor of CRIU's process]. */
  readonly inherit?: readonly (readonly [string, number])[];
  /** [kind, path]. */
  readonly joins?: readonly (readonly [string, string])[];
  /** [controller, path]. */
  readonly cgroupRoots?: readonly (readonly [string, string])[];
}

/** Options put together; Duktape has no spread of objects that comes before other properties. */
export function joinOptions<T>(parts: readonly object[]): T {
  const all: { [option: string]: unknown } = {};
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as { readonly [option: string]: unknown };
    for (const option in part) all[option] = part[option];
  }
  return all as unknown as T;
}

/** Option → its number in criu_opts, for those with plain values. */
const PLAIN: { readonly [option: string]: number } = {
  imagesDir: 1,
  pid: 2,
  leaveRunning: 3,
  extUnixSk: 4,
  tcpEstablished: 5,
  evasiveDevices: 6,
  shellJob: 7,
  fileLocks: 8,
  logFile: 10,
  root: 13,
  parentImage: 14,
  trackMem: 15,
  autoDedup: 16,
  workDir: 17,
  linkRemap: 18,
  rstSibling: 26,
  manageCgroups: 34,
  emptyNamespaces: 38,
  freezeCgroup: 44,
  tcpSkipInFlight: 46,
  lazyPages: 48,
  statusFd: 49,
  configFile: 51,
  tcpClose: 52,
  lsmProfile: 53,
  lsmMountContext: 63,
  networkLock: 64,
};
/** Option → its number, for lists of pairs. */
const PAIRS: { readonly [option: string]: number } = { mounts: 23, inherit: 27, cgroupRoots: 25, joins: 39 };
const LOG_LEVEL = 9;
const PAGE_SERVER = 11;
const NOTIFY_SCRIPTS = 12;
const EXTERNAL = 37;
const ORPHAN_PTS_MASTER = 50;
/** Everything but the bytes: an error's reasons are on the lines before it. */
const VERBOSE = 4;

export function encodeRequest(type: number, options: Options): Uint8Array {
  const all = options as unknown as { readonly [option: string]: number | string | boolean | undefined };
  const fields: Field[] = [];
  for (const option in PLAIN) {
    const value = all[option];
    if (value !== undefined) fields.push([PLAIN[option] as number, value]);
  }
  for (const option in PAIRS) {
    const pairs = (all[option] || []) as unknown as readonly (readonly [string, string | number])[];
    for (let i = 0; i < pairs.length; i++) {
      const [key, value] = pairs[i] as readonly [string, string | number];
      fields.push([
        PAIRS[option] as number,
        [
          [1, key],
          [2, value],
        ],
      ]);
    }
  }
  const external = options.external || [];
  for (let i = 0; i < external.length; i++) fields.push([EXTERNAL, external[i] as string]);
  const { pageServer } = options;
  if (pageServer)
    fields.push([
      PAGE_SERVER,
      [
        [1, pageServer.address],
        [2, pageServer.port],
      ],
    ]);
  fields.push([LOG_LEVEL, VERBOSE], [NOTIFY_SCRIPTS, true], [ORPHAN_PTS_MASTER, true]);
  return encodeMessage([
    [1, type],
    [2, fields],
  ]);
}

/** CRIU waits for this after each of its notifications. */
export function encodeNotified(): Uint8Array {
  return encodeMessage([
    [1, NOTIFY],
    [3, true],
  ]);
}

export interface Answer {
  readonly type: number;
  readonly success: boolean;
  /** Of the restored init, or of the process a notification is about; 0 for none. */
  readonly pid: number;
  /** What a notification is called. */
  readonly script: string;
  readonly errno: number;
  /** CRIU's first error, which newer ones tell. */
  readonly message: string;
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const fields = decodeMessage(bytes, 0, bytes.length);
  const inside = (tag: number): Received[] => {
    const field = lastField(fields, tag);
    return field ? decodeMessage(bytes, field.start, field.end) : [];
  };
  const notify = inside(5);
  return {
    type: numberOf(fields, 1),
    success: numberOf(fields, 2) !== 0,
    pid: numberOf(inside(4), 1) || numberOf(notify, 2),
    script: textOf(bytes, notify, 1),
    errno: numberOf(fields, 7),
    message: textOf(bytes, fields, 9),
  };
}

function numberOf(fields: readonly Received[], tag: number): number {
  const field = lastField(fields, tag);
  return field ? field.value : 0;
}

function textOf(bytes: Uint8Array, fields: readonly Received[], tag: number): string {
  const field = lastField(fields, tag);
  return field ? sys.stringFromBytes(bytes, field.start, field.end) : "";
}
