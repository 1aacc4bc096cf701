import assert from "node:assert/strict";
import { test } from "node:test";
import type { MonitorRequest, WireError } from "@berth/protocol";
import {
  type Action,
  exitRecord,
  type Machine,
  newMachine,
  onClientLeft,
  onContainerEnd,
  onCreated,
  onCreateFailed,
  onDeleted,
  onDrained,
  onReady,
  onRequest,
  onStarted,
  onStartFailed,
  onTerminate,
} from "./machine.ts";

const CLIENT = 1;
const OTHER = 2;
const TIME = "2026-11-24T08:00:00.000000000Z";
const ERROR: WireError = { code: "NotFound", message: "exec: no such file" };

/** Actions in short: `run create`, `reply 1 start ok`, `event exit`. */
function short(actions: readonly Action[] | undefined): string[] {
  if (!actions) return ["wait"];
  return actions.map((a) => {
    if (a.do === "run") return `run ${a.command}`;
    if (a.do === "reply") return `reply ${a.client} ${a.reply.op} ${a.reply.ok ? "ok" : a.reply.error.code}`;
    if (a.do === "event") return `event ${a.event.event}`;
    if (a.do === "finish") return `finish ${a.code} ${a.exitCommand}`;
    if (a.do === "signal") return `signal ${a.client} ${a.signal}`;
    return a.do;
  });
}

function request(m: Machine, op: MonitorRequest["op"], client = CLIENT): string[] {
  const full: MonitorRequest =
    op === "attach"
      ? { op, stdin: true, stdout: true, stderr: true }
      : op === "resize"
        ? { op, rows: 1, cols: 1 }
        : op === "signal"
          ? { op, signal: 9 }
          : { op };
  return short(onRequest(m, client, full));
}

function created(): Machine {
  const m = newMachine("c", false);
  onReady(m, true);
  onCreated(m, 42, -1);
  return m;
}

function running(): Machine {
  const m = created();
  request(m, "start");
  onStarted(m, TIME);
  return m;
}

function end(m: Machine, status: number): string[] {
  const actions = short(onContainerEnd(m, status));
  if (actions[0] === "record") m.exit = exitRecord(m, status, TIME, false);
  return actions;
}

test("machine: a life from ready to cleaned, the record before anybody is told", () => {
  const m = newMachine("c", false);
  assert.deepEqual(short(onReady(m, false)), ["event ready"]);
  assert.deepEqual(request(m, "create"), ["run create"]);
  assert.deepEqual(short(onCreated(m, 42, -1)), ["reply 1 create ok", "event created", "settle"]);
  assert.deepEqual(request(m, "start"), ["run start"]);
  assert.deepEqual(short(onStarted(m, TIME)), ["reply 1 start ok", "event started"]);
  assert.deepEqual(end(m, 3 << 8), ["record", "drain"]);
  assert.deepEqual(short(onDrained(m)), ["event exit", "run delete"]);
  assert.deepEqual(short(onDeleted(m)), ["undo", "event cleaned", "finish 0 true"]);
});

test("machine: a container that ends before its start command does is told as started first", () => {
  const m = created();
  request(m, "start");
  assert.deepEqual(end(m, 0), []);
  assert.deepEqual(short(onStarted(m, TIME)), ["reply 1 start ok", "event started", "record", "drain"]);
});

test("machine: a container that ends while created has an exit without a start time", () => {
  const m = created();
  assert.deepEqual(end(m, 9), ["record", "drain"]);
  assert.deepEqual(m.exit, { id: "c", pid: 42, exitCode: 137, signal: 9, oomKilled: false, finishedAt: TIME });
});

test("machine: the end that was reaped before the pid was known comes right after created", () => {
  const m = newMachine("c", false);
  onReady(m, true);
  assert.deepEqual(short(onCreated(m, 42, 256)), ["event created", "settle", "record", "drain"]);
});

