import type { ExitRecord, MonitorRequest, WireError } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { asRuntimeError, must } from "../lib/errors.ts";
import { type Client, findClient } from "./clients.ts";
import {
  type Action,
  exitRecord,
  onCreated,
  onCreateFailed,
  onDeleted,
  onStarted,
  onStartFailed,
  stateOf,
} from "./machine.ts";
import { findOomCounter, wasOomKilled, writeRecord } from "./record.ts";
import { closeConsole, commandLine, failureOf, listenConsole, readPid, receiveTerminal, spawn } from "./runtime.ts";
import { undoSetup } from "./setup.ts";
import {
  adoptTerminal,
  closeChildEnds,
  closeStdio,
  inputOf,
  openStdio,
  readMessages,
  reopenLog,
  retryOutputs,
  type Stdio,
} from "./stdio.ts";
import { dropClient, nowMs, reply, tellAll, type World } from "./world.ts";

/** A delete that hangs must not keep the mounts and the clients' `cleaned` for ever. */
const DELETE_LIMIT_MS = 60_000;
/** How long a drain waits without new output, and in all, once the container's first process is gone. */
export const DRAIN_IDLE_MS = 2000;
const DRAIN_LIMIT_MS = 10_000;
const TIDY_AFTER_MS = 1000;
const OOM_SCORE = "-999";

/** Does the actions in order. A `finish` is returned to the loop with its exit code; else undefined. */
export function act(w: World, actions: readonly Action[]): Extract<Action, { do: "finish" }> | undefined {
  for (let i = 0; i < actions.length; i++) {
    const action = actions[i] as Action;
    if (action.do === "finish") return action;
    const more = actOne(w, action);
    if (more) {
      const finish = act(w, more);
      if (finish) return finish;
    }
  }
  return undefined;
}

function actOne(w: World, action: Exclude<Action, { do: "finish" }>): Action[] | undefined {
  switch (action.do) {
    case "run":
      return runRuntime(w, action.command);
    case "reply": {
      const client = findClient(w.clients, action.client);
      if (client) reply(w, client, action.reply);
      return undefined;
    }
    case "event":
      tellAll(w, action.event);
      return undefined;
    case "attach": {
      const client = findClient(w.clients, action.client);
      if (!client) return undefined;
      client.stdin = action.stdin && w.config.stdin;
      client.stdout = action.stdout;
      client.stderr = action.stderr;
      return undefined;
    }
    case "resize":
      return answer(w, action.client, action.do, () => resize(w, action.rows, action.cols));
    case "signal":
      return answer(w, action.client, action.do, () =>
        must(signal(w, action.signal), `send signal ${action.signal} to container ${w.config.id}`),
      );
    case "reopen-log":
      return answer(w, action.client, action.do, () => {
        if (w.stdio && w.config.logPath !== "") reopenLog(w.stdio, w.config.logPath);
      });
    case "settle":
      return settle(w);
    case "record":
      return record(w, action.status);
    case "drain":
      // a terminal that said EIO while the container seemed to live is at its end now
      if (w.stdio) retryOutputs(w.stdio, nowMs());
      w.drainIdleAt = nowMs() + DRAIN_IDLE_MS;
      w.drainEndAt = nowMs() + DRAIN_LIMIT_MS;
      return undefined;
    case "undo":
      if (w.stdio) closeStdio(w.stdio);
      undoSetup(w);
      return undefined;
  }
}

/** Tells the client what came of `body`. */
function answer(w: World, id: number, op: MonitorRequest["op"], body: () => void): undefined {
  let error: WireError | undefined;
  try {
    body();
  } catch (thrown) {
    error = wireError(thrown);
  }
  const client = id === 0 ? undefined : findClient(w.clients, id);
  if (client) reply(w, client, error ? { op, ok: false, error } : { op, ok: true, state: stateOf(w.machine) });
  return undefined;
}

/** A thrown value as it goes over the wire. */
export function wireError(thrown: unknown): WireError {
  const { code, message, hint, errno, step } = asRuntimeError(thrown);
  return {
    code,
    message,
    ...(hint === undefined ? undefined : { hint }),
    ...(errno === undefined ? undefined : { errno }),
    ...(step === undefined ? undefined : { step }),
  };
}

