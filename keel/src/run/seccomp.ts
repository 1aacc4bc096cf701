import * as c from "../lib/consts.ts";
import { callError, must, type RuntimeError, runtimeError } from "../lib/errors.ts";
import type { Filter } from "../seccomp/filter.ts";
import type { Spec } from "../spec/types.ts";
import { nextDescriptor } from "./fds.ts";

const MFD_CLOEXEC = 1;
const PAGE = 4096;

/**
 * The last thing before execve; `report` leads to the process that waits for it.
 *
 * With SCMP_ACT_NOTIFY the same call makes the listener that the agent answers through, and from there on this process
 * may do nothing that the filter could ask about. So it says before which descriptor the listener will be, and then
 * waits without any system call, until the other one has taken the listener and says so in a page that both see.
 */
export function loadFilter(filter: Filter | undefined, report: number): void {
  if (!filter) return;
  if (!filter.notify) {
    must(sys.seccompLoad(filter.program, filter.flags), "load the seccomp filter");
    return;
  }
  // whoever made us without root takes the listener by its rights over our user namespace, which need this
  if (filter.rootless) sys.prctl(c.PR_SET_DUMPABLE, 1, 0, 0, 0);
  const page = must(sys.memfdCreate("listener", MFD_CLOEXEC), "make a page for the seccomp listener");
  must(sys.ftruncate(page, PAGE), "make a page for the seccomp listener");
  const listener = must(nextDescriptor(page), "find a descriptor for the seccomp listener");
  must(sys.sendFds(report, `listener ${listener}`, [page]), "announce the seccomp listener");
  must(sys.seccompLoadHeld(filter.program, filter.flags, page), "load the seccomp filter");
}

/** A hook inside the container may do what its program may; a listener is the program's alone. */
export function confineHook(filter: Filter | undefined): void {
  if (filter && !filter.notify) must(sys.seccompLoad(filter.program, filter.flags), "load the seccomp filter");
}

/** Who is told of a listener. */
export interface Agent {
  readonly spec: Spec;
  /** Of runtime-spec "State". */
  readonly state: { readonly [field: string]: unknown };
}

/**
 * The next word of a new process over its socket, "" for the end of the stream. An announced listener is taken to the
 * agent first. `agent` is asked only then.
 */
export function nextReport(socket: number, pid: number, agent: () => Agent): string {
  for (;;) {
    const received = sys.recvFds(socket, 65536);
    if (typeof received === "number") {
      // ECONNRESET comes once, before what was sent, when the process ended with a word of ours unread
      if (received === -c.EINTR || received === -c.ECONNRESET) continue;
      throw callError("read from the new process", received);
    }
    const match = /^listener (\d+)/.exec(received.data);
    if (!match) return received.data;
    const page = received.fds[0] as number;
    const listener = takeListener(socket, pid, Number(match[1]));
    sendListener(agent(), pid, listener);
    sys.close(listener);
    must(sys.write(page, "1"), "let the new process go on");
    sys.close(page);
  }
}

/** A copy of the listener, as soon as it is there; the process says before its end why it is not. */
function takeListener(socket: number, pid: number, number: number): number {
  const pidfd = must(sys.pidfdOpen(pid, 0), "open the new process");
  for (;;) {
    const listener = sys.pidfdGetfd(pidfd, number);
    if (listener >= 0) {
      sys.close(pidfd);
      return listener;
    }
    if (listener !== -c.EBADF) throw callError("take the seccomp listener", listener);
    if (sys.poll([socket, c.POLLIN], 1, []) <= 0) continue;
    const word = sys.read(socket, 65536);
    if (typeof word === "string" && word.charAt(0) === "{") throw (JSON.parse(word) as { error: RuntimeError }).error;
    throw runtimeError("Internal", "load the seccomp filter: the new process ended");
  }
}

/** One message with one descriptor: runtime-spec "The Container Process State". */
function sendListener({ spec, state }: Agent, pid: number, listener: number): void {
  const seccomp = (spec.linux && spec.linux.seccomp) || { defaultAction: "" };
  const path = seccomp.listenerPath as string;
  const what = `failed to connect with seccomp agent at linux.seccomp.listenerPath ${path}`;
  const socket = sys.unixConnect(path, 1);
  if (socket < 0) throw callError(what, socket, "the agent must listen there before the program is started");
  const told = {
    ociVersion: spec.ociVersion,
    fds: ["seccompFd"],
    pid,
    metadata: seccomp.listenerMetadata || "",
    state,
  };
  must(sys.sendFds(socket, JSON.stringify(told), [listener]), what);
  sys.close(socket);
}
