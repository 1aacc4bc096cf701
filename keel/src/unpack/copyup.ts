import { copyNode } from "../lib/copy.ts";
import type { Found } from "./lower.ts";
import { pathIn, type Tree } from "./tree.ts";

/**
 * Copies a lower layer's file (no directory) into the present directory, as overlayfs does before it changes one: a name
 * of this layer is about to become a hard link to it.
 */
export function copyUp(tree: Tree, found: Found): void {
  const { fd: dir, path } = tree.present;
  tree.present.changed = true;
  copyNode(found, dir, `copy ${pathIn(path, found.name)} from a lower layer`);
}
