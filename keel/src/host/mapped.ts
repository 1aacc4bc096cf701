import type { HostStep, MountIdMap } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import { parseMountOptions } from "../lib/mountopts.ts";
import { openSource } from "../run/source.ts";
import { mappedNamespace } from "../run/sources.ts";
import { apart } from "./apart.ts";

type MountStep = Extract<HostStep, { readonly op: "mount" }>;
type MountPlan = Omit<MountStep, "op" | "idmap">;

/**
 * A bind mount that shows other owners, or an overlay whose lower directories do: overlayfs takes no idmapped mount of
 * itself, only of its layers (Linux 5.19), and needs a path of each. They are mounted in a namespace of their own, which
 * is gone with its process; the overlay, detached, is handed out of it.
 */
export function mountMapped(step: MountPlan, idmap: MountIdMap): void {
  const { target } = step;
  const fd = makeMapped(step, idmap);
  const moved = sys.moveMount(fd, "", c.AT_FDCWD, target, c.MOVE_MOUNT_F_EMPTY_PATH);
  sys.close(fd);
  must(moved, `mount ${step.type} at ${target}`);
}

/** The same, not yet in its place. */
export function makeMapped(step: MountPlan, idmap: MountIdMap): Fd {
  const userns = mappedNamespace({ uid: idmap.uid, gid: idmap.gid, recursive: false });
  const { fd } = apart(() => ({
    text: "",
    fd: step.type === "overlay" ? overlay(step, idmap, userns) : bind(step, userns),
  }));
  sys.close(userns);
  return fd;
}

function bind({ source, options }: MountPlan, userns: Fd): Fd {
  const tree = mapTree(source, userns);
  const { attrSet } = parseMountOptions(options);
  if (attrSet !== 0)
    must(sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, attrSet, 0, 0, -1), `set the options of ${source}`);
  return tree;
}

function overlay({ target, options }: MountPlan, idmap: MountIdMap, userns: Fd): Fd {
  const { flags, data } = parseMountOptions(options);
  const parts = data.split(",");
  // a directory to mount the layers in that nobody else sees, so that their names are short
  must(sys.mount("tmpfs", target, "tmpfs", 0, "mode=700"), `mount a tmpfs at ${target}`);
  must(sys.chdir(target), `change directory to ${target}`);
  must(sys.mkdirat(c.AT_FDCWD, "merged", 0o700), "make a directory");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    if (part.substring(0, LOWER.length) !== LOWER) continue;
    const dirs = part.substring(LOWER.length).split(":");
    const names: string[] = [];
    for (let k = 0; k < dirs.length; k++) {
      const dir = dirs[k] as string;
      const name = String(k);
      names.push(name);
      const isMapped = idmap.layers === "all" || k === 0;
      const tree = isMapped ? mapTree(dir, userns) : must(openSource(dir, false), `clone ${dir}`);
      must(sys.mkdirat(c.AT_FDCWD, name, 0o700), "make a directory");
      must(sys.moveMount(tree, "", c.AT_FDCWD, name, c.MOVE_MOUNT_F_EMPTY_PATH), `mount ${dir}`);
      sys.close(tree);
    }
    parts[i] = LOWER + names.join(":");
  }
  const text = parts.join(",");
  const result = sys.mount("overlay", "merged", "overlay", flags, text);
  if (result < 0) throw callError(`mount overlay at ${target}`, result, HINT);
  return must(sys.openTree(c.AT_FDCWD, "merged", c.OPEN_TREE_CLONE), `clone the mount for ${target}`);
}

function mapTree(dir: string, userns: Fd): Fd {
  const tree = must(openSource(dir, false), `clone ${dir}`);
  const result = sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, 0, 0, 0, userns);
  if (result < 0) throw callError(`idmap ${dir}`, result, HINT);
  return tree;
}

const LOWER = "lowerdir=";
const HINT =
  "id-mapped layers need Linux 5.19 and a file system that can be id-mapped (ext4, xfs, btrfs): without them use --snapshotter native";
