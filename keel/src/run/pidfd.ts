import { callError, must } from "../lib/errors.ts";

/** Sends a pidfd of the new process to `--pidfd-socket`: one message, one descriptor, as runc does. */
export function sendPidfd(path: string, pid: number): void {
  const socket = sys.unixConnect(path, 1);
  if (socket < 0) throw callError(`connect to pidfd socket ${path}`, socket);
  const pidfd = must(sys.pidfdOpen(pid, 0), "open a pidfd of the new process");
  must(sys.sendFds(socket, "pidfd", [pidfd]), `send the pidfd to ${path}`);
  sys.close(pidfd);
  sys.close(socket);
}
