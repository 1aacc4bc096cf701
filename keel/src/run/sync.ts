import * as c from "../lib/consts.ts";
import { asRuntimeError, callError, must, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { warn } from "../lib/report.ts";

/**
 * Words between the runtime and the process it makes, over a seqpacket socket: "go", "ready", or one JSON object with
 * the error. The end of the stream after the last "go" means that execve succeeded (the descriptor is close-on-exec).
 */
export function expectWord(message: string, word: string, died: () => RuntimeError): void {
  checkError(message);
  if (message === word) return;
  if (message === "") throw died();
  throw runtimeError("Internal", `read from the new process: expected "${word}", got "${message}"`);
}

/** An error that was sent is thrown. */
function checkError(message: string): void {
  if (message.charAt(0) === "{") throw (JSON.parse(message) as { error: RuntimeError }).error;
}

/** The next word, "" for the end of the stream; an error that was sent is thrown, a warning told. */
export function nextWord(sync: number): string {
  let message = sys.read(sync, MESSAGE_LIMIT);
  // ECONNRESET comes once, before what was sent, when the process ended with a word of ours unread
  while (message === -c.EINTR || message === -c.ECONNRESET) message = sys.read(sync, MESSAGE_LIMIT);
  if (typeof message === "number") throw callError("read from the new process", message);
  if (message.charAt(0) === WARNING) {
    warn(message.substring(1));
    return nextWord(sync);
  }
  checkError(message);
  return message;
}

/** Lets the new process go on. One that has ended by then has sent the reason, which is thrown. */
export function sendGo(sync: number, step: string): void {
  const result = sys.write(sync, "go");
  if (result === -c.EPIPE || result === -c.ECONNRESET) nextWord(sync);
  must(result, step);
}

/** From the new process, whose stderr is the container's already. */
export function sendWarning(sync: number, text: string): void {
  sys.write(sync, WARNING + text);
}

const WARNING = "!";

/** What one read of the other side takes. */
const MESSAGE_LIMIT = 65536;
const LONGEST_SENTENCE = 4096;

/** Texts of config.json may be longer than a message may be: a cut one would be no JSON (CVE-2021-43784). */
export function sendError(sync: number, thrown: unknown): void {
  const error = asRuntimeError(thrown);
  let text = JSON.stringify({ error });
  if (text.length > MESSAGE_LIMIT / 4) {
    const message = `${error.message.substring(0, LONGEST_SENTENCE)}…`;
    text = JSON.stringify({ error: runtimeError(error.code, message, error.hint) });
  }
  sys.write(sync, text);
}
