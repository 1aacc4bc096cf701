import * as c from "../lib/consts.ts";
import { callError, type RuntimeError, runtimeError } from "../lib/errors.ts";
import { containerDir, getRecord, isAlive, ociState, readSpec, START_SOCKET, statusOf } from "../state/store.ts";
import { awaitReadiness, openNotify } from "./notify.ts";
import { runPoststart } from "./poststart.ts";
import { nextReport } from "./seccomp.ts";

/** Lets a created container's init go on to its program; returns when the program runs. */
export function startContainer(id: string): void {
  const record = getRecord(id);
  const status = statusOf(record);
  if (status === "stopped") throw runtimeError("FailedPrecondition", "cannot start a container that has stopped");
  if (status !== "created") throw runtimeError("FailedPrecondition", "cannot start an already running container");
  const path = `${containerDir(id)}/${START_SOCKET}`;
  const connection = sys.unixConnect(path, 1);
  if (connection < 0) {
    if (!isAlive(record)) throw runtimeError("FailedPrecondition", "cannot start a container that has stopped");
    throw callError(`connect to the container's init at ${path}`, connection);
  }
  const notify = openNotify(id);
  // from here on the container is no longer "created": a second start finds no socket
  sys.unlinkat(c.AT_FDCWD, path, 0);
  sys.write(connection, "1");
  const answer = nextReport(connection, record.pid, () => ({ spec: readSpec(id), state: ociState(record, "created") }));
  sys.close(connection);
  if (answer !== "") throw (JSON.parse(answer) as { error: RuntimeError }).error;
  if (record.poststart) runPoststart(record, readSpec(id));
  if (notify) awaitReadiness(notify, record.pid);
}
