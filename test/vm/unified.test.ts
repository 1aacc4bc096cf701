import assert from "node:assert/strict";
import { test } from "node:test";
import { keelSuites, parseConsole, vmSkip } from "./guest.ts";
import { inGuest } from "./suites.ts";

/** Not in this guest, with the reason. */
const WITHOUT = [
  // these need programs that busybox is no substitute for: they run in the guest with Debian (systemd.test.ts)
  "keel/test/layers.test.ts",
  "keel/test/tree-mounts.test.ts",
  "keel/test/trees.test.ts",
  "keel/test/unpack.test.ts",
  "keel/test/unpack-limits.test.ts",
  "keel/test/systemd.test.ts",
  // a tmpfs cannot be idmapped before Linux 6.3: there too
  "keel/test/idmap.test.ts",
  // perl, procps, /usr/bin/env and files of a distribution
  "keel/test/service.test.ts",
  "keel/test/security/fds.test.ts",
  // a thousand rounds, and a compiler
  "keel/test/security/race.test.ts",
  // hundreds of containers, for which an emulated machine is too slow
  "keel/test/fuzz.test.ts",
  // nothing of it is the kernel's
  "keel/test/inflate.test.ts",
];

const about = /controllers: .*\bcpu\b.*\bmemory\b.*\bpids\b/;

inGuest(
  "keel's suites hold on another kernel, with cgroup v2 alone and all controllers, and AppArmor",
  { skip: vmSkip(), about, atLeast: 60 },
  () => ({ kernel: "kernel", suites: keelSuites(WITHOUT) }),
);

test("the guest's console: results are read with their failures, whatever the kernel writes between", () => {
  const text = [
    "[    0.3] PCI: noise",
    "\u001bc\u001b[2Jguest: Linux 6.1, controllers: cpu",
    "ok 1 - one",
    "  ---",
    "  ...",
    "not ok 2 - two # 2",
    "  ---",
    "  error: x",
    "  ...",
    "ok 3 - three # SKIP no tool",
    "# pass 1",
  ].join("\r\n");
  const { about, results } = parseConsole(text);
  assert.equal(about, "Linux 6.1, controllers: cpu");
  assert.deepEqual(
    results.map(({ name, ok, skip }) => [name, ok, skip]),
    [
      ["one", true, undefined],
      ["two # 2", false, undefined],
      ["three", true, "no tool"],
    ],
  );
  assert.match(results[1]?.detail ?? "", /error: x/);
});
