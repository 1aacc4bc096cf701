import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import { traced } from "../lib/trace.ts";
import type { NamespacePlan } from "../plan/namespaces.ts";
import { namespaceError } from "./spawn.ts";

/**
 * Of all that init needs, its network namespace takes the kernel longest. Where it belongs to our own user namespace
 * another process makes it while we plan.
 *
 * @returns what endNetwork takes, or -1: init makes it by itself
 */
export function beginNetwork({ ownFlags, newTime, joins }: NamespacePlan): number {
  // the kernel lets only a process that shares its memory with none enter a time namespace
  const alone = newTime || joins.length > 0;
  return alone || (ownFlags & c.CLONE_NEWNET) === 0 ? -1 : sys.beginNetwork();
}

/** A descriptor for init to join, or -1: what was refused here is init's to try, and to tell. */
export function endNetwork(beginning: number): number {
  return beginning < 0 ? -1 : traced("network", () => Math.max(sys.endNetwork(beginning), -1));
}

/** In init: the namespaces that it was not born in. */
export function enterOwnNamespaces({ ownFlags }: NamespacePlan, network: number): void {
  const left = network >= 0 ? ownFlags & ~c.CLONE_NEWNET : ownFlags;
  if (left !== 0) traced("unshare", () => unshare(left));
  if (network < 0) return;
  traced("network", () => must(sys.setns(network, c.CLONE_NEWNET), "enter the network namespace"));
  sys.close(network);
}

function unshare(flags: number): void {
  const made = sys.unshare(flags);
  if (made < 0) throw namespaceError(made);
}
