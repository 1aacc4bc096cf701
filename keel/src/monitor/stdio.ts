import { FRAME_STDERR, FRAME_STDOUT, type MonitorConfig } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { must, mustGet } from "../lib/errors.ts";
import { type Client, fullClients } from "./clients.ts";

/** relay's read size; a shorter read means that the pipe is empty for now. */
const RELAY_READ = 65536;
/** Reads in a row from one stream before the others get their turn. */
const RELAY_TURNS = 16;
const EIO = 5;
/** Beyond this many queued bytes no more stdin is read from clients: their socket fills and they wait. */
export const STDIN_QUEUE_MAX = 262144;

/** One output stream of the container. */
export interface Output {
  /** Our end; -1 when it has ended. */
  fd: number;
  readonly name: "stdout" | "stderr";
  readonly frameType: number;
  /** Handle of the log writer, -1 for none. */
  log: number;
  /** Not read, because a client that wants it is full. */
  blocked: boolean;
  /** A terminal nobody has open at the moment: read again at this time (monotonic ms); 0: not so. */
  retryAt: number;
}

export interface Stdio {
  readonly terminal: boolean;
  readonly outputs: Output[];
  /** Write end of the stdin pipe, -1 for none; see `inputOf`. */
  inputFd: number;
  queue: Uint8Array[];
  queued: number;
  /** Close it when the queue is written. */
  ending: boolean;
  logFd: number;
  /** What the runtime's create gets as 0, 1, 2; closed after it. */
  child: number[];
}

/** Pipes for a container without terminal; with one, stderr is for the runtime's own messages. */
export function openStdio(config: MonitorConfig): Stdio {
  const stdio: Stdio = {
    terminal: config.terminal,
    outputs: [],
    inputFd: -1,
    queue: [],
    queued: 0,
    ending: false,
    logFd: -1,
    child: [],
  };
  if (config.logPath !== "") stdio.logFd = openLog(config.logPath);
  const devNull = must(sys.open("/dev/null", c.O_RDWR, 0), "open /dev/null");
  if (config.terminal || !config.stdin) stdio.child.push(devNull);
  else {
    const [read, write] = mustGet(sys.pipe(), "make stdin pipe");
    sys.setNonblock(write, true);
    sys.close(devNull);
    stdio.child.push(read);
    stdio.inputFd = write;
  }
  if (config.terminal) stdio.child.push(sys.dupMin(devNull, 4));
  else stdio.child.push(addPipe(stdio, "stdout", FRAME_STDOUT));
  stdio.child.push(addPipe(stdio, "stderr", FRAME_STDERR));
  return stdio;
}

function openLog(path: string): number {
  return must(sys.open(path, c.O_WRONLY | c.O_CREAT | c.O_APPEND | c.O_NOFOLLOW, 0o640), `open log ${path}`);
}

function addPipe(stdio: Stdio, name: Output["name"], frameType: number): number {
  const [read, write] = mustGet(sys.pipe(), `make ${name} pipe`);
  sys.setNonblock(read, true);
  addOutput(stdio, read, name, frameType);
  return write;
}

function addOutput(stdio: Stdio, fd: number, name: Output["name"], frameType: number): void {
  const log =
    stdio.logFd < 0 || (stdio.terminal && name === "stderr")
      ? -1
      : must(sys.logOpen(stdio.logFd, name), "open log writer");
  stdio.outputs.push({ fd, name, frameType, log, blocked: false, retryAt: 0 });
}

export function closeChildEnds(stdio: Stdio): void {
  for (let i = 0; i < stdio.child.length; i++) sys.close(stdio.child[i] as number);
  stdio.child = [];
}

/** The terminal's master came from the runtime: it is the only stream from now on. */
export function adoptTerminal(stdio: Stdio, master: number): void {
  closeOutputs(stdio);
  sys.setNonblock(master, true);
  addOutput(stdio, master, "stdout", FRAME_STDOUT);
}

/** Where stdin goes: the terminal's master serves both ways. -1: nowhere. */
export function inputOf(stdio: Stdio): number {
  if (!stdio.terminal) return stdio.inputFd;
  const output = stdio.outputs[0];
  return output && output.name === "stdout" ? output.fd : -1;
}

/** What the runtime wrote on stderr, at most 64 KiB; for a create that failed. */
export function readMessages(stdio: Stdio): string {
  const output = stdio.outputs[stdio.outputs.length - 1];
  const text = output && output.fd >= 0 ? sys.read(output.fd, RELAY_READ) : "";
  return typeof text === "string" ? text : "";
}

/** Log rotation: the file at the path from now on; the old one stays in use if it cannot be opened (throws). */
export function reopenLog(stdio: Stdio, path: string): void {
  const fd = openLog(path);
  for (let i = 0; i < stdio.outputs.length; i++) {
    const log = (stdio.outputs[i] as Output).log;
    if (log >= 0) sys.logSetFd(log, fd);
  }
  sys.close(stdio.logFd);
  stdio.logFd = fd;
}