/** Starts a runtime command; the loop calls `runtimeEnded` when its process was reaped. */
function runRuntime(w: World, command: "create" | "start" | "delete"): Action[] | undefined {
  try {
    if (command === "create") {
      w.stdio = openStdio(w.config);
      if (w.config.terminal) w.console = listenConsole(w.config);
    } else if (command === "start") w.startingAt = sys.rfc3339Nano();
    else w.runtimeDeadline = nowMs() + DELETE_LIMIT_MS;
    const argv = commandLine(w.config, command, w.console ? w.console.path : "");
    const fds = command === "create" ? (w.stdio as Stdio).child : [0, 1, 2];
    w.runtimePid = spawn(argv, fds, w.oomScore);
    if (w.stdio) closeChildEnds(w.stdio);
    return undefined;
  } catch (thrown) {
    return commandFailed(w, command, wireError(thrown));
  }
}

function commandFailed(w: World, command: "create" | "start" | "delete", error: WireError): Action[] {
  if (w.console) closeConsole(w.console);
  w.console = undefined;
  if (command === "create") return onCreateFailed(w.machine, error);
  return command === "start" ? onStartFailed(w.machine, error) : onDeleted(w.machine);
}

/** The runtime command under way ended with this wait status. */
export function runtimeEnded(w: World, status: number): Action[] {
  const command = w.machine.op;
  w.runtimePid = 0;
  w.runtimeDeadline = 0;
  if (command === "delete") return onDeleted(w.machine);
  if (command === "" || status !== 0) {
    const said = command === "create" && w.stdio ? readMessages(w.stdio) : "";
    return commandFailed(w, command || "delete", failureOf(w.config, command || "delete", said, status));
  }
  if (command === "start") return onStarted(w.machine, w.startingAt);
  try {
    return created(w);
  } catch (thrown) {
    return commandFailed(w, command, wireError(thrown));
  }
}

function created(w: World): Action[] {
  const pid = readPid(w.config);
  const console = w.console;
  w.console = undefined;
  if (console) {
    const master = receiveTerminal(console);
    adoptTerminal(w.stdio as Stdio, master);
    if (w.size) sys.setWinsize(master, w.size[0], w.size[1]);
  }
  const status = w.strangers[pid];
  w.strangers = {};
  if (status === undefined) w.pidfd = sys.pidfdOpen(pid, 0);
  return onCreated(w.machine, pid, status === undefined ? -1 : status);
}

/** Off the way to `created`: the out-of-memory killer should take the container before its monitor. */
function settle(w: World): undefined {
  w.oomCounter = findOomCounter(w.machine.pid);
  const old = sys.readFile("/proc/self/oom_score_adj");
  // EACCES without CAP_SYS_RESOURCE: then we stay as we are
  const lowered = sys.writeFileAt(c.AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE, c.O_WRONLY, 0);
  if (lowered >= 0 && typeof old === "string") w.oomScore = old.replace("\n", "");
  w.tidyAt = nowMs() + TIDY_AFTER_MS;
  return undefined;
}

function resize(w: World, rows: number, cols: number): void {
  w.size = [rows, cols];
  const fd = w.stdio ? inputOf(w.stdio) : -1;
  if (fd >= 0) must(sys.setWinsize(fd, rows, cols), `resize terminal of container ${w.config.id}`);
}

function signal(w: World, number: number): number {
  // without pidfds (before Linux 5.3) the pid is still safe: we are its parent and have not reaped it
  return w.pidfd >= 0 ? sys.pidfdSendSignal(w.pidfd, number) : sys.kill(w.machine.pid, number);
}

/** Nobody is told before the record is where a later engine finds it. */
function record(w: World, status: number): undefined {
  const oomKilled = status !== 0 && w.oomCounter !== undefined && wasOomKilled(w.oomCounter);
  const exit: ExitRecord = exitRecord(w.machine, status, sys.rfc3339Nano(), oomKilled);
  try {
    writeRecord(w.config.exitPath, exit);
  } catch {
    // disk full or gone: those who are connected are told all the same
  }
  w.machine.exit = exit;
  return undefined;
}

/** Removes clients whose sockets failed. */
export function dropAll(w: World, clients: readonly Client[]): void {
  for (let i = 0; i < clients.length; i++) dropClient(w, clients[i] as Client);
}
