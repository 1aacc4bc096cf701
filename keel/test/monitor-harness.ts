import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after } from "node:test";
import {
  type ExitRecord,
  FRAME_EVENT,
  FRAME_REPLY,
  FRAME_REQUEST,
  FRAME_STDERR,
  FRAME_STDIN,
  FRAME_STDIN_EOF,
  FRAME_STDOUT,
  type MonitorConfig,
  type MonitorEvent,
  type MonitorReply,
  type MonitorRequest,
} from "@berth/protocol";
import { KEEL, type Loose } from "./harness.ts";

/** The OCI runtime under the monitor: keel, or another one by BERTH_TEST_RUNTIME. */
export const RUNTIME: string = process.env["BERTH_TEST_RUNTIME"] ?? KEEL;
const BUSYBOX = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "";
const base: string = mkdtempSync(join(tmpdir(), "monitor-test-"));
const runtime: readonly string[] = [RUNTIME, "--root", join(base, "state")];
const LIMIT_MS = 20_000;
const started: ChildProcess[] = [];
let count = 0;

after(() => {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  for (const id of made) spawnSync(runtime[0] as string, [...runtime.slice(1), "delete", "--force", id]);
  rmSync(base, { recursive: true, force: true });
});

const made: string[] = [];

/** Fails with `what` when the promise takes too long. */
export async function within<T>(promise: Promise<T>, what: string, limit = LIMIT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out: ${what}`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** A bundle of busybox with the runtime's own default spec as `change` leaves it, and the monitor's orders for it. */
export function orders(args: readonly string[], change: (spec: Loose) => void = () => {}): MonitorConfig {
  const id = `m${process.pid}-${++count}`;
  const bundle = join(base, id);
  const rootfs = join(bundle, "rootfs");
  for (const sub of ["bin", "proc", "sys", "dev", "tmp"]) mkdirSync(join(rootfs, sub), { recursive: true });
  copyFileSync(BUSYBOX, join(rootfs, "bin/busybox"));
  spawnSync("chroot", [rootfs, "/bin/busybox", "--install", "-s", "/bin"]);
  const printed = spawnSync(RUNTIME, ["spec"], { cwd: bundle, encoding: "utf8" });
  if (printed.status !== 0) throw new Error(`${RUNTIME} spec: ${printed.stderr}`);
  const path = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8")) as Loose;
  spec.process.terminal = false;
  spec.process.args = args;
  spec.process.rlimits = [];
  spec.root.readonly = false;
  change(spec);
  writeFileSync(path, JSON.stringify(spec));
  made.push(id);
  return {
    id,
    bundle,
    runtime,
    terminal: spec.process.terminal,
    stdin: false,
    stdinOnce: false,
    logPath: join(bundle, "log"),
    exitPath: join(bundle, "exit.json"),
    socketPath: join(bundle, "sock"),
    pidFile: join(bundle, "pid"),
    mounts: [],
    netnsPath: "",
    autoCreate: true,
    exitCommand: [],
  };
}

/** One connection to a monitor. */
export class Client {
  readonly events: MonitorEvent[] = [];
  stdout = "";
  stderr = "";
  /** What came last before the exit event. */
  readonly order: number[] = [];
  closed = false;
  readonly #socket: Duplex;
  readonly #replies: ((reply: MonitorReply) => void)[] = [];
  readonly #waiters: (() => void)[] = [];
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
    socket.on("error", () => {});
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #feed(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 5) {
      const length = this.#rest.readUInt32BE(1);
      if (this.#rest.length < 5 + length) break;
      this.#frame(this.#rest[0] as number, this.#rest.subarray(5, 5 + length).toString());
      this.#rest = this.#rest.subarray(5 + length);
    }
    this.#wake();
  }

  #frame(type: number, text: string): void {
    this.order.push(type);
    if (type === FRAME_STDOUT) this.stdout += text;
    else if (type === FRAME_STDERR) this.stderr += text;
    else if (type === FRAME_EVENT) this.events.push(JSON.parse(text) as MonitorEvent);
    else if (type === FRAME_REPLY) this.#replies.shift()?.(JSON.parse(text) as MonitorReply);
  }

  frame(type: number, payload: string | Buffer): void {
    const bytes = Buffer.from(payload);
    const header = Buffer.alloc(5);
    header[0] = type;
    header.writeUInt32BE(bytes.length, 1);
    this.#socket.write(Buffer.concat([header, bytes]));
  }

  request(request: MonitorRequest): Promise<MonitorReply> {
    const reply = new Promise<MonitorReply>((resolve) => this.#replies.push(resolve));
    this.frame(FRAME_REQUEST, JSON.stringify(request));
    return within(reply, `reply to ${request.op}`);
  }

  stdin(text: string | Buffer): void {
    this.frame(FRAME_STDIN, text);
  }

  stdinEof(): void {
    this.frame(FRAME_STDIN_EOF, "");
  }

  attach(stdin = false): Promise<MonitorReply> {
    return this.request({ op: "attach", stdin, stdout: true, stderr: true });
  }

  async until(what: string, test: () => boolean): Promise<void> {
    const loop = async (): Promise<void> => {
      while (!test()) {
        if (this.closed) throw new Error(`connection closed before: ${what}; events ${JSON.stringify(this.events)}`);
        await new Promise<void>((wake) => this.#waiters.push(wake));
      }
    };
    await within(loop(), what);
  }

  async event<E extends MonitorEvent["event"]>(name: E): Promise<Extract<MonitorEvent, { event: E }>> {
    const find = (): MonitorEvent | undefined => this.events.find((e) => e.event === name);
    await this.until(`event ${name}`, () => find() !== undefined);
    return find() as Extract<MonitorEvent, { event: E }>;
  }

  async exit(): Promise<ExitRecord> {
    return (await this.event("exit")).exit;
  }

  async end(): Promise<void> {
    const loop = async (): Promise<void> => {
      while (!this.closed) await new Promise<void>((wake) => this.#waiters.push(wake));
    };
    await within(loop(), "end of the connection");
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  leave(): void {
    this.#socket.destroy();
  }
}

export interface Started {
  readonly child: ChildProcess;
  readonly client: Client;
  /** Exit code of the monitor. */
  readonly ended: Promise<number>;
}

/** Starts a monitor for the orders; its first connection is `client`. */
export function monitor(config: MonitorConfig): Started {
  const file = join(config.bundle, "monitor.json");
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(KEEL, ["monitor", file], { stdio: ["ignore", "inherit", "inherit", "pipe"], detached: true });
  started.push(child);
  const ended = new Promise<number>((done) =>
    child.on("exit", (code, signal) => done(code ?? (signal === null ? -1 : -2))),
  );
  return { child, client: new Client(child.stdio[3] as Duplex), ended: within(ended, "end of the monitor") };
}

/** A further connection, by the monitor's socket. */
export async function connectTo(config: MonitorConfig): Promise<Client> {
  const socket: Socket = connect(config.socketPath);
  await within(
    new Promise((done, fail) => {
      socket.once("connect", done);
      socket.once("error", fail);
    }),
    "connection to the monitor",
  );
  return new Client(socket);
}

/** Runs a container to its end with everything attached. */
export async function life(
  config: MonitorConfig,
): Promise<{ readonly client: Client; readonly exit: ExitRecord; readonly code: number }> {
  const { client, ended } = monitor(config);
  await client.attach(config.stdin);
  await client.request({ op: "start" });
  const exit = await client.exit();
  await client.event("cleaned");
  return { client, exit, code: await ended };
}

export interface LogLine {
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

/** The lines of a CRI log; throws for a line that is not one. */
export function logLines(path: string): LogLine[] {
  const lines = readFileSync(path, "utf8").split("\n");
  if (lines.pop() !== "") throw new Error("the log does not end with a newline");
  return lines.map((line) => {
    const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) ([^\n]*)$/.exec(line);
    if (!match) throw new Error(`no CRI log line: ${line.slice(0, 100)}`);
    return { stream: match[1] as string, tag: match[2] as string, text: match[3] as string };
  });
}
