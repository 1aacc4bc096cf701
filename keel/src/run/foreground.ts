import * as c from "../lib/consts.ts";

/** What goes to the container when we get it: all but those about our own children and faults. */
const FORWARDED = [1, 2, 3, 10, 12, 14, 15, 18, 20, 21, 22, 23, 28, 29, 30, 34, 35, 36, 37, 38, 39, 40];

/** Blocks the signals we handle, before the child is made (it resets them), so that none is lost. */
export function openSignals(): number {
  const signals = FORWARDED.concat([c.SIGCHLD]);
  sys.sigprocmask(0, signals);
  return sys.signalfd(signals);
}

/** One more descriptor to watch meanwhile, until `read` says that it has all it waited for. */
export interface Watched {
  readonly fd: number;
  readonly read: () => boolean;
}

/**
 * Stays with a program in the foreground: forwards signals, copies between our terminal and its own (`master` ≥ 0),
 * reaps. Returns its exit code, 128 + N when a signal ended it.
 */
export function attend(pid: number, master: number, signals: number, watched?: Watched): number {
  const saved = master >= 0 && sys.isatty(0) ? sys.setRaw(0) : -1;
  if (master >= 0) copySize(master);
  let status = -1;
  let input = master >= 0;
  let output = master >= 0;
  let watching = watched !== undefined;
  const out: number[] = [];
  while (status < 0) {
    const fds = [signals, c.POLLIN];
    fds.push(output ? master : -1, c.POLLIN, input ? 0 : -1, c.POLLIN);
    fds.push(watched && watching ? watched.fd : -1, c.POLLIN);
    if (sys.poll(fds, -1, out) < 0) continue;
    if (out[1]) output = sys.copyFd(master, 1, 65536) > 0;
    if (out[2]) input = forwardInput(master);
    if (watched && out[3]) watching = !watched.read();
    if (out[0]) status = handleSignals(pid, signals, master);
  }
  // the last output may still be in the terminal's buffer
  while (output && sys.poll([master, c.POLLIN], 0, out) > 0 && sys.copyFd(master, 1, 65536) > 0);
  if (typeof saved !== "number") sys.restoreTerm(0, saved);
  return (status & 127) !== 0 ? 128 + (status & 127) : status >> 8;
}

function forwardInput(master: number): boolean {
  return sys.copyFd(0, master, 65536) > 0;
}

function copySize(master: number): void {
  const size = sys.getWinsize(0);
  if (typeof size !== "number") sys.setWinsize(master, size[0], size[1]);
}

/** Returns the wait status of `pid` once it has ended, else -1. */
function handleSignals(pid: number, signals: number, master: number): number {
  let ended = -1;
  for (;;) {
    const signal = sys.readSignalfd(signals);
    if (typeof signal === "number") return ended;
    const number = signal[0] as number;
    if (number === c.SIGWINCH && master >= 0) copySize(master);
    else if (number !== c.SIGCHLD) sys.kill(pid, number);
    else {
      const out = [0];
      for (;;) {
        const child = sys.waitpid(-1, c.WNOHANG, out);
        if (child <= 0) break;
        if (child === pid) ended = out[0] as number;
      }
    }
  }
}
