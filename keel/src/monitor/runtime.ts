import type { MonitorConfig, WireError } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { must, mustGet, runtimeError } from "../lib/errors.ts";
import { CANNOT_RUN, runtimeFailure } from "./failure.ts";
import type { RuntimeCommand } from "./machine.ts";

/** The runtime's own messages; read only when a command failed. */
function logFile(config: MonitorConfig): string {
  return `${config.bundle}/runtime.log`;
}

/** The command line of one runtime command (runc's, which every OCI runtime follows). */
export function commandLine(config: MonitorConfig, command: RuntimeCommand, consoleSocket: string): string[] {
  const words = config.runtime.concat(["--log", logFile(config), "--log-format", "json", command]);
  if (command === "create") {
    words.push("--bundle", config.bundle, "--pid-file", config.pidFile);
    if (consoleSocket !== "") words.push("--console-socket", consoleSocket);
  } else if (command === "delete") words.push("--force");
  words.push(config.id);
  return words;
}

/** What a service manager told the engine is not for the containers: their start would wait for a word of theirs. */
const NOT_PASSED_ON = /^(NOTIFY_SOCKET|LISTEN_FDS|LISTEN_PID|LISTEN_FDNAMES)=/;

/**
 * Runs `argv` as a child with the three descriptors as 0, 1, 2 and returns its pid. A program that cannot be executed
 * says so on its stderr and exits with 127.
 */
export function spawn(argv: readonly string[], stdio: readonly number[], oomScore: string): number {
  const pid = must(sys.clone(0, -1), `make a process for ${argv[0]}`);
  if (pid > 0) return pid;
  for (let fd = 0; fd < 3; fd++) sys.dup2(stdio[fd] as number, fd);
  if (oomScore !== "") sys.writeFileAt(c.AT_FDCWD, "/proc/self/oom_score_adj", oomScore, c.O_WRONLY, 0);
  sys.resetSignals();
  const result = sys.execve(
    argv[0] as string,
    argv,
    sys.environ().filter((entry) => !NOT_PASSED_ON.test(entry)),
  );
  sys.writeAll(2, `${CANNOT_RUN}${argv[0]}: ${sys.errnoText(-result)}`);
  sys.exit(127);
}

export function failureOf(config: MonitorConfig, command: RuntimeCommand, stderr: string, status: number): WireError {
  const log = sys.readFile(logFile(config));
  return runtimeFailure(command, typeof log === "string" ? log : "", stderr, status);
}

export function removeLog(config: MonitorConfig): void {
  sys.unlinkat(c.AT_FDCWD, logFile(config), 0);
}

export function readPid(config: MonitorConfig): number {
  const text = sys.readFile(config.pidFile);
  const pid = typeof text === "string" ? parseInt(text, 10) : 0;
  if (pid > 0) return pid;
  throw runtimeError(
    "FailedPrecondition",
    `read pid file ${config.pidFile}: ${typeof text === "number" ? sys.errnoText(-text) : "no number in it"}`,
  );
}

/** Listens for the terminal of the container that is being created, at a path that fits sun_path of any runtime. */
export function listenConsole(config: MonitorConfig): { readonly fd: number; readonly path: string } {
  const path = `${config.socketPath.substring(0, config.socketPath.lastIndexOf("/"))}/tty.${sys.getpid()}`;
  return { fd: must(sys.unixListen(path, 1, 1), `listen at ${path}`), path };
}

/** The pty master that the runtime sent before it exited. Ends the listening. */
export function receiveTerminal(console: { readonly fd: number; readonly path: string }): number {
  const ready: number[] = [];
  const some = sys.poll([console.fd, c.POLLIN], 0, ready);
  const peer = some > 0 ? sys.accept(console.fd) : -c.EAGAIN;
  closeConsole(console);
  if (peer < 0)
    throw runtimeError("FailedPrecondition", "receive terminal: the runtime did not connect to the console socket");
  const message = mustGet(sys.recvFds(peer, 4096), "receive terminal");
  sys.close(peer);
  if (message.fds.length === 0)
    throw runtimeError("FailedPrecondition", "receive terminal: the runtime sent no descriptor");
  for (let i = 1; i < message.fds.length; i++) sys.close(message.fds[i] as number);
  return message.fds[0] as number;
}

export function closeConsole(console: { readonly fd: number; readonly path: string }): void {
  sys.close(console.fd);
  sys.unlinkat(c.AT_FDCWD, console.path, 0);
}
