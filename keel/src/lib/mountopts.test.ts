import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountOptions } from "./mountopts.ts";

test("mount options: what is no flag goes to the file system, also the names of methods", () => {
  const parsed = parseMountOptions(["ro", "constructor", "size=1m", "rtoString", "__proto__"]);
  assert.equal(parsed.data, "constructor,size=1m,rtoString,__proto__");
  assert.equal(parsed.flags, 1);
});

test("mount options: bind after rbind leaves the mounts below in", () => {
  assert.equal(parseMountOptions(["rbind", "rw", "bind"]).recursive, true);
});

test("mount options: nodiratime alone means relatime, as with mount(8)", () => {
  const { attrSet, attrClear } = parseMountOptions(["bind", "nodiratime"]);
  assert.deepEqual([attrSet, attrClear], [0x80, 0x70]);
  assert.equal(parseMountOptions(["bind", "nodiratime", "strictatime"]).attrSet, 0xa0);
});
