import { FRAME_EVENT, FRAME_REPLY, type MonitorConfig, type MonitorEvent, type MonitorReply } from "@berth/protocol";
import { type Client, type Clients, controlFrame, newClients, removeClient, sendFrame } from "./clients.ts";
import { type Machine, newMachine, onClientLeft } from "./machine.ts";
import type { OomCounter } from "./oom.ts";
import { endInput, type Stdio } from "./stdio.ts";

/** Everything one monitor holds. */
export interface World {
  readonly config: MonitorConfig;
  readonly machine: Machine;
  readonly clients: Clients;
  stdio: Stdio | undefined;
  listenFd: number;
  signalFd: number;
  /** Child that runs a runtime command, 0 for none; killed at `runtimeDeadline` (monotonic ms; 0: never). */
  runtimePid: number;
  runtimeDeadline: number;
  /** Wait statuses of children that are nobody yet: the container may end before its pid is known. */
  strangers: { [pid: number]: number };
  console: { readonly fd: number; readonly path: string } | undefined;
  /** Time of the start command's begin. */
  startingAt: string;
  pidfd: number;
  oomCounter: OomCounter | undefined;
  /** oom_score_adj to give back to children, "" if ours was not changed. */
  oomScore: string;
  /** Size that a client set before the terminal was there. */
  size: readonly [number, number] | undefined;
  /** Give up waiting for more output at these times (monotonic ms); 0 while not draining. */
  drainIdleAt: number;
  drainEndAt: number;
  /** How many set-up steps have to be undone. */
  stepsDone: number;
  /** Collect garbage when nothing happened until then; 0: nothing to collect. */
  tidyAt: number;
}

export function newWorld(config: MonitorConfig): World {
  return {
    config,
    machine: newMachine(config.id, config.terminal),
    clients: newClients(),
    stdio: undefined,
    listenFd: -1,
    signalFd: -1,
    runtimePid: 0,
    runtimeDeadline: 0,
    strangers: {},
    console: undefined,
    startingAt: "",
    pidfd: -1,
    oomCounter: undefined,
    oomScore: "",
    size: undefined,
    drainIdleAt: 0,
    drainEndAt: 0,
    stepsDone: 0,
    tidyAt: 0,
  };
}

export function nowMs(): number {
  return Math.floor(sys.clockMonotonicUs() / 1000);
}

/** The client is gone, or has to go: its socket is closed and what hung on it is settled. */
export function dropClient(w: World, client: Client): void {
  if (client.closed) return;
  removeClient(w.clients, client);
  onClientLeft(w.machine, client.id);
  leaveInput(w, client);
}

/** Its stdin ended without a word. */
export function leaveInput(w: World, client: Client): void {
  if (client.stdin && w.config.stdinOnce && w.stdio) endInput(w.stdio);
  client.stdin = false;
}

export function reply(w: World, client: Client, value: MonitorReply): void {
  if (!client.closed && !sendFrame(client, controlFrame(FRAME_REPLY, value))) dropClient(w, client);
}

export function tellAll(w: World, event: MonitorEvent): void {
  const frame = controlFrame(FRAME_EVENT, event);
  const clients = w.clients.list.slice();
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    if (!sendFrame(client, frame)) dropClient(w, client);
  }
}

export function tell(w: World, client: Client, event: MonitorEvent): void {
  if (!sendFrame(client, controlFrame(FRAME_EVENT, event))) dropClient(w, client);
}
