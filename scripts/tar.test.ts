import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type TarEntry, writeTar } from "./tar.ts";

const entries: readonly TarEntry[] = [
  { kind: "directory", path: "bin", mode: 0o755 },
  { kind: "file", path: "bin/a", mode: 0o755, data: "x".repeat(513) },
  { kind: "symlink", path: "bin/b", target: "a" },
];

test("tar: the system's tar lists modes, owners, sizes and link targets as given", () => {
  const listed = spawnSync("tar", ["-tvf", "-"], { input: writeTar(entries), encoding: "utf8", env: { TZ: "UTC" } });
  assert.equal(listed.stderr, "");
  assert.deepEqual(
    listed.stdout
      .trim()
      .split("\n")
      .map((line) => line.replaceAll(/ +/g, " ")),
    [
      "drwxr-xr-x root/root 0 1970-01-01 00:00 bin/",
      "-rwxr-xr-x root/root 513 1970-01-01 00:00 bin/a",
      "lrwxrwxrwx root/root 0 1970-01-01 00:00 bin/b -> a",
    ],
  );
});

test("tar: the same entries give the same bytes, and a name that does not fit is refused", () => {
  assert.deepEqual(writeTar(entries), writeTar(entries));
  assert.throws(() => writeTar([{ kind: "directory", path: "d".repeat(100), mode: 0o755 }]), /100 bytes/);
});
