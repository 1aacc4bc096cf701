import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseTap } from "../tap.ts";
import { compare, readKnown, runPrograms, validationSkip } from "./programs.ts";

/** What crun 1.28 came to on a machine of this kind. */
const AT_LEAST = 3847;

/** Conditions of known-failures.txt. */
function holds(condition: string): boolean {
  const [kind, what = ""] = condition.split(":") as [string, string?];
  switch (kind) {
    case "always":
    case "at times":
      return true;
    case "no cgroup file":
      // a directory alone may be what a tool left that wanted to mount it
      return !existsSync(`/sys/fs/cgroup/${what}/cgroup.procs`);
    case "no controller":
      // a directory alone may be what a tool left that wanted to mount it
      return !existsSync(`/sys/fs/cgroup/${what}/cgroup.procs`);
    case "no AppArmor":
      return !existsSync("/sys/module/apparmor/parameters/enabled");
    case "no capability":
      return ((ownCapabilities() >> BigInt(what)) & 1n) === 0n;
    default:
      throw new Error(`known-failures.txt: unknown condition "${condition}"`);
  }
}

function ownCapabilities(): bigint {
  const match = /^CapPrm:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"));
  return BigInt(`0x${match?.[1] ?? "0"}`);
}

test("the OCI runtime validation programs: keel fails what is listed, and nothing else", {
  skip: validationSkip(),
}, async (t) => {
  const known = readKnown(holds);
  const verdicts = await runPrograms();
  let passed = 0;
  let failed = 0;
  for (const verdict of verdicts) {
    const good = verdict.checks.filter(({ ok, skip }) => ok && skip === undefined).length;
    passed += good;
    failed += verdict.checks.filter(({ ok }) => !ok).length;
    await t.test(`${verdict.program}: ${good} checks`, () => {
      assert.deepEqual(compare(verdict, known), []);
    });
  }
  console.log(`        ${passed} checks pass, ${failed} fail as listed or as told above`);
  await t.test(`at least ${AT_LEAST} checks pass`, () => {
    assert.ok(passed >= AT_LEAST, `${passed} pass`);
  });
});

test("known failures: one that passes, one that is gone and one that is new are told", () => {
  const checks = parseTap("ok 1 - fine\nnot ok 2 - new\n  why\nok 3 - mended\nok 4 # SKIP left out\n1..4\n");
  const known = [
    { program: "p", check: "mended", reason: "r", race: false },
    { program: "p", check: "gone", reason: "r", race: false },
    { program: "p", check: "fine", reason: "r", race: true },
    { program: "other", check: "fine", reason: "r", race: false },
  ];
  assert.deepEqual(compare({ program: "p", checks }, known), [
    "fails: new\n  why",
    "passes, though listed in known-failures.txt: mended",
    "is not there, though listed in known-failures.txt: gone",
  ]);
  assert.equal(checks[3]?.skip, "left out");
});
