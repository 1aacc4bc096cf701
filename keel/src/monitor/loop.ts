import { FRAME_REQUEST, FRAME_STDIN, FRAME_STDIN_EOF, type WireError } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { act, DRAIN_IDLE_MS, dropAll, runtimeEnded } from "./act.ts";
import { addClient, type Client } from "./clients.ts";
import { decode, type Frame } from "./frames.ts";
import { type Action, onContainerEnd, onDrained, onRequest, onTerminate } from "./machine.ts";
import { parseRequest } from "./request.ts";
import {
  closeOutput,
  endInput,
  flushInput,
  inputOf,
  type Output,
  pushInput,
  relayOutput,
  STDIN_QUEUE_MAX,
} from "./stdio.ts";
import { dropClient, leaveInput, nowMs, reply, tell, type World } from "./world.ts";

type Finish = Extract<Action, { do: "finish" }>;

const READ_SIZE = 65536;
/** A client that leaves its socket full this long is dropped, so that it holds up neither container nor log. */
const STALL_LIMIT_MS = 10_000;
/** The client that owns the container decides its pace as the reader of any pipe does (`berth run … | less`). */
const OWNER_STALL_LIMIT_MS = 3_600_000;

/** After this long without anything to do the monitor gives back what it does not need while it waits. */
const REST_MS = 2000;

/** What a poll result belongs to. */
type Watched = "signals" | "listener" | "input" | Output | Client;

/** Serves until the container's life is over. */
export function runLoop(w: World, first: readonly Action[]): Finish {
  let finish = act(w, first);
  const fds: number[] = [];
  const watched: Watched[] = [];
  const ready: number[] = [];
  while (!finish) {
    const now = nowMs();
    watch(w, now, fds, watched);
    ready.length = 0;
    const wait = timeout(w, now);
    let count = sys.poll(fds, wait < 0 ? REST_MS : wait, ready);
    // nothing for a while: what start-up touched of the program's file need not count as ours
    if (wait < 0 && count === 0) count = sys.pollAtRest(fds, ready);
    if (count > 0) finish = serve(w, watched, ready);
    if (!finish) finish = onTime(w, count > 0);
  }
  return finish;
}

function watch(w: World, now: number, fds: number[], watched: Watched[]): void {
  fds.length = 0;
  watched.length = 0;
  add("signals", w.signalFd, c.POLLIN);
  add("listener", w.listenFd, c.POLLIN);
  const clients = w.clients.list;
  let stalled = false;
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    if (client.stalledSince !== 0) stalled = true;
    add(client, client.fd, (reads(w, client) ? c.POLLIN : 0) | (client.stalledSince !== 0 ? c.POLLOUT : 0));
  }
  if (!w.stdio || w.machine.pid === 0) return;
  for (let i = 0; i < w.stdio.outputs.length; i++) {
    const output = w.stdio.outputs[i] as Output;
    if (!stalled) output.blocked = false;
    if (output.fd >= 0 && !output.blocked && output.retryAt <= now) add(output, output.fd, c.POLLIN);
  }
  const input = inputOf(w.stdio);
  if (input >= 0 && w.stdio.queued > 0) add("input", input, c.POLLOUT);

  function add(what: Watched, fd: number, events: number): void {
    fds.push(fd, events);
    watched.push(what);
  }
}

/** A waiting request or a full stdin queue leaves further frames in the client's socket. */
function reads(w: World, client: Client): boolean {
  if (client.ended || client.backlog.length > 0) return false;
  return !(client.stdin && w.stdio && w.stdio.queued >= STDIN_QUEUE_MAX);
}

