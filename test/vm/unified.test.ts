import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConsole, runInGuest, vmSkip } from "./guest.ts";

test("keel's suites hold on another kernel, with cgroup v2 alone and all controllers", {
  skip: vmSkip(),
}, async (t) => {
  const { about, results } = runInGuest([
    "keel/test/run.test.ts",
    "keel/test/monitor.test.ts",
    "keel/test/chroot.test.ts",
  ]);
  assert.match(about, /controllers: .*\bcpu\b.*\bmemory\b.*\bpids\b/);
  assert.ok(results.length > 50, `only ${results.length} tests ran in the guest`);
  for (const { name, ok, skip, detail } of results) {
    await t.test(`${name} [${about.split(",")[0]}]`, { skip: skip ?? false }, () => assert.ok(ok, detail));
  }
});

test("the guest's console: results are read with their failures, whatever the kernel writes between", () => {
  const text = [
    "[    0.3] PCI: noise",
    "guest: Linux 6.1, controllers: cpu",
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
