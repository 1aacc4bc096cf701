import {
  EXIT_SIGNAL_BASE,
  type ExitRecord,
  type MonitorEvent,
  type MonitorPhase,
  type MonitorReply,
  type MonitorRequest,
  type MonitorState,
  type WireError,
} from "@berth/protocol";

export type RuntimeCommand = "create" | "start" | "delete";

/** What the loop does next, in order. Client 0 is nobody. */
export type Action =
  | { readonly do: "run"; readonly command: RuntimeCommand }
  | { readonly do: "reply"; readonly client: number; readonly reply: MonitorReply }
  | { readonly do: "event"; readonly event: MonitorEvent }
  | {
      readonly do: "attach";
      readonly client: number;
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
    }
  /** These three answer their client by themselves, with what came of it. */
  | { readonly do: "resize"; readonly client: number; readonly rows: number; readonly cols: number }
  | { readonly do: "signal"; readonly client: number; readonly signal: number }
  | { readonly do: "reopen-log"; readonly client: number }
  /** The container exists and everybody knows: what can wait until now. */
  | { readonly do: "settle" }
  /** Make the exit record durable; only then is anybody told. */
  | { readonly do: "record"; readonly status: number }
  /** Pass on what the container wrote last; `onDrained` follows. */
  | { readonly do: "drain" }
  | { readonly do: "undo" }
  | { readonly do: "finish"; readonly code: number; readonly exitCommand: boolean };

/**
 * Where the container's life stands. `op` is the runtime command under way; only one is, so requests that need
 * another one wait in their connection. `goal` says what the runtime's delete is for.
 */
export interface Machine {
  readonly id: string;
  readonly terminal: boolean;
  phase: MonitorPhase;
  op: RuntimeCommand | "";
  goal: "" | "abort" | "failed" | "clean";
  /** Who asked for `op` (or for the abort), and by what. */
  asker: number;
  askedOp: MonitorRequest["op"];
  pid: number;
  startedAt: string;
  /** Wait status of the container's first process; -1 while it lives. */
  status: number;
  error: WireError | undefined;
  exit: ExitRecord | undefined;
  /** The exit event went out. */
  told: boolean;
  /** SIGTERM came while create was under way. */
  terminated: boolean;
  owners: number[];
}

export function newMachine(id: string, terminal: boolean): Machine {
  return {
    id,
    terminal,
    phase: "ready",
    op: "",
    goal: "",
    asker: 0,
    askedOp: "create",
    pid: 0,
    startedAt: "",
    status: -1,
    error: undefined,
    exit: undefined,
    told: false,
    terminated: false,
    owners: [],
  };
}

export function stateOf(m: Machine): MonitorState {
  const state: { -readonly [key in keyof MonitorState]: MonitorState[key] } = { phase: m.phase, pid: m.pid };
  if (m.startedAt !== "") state.startedAt = m.startedAt;
  if (m.exit) state.exit = m.exit;
  return state;
}

/** Mounts and namespace are there. */
export function onReady(m: Machine, autoCreate: boolean): Action[] {
  const actions: Action[] = [{ do: "event", event: { event: "ready" } }];
  if (autoCreate) {
    m.op = "create";
    actions.push({ do: "run", command: "create" });
  }
  return actions;
}

/** Actions for a client's request, or undefined: it has to wait until the runtime command under way has ended. */
export function onRequest(m: Machine, client: number, request: MonitorRequest): Action[] | undefined {
  const op = request.op;
  // replies go out in the order of the requests, and the one before is not answered yet
  if (m.asker === client) return undefined;
  switch (op) {
    case "state":
      return [accepted(m, client, op)];
    case "own":
      if (m.owners.indexOf(client) < 0) m.owners.push(client);
      return [accepted(m, client, op)];
    case "attach":
      if (m.told) return [refused(client, op, "attach", m, "it has exited")];
      return [
        { do: "attach", client, stdin: request.stdin, stdout: request.stdout, stderr: request.stderr },
        accepted(m, client, op),
      ];
    case "reopen-log":
      return [{ do: op, client }];
    case "resize":
      if (!m.terminal) return [refused(client, op, "resize terminal of", m, "it has none")];
      return [{ do: op, client, rows: request.rows, cols: request.cols }];
    case "signal":
      if (m.op === "create") return undefined;
      if (!alive(m))
        return [refused(client, op, "signal", m, m.phase === "ready" ? "it is not created" : "it has exited")];
      return [{ do: op, client, signal: request.signal }];
    default:
      // replies keep the order of requests: the failure of a create is told when all is undone, and ends the connection
      return m.op === "create" || m.op === "start" || m.goal === "failed" ? undefined : lifeRequest(m, client, op);
  }
}

function lifeRequest(m: Machine, client: number, op: "create" | "start" | "abort"): Action[] {
  if (m.goal !== "") return [refused(client, op, op, m, "it is being removed")];
  if (op === "create" && m.phase === "ready") return run(m, "create", client, op);
  if (op === "start" && m.phase === "created") return run(m, "start", client, op);
  if (op === "abort" && (m.phase === "ready" || m.phase === "created")) return abort(m, client);
  return [refused(client, op, op, m, `it is ${m.phase === "ready" ? "not created" : m.phase}`)];
}

function run(m: Machine, command: "create" | "start", client: number, op: MonitorRequest["op"]): Action[] {
  m.op = command;
  m.asker = client;
  m.askedOp = op;
  return [{ do: "run", command }];
}

