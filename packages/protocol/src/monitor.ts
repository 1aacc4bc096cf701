import type { WireError } from "./errors.ts";
import type { ExitRecord } from "./exit.ts";
import type { MountIdMap, UserNamespace } from "./host.ts";

/** A mount that the monitor makes in the host's mount namespace before the runtime's create, and undoes at clean-up. */
export interface MonitorMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  /** fstab-style options, for example `["lowerdir=…", "upperdir=…", "workdir=…"]`. */
  readonly options: readonly string[];
  readonly idmap?: MountIdMap | undefined;
}

/** The JSON file that `keel monitor FILE` reads. All paths are absolute. */
export interface MonitorConfig {
  readonly id: string;
  readonly bundle: string;
  /** Runtime command line up to the subcommand, for example `["/x/keel", "--root", "/run/berth/keel"]`. */
  readonly runtime: readonly string[];
  /** Container has a terminal (`process.terminal`): the monitor owns the pty master. */
  readonly terminal: boolean;
  /** Keep the container's stdin open for attached clients; else it is /dev/null. */
  readonly stdin: boolean;
  /** Close the container's stdin when the first attached client's stdin ends or it leaves. */
  readonly stdinOnce: boolean;
  /** Kubernetes CRI log file; empty string for none. */
  readonly logPath: string;
  readonly exitPath: string;
  /** Unix socket the monitor listens on. */
  readonly socketPath: string;
  readonly pidFile: string;
  readonly mounts: readonly MonitorMount[];
  /** Make a network namespace and pin it at this path before `ready`; empty string for none. */
  readonly netnsPath: string;
  /** The namespace that owns the network namespace; undefined: the host's. */
  readonly userns?: UserNamespace | undefined;
  /** Run the runtime's create at once; else wait for the `create` request (the engine sets up the network in between). */
  readonly autoCreate: boolean;
  /**
   * Command run at the end of life, after exit record and runtime delete, unless a client that said `own` is still
   * connected (it cleans up by itself). Empty: none. By then the monitor
   * has undone `mounts`; the network namespace stays for the command (CNI DEL needs it).
   */
  readonly exitCommand: readonly string[];
}

/**
 * Frames on the monitor's socket, both ways: one byte type, four bytes payload length (big endian), payload.
 * File descriptor 3 of a fresh monitor is its first connection; `socketPath` takes further ones.
 */
export const FRAME_STDIN = 0;
export const FRAME_STDOUT = 1;
export const FRAME_STDERR = 2;
export const FRAME_STDIN_EOF = 3;
/** Client to monitor: JSON {@link MonitorRequest}. */
export const FRAME_REQUEST = 4;
/** Monitor to client: JSON {@link MonitorReply}, in the order of the requests. */
export const FRAME_REPLY = 5;
/** Monitor to client: JSON {@link MonitorEvent}. */
export const FRAME_EVENT = 6;
/** Longest payload of one frame, bytes. A longer one closes the connection. */
export const FRAME_MAX = 1_048_576;

export type MonitorRequest =
  /** Run the runtime's create (when not `autoCreate`). Answered when created or failed. */
  | { readonly op: "create" }
  /** Run the runtime's start. */
  | { readonly op: "start" }
  /** From now on stream output frames to this connection; stdin frames from it go to the container if `stdin`. */
  | { readonly op: "attach"; readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean }
  | { readonly op: "resize"; readonly rows: number; readonly cols: number }
  /** Signal to the container's first process, by pidfd. */
  | { readonly op: "signal"; readonly signal: number }
  | { readonly op: "state" }
  /** Reopen the log file (after rotation). */
  | { readonly op: "reopen-log" }
  /** This client will clean up after the exit as long as it stays connected: do not run `exitCommand`. */
  | { readonly op: "own" }
  /** Give up before start: runtime delete, undo the mounts, exit. */
  | { readonly op: "abort" };

export type MonitorPhase = "ready" | "created" | "running" | "exited";

export interface MonitorState {
  readonly phase: MonitorPhase;
  readonly pid: number;
  /** RFC 3339 with nanoseconds, once it was started. */
  readonly startedAt?: string;
  readonly exit?: ExitRecord;
}

export type MonitorReply =
  | { readonly op: MonitorRequest["op"]; readonly ok: true; readonly state?: MonitorState }
  | { readonly op: MonitorRequest["op"]; readonly ok: false; readonly error: WireError };

export type MonitorEvent =
  /** Mounts and namespace are there. */
  | { readonly event: "ready" }
  | { readonly event: "created"; readonly pid: number }
  | { readonly event: "started"; readonly startedAt: string }
  /** Set-up or create failed; everything was undone; the monitor ends. */
  | { readonly event: "failed"; readonly error: WireError }
  /** All output frames of the container were sent before this. */
  | { readonly event: "exit"; readonly exit: ExitRecord }
  /** Runtime delete done and mounts undone; the monitor ends after this. */
  | { readonly event: "cleaned" };
