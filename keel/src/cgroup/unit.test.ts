import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseVariant } from "./gvariant.ts";
import { bitmap, limitProperties } from "./properties.ts";
import { annotatedProperties, expandSlice, planUnit } from "./unit.ts";

const NONE = {};

const says = (message: RegExp): object => ({ message });

test("unit: slice:prefix:name is a scope in a slice, and what is left out has runc's defaults", () => {
  assert.deepEqual(planUnit("id", "machine.slice:libpod:abc", NONE, false), {
    unit: "libpod-abc.scope",
    slice: "machine.slice",
    slicePath: "/machine.slice",
    subgroup: "container",
  });
  assert.equal(planUnit("id", undefined, NONE, false).unit, "keel-id.scope");
  assert.equal(planUnit("a+b", "", NONE, false).unit, "keel-a\\x2bb.scope");
  assert.equal(planUnit("id", ":docker:abc", NONE, false).slice, "system.slice");
  assert.equal(planUnit("id", ":docker:abc", NONE, true).slice, "user.slice");
  assert.equal(planUnit("id", "-:docker:abc", NONE, false).slicePath, "");
  assert.equal(planUnit("id", "", { "run.oci.systemd.subgroup": "" }, false).subgroup, "");
});

test("unit: paths of the other driver, slices as units and wrong names say what is wrong", () => {
  assert.throws(() => planUnit("id", "/docker/abc", NONE, false), says(/expected cgroupsPath to be of format/));
  assert.throws(() => planUnit("id", "a.slice:b:c.slice", NONE, false), says(/is a slice/));
  for (const wrong of ["a.slice:b:", "a.slice:b:c d", "a.slice:b:../c", `a.slice:b:${"c".repeat(256)}`])
    assert.throws(() => planUnit("id", wrong, NONE, false), says(/no name of a systemd unit/), wrong);
  for (const wrong of ["..", "a/b", "cgroup.procs"])
    assert.throws(() => planUnit("id", "", { "run.oci.systemd.subgroup": wrong }, false), says(/plain name/), wrong);
});

test("unit: a slice's dashes are its parents", () => {
  assert.equal(
    expandSlice("kubepods-burstable-pod1.slice"),
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
  );
  assert.equal(expandSlice("-.slice"), "");
  for (const wrong of [
    "",
    ".slice",
    "a",
    "a--b.slice",
    "-a.slice",
    "a-.slice",
    "a/b.slice",
    "a.slice/b.slice",
    "..slice/",
  ])
    assert.throws(() => expandSlice(wrong), says(/invalid slice name/), wrong);
});

test("unit: annotations become properties; Sec becomes USec", () => {
  assert.deepEqual(
    annotatedProperties({
      "org.systemd.property.TimeoutStopSec": "uint64 2",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
      other: "x",
    }),
    [
      { name: "TimeoutStopUSec", value: { type: "t", value: "2000000" } },
      { name: "CollectMode", value: { type: "s", value: "inactive-or-failed" } },
    ],
  );
  const wrong =
    (name: string, value: string): (() => void) =>
    () =>
      void annotatedProperties({ [`org.systemd.property.${name}`]: value });
  assert.throws(wrong("Slice", "'x.slice'"), says(/is set by keel itself/));
  assert.throws(wrong("a b", "1"), says(/no name of a systemd property/));
  assert.throws(wrong("TimeoutStopSec", "'x'"), says(/number of seconds/));
  assert.throws(wrong("CollectMode", "inactive"), says(/expected a value/));
});

