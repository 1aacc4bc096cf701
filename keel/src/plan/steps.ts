import type { LinkOptions } from "../lib/mountopts.ts";
import type { IdMapping } from "../spec/types.ts";

/** An idmapped mount. */
export interface IdMap {
  readonly uid: readonly IdMapping[];
  readonly gid: readonly IdMapping[];
  /** Then the mappings are those of this user namespace, and the lists are empty. */
  readonly namespace?: string;
  /** The mounts below as well. */
  readonly recursive: boolean;
}

/**
 * What is done inside the new mount namespace, in order, as data. Paths without a root prefix are paths in the
 * container; they are resolved in its root by descriptor when the step is done (openat2 RESOLVE_IN_ROOT).
 */
export type Step =
  /** mount(2) of propagation flags on "/" of the new namespace. */
  | { readonly op: "propagation"; readonly flags: number }
  /** Makes the rootfs a mount point and takes it as the root of what follows. */
  | { readonly op: "root"; readonly path: string }
  | {
      readonly op: "mount";
      readonly fstype: string;
      readonly source: string;
      readonly dest: string;
      /** MS_* */
      readonly flags: number;
      readonly data: string;
      readonly propagation: readonly number[];
      /** Refuse a symlink at the destination (procfs and sysfs: CVE-2019-19921). */
      readonly strict: boolean;
      /** The tmpfs begins with a copy of what it hides. */
      readonly copyUp?: boolean;
    }
  | {
      readonly op: "bind";
      /** Absolute path on the host, or relative to the present directory of the container's process when `inside`. */
      readonly source: string;
      readonly dest: string;
      readonly recursive: boolean;
      /** MOUNT_ATTR_* for the mount, and for the whole tree below it. */
      readonly set: number;
      readonly clear: number;
      /** Cleared too, except what a user namespace may not take from its source. */
      readonly implied?: number;
      readonly recSet: number;
      readonly recClear: number;
      readonly propagation: readonly number[];
      /** The owners of files are shown through these mappings. */
      readonly idmap?: IdMap;
      readonly links?: LinkOptions;
    }
  | {
      readonly op: "device";
      readonly path: string;
      /** S_IFCHR, S_IFBLK or S_IFIFO with the permission bits. */
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
      readonly uid: number;
      readonly gid: number;
      /** Bind the host's node instead of making one (user namespaces). */
      readonly bind: boolean;
      /** Asked for by the config, with its owner and mode: where the host's root can, it makes one for the container. */
      readonly own?: boolean;
    }
  | { readonly op: "symlink"; readonly target: string; readonly path: string }
  /** Directory with its parents. */
  | { readonly op: "mkdir"; readonly path: string }
  | { readonly op: "sysctl"; readonly file: string; readonly value: string }
  | { readonly op: "mask"; readonly path: string }
  | { readonly op: "readonly"; readonly path: string }
  /** Makes an existing mount read-only (a tmpfs that first had to be filled, or the root). */
  | { readonly op: "remountReadonly"; readonly path: string }
  /** Slave of the terminal on /dev/console; present only with `process.terminal`. */
  | { readonly op: "console" }
  /** createRuntime, and prestart before it, are the parent's: init waits for it. */
  | { readonly op: "hooks"; readonly kind: "createRuntime" | "createContainer" }
  /** Become a member of the container's cgroups, and have a cgroup namespace from there on. */
  | { readonly op: "join" }
  | { readonly op: "pivot" }
  /** Moves the root mount to "/", where pivot_root cannot (initramfs). */
  | { readonly op: "moveRoot"; readonly root: string }
  /** Only chroot: the mount namespace is the host's. */
  | { readonly op: "chroot" };