test("machine: requests that need the runtime wait for its command under way, others do not", () => {
  const m = newMachine("c", true);
  onReady(m, true);
  for (const op of ["start", "abort", "create", "signal"] as const) assert.deepEqual(request(m, op), ["wait"], op);
  assert.deepEqual(request(m, "attach"), ["attach", "reply 1 attach ok"]);
  assert.deepEqual(request(m, "state"), ["reply 1 state ok"]);
  assert.deepEqual(request(m, "resize"), ["resize"]);
  onCreated(m, 42, -1);
  request(m, "start");
  // the client that asked for the command has its answers in order; others need not wait
  assert.deepEqual(request(m, "signal"), ["wait"]);
  assert.deepEqual(request(m, "signal", OTHER), [`signal ${OTHER} 9`]);
  assert.deepEqual(request(m, "abort", OTHER), ["wait"]);
});

test("machine: a failed create is removed and undone before it is told, and runs no exit command", () => {
  const m = newMachine("c", false);
  onReady(m, false);
  request(m, "create", 7);
  assert.deepEqual(short(onCreateFailed(m, ERROR)), ["run delete"]);
  assert.deepEqual(short(onDeleted(m)), ["undo", "reply 7 create NotFound", "event failed", "finish 1 false"]);
});

test("machine: a failed start leaves the container created, and it can be aborted", () => {
  const m = created();
  request(m, "start");
  assert.deepEqual(short(onStartFailed(m, ERROR)), ["reply 1 start NotFound"]);
  assert.equal(m.phase, "created");
  assert.deepEqual(request(m, "abort"), ["run delete"]);
  assert.deepEqual(end(m, 9), []);
  assert.deepEqual(short(onDeleted(m)), ["undo", "reply 1 abort ok", "event cleaned", "finish 0 false"]);
});

test("machine: a failed start whose process ended is an exit", () => {
  const m = created();
  request(m, "start");
  end(m, 256);
  assert.deepEqual(short(onStartFailed(m, ERROR)), ["reply 1 start NotFound", "record", "drain"]);
});

test("machine: what a phase does not allow is refused with FailedPrecondition", () => {
  const table: readonly [Machine, readonly MonitorRequest["op"][]][] = [
    [newMachine("c", false), ["start", "signal", "resize"]],
    [created(), ["create", "resize"]],
    [running(), ["create", "start", "abort"]],
  ];
  for (const [m, ops] of table)
    for (const op of ops) assert.deepEqual(request(m, op), [`reply 1 ${op} FailedPrecondition`], `${m.phase} ${op}`);
  const m = running();
  end(m, 0);
  onDrained(m);
  for (const op of ["create", "start", "abort", "signal", "attach"] as const)
    assert.deepEqual(request(m, op), [`reply 1 ${op} FailedPrecondition`], op);
});

test("machine: abort before create only undoes", () => {
  const m = newMachine("c", false);
  onReady(m, false);
  assert.deepEqual(request(m, "abort"), ["undo", "reply 1 abort ok", "event cleaned", "finish 0 false"]);
});

test("machine: SIGTERM goes to the running container, gives up one that never started, also while it is created", () => {
  assert.deepEqual(short(onTerminate(running(), 15)), ["signal 0 15"]);
  assert.deepEqual(short(onTerminate(created(), 15)), ["run delete"]);
  const m = newMachine("c", false);
  onReady(m, true);
  assert.deepEqual(short(onTerminate(m, 15)), []);
  assert.deepEqual(short(onCreated(m, 42, -1)), ["event created", "settle", "run delete"]);
});

test("machine: owners are those still connected, and a reply to one who left is not sent", () => {
  const m = newMachine("c", false);
  onReady(m, false);
  request(m, "own", 1);
  request(m, "own", 1);
  request(m, "own", 2);
  onClientLeft(m, 1);
  assert.deepEqual(m.owners, [2]);
  request(m, "create", 2);
  onClientLeft(m, 2);
  assert.deepEqual(short(onCreated(m, 42, -1)), ["event created", "settle"]);
});