function wants(client: Client, output: Output): boolean {
  return output.name === "stdout" ? client.stdout : client.stderr;
}

/**
 * Passes on what a readable stream holds. A client that is full gets `now` as the begin of its stall and the stream
 * waits (the container feels it as a full pipe); the loop drops clients that stall too long.
 *
 * @returns bytes passed on; clients whose sockets are broken are appended to `broken`
 */
export function relayOutput(
  output: Output,
  clients: readonly Client[],
  now: number,
  containerEnded: boolean,
  broken: Client[],
): number {
  let total = 0;
  for (let turn = 0; turn < RELAY_TURNS; turn++) {
    const targets: Client[] = [];
    const fds: number[] = [];
    for (let i = 0; i < clients.length; i++) {
      const client = clients[i] as Client;
      if (!wants(client, output) || broken.indexOf(client) >= 0) continue;
      targets.push(client);
      fds.push(client.fd);
    }
    if (targets.length > 0) {
      const full = fullClients(targets);
      for (let i = 0; i < full.length; i++)
        if ((full[i] as Client).stalledSince === 0) (full[i] as Client).stalledSince = now;
      output.blocked = full.length > 0;
      if (output.blocked) return total;
    }
    const failed: number[] = [];
    const count = sys.relay(output.fd, output.log, output.frameType, fds, failed);
    for (let i = 0; i < failed.length; i++) broken.push(targets[fds.indexOf(failed[i] as number)] as Client);
    if (count <= 0) {
      if (count !== -c.EAGAIN && count !== -c.EINTR) endOutput(output, count, now, containerEnded);
      return total;
    }
    total += count;
    if (count < RELAY_READ) return total;
  }
  return total;
}

/** A terminal gives EIO also while its container lives but has no descriptor of it open: look again in a second. */
function endOutput(output: Output, result: number, now: number, containerEnded: boolean): void {
  if (result === -EIO && !containerEnded) {
    output.retryAt = now + 1000;
    return;
  }
  closeOutput(output);
}

/** Outputs that wait for a further try have it now. */
export function retryOutputs(stdio: Stdio, now: number): void {
  for (let i = 0; i < stdio.outputs.length; i++) {
    const output = stdio.outputs[i] as Output;
    if (output.retryAt > now) output.retryAt = now;
  }
}

export function closeOutput(output: Output): void {
  if (output.fd < 0) return;
  if (output.log >= 0) sys.logClose(output.log);
  output.log = -1;
  sys.close(output.fd);
  output.fd = -1;
  output.blocked = false;
  output.retryAt = 0;
}

/** Ends all streams and the log. */
export function closeStdio(stdio: Stdio): void {
  closeInput(stdio);
  closeOutputs(stdio);
  if (stdio.logFd >= 0) sys.close(stdio.logFd);
  stdio.logFd = -1;
}

function closeOutputs(stdio: Stdio): void {
  for (let i = 0; i < stdio.outputs.length; i++) closeOutput(stdio.outputs[i] as Output);
  stdio.outputs.length = 0;
}

/** Bytes for the container's stdin; without one they vanish. */
export function pushInput(stdio: Stdio, bytes: Uint8Array): void {
  if (inputOf(stdio) < 0 || stdio.ending) return;
  stdio.queue.push(bytes);
  stdio.queued += bytes.length;
  flushInput(stdio);
}

/** Writes as much of the queue as the pipe or terminal takes. */
export function flushInput(stdio: Stdio): void {
  const fd = inputOf(stdio);
  while (stdio.queue.length > 0) {
    const bytes = stdio.queue[0] as Uint8Array;
    const count = bytes.length === 0 ? 0 : sys.write(fd, bytes);
    if (count === -c.EAGAIN || count === -c.EINTR) return;
    if (count < 0) {
      // EPIPE: the container closed it; EIO: nobody has the terminal open
      closeInput(stdio);
      return;
    }
    stdio.queued -= count;
    if (count === bytes.length) stdio.queue.shift();
    else stdio.queue[0] = bytes.subarray(count);
  }
  if (stdio.ending) closeInput(stdio);
}

/** End of file for the container after what is queued; a terminal has none (clients send ^D). */
export function endInput(stdio: Stdio): void {
  if (stdio.inputFd < 0) return;
  if (stdio.queue.length === 0) closeInput(stdio);
  else stdio.ending = true;
}

function closeInput(stdio: Stdio): void {
  if (stdio.inputFd >= 0) sys.close(stdio.inputFd);
  stdio.inputFd = -1;
  stdio.queue = [];
  stdio.queued = 0;
}
