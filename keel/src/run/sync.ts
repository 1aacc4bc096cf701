import { asRuntimeError, callError, type RuntimeError, runtimeError } from "../lib/errors.ts";

/**
 * Words between the runtime and the process it makes, over a seqpacket socket: "go", "ready", or one JSON object with
 * the error. The end of the stream after the last "go" means that execve succeeded (the descriptor is close-on-exec).
 */
export function expectWord(sync: number, word: string, died: () => RuntimeError): void {
  const message = nextWord(sync);
  if (message === word) return;
  if (message === "") throw died();
  throw runtimeError("Internal", `read from the new process: expected "${word}", got "${message}"`);
}

/** The next word, "" for the end of the stream; an error that was sent is thrown. */
export function nextWord(sync: number): string {
  let message = sys.read(sync, 65536);
  while (message === -4) message = sys.read(sync, 65536);
  if (typeof message === "number") throw callError("read from the new process", message);
  if (message.charAt(0) === "{") throw (JSON.parse(message) as { error: RuntimeError }).error;
  return message;
}

export function sendError(sync: number, thrown: unknown): void {
  sys.write(sync, JSON.stringify({ error: asRuntimeError(thrown) }));
}
