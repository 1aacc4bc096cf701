import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import { namespaceError } from "./spawn.ts";

/** A network namespace that another process makes meanwhile: of all that init needs it takes the kernel longest. */
export interface Network {
  /** Of that process, from its birth until it is waited for; else below 0. */
  pid: number;
}

export function beginNetwork(network: Network): void {
  network.pid = sys.beginNetwork();
}

/** A descriptor for init to join, or -1: what was refused, or had no turn yet, is init's to try, and to tell. */
export function endNetwork(network: Network): number {
  if (network.pid < 0) return -1;
  const fd = traced("network", () => sys.endNetwork(network.pid, false));
  if (fd !== -c.EAGAIN) network.pid = -1;
  return Math.max(fd, -1);
}

/** Whatever became of it, its process is gone when this returns. */
export function forgetNetwork(network: Network): void {
  const fd = network.pid < 0 ? -1 : sys.endNetwork(network.pid, true);
  if (fd >= 0) sys.close(fd);
}

/** In init. */
export function enterNetwork(network: number): void {
  traced("network", () => {
    if (network >= 0) {
      must(sys.setns(network, c.CLONE_NEWNET), "enter the network namespace");
      sys.close(network);
    } else {
      unshareOwn(c.CLONE_NEWNET);
      must(sys.interfaceUp("lo"), "bring up the loopback interface");
    }
  });
}

export function unshareOwn(flags: number): void {
  const made = sys.unshare(flags);
  if (made < 0) throw namespaceError(made);
}
