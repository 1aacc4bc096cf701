import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountOptions } from "./mountopts.ts";

test("mount options: what is no flag goes to the file system, also the names of methods", () => {
  const parsed = parseMountOptions(["ro", "constructor", "size=1m", "rtoString", "__proto__"]);
  assert.equal(parsed.data, "constructor,size=1m,rtoString,__proto__");
  assert.equal(parsed.flags, 1);
});