function abort(m: Machine, client: number): Action[] {
  m.goal = "abort";
  m.asker = client;
  m.askedOp = "abort";
  if (m.phase === "ready") return removed(m);
  return remove(m);
}

function remove(m: Machine): Action[] {
  m.op = "delete";
  return [{ do: "run", command: "delete" }];
}

/** Nothing was made in the runtime, or its delete is done. */
function removed(m: Machine): Action[] {
  const actions: Action[] = [{ do: "undo" }];
  if (m.goal === "failed") {
    const error = m.error as WireError;
    if (m.asker !== 0) actions.push({ do: "reply", client: m.asker, reply: { op: m.askedOp, ok: false, error } });
    actions.push({ do: "event", event: { event: "failed", error } }, { do: "finish", code: 1, exitCommand: false });
    return actions;
  }
  if (m.asker !== 0) actions.push(accepted(m, m.asker, m.askedOp));
  actions.push(
    { do: "event", event: { event: "cleaned" } },
    { do: "finish", code: 0, exitCommand: m.goal === "clean" },
  );
  return actions;
}

/** Set-up failed before anything was asked of the runtime. */
export function onSetupFailed(m: Machine, error: WireError): Action[] {
  m.goal = "failed";
  m.error = error;
  return removed(m);
}

/** create gave `pid`. `status` is its wait status if it has ended already, else -1. */
export function onCreated(m: Machine, pid: number, status: number): Action[] {
  m.op = "";
  m.phase = "created";
  m.pid = pid;
  m.status = status;
  const actions = answer(m);
  actions.push({ do: "event", event: { event: "created", pid } }, { do: "settle" });
  if (m.terminated) return actions.concat(abort(m, 0));
  return status >= 0 ? actions.concat(exited(m)) : actions;
}

export function onCreateFailed(m: Machine, error: WireError): Action[] {
  m.goal = "failed";
  m.error = error;
  return remove(m);
}

export function onStarted(m: Machine, startedAt: string): Action[] {
  m.op = "";
  m.phase = "running";
  m.startedAt = startedAt;
  const actions = answer(m);
  actions.push({ do: "event", event: { event: "started", startedAt } });
  return m.status >= 0 ? actions.concat(exited(m)) : actions;
}

/** The container stays created: its client may abort; if its process ended of it, it has exited. */
export function onStartFailed(m: Machine, error: WireError): Action[] {
  m.op = "";
  const actions: Action[] = [];
  if (m.asker !== 0) actions.push({ do: "reply", client: m.asker, reply: { op: m.askedOp, ok: false, error } });
  m.asker = 0;
  return m.status >= 0 ? actions.concat(exited(m)) : actions;
}

export function onDeleted(m: Machine): Action[] {
  m.op = "";
  return removed(m);
}

/** The container's first process was reaped. While it is being started or removed, that command's end comes first. */
export function onContainerEnd(m: Machine, status: number): Action[] {
  m.status = status;
  return m.op === "" && m.goal === "" ? exited(m) : [];
}

function exited(m: Machine): Action[] {
  m.phase = "exited";
  m.goal = "clean";
  return [{ do: "record", status: m.status }, { do: "drain" }];
}

export function onDrained(m: Machine): Action[] {
  m.told = true;
  return [{ do: "event", event: { event: "exit", exit: m.exit as ExitRecord } }, ...remove(m)];
}

/** SIGTERM to the monitor: the container's process gets it; what never started is given up. */
export function onTerminate(m: Machine, signal: number): Action[] {
  if (m.op === "create") m.terminated = true;
  if (m.op === "create" || m.goal !== "") return [];
  if (m.phase === "running" || m.op === "start") return [{ do: "signal", client: 0, signal }];
  return abort(m, 0);
}

export function onClientLeft(m: Machine, client: number): void {
  if (m.asker === client) m.asker = 0;
  const at = m.owners.indexOf(client);
  if (at >= 0) m.owners.splice(at, 1);
}

/** The record of an exit from its wait status (wait(2)). */
export function exitRecord(m: Machine, status: number, finishedAt: string, oomKilled: boolean): ExitRecord {
  const signal = status & 0x7f;
  const exitCode = signal === 0 ? (status >> 8) & 255 : EXIT_SIGNAL_BASE + signal;
  const record: { -readonly [key in keyof ExitRecord]: ExitRecord[key] } = {
    id: m.id,
    pid: m.pid,
    exitCode,
    oomKilled,
    finishedAt,
  };
  if (signal !== 0) record.signal = signal;
  if (m.startedAt !== "") record.startedAt = m.startedAt;
  return record;
}

function alive(m: Machine): boolean {
  return m.pid > 0 && m.status < 0;
}

function answer(m: Machine): Action[] {
  const client = m.asker;
  m.asker = 0;
  return client === 0 ? [] : [accepted(m, client, m.askedOp)];
}

function accepted(m: Machine, client: number, op: MonitorRequest["op"]): Action {
  return { do: "reply", client, reply: { op, ok: true, state: stateOf(m) } };
}

function refused(client: number, op: MonitorRequest["op"], verb: string, m: Machine, cause: string): Action {
  const error: WireError = { code: "FailedPrecondition", message: `${verb} container ${m.id}: ${cause}` };
  return { do: "reply", client, reply: { op, ok: false, error } };
}
