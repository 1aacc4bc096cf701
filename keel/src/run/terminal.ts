import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import type { ProcessPlan } from "../plan/process.ts";

/** A terminal of the container: master for whoever asked, slave for the process. */
export interface Terminal {
  readonly master: number;
  readonly slave: number;
}

/** From the ptmx of a devpts directory, never by a path of the slave (CVE-2025-52565). */
export function openTerminal(ptmxDir: number, ptmx: string, plan: ProcessPlan): Terminal {
  const master = must(
    sys.openat(ptmxDir, ptmx, c.O_RDWR | c.O_NOCTTY | c.O_NOFOLLOW, 0),
    `open ${ptmx} for the terminal`,
  );
  const slave = must(sys.ptyPeer(master), "open the terminal's other side");
  if (plan.rows > 0 || plan.columns > 0) sys.setWinsize(master, plan.rows, plan.columns);
  if (plan.uid !== 0) sys.fchownat(slave, "", plan.uid, -1, c.AT_EMPTY_PATH);
  return { master, slave };
}

/** Sends the master over the console socket, as conmon and containerd expect: one message, one descriptor. */
export function sendMaster(socket: number, master: number): void {
  must(sys.sendFds(socket, "/dev/ptmx", [master]), "send the terminal over the console socket");
}

/** The slave as controlling terminal and stdio. Needs a session leader. */
export function takeTerminal(slave: number): void {
  must(sys.setControllingTty(slave), "take the controlling terminal");
  for (let fd = 0; fd < 3; fd++) sys.dup2(slave, fd);
}

/** The slave on /dev/console of a root that is being built. */
export function mountConsole(root: number, slave: number): void {
  const made = sys.openat2(
    root,
    "dev/console",
    c.O_WRONLY | c.O_CREAT | c.O_NOFOLLOW | c.O_NOCTTY,
    0o600,
    c.RESOLVE_IN_ROOT,
  );
  if (made >= 0) sys.close(made);
  const target = must(
    sys.openat2(root, "dev/console", c.O_PATH | c.O_NOFOLLOW, 0, c.RESOLVE_IN_ROOT),
    "open /dev/console in the rootfs",
  );
  const tree = must(sys.openTree(slave, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH), "bind the terminal at /dev/console");
  must(
    sys.moveMount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH),
    "bind the terminal at /dev/console",
  );
  sys.close(tree);
  sys.close(target);
}

/** Connects to `--console-socket`. */
export function connectConsole(path: string): number {
  const fd = sys.unixConnect(path, 1);
  if (fd < 0) throw callError(`connect to console socket ${path}`, fd);
  return fd;
}

/** For a foreground run with a terminal: our own pair instead of a caller's socket. */
export function consolePair(): readonly [number, number] {
  return mustGet(sys.socketpair(1), "make a socket pair for the terminal");
}

/** Our end's message from the new process, which has not begun its program: the master. */
export function receiveMaster(socket: number): number {
  const received = sys.recvFds(socket, 64);
  if (typeof received === "number") throw callError("receive the terminal", received);
  const master = received.fds[0];
  if (master === undefined) throw runtimeError("Internal", "receive the terminal: nothing came");
  sys.close(socket);
  keepNewlines(master);
  return master;
}

const TCGETS = 0x5401;
const TCSETS = 0x5402;
/** More than the kernel's struct termios; c_oflag is its second word. */
const TERMIOS_SIZE = 64;
const OFLAG_AT = 4;
const ONLCR = 4;

/** Our own terminal, if there is one, makes CR NL of a newline; a file or pipe shall get what the program wrote. */
function keepNewlines(master: number): void {
  const ioctl = sys.syscallNumber("ioctl");
  const termios = new Uint8Array(TERMIOS_SIZE);
  if (sys.syscall(ioctl, master, TCGETS, termios) < 0) return;
  termios[OFLAG_AT] = (termios[OFLAG_AT] as number) & ~ONLCR;
  sys.syscall(ioctl, master, TCSETS, termios);
}
