import { BerthError } from "@berth/base";
import { EXIT_ENGINE_ERROR, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND } from "@berth/protocol";

export const noSource = (path: string): BerthError =>
  new BerthError("NotFound", `mount ${path}: bind source path does not exist`, {
    hint: "make it first, or mount it with -v, which makes a directory",
  });

export const noSuchContainer = (ref: string): BerthError =>
  new BerthError("NotFound", `find container ${ref}: no such container`, { hint: "list them: berth ps -a" });

export const ambiguousContainer = (ref: string): BerthError =>
  new BerthError("InvalidArgument", `find container ${ref}: several containers have ids that begin so`, {
    hint: "write more digits",
  });

export const nameTaken = (name: string, id: string): BerthError =>
  new BerthError("AlreadyExists", `create container: the name "${name}" is already in use by container ${id}`, {
    hint: `remove it (berth rm ${name}) or choose another name`,
  });

export const notRunning = (name: string, action: string): BerthError =>
  new BerthError("FailedPrecondition", `${action} container ${name}: it is not running`, {
    hint: `start it: berth start ${name}`,
  });

export const isRunning = (name: string): BerthError =>
  new BerthError("FailedPrecondition", `remove container ${name}: it is running`, {
    hint: `stop it first (berth stop ${name}), or force the removal (-f)`,
  });

export const isBusy = (name: string, action: string): BerthError =>
  new BerthError("FailedPrecondition", `${action} container ${name}: another command is starting or removing it`, {
    hint: "wait for it",
  });

export const exportFailed = (name: string, why: string): BerthError =>
  new BerthError("Unavailable", `export container ${name}: ${why}`);

export const notMounted = (ref: string): BerthError =>
  new BerthError("FailedPrecondition", `unmount image ${ref}: it is not mounted`, { hint: "see berth image mount" });

export const noRecord = (name: string): BerthError =>
  new BerthError(
    "DataLoss",
    `read the end of container ${name}: its monitor was killed before it wrote the exit record`,
    {
      hint: `the container can be started again: berth start ${name}`,
    },
  );

export const longRunRoot = (path: string): BerthError =>
  new BerthError("InvalidArgument", `use ${path} for sockets: socket paths below it are longer than 107 bytes`, {
    hint: "choose a shorter run root (--run-root or BERTH_RUN_ROOT)",
  });

export const noKill = (name: string): BerthError =>
  new BerthError("DeadlineExceeded", `stop container ${name}: it is there after SIGKILL`, {
    hint: "a process that waits for a disk or network cannot be killed: see dmesg",
  });

/**
 * What `run` exits with when the runtime could not start the program: 127 not found, 126 not executable, else 125.
 * Runtimes tell these by their text only (shared by runc, crun and keel).
 */
export function startExitCode(message: string): number {
  if (/executable file.*not found|\bexec\b.*no such file or directory/i.test(message)) return EXIT_NOT_FOUND;
  if (/\bexec\b.*(permission denied|operation not permitted|exec format error|is a directory)/i.test(message)) {
    return EXIT_NOT_EXECUTABLE;
  }
  return EXIT_ENGINE_ERROR;
}

/** A failed start as the caller sees it: the runtime's error with the exit code for `run` in its details. */
export const startFailed = (name: string, cause: BerthError): BerthError =>
  new BerthError(cause.code, `start container ${name}: ${cause.message}`, {
    hint: cause.hint,
    cause,
    details: { ...cause.details, exitCode: startExitCode(cause.message) },
  });
