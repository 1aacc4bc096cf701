import type { AttachIo, Attachment } from "@berth/engine";
import type { Context } from "../command.ts";
import { isBrokenPipe } from "../print/stdio.ts";
import { detachScanner, parseDetachKeys } from "./detach.ts";
import type { SignalRouter } from "./signals.ts";
import { rawMode, requireTerminal, terminalSize, watchSize } from "./terminal.ts";

/** Exit code of a process that SIGPIPE ended, as a shell shows it. */
const BROKEN_PIPE = 128 + 13;

export interface SessionOptions {
  /** The container has a terminal. */
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string;
  /** Pass signals on. */
  readonly proxy: boolean;
}

/** How a session in the foreground ended. */
export type SessionEnd =
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "left"; readonly code: number };

/** Checks what would make {@link runSession} fail, before anything is created or started. */
export function checkSession(options: SessionOptions): void {
  if (options.terminal && options.stdin) requireTerminal();
  parseDetachKeys(options.detachKeys);
}

/**
 * Connects this process' streams, terminal and signals to a container until it ends or the user leaves.
 *
 * @param connect starts or attaches with the given streams
 */
export async function runSession(
  context: Context,
  router: SignalRouter,
  options: SessionOptions,
  connect: (io: AttachIo) => Promise<Attachment>,
): Promise<SessionEnd> {
  const { promise: left, resolve: leave } = Promise.withResolvers<SessionEnd>();
  const forward = (write: (data: Uint8Array) => Promise<void>) => async (data: Uint8Array) => {
    try {
      await write(data);
    } catch (error) {
      // Without a reader nothing more can be shown; the container goes on, as with docker.
      leave({ kind: "left", code: isBrokenPipe(error) ? BROKEN_PIPE : 1 });
    }
  };
  // A session that is cut short leaves the terminal as it was, whatever threw.
  using raw = options.terminal && options.stdin ? rawMode() : undefined;
  void raw;
  router.hold();
  const attachment = await connect({
    stdin: options.stdin,
    onStdout: options.stdout ? forward(context.stdout) : undefined,
    onStderr: options.stderr ? forward(context.stderr) : undefined,
    size: options.terminal ? terminalSize() : undefined,
  });
  if (options.proxy) {
    router.passTo(
      (signal) => attachment.signal(signal),
      () => {
        context.notice("berth: left after three interrupts; the container goes on\n");
        leave({ kind: "left", code: 130 });
      },
    );
  } else {
    router[Symbol.dispose]();
  }
  using resizing = options.terminal ? watchSize((size) => attachment.resize(size.rows, size.columns)) : undefined;
  void resizing;
  if (options.stdin) void pumpStdin(attachment, options, () => leave({ kind: "left", code: 0 }));
  const exit = attachment.exit.then((record): SessionEnd => ({ kind: "exit", code: record.exitCode }));
  const end = await Promise.race([exit, left]);
  router.ignore();
  if (end.kind === "left") attachment.close();
  return end;
}

/** Never rejects: what the container does not take, because it has ended, is lost. */
async function pumpStdin(attachment: Attachment, options: SessionOptions, detach: () => void): Promise<void> {
  const scan = detachScanner(options.terminal ? parseDetachKeys(options.detachKeys) : []);
  try {
    for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
      const { pass, detach: leaving } = scan(chunk);
      if (pass.length > 0) await attachment.write(pass);
      if (leaving) return detach();
    }
    attachment.endInput();
  } catch {
    // Reading failed (our terminal hung up) or the container has gone; its exit is what ends the session.
  }
}