function timeout(w: World, now: number): number {
  let at = 0;
  const clients = w.clients.list;
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    if (client.stalledSince !== 0) sooner(client.stalledSince + stallLimit(w, client));
  }
  const outputs = w.stdio ? w.stdio.outputs : [];
  for (let i = 0; i < outputs.length; i++) sooner((outputs[i] as Output).retryAt);
  if (w.drainIdleAt !== 0) sooner(Math.min(w.drainIdleAt, w.drainEndAt));
  sooner(w.runtimeDeadline);
  sooner(w.tidyAt);
  return at === 0 ? -1 : Math.max(0, at - now);

  function sooner(time: number): void {
    if (time !== 0 && (at === 0 || time < at)) at = time;
  }
}

function stallLimit(w: World, client: Client): number {
  return w.machine.owners.indexOf(client.id) >= 0 ? OWNER_STALL_LIMIT_MS : STALL_LIMIT_MS;
}

/** Output goes before signals, so that it is passed on before the end of its process is told. */
function serve(w: World, watched: readonly Watched[], ready: readonly number[]): Finish | undefined {
  let finish: Finish | undefined;
  for (let i = watched.length - 1; i >= 0 && !finish; i--) {
    const events = ready[i] as number;
    if (!events) continue;
    const what = watched[i] as Watched;
    if (what === "signals") finish = serveSignals(w);
    else if (what === "listener") acceptClients(w);
    else if (what === "input") flushInput(w.stdio as NonNullable<World["stdio"]>);
    else if ("frameType" in what) serveOutput(w, what);
    else if (!what.closed) finish = serveClient(w, what, events);
  }
  return finish;
}

function serveOutput(w: World, output: Output): void {
  const broken: Client[] = [];
  const now = nowMs();
  output.retryAt = 0;
  const count = relayOutput(output, w.clients.list, now, w.machine.status >= 0, broken);
  dropAll(w, broken);
  if (count > 0 && w.drainIdleAt !== 0) w.drainIdleAt = now + DRAIN_IDLE_MS;
}

function serveSignals(w: World): Finish | undefined {
  let children = false;
  for (;;) {
    const signal = sys.readSignalfd(w.signalFd);
    if (typeof signal === "number") break;
    if (signal[0] === c.SIGCHLD) children = true;
    else {
      const finish = act(w, onTerminate(w.machine, signal[0] as number));
      if (finish) return finish;
    }
  }
  return children ? reap(w) : undefined;
}

function reap(w: World): Finish | undefined {
  const status: number[] = [];
  for (;;) {
    const pid = sys.waitpid(-1, c.WNOHANG, status);
    if (pid <= 0) return undefined;
    let actions: Action[] = [];
    if (pid === w.runtimePid) actions = runtimeEnded(w, status[0] as number);
    else if (pid === w.machine.pid) actions = onContainerEnd(w.machine, status[0] as number);
    else if (w.machine.op === "create") w.strangers[pid] = status[0] as number;
    const finish = act(w, actions) || serveBacklogs(w);
    if (finish) return finish;
  }
}

/** Requests that waited for a runtime command. */
function serveBacklogs(w: World): Finish | undefined {
  const clients = w.clients.list.slice();
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    if (client.closed || client.backlog.length === 0) continue;
    const frames = client.backlog;
    client.backlog = [];
    const finish = serveFrames(w, client, frames);
    if (finish) return finish;
  }
  return undefined;
}

/** Takes all who wait. Who comes after the exit is told at once. */
export function acceptClients(w: World): void {
  for (;;) {
    const fd = sys.accept(w.listenFd);
    if (fd < 0) return;
    const client = addClient(w.clients, fd);
    if (w.machine.told && w.machine.exit) tell(w, client, { event: "exit", exit: w.machine.exit });
  }
}

