import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Spec } from "../spec/types.ts";
import { bindMounts, deviceNames, externalMounts, missingMountPoints, parseMountinfo } from "./mounts.ts";

/** A container's, as /proc/PID/mountinfo shows it. */
const MOUNTINFO = `600 500 8:1 /bundles/a/rootfs / rw,relatime - ext4 /dev/sda1 rw
601 600 0:50 / /proc rw,nosuid - proc proc rw
602 600 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755
603 602 0:52 / /dev/pts rw - devpts devpts rw
604 600 8:1 /srv/my\\040data /data rw - ext4 /dev/sda1 rw
605 600 0:25 / /run/secrets rw - tmpfs tmpfs rw
606 601 0:6 /null /proc/kcore rw - devtmpfs devtmpfs rw
607 601 0:50 /sys /proc/sys ro - proc proc rw
608 600 8:1 /bundles/a/rootfs/etc /copy rw - ext4 /dev/sda1 rw
609 602 0:52 /0 /dev/console rw - devpts devpts rw
`;

test("mounts: outside are bind mounts and the host's devices, not what the container mounts itself or binds of that", () => {
  const mounted = parseMountinfo(MOUNTINFO);
  assert.equal(mounted.find(({ at }) => at === "/data")?.root, "/srv/my data");
  assert.deepEqual(externalMounts(mounted, { "/data": "/data", "/run/secrets": "/var/run/secrets" }), [
    ["/data", "/data"],
    ["/run/secrets", "/var/run/secrets"],
    ["/proc/kcore", "/dev/null"],
  ]);
});

const spec = {
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/run", type: "tmpfs", source: "tmpfs" },
    { destination: "/run/secrets", type: "bind", source: "/s" },
    { destination: "/data/", source: "files", options: ["rbind", "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup2", source: "cgroup" },
  ],
  linux: {
    devices: [
      { path: "/dev/fuse", type: "c" },
      { path: "/dev/null", type: "c" },
    ],
  },
} as unknown as Spec;

test("mounts: restore names bind mounts by their destination, and gives their source", () => {
  assert.deepEqual(bindMounts(spec, "/b"), [
    ["/run/secrets", "/s"],
    ["/data", "/b/files"],
  ]);
  assert.deepEqual(
    deviceNames(spec)
      .map(([name]) => name)
      .slice(-2),
    ["/dev/tty", "/dev/fuse"],
  );
});

test("mounts: mount points are made in the rootfs, but not on a tmpfs that CRIU fills, nor for cgroups", () => {
  assert.deepEqual(missingMountPoints(spec.mounts ?? []), [
    { destination: "/proc" },
    { destination: "/run" },
    { destination: "/data", source: "files" },
  ]);
});
