import * as c from "../lib/consts.ts";
import { callError, must, type RuntimeError, runtimeError } from "../lib/errors.ts";
import {
  type Call,
  decodeMessage,
  ERROR,
  encodeCall,
  METHOD_RETURN,
  type Message,
  messageSize,
  SIGNAL,
} from "./message.ts";

const STREAM = 1;
/** systemd answers within milliseconds; it takes long only where a machine is about to fail anyway. */
const TIMEOUT_MS = 30_000;

export interface Connection {
  readonly fd: number;
  serial: number;
  /** Received, not yet read. */
  rest: Uint8Array;
  /** Signals that came while an answer was awaited. */
  readonly signals: Message[];
}

/** An error that the other side answered with. */
export interface CallFailure extends RuntimeError {
  /** org.freedesktop.systemd1.UnitExists and the like. */
  readonly dbusError: string;
}

export function isCallFailure(thrown: unknown): thrown is CallFailure {
  return typeof (thrown as CallFailure).dbusError === "string";
}

/**
 * Connects and authenticates. EXTERNAL without an identity means "who my socket says I am": a number would be wrong
 * inside a user namespace, where we are 0 and the other side sees another.
 *
 * @returns undefined when there is no such socket
 */
export function openConnection(path: string): Connection | undefined {
  const fd = sys.unixConnect(path, STREAM);
  if (fd === -c.ENOENT || fd === -c.ECONNREFUSED) return undefined;
  must(fd, `connect to ${path}`);
  const connection: Connection = { fd, serial: 0, rest: new Uint8Array(0), signals: [] };
  send(connection, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
  // two lines come: DATA and OK, or OK and ERROR from a systemd before 246, which had no question to ask
  const deadline = sys.clockMonotonicUs() + TIMEOUT_MS * 1000;
  const lines = [readLine(connection, deadline), readLine(connection, deadline)];
  if (lines[0] !== "OK" && lines[1] !== "OK") {
    sys.close(fd);
    throw runtimeError(
      "Unauthenticated",
      `authenticate at ${path}: the answer is ${lines.join(" ")}`,
      "the owner of the socket must be this user, or root",
    );
  }
  return connection;
}

export function closeConnection(connection: Connection): void {
  sys.close(connection.fd);
}

/** Calls a method and returns the values of its answer. `what` begins the sentence of an error. */
export function callMethod(connection: Connection, call: Call, what: string): Message["body"] {
  const serial = ++connection.serial;
  sendBytes(connection, encodeCall(serial, call));
  const deadline = sys.clockMonotonicUs() + TIMEOUT_MS * 1000;
  for (;;) {
    const message = readMessage(connection, deadline, what);
    if (message.type === SIGNAL) connection.signals.push(message);
    if (message.replySerial !== serial) continue;
    if (message.type === METHOD_RETURN) return message.body;
    if (message.type === ERROR) throw callFailure(message, what);
  }
}

function callFailure(message: Message, what: string): CallFailure {
  const text = typeof message.body[0] === "string" ? message.body[0] : message.errorName;
  const error = runtimeError(codeOf(message.errorName), `${what}: ${text.replace(/\.$/, "")}`);
  return { runtimeError: true, code: error.code, message: error.message, dbusError: message.errorName };
}

function codeOf(
  name: string,
): "AlreadyExists" | "NotFound" | "PermissionDenied" | "InvalidArgument" | "FailedPrecondition" {
  if (/\.UnitExists$/.test(name)) return "AlreadyExists";
  if (/\.NoSuchUnit$/.test(name)) return "NotFound";
  if (/\.(AccessDenied|InteractiveAuthorizationRequired)$/.test(name)) return "PermissionDenied";
  if (/\.(InvalidArgs|PropertyReadOnly|UnknownProperty)$/.test(name)) return "InvalidArgument";
  return "FailedPrecondition";
}

/** Waits for a signal that `matches`; others are dropped. */
export function awaitSignal(connection: Connection, matches: (signal: Message) => boolean, what: string): Message {
  const deadline = sys.clockMonotonicUs() + TIMEOUT_MS * 1000;
  for (;;) {
    const message = connection.signals.shift() || readMessage(connection, deadline, what);
    if (message.type === SIGNAL && matches(message)) return message;
  }
}

function send(connection: Connection, data: string): void {
  sendBytes(connection, sys.bytesFromString(data));
}

function sendBytes(connection: Connection, data: Uint8Array): void {
  // sendmsg, since a write to a socket whose other end is gone would raise SIGPIPE
  const sent = sys.sendFds(connection.fd, data, []);
  if (sent < 0) throw callError("write to the D-Bus connection", sent);
  if (sent < data.length) sendBytes(connection, data.subarray(sent));
}

function readMessage(connection: Connection, deadline: number, what: string): Message {
  while (connection.rest.length < 16) receive(connection, deadline, what);
  const size = messageSize(connection.rest);
  while (connection.rest.length < size) receive(connection, deadline, what);
  const message = decodeMessage(connection.rest.subarray(0, size));
  connection.rest = connection.rest.subarray(size);
  return message;
}

/** The first word of the next line of the authentication. */
function readLine(connection: Connection, deadline: number): string {
  for (;;) {
    const { rest } = connection;
    for (let i = 1; i < rest.length; i++) {
      if (rest[i] !== 10 || rest[i - 1] !== 13) continue;
      const line = sys.stringFromBytes(rest, 0, i - 1);
      connection.rest = rest.subarray(i + 1);
      return line.split(" ")[0] as string;
    }
    if (rest.length > 4096) return "?";
    receive(connection, deadline, "authenticate at the D-Bus socket");
  }
}

function receive(connection: Connection, deadline: number, what: string): void {
  const left = Math.ceil((deadline - sys.clockMonotonicUs()) / 1000);
  const ready = left <= 0 ? 0 : sys.poll([connection.fd, c.POLLIN], left, []);
  if (ready === 0) throw runtimeError("DeadlineExceeded", `${what}: no answer came within ${TIMEOUT_MS / 1000} s`);
  const got = sys.readBytes(connection.fd, 65536);
  if (got === -c.EINTR) return;
  if (typeof got === "number") throw callError(`${what}: read from the D-Bus connection`, got);
  if (got.length === 0) throw runtimeError("Unavailable", `${what}: the D-Bus connection was closed`);
  const { rest } = connection;
  const joined = new Uint8Array(rest.length + got.length);
  joined.set(rest, 0);
  joined.set(got, rest.length);
  connection.rest = joined;
}