function serveClient(w: World, client: Client, events: number): Finish | undefined {
  if (events & c.POLLOUT) client.stalledSince = 0;
  if (!(events & (c.POLLIN | c.POLLERR | c.POLLHUP))) return undefined;
  // after a hang-up what it sent before is still read, also past the limits: it is no more than a socket's buffer
  const gone = (events & (c.POLLERR | c.POLLHUP)) !== 0;
  for (;;) {
    const chunk = sys.readBytes(client.fd, READ_SIZE);
    if (typeof chunk === "number") {
      if (chunk !== -c.EAGAIN && chunk !== -c.EINTR) dropClient(w, client);
      return undefined;
    }
    if (chunk.length === 0) {
      client.ended = true;
      if (gone) dropClient(w, client);
      else leaveInput(w, client);
      return undefined;
    }
    const frames: Frame[] = [];
    if (!decode(client.decoder, chunk, frames)) {
      dropClient(w, client);
      return undefined;
    }
    const finish = serveFrames(w, client, frames);
    if (finish || client.closed || !gone) return finish;
  }
}

function serveFrames(w: World, client: Client, frames: readonly Frame[]): Finish | undefined {
  for (let i = 0; i < frames.length && !client.closed; i++) {
    if (client.backlog.length > 0) {
      client.backlog.push(frames[i] as Frame);
      continue;
    }
    const actions = serveFrame(w, client, frames[i] as Frame);
    if (!actions) client.backlog.push(frames[i] as Frame);
    else {
      const finish = act(w, actions);
      if (finish) return finish;
    }
  }
  return undefined;
}

/** undefined: the frame has to wait. */
function serveFrame(w: World, client: Client, frame: Frame): Action[] | undefined {
  if (frame.type === FRAME_STDIN) {
    if (client.stdin && w.stdio) pushInput(w.stdio, frame.payload);
    return [];
  }
  if (frame.type === FRAME_STDIN_EOF) {
    if (client.stdin && w.stdio) endInput(w.stdio);
    return [];
  }
  const parsed =
    frame.type === FRAME_REQUEST
      ? parseRequest(sys.stringFromBytes(frame.payload, 0, frame.payload.length))
      : undefined;
  if (!parsed) {
    dropClient(w, client);
    return [];
  }
  if ("request" in parsed) return onRequest(w.machine, client.id, parsed.request);
  reply(w, client, { op: parsed.op as "state", ok: false, error: parsed.error as WireError });
  return [];
}

function onTime(w: World, busy: boolean): Finish | undefined {
  const now = nowMs();
  const clients = w.clients.list.slice();
  let stalled = false;
  for (let i = 0; i < clients.length; i++) {
    const client = clients[i] as Client;
    if (client.stalledSince === 0) continue;
    if (now >= client.stalledSince + stallLimit(w, client)) dropClient(w, client);
    else stalled = true;
  }
  if (w.runtimeDeadline !== 0 && now >= w.runtimeDeadline) {
    w.runtimeDeadline = 0;
    sys.kill(w.runtimePid, c.SIGKILL);
  }
  if (w.tidyAt !== 0 && now >= w.tidyAt && !busy) {
    w.tidyAt = 0;
    tidy();
  }
  return w.drainIdleAt === 0 ? undefined : drained(w, now, stalled);
}

/**
 * Everything the container wrote has been passed on: its streams ended. A process that outlived it may hold them
 * open: then silence for a while, or the limit, is the end. A client that is slow to read is waited for.
 */
function drained(w: World, now: number, stalled: boolean): Finish | undefined {
  const outputs = w.stdio ? w.stdio.outputs : [];
  let open = 0;
  for (let i = 0; i < outputs.length; i++) if ((outputs[i] as Output).fd >= 0) open++;
  if (open > 0) {
    if (stalled) w.drainIdleAt = now + DRAIN_IDLE_MS;
    if (stalled || (now < w.drainIdleAt && now < w.drainEndAt)) return undefined;
    for (let i = 0; i < outputs.length; i++) closeOutput(outputs[i] as Output);
  }
  w.drainIdleAt = 0;
  return act(w, onDrained(w.machine));
}

/** Gives back what create and start needed; a container that runs for a moment only never pays for it. */
function tidy(): void {
  // twice: the first run only queues what has finalizers
  Duktape.gc();
  Duktape.gc();
}
