import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { planResctrl, resctrlMount } from "./resctrl.ts";

test("resctrl: the mount is found wherever it is", () => {
  const lines =
    "22 1 0:20 / /proc rw - proc proc rw\n40 25 0:30 / /run/resctrl rw,relatime shared:9 - resctrl resctrl rw,mba_MBps\n";
  assert.equal(resctrlMount(lines), "/run/resctrl");
  assert.equal(resctrlMount("22 1 0:20 / /sys/fs/resctrl rw - tmpfs resctrl rw\n"), "");
});

test("resctrl: a group with schemas is made, one without must be there, and the root group always is", () => {
  const at = (rdt: object) => planResctrl(rdt, "id", "/r");
  const schemata = ["MB:0=20;1=70", "L3:0=f;1=f"];
  assert.deepEqual(at({ schemata: schemata.slice(0, 1), l3CacheSchema: schemata[1], enableMonitoring: true }), {
    group: "/r/id",
    existing: false,
    schemata,
    monitor: "/r/id/mon_groups/id",
  });
  assert.deepEqual(at({ closID: "gold" }), { group: "/r/gold", existing: true, schemata: [], monitor: "" });
  assert.equal(at({ closID: "gold", memBwSchema: "MB:0=20" }).existing, false);
  assert.deepEqual(at({ closID: "/", memBwSchema: "MB:0=20" }), {
    group: "/r",
    existing: true,
    schemata: ["MB:0=20"],
    monitor: "",
  });
  for (const closID of ["../x", "a/b", "..", "."]) {
    assert.throws(() => at({ closID }), { message: /linux\.intelRdt\.closID: must be a directory's name/ });
  }
});
