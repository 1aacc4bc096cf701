import assert from "node:assert/strict";
import { existsSync, mkdirSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { bundle, keel, type Loose, run, skip, sleeping, state } from "./harness.ts";

const MAPPINGS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

function withUser(spec: Loose): void {
  spec.linux.namespaces.push({ type: "user" });
  spec.linux.uidMappings = MAPPINGS;
  spec.linux.gidMappings = MAPPINGS;
}

const links = (names: readonly string[]): string => `for n in ${names.join(" ")}; do readlink /proc/self/ns/$n; done`;

test("join: the namespaces of another container, its user namespace first", { skip }, () => {
  const first = sleeping(withUser);
  const { pid } = state(first.id);
  const joined = ["user", "net", "ipc", "uts"];
  const made = bundle(["sh", "-c", links(joined)], (spec) => {
    const path = (name: string): string => `/proc/${pid}/ns/${name}`;
    spec.hostname = undefined;
    spec.linux.namespaces = [
      { type: "user", path: path("user") },
      { type: "network", path: path("net") },
      { type: "ipc", path: path("ipc") },
      { type: "uts", path: path("uts") },
      { type: "pid" },
      { type: "mount" },
    ];
  });
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(
    ran.out.trim().split("\n"),
    joined.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`)),
  );
});

test("join: exec is in all namespaces of its container, the clocks' too, and in those of the host that it shares", {
  skip,
}, () => {
  const { id } = sleeping((spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) => type !== "network");
    spec.linux.namespaces.push({ type: "time" });
    spec.linux.timeOffsets = { boottime: { secs: 1_000_000_000 } };
  });
  const { pid } = state(id);
  const names = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "time"];
  const ran = keel("exec", id, "sh", "-c", `${links(names)}; cut -d. -f1 /proc/uptime`);
  assert.equal(ran.code, 0, ran.err);
  const lines = ran.out.trim().split("\n");
  assert.deepEqual(
    lines.slice(0, -1),
    names.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`)),
  );
  assert.ok(Number(lines.at(-1)) > 1_000_000_000);
  assert.equal(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync("/proc/self/ns/net"));
});

test("exec --cgroup: several controllers, together in one flag or in flags of their own, each join the group below", {
  skip: skip || (existsSync("/sys/fs/cgroup/cgroup.controllers") && "needs cgroup version 1"),
}, () => {
  const { id } = sleeping((spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) => type !== "cgroup");
  });
  const own = (flags: readonly string[]): Map<string, string> => {
    const ran = keel("exec", ...flags, id, "cat", "/proc/self/cgroup");
    assert.equal(ran.code, 0, ran.err);
    const found = new Map<string, string>();
    for (const line of ran.out.trim().split("\n")) {
      const [, controllers = "", path = ""] = line.split(":");
      for (const controller of controllers.split(",")) found.set(controller, path);
    }
    return found;
  };
  const home = own([]);
  const below = ["memory", "pids", "freezer"];
  for (const controller of below) mkdirSync(`/sys/fs/cgroup/${controller}${home.get(controller)}/below`);
  const inside = own(["--cgroup", "memory,pids:below", "--cgroup", "freezer:/below/"]);
  for (const [controller, path] of home)
    assert.equal(inside.get(controller), below.includes(controller) ? `${path}/below` : path, controller);
  assert.match(keel("exec", "--cgroup", "pids,nosuch:below", id, "true").err, /unknown controller "nosuch"/);
});
