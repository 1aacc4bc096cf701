// sd_notify(3) of a service whose main process is the container's: NOTIFY_SOCKET in our environment names the
// service manager's socket. The container gets a socket of its own, and hears nothing of the manager's.
import * as c from "../lib/consts.ts";
import { envValue, withEnv } from "../lib/env.ts";
import { must, mustGet } from "../lib/errors.ts";
import type { Process, Spec } from "../spec/types.ts";
import { containerDir } from "../state/store.ts";

const SOCKET = "notify";
const DATAGRAM = 2;
/** As long as systemd's own clients wait for it to have read what they sent (sd_notify_barrier(3)). */
const BARRIER_MS = 30_000;

/** Both ends of the way a container's readiness takes. */
export interface Notify {
  /** Where the container's words arrive. */
  readonly from: number;
  /** The address of the service manager. */
  readonly manager: string;
}

export function notifyDir(id: string): string {
  return `${containerDir(id)}/notify`;
}

/** The manager's socket, "" when nobody waits for readiness. */
export function managerSocket(): string {
  return envValue(sys.environ(), "NOTIFY_SOCKET") || "";
}

type Writable<T> = { -readonly [key in keyof T]: T[key] };

/** Puts our directory into the container where the manager's socket is outside, and its socket into the environment. */
export function addNotify(spec: Writable<Spec>, id: string): void {
  const manager = managerSocket();
  const inside = manager.charAt(0) === "/" ? manager : "/run/notify";
  const process = spec.process as Writable<Process>;
  const options = ["bind", "nosuid", "noexec", "nodev", "ro"];
  spec.mounts = (spec.mounts || []).concat([{ destination: inside, type: "bind", source: notifyDir(id), options }]);
  process.env = withEnv(process.env || [], "NOTIFY_SOCKET", `${inside}/${SOCKET}`);
}

export function makeNotifyDir(id: string): void {
  must(sys.mkdirat(c.AT_FDCWD, notifyDir(id), 0o755), `make ${notifyDir(id)}`);
}

/** Opens our end before the program runs, so that no word is lost; undefined when the container has no way out. */
export function openNotify(id: string): Notify | undefined {
  const manager = managerSocket();
  const dir = notifyDir(id);
  if (manager === "" || sys.faccessat(c.AT_FDCWD, dir, 0, 0) < 0) return undefined;
  const from = must(sys.unixListen(`${dir}/${SOCKET}`, DATAGRAM, -1), `make the socket ${dir}/${SOCKET}`);
  // every user of the container may write to it
  must(sys.fchmodat(c.AT_FDCWD, `${dir}/${SOCKET}`, 0o777), `open the socket ${dir}/${SOCKET} to all users`);
  return { from, manager };
}

/**
 * Passes on that the container is ready, and which process it is.
 *
 * @returns the connection to the service manager, 0 when that was not what was said
 */
export function passReady({ from, manager }: Notify, pid: number): number {
  const said = sys.read(from, 4096);
  if (typeof said === "number") return 0;
  const lines = said.split("\n");
  for (let i = 0; i < lines.length; i++) {
    if ((lines[i] as string).indexOf("READY=") !== 0) continue;
    const to = must(sys.unixConnect(manager, DATAGRAM), `connect to NOTIFY_SOCKET ${manager}`);
    must(sys.write(to, `${lines[i]}\nMAINPID=${pid}\n`), "tell the service manager that the container is ready");
    return to;
  }
  return 0;
}

/** Waits until the container says that it is ready, or ends; and until the manager knows, for we are about to exit. */
export function awaitReadiness(notify: Notify, pid: number): void {
  const pidfd = sys.pidfdOpen(pid, 0);
  let to = 0;
  while (to === 0) {
    const out: number[] = [];
    if (sys.poll([notify.from, c.POLLIN, pidfd, c.POLLIN], -1, out) < 0) continue;
    if (out[0]) to = passReady(notify, pid);
    else if (out[1] || pidfd < 0) return;
  }
  const [reader, writer] = mustGet(sys.pipe(), "make a pipe");
  const sent = sys.sendFds(to, "BARRIER=1", [writer]);
  sys.close(writer);
  if (sent >= 0) sys.poll([reader, 0], BARRIER_MS, []);
}
