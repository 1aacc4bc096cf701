import assert from "node:assert/strict";
import { test } from "node:test";
import { dirOf, type Meaning, meaningOf, nameOf } from "./names.ts";

test("names: whiteouts, opaque marks, aufs's own and ordinary files are told apart", () => {
  const table: readonly (readonly [string, Meaning])[] = [
    ["/", "file"],
    ["/a", "file"],
    ["/a/.wh", "file"],
    ["/a.wh.b", "file"],
    ["/.wh.a", "whiteout"],
    ["/x/.wh.a", "whiteout"],
    ["/.wh.d/inside", "file"],
    ["/.wh..a", "whiteout"],
    ["/.wh....", "whiteout"],
    ["/.wh.", "invalid"],
    ["/x/.wh..", "invalid"],
    ["/x/.wh...", "invalid"],
    ["/.wh..wh..opq", "opaque"],
    ["/x/.wh..wh..opq", "opaque"],
    ["/.wh..wh.aufs", "ignored"],
    ["/.wh..wh.orph/x", "ignored"],
    ["/x/.wh..wh.other", "ignored"],
    ["/.wh..wh.plnk", "file"],
    ["/.wh..wh.plnk/1.2", "file"],
    ["/.wh..wh.plnk2", "ignored"],
  ];
  for (const [path, meaning] of table) assert.equal(meaningOf(path), meaning, path);
});

test("names: directory and last component of a path", () => {
  assert.deepEqual([dirOf("/a"), nameOf("/a")], ["/", "./a"]);
  assert.deepEqual([dirOf("/a/b c/d"), nameOf("/a/b c/d")], ["/a/b c", "./d"]);
});
