import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import { debug } from "../lib/report.ts";
import { findProgram } from "../run/become.ts";
import { quoteLog, readLog } from "./log.ts";
import { type Answer, decodeAnswer, encodeNotified, NOTIFY } from "./messages.ts";

/** `criu swrk 3`, which serves one request over a socket. */
export interface Service {
  readonly socket: number;
  readonly pid: number;
  /** What it was asked to open. CRIU takes them from our /proc/PID/fd, but mounts below them in its own namespace. */
  readonly dirs: readonly number[];
}

/** What CRIU's process is made of. */
export interface Start {
  readonly program: string;
  /** Directories that are opened in its mount namespace. */
  readonly dirs: readonly string[];
  /** Descriptors that it has from FIRST_INHERITED on. */
  readonly inherited: readonly number[];
  /** Done to it from outside before anything else: moving it into cgroups. */
  readonly ready: (pid: number) => void;
  /** Done by itself before it opens the directories. */
  readonly before: () => void;
}

/** Where its socket is, and behind it what it inherits. */
export const FIRST_INHERITED = 4;
const ANSWER_MAX = 65_536;

/** @throws when there is no CRIU; `what` begins the sentence. */
export function findCriu(what: string): string {
  try {
    return findProgram("criu", sys.environ());
  } catch (thrown) {
    const why = (thrown as { message: string }).message;
    throw runtimeError(
      "Unimplemented",
      `${what}: CRIU is not installed: ${why}`,
      "install criu, version 3.15 or newer",
    );
  }
}

/** @throws what `ready` throws, and with `what` when its process could not do its part */
export function startCriu(start: Start, what: string): Service {
  const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair for CRIU");
  const [gate, opener] = mustGet(sys.pipe(), "make a pipe for CRIU");
  const pid = sys.clone(0, -1);
  if (pid === 0) become(start, theirs, gate, opener);
  sys.close(theirs);
  sys.close(gate);
  if (pid < 0) throw callError("start CRIU", pid);
  try {
    start.ready(pid);
    must(sys.writeAll(opener, "1"), "let CRIU begin");
    const received = mustGet(sys.recvFds(mine, 4096), `${what}: hear from CRIU's process`);
    if (received.fds.length === start.dirs.length) return { socket: mine, pid, dirs: received.fds };
    throw runtimeError("FailedPrecondition", `${what}: prepare CRIU: ${received.data || "its process ended"}`);
  } catch (thrown) {
    sys.kill(pid, c.SIGKILL);
    sys.waitpid(pid, 0, [0]);
    sys.close(mine);
    throw thrown;
  } finally {
    sys.close(opener);
  }
}

function become({ program, dirs, inherited, before }: Start, socket: number, gate: number, opener: number): never {
  try {
    sys.close(opener);
    if (sys.read(gate, 1) !== "1") sys.exit(126);
    sys.resetSignals();
    before();
    const opened: number[] = [];
    for (let i = 0; i < dirs.length; i++) {
      const dir = dirs[i] as string;
      opened.push(must(sys.open(dir, c.O_RDONLY | c.O_DIRECTORY, 0), `open ${dir}`));
    }
    must(sys.sendFds(socket, "1", opened), "hand over CRIU's directories");
    // out of the way of the numbers that they shall have
    const all = [socket].concat(inherited);
    const apart: number[] = [];
    const free = FIRST_INHERITED + all.length;
    for (let i = 0; i < all.length; i++) apart.push(must(sys.dupMin(all[i] as number, free), "hand on a descriptor"));
    sys.closeRange(3, 0x7fffffff, 4);
    for (let i = 0; i < apart.length; i++) must(sys.dup2(apart[i] as number, 3 + i), "hand on a descriptor");
    must(sys.execve(program, ["criu", "swrk", "3"], sys.environ()), `start ${program}`);
  } catch (thrown) {
    sys.sendFds(socket, (thrown as { message: string }).message, []);
  }
  return sys.exit(127);
}

/**
 * Has a request done; `notified` is called for each of CRIU's notifications before it goes on.
 *
 * @param log where CRIU writes, for the reason of a failure
 * @throws `what` with CRIU's own words
 */
export function request(
  service: Service,
  bytes: Uint8Array,
  log: string,
  what: string,
  notified: (answer: Answer, fds: readonly number[]) => void,
): Answer {
  try {
    must(sys.sendFds(service.socket, bytes, []), `${what}: ask CRIU`);
    for (;;) {
      const [answer, fds] = receive(service, log, what);
      if (!answer.success) throw failure(what, answer.message, answer.errno, log);
      if (answer.type !== NOTIFY) return answer;
      debug(`CRIU: ${answer.script}`);
      notified(answer, fds);
      for (let i = 0; i < fds.length; i++) sys.close(fds[i] as number);
      must(sys.sendFds(service.socket, encodeNotified(), []), `${what}: answer CRIU`);
    }
  } finally {
    // it ends when nobody is there any more, and undoes what it has not finished
    sys.close(service.socket);
    while (sys.waitpid(service.pid, 0, [0]) === -c.EINTR);
  }
}

function receive(service: Service, log: string, what: string): readonly [Answer, readonly number[]] {
  let received = sys.recvFds(service.socket, ANSWER_MAX);
  while (received === -c.EINTR) received = sys.recvFds(service.socket, ANSWER_MAX);
  if (typeof received === "number") throw callError(`${what}: hear from CRIU`, received);
  if (received.data === "") throw failure(what, "it ended without an answer", 0, log);
  return [decodeAnswer(sys.bytesFromString(received.data)), received.fds];
}

function failure(what: string, message: string, errno: number, log: string): unknown {
  const said = quoteLog(readLog(log)) || message;
  const number = errno === 0 ? "" : ` (${sys.errnoName(errno)})`;
  const hint = `the whole log is ${log}; \`criu check\` tells what this kernel lacks for it`;
  return runtimeError("FailedPrecondition", `${what}: CRIU failed${number}: ${said || "it does not say why"}`, hint);
}
