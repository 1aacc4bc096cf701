import { asRuntimeError, callError, type RuntimeError, runtimeError } from "../lib/errors.ts";

/**
 * Words between the runtime and the process it makes, over a seqpacket socket: "go", "ready", or one JSON object with
 * the error. The end of the stream after the last "go" means that execve succeeded (the descriptor is close-on-exec).
 */
export function expectWord(sync: number, word: string, died: () => RuntimeError): void {
  let message = sys.read(sync, 65536);
  while (message === -4) message = sys.read(sync, 65536);
  if (typeof message === "number") throw callError("read from the new process", message);
  if (message === word) return;
  if (message === "") throw died();
  if (message.charAt(0) !== "{")
    throw runtimeError("Internal", `read from the new process: expected "${word}", got "${message}"`);
  throw (JSON.parse(message) as { error: RuntimeError }).error;
}

export function sendError(sync: number, thrown: unknown): void {
  sys.write(sync, JSON.stringify({ error: asRuntimeError(thrown) }));
}
