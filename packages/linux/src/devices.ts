import { lstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { errnoOf } from "@berth/base";
import { notADevice } from "./errors.ts";
import type { DeviceNode } from "./types.ts";

/** Of /dev: what every container has its own of. */
const OWN: ReadonlySet<string> = new Set([
  "/dev/pts",
  "/dev/shm",
  "/dev/fd",
  "/dev/mqueue",
  "/dev/console",
  "/dev/.lxc",
]);

/**
 * The device `path` (links followed), or all devices below it if it is a directory.
 *
 * @throws {BerthError} InvalidArgument if it is neither or absent
 */
export function readDevices(path: string): readonly DeviceNode[] {
  let stat: Stats;
  try {
    stat = statSync(path);
  } catch (error) {
    throw notADevice(path, errnoOf(error) ?? String(error), error);
  }
  if (stat.isDirectory()) return below(path);
  const node = toNode(path, stat);
  if (node === undefined) throw notADevice(path, "not a device file");
  return [node];
}

/** Every device of the host's /dev, for privileged containers; not terminals. */
export function listDevices(): readonly DeviceNode[] {
  return below("/dev");
}

function below(dir: string): readonly DeviceNode[] {
  return readdirSync(dir).flatMap((name) => {
    const path = `${dir}/${name}`;
    if (OWN.has(path)) return [];
    try {
      const stat = lstatSync(path);
      return stat.isDirectory() ? below(path) : (toNode(path, stat) ?? []);
    } catch (error) {
      // Devices come and go.
      if (errnoOf(error) === "ENOENT") return [];
      throw notADevice(path, errnoOf(error) ?? String(error), error);
    }
  });
}

function toNode(path: string, stat: Stats): DeviceNode | undefined {
  if (!stat.isBlockDevice() && !stat.isCharacterDevice()) return undefined;
  return {
    path,
    type: stat.isBlockDevice() ? "b" : "c",
    ...decodeDevice(stat.rdev),
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

/** glibc's gnu_dev_major and gnu_dev_minor. */
export function decodeDevice(rdev: number): { readonly major: number; readonly minor: number } {
  const value = BigInt(rdev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffffff00n)),
  };
}