test("gvariant: the text format of what properties are made of", () => {
  const cases: readonly [string, string, unknown][] = [
    ["true", "b", true],
    ["5", "i", "5"],
    [" -7 ", "i", "-7"],
    ["uint64 18446744073709551615", "t", "18446744073709551615"],
    ["0x10", "i", "16"],
    ["'it\\'s'", "s", "it's"],
    ['"a\\n\\u00e4"', "s", "a\nä"],
    ["['a', \"b\"]", "as", ["a", "b"]],
    ["[1, 2]", "ai", ["1", "2"]],
    ["[uint32 1, 2]", "au", ["1", "2"]],
    ["@as []", "as", []],
    ["@t 3", "t", "3"],
    ["('/dev/null', 'rw')", "(ss)", ["/dev/null", "rw"]],
    ["[('8:0', uint64 1)]", "a(st)", [["8:0", "1"]]],
    ["byte 0x7", "y", "7"],
  ];
  for (const [text, type, value] of cases) assert.deepEqual(parseVariant(text), { type, value }, text);
  for (const wrong of [
    "",
    "[]",
    "'a",
    "[1 2]",
    "[1,'a']",
    "uint64 'a'",
    "1 2",
    "()",
    "'\\u12'",
    "[".repeat(40),
    "@a{sv} 1",
    "nope",
  ])
    assert.throws(() => parseVariant(wrong), { code: "InvalidArgument" }, wrong);
});

function limits(...writes: readonly [string, string][]): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { name, value } of limitProperties(writes.map(([file, line]) => ({ file, lines: [line], field: "" }))))
    found[name] = Array.isArray(value.value) ? value.value : `${value.type} ${value.value}`;
  return found;
}

const INFINITY = "t 18446744073709551615";

test("properties: what is written to the cgroup, in systemd's words", () => {
  assert.deepEqual(
    limits(
      ["memory.max", "1000"],
      ["memory.low", "5"],
      ["memory.swap.max", "max"],
      ["pids.max", "0"],
      ["cpu.weight", "7"],
    ),
    { MemoryMax: "t 1000", MemoryLow: "t 5", MemorySwapMax: INFINITY, TasksMax: "t 1", CPUWeight: "t 7" },
  );
  assert.deepEqual(limits(["memory.limit_in_bytes", "-1"], ["cpu.shares", "512"], ["pids.max", "max"]), {
    MemoryLimit: INFINITY,
    CPUShares: "t 512",
    TasksMax: INFINITY,
  });
  assert.deepEqual(limits(["memory.max", "1"], ["memory.max", "2"]), { MemoryMax: "t 2" });
  assert.deepEqual(limits(["hugetlb.2MB.max", "1"], ["io.max", "8:0 rbps=1"]), {});
  assert.deepEqual(limits(["cpu.weight", "50"], ["cpu.idle", "1"]), { CPUWeight: "t 0" });
  assert.deepEqual(limits(["io.bfq.weight", "1000"]), { IOWeight: "t 10000" });
  assert.deepEqual(limits(["io.weight", "default 200"]), { IOWeight: "t 200" });
  assert.deepEqual(limits(["cpuset.cpus", "0-2,9"]), { AllowedCPUs: [7, 2] });
  assert.throws(() => limits(["memory.max", "x"]), says(/no value for memory.max/));
});

test("properties: a CPU quota is rounded up to whole percents, never below the container's own", () => {
  assert.deepEqual(limits(["cpu.max", "50000 100000"]), {
    CPUQuotaPeriodUSec: "t 100000",
    CPUQuotaPerSecUSec: "t 500000",
  });
  assert.deepEqual(limits(["cpu.max", "42001 100000"]), {
    CPUQuotaPeriodUSec: "t 100000",
    CPUQuotaPerSecUSec: "t 430000",
  });
  assert.deepEqual(limits(["cpu.max", "max 5000"]), { CPUQuotaPeriodUSec: "t 5000", CPUQuotaPerSecUSec: INFINITY });
  assert.deepEqual(limits(["cpu.max", "150000"]), { CPUQuotaPerSecUSec: "t 1500000" });
  assert.deepEqual(limits(["cpu.cfs_period_us", "10000"], ["cpu.cfs_quota_us", "-1"]), {
    CPUQuotaPeriodUSec: "t 10000",
    CPUQuotaPerSecUSec: INFINITY,
  });
});

test("properties: CPU lists that are none are refused", () => {
  assert.deepEqual(bitmap("15"), [0, 128]);
  assert.deepEqual(bitmap(" 0 , 1-1,"), [3]);
  for (const wrong of ["", "a", "3-1", "0-99999999", ","]) assert.throws(() => bitmap(wrong), says(/no value/), wrong);
});
