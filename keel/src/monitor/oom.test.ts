import assert from "node:assert/strict";
import { test } from "node:test";
import { countsKill, mountedFile, parseCgroup, usualFile } from "./oom.ts";

test("oom: the memory hierarchy of version 1 is taken where there is one, else version 2", () => {
  assert.deepEqual(parseCgroup("5:cpu,memory:/a\n1:name=systemd:/x\n0::/u\n"), { v1: true, path: "/a" });
  assert.deepEqual(parseCgroup("0::/u/c:1\n"), { v1: false, path: "/u/c:1" });
  assert.equal(parseCgroup("1:name=systemd:/x\n"), undefined);
});

test("oom: the counter is found where mountinfo shows the cgroup, also from a subtree mount", () => {
  const info = [
    "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro",
    "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
    "32 30 0:28 /docker/abc /cg\\040roup/memory rw shared:1 - cgroup cgroup rw,memory",
    "33 30 0:29 / /unified rw - cgroup2 none rw",
  ].join("\n");
  assert.equal(mountedFile({ v1: true, path: "/docker/abc/x" }, info), "/cg roup/memory/x/memory.oom_control");
  assert.equal(mountedFile({ v1: true, path: "/docker/abcd" }, info), undefined);
  assert.equal(mountedFile({ v1: false, path: "/a" }, info), "/unified/a/memory.events");
  assert.equal(usualFile({ v1: true, path: "/a" }), "/sys/fs/cgroup/memory/a/memory.oom_control");
});

test("oom: kills count, mere pressure does not", () => {
  assert.equal(countsKill("oom_kill_disable 0\nunder_oom 1\noom_kill 0\n"), false);
  assert.equal(countsKill("low 0\nhigh 3\nmax 9\noom 2\noom_kill 0\noom_group_kill 0\n"), false);
  assert.equal(countsKill("oom 1\noom_kill 12\n"), true);
});
