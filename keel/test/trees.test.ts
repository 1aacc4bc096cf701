/** keel merge and diff: on real layers, beside what overlayfs shows of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dir, file, symlink, tar } from "./tar-writer.ts";
import { keel, LOWER, layerFlags, layers, merge, STACKS, t, UPPER, unpackAll } from "./tree-harness.ts";
import { merged, modes, scratch, setXattr, skip, tree, xattr } from "./unpack-harness.ts";

t("merge: the copy is what overlayfs shows of the same layers, with owners, modes, times and hard links", () => {
  const dirs = layers(LOWER, UPPER, tar(file("opaque/top", "top")));
  const [copy, overlay] = [merge(dirs), merged(...dirs)];
  assert.deepEqual(tree(copy), tree(overlay));
  assert.deepEqual(modes(copy), modes(overlay));
  for (const name of ["etc", "etc/b", "plain"]) {
    assert.equal(lstatSync(join(copy, name)).mtimeMs, lstatSync(join(overlay, name)).mtimeMs, name);
  }
  assert.equal(lstatSync(join(copy, "etc/b")).ino, lstatSync(join(copy, "etc/c")).ino);
  assert.equal(lstatSync(join(copy, "etc/b")).nlink, 2);
  assert.equal(xattr(join(copy, "opaque"), "trusted.overlay.opaque"), "", "overlayfs's marks are no part of the tree");
});

t("marks in files, where a file system takes no device nodes, come to the same trees and changes", () => {
  for (const [i, stack] of STACKS.entries()) {
    const overlay = merged(...unpackAll(stack, []));
    const dirs = unpackAll(stack, ["--marks-in-files"]);
    assert.ok(!dirs.some((one) => tree(one).some((line) => line.endsWith(" c0,0"))), `stack ${i} has no devices`);
    assert.deepEqual(tree(merge(dirs)), tree(overlay), `stack ${i}`);
    assert.deepEqual(modes(merge(dirs)), modes(overlay), `stack ${i}`);
    assert.deepEqual([...diff(dirs)].sort(), [...diff(unpackAll(stack, []))].sort(), `stack ${i}`);
  }
});

t("merge: holes stay holes, xattrs come along", () => {
  const [lower = ""] = layers(LOWER);
  spawnSync("truncate", ["-s", "1G", join(lower, "sparse")]);
  writeFileSync(join(lower, "sparse"), "end", { flag: "a" });
  setXattr(join(lower, "plain"), "user.note", "hello");
  const copy = merge([lower]);
  const { size, blocks } = statSync(join(copy, "sparse"));
  assert.deepEqual([size, blocks < 100], [2 ** 30 + 3, true]);
  assert.equal(readFileSync(join(copy, "sparse")).subarray(-3).toString(), "end");
  assert.equal(Buffer.from(xattr(join(copy, "plain"), "user.note"), "hex").toString(), "hello");
});

t("merge: owners are shifted into a user namespace, file capabilities name its root", () => {
  const [lower = ""] = layers(LOWER);
  const capability = "0100000202000000000000000000000000000000"; // cap_dac_override, version 2
  const script = "import os,sys\nos.setxattr(sys.argv[1], 'security.capability', bytes.fromhex(sys.argv[2]))";
  assert.equal(spawnSync("python3", ["-c", script, join(lower, "plain"), capability]).status, 0);
  const map = ["--uid-map", "0:100000:1000", "--gid-map", "0:200000:1000"];
  const owners = modes(merge([lower], ...map));
  assert.deepEqual(
    [owners["."], owners["etc"], owners["etc/a"], owners["link"]],
    ["755 100000:200000", "750 100003:200004", "4711 100007:200000", "777 100000:200000"],
  );
  const copy = merge([lower], ...map);
  // version 3: the same with the number of root, 100000, at its end
  const named = `0100000302000000000000000000000000000000${"a0860100"}`;
  assert.equal(xattr(join(copy, "plain"), "security.capability"), named);
});

t("merge: an owner without a place in the mapping is an error that names file and id", () => {
  const dirs = layers(tar(file("big", "", { uid: 70_000 })));
  const flags = ["--uid-map", "0:100000:65536", "--gid-map", "0:100000:65536"];
  const done = keel(["merge", "--target", scratch(), ...layerFlags(dirs), ...flags]);
  assert.equal(done.code, 1);
  const error = JSON.parse(done.err) as { code: string; message: string };
  assert.equal(error.code, "FailedPrecondition");
  assert.match(error.message, /copy \.\/big: its uid 70000 is not in the mappings/);
});

t("merge: names of bytes that are no text, and links out of the tree, are copied as they are", () => {
  const bad = Buffer.from([0xff, 0x80, 0x2f, 0x80, 0x61]);
  const dirs = layers(tar(file("d/x", ""), { path: bad, data: "odd" } as never, symlink("out", "../../etc/passwd")));
  const [copy, lower] = [merge(dirs), dirs[0] ?? ""];
  const list = (root: string): string => spawnSync("find", [".", "-print0"], { cwd: root }).stdout.toString("hex");
  assert.equal(list(copy).length, list(lower).length);
  assert.ok(list(copy).includes("ff802f8061"));
});

const CLONES = ["mkfs.btrfs", "losetup"].every((tool) => spawnSync(tool, ["--version"]).status === 0);

t(
  "merge: on a file system that shares blocks the copy takes none",
  () => {
    const image = join(scratch(), "disk");
    const at = scratch();
    spawnSync("truncate", ["-s", "300M", image]);
    assert.equal(spawnSync("mkfs.btrfs", ["-q", image]).status, 0);
    const done = spawnSync("mount", ["-o", "loop", image, at], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    try {
      for (const name of ["layer", "copy"]) mkdirSync(join(at, name));
      writeFileSync(join(at, "layer/data"), Buffer.alloc(64 << 20, "x1y2z3"));
      const used = (): number => {
        spawnSync("sync", ["-f", at]);
        return Number(spawnSync("df", ["--output=used", "-k", at], { encoding: "utf8" }).stdout.split("\n")[1]);
      };
      const before = used();
      const made = keel(["merge", "--target", join(at, "copy"), "--layer", join(at, "layer")]);
      assert.equal(made.code, 0, made.err);
      assert.ok(used() - before < 8 << 10, `${used() - before} KiB more for a copy of 64 MiB`);
      assert.equal(statSync(join(at, "copy/data")).size, 64 << 20);
    } finally {
      spawnSync("umount", [at]);
    }
  },
  skip ||
    (CLONES && readFileSync("/proc/filesystems", "utf8").includes("btrfs")
      ? false
      : "needs btrfs-progs, losetup and btrfs in the kernel"),
);

/** `A path` lines of what `keel diff` tells, in its own order, directories after what is in them. */
function diff(dirs: readonly string[]): readonly string[] {
  const done = keel(["diff", ...layerFlags(dirs)]);
  assert.equal(done.code, 0, done.err);
  return done.out.split("\0").filter(Boolean);
}

t("diff: added, changed and deleted paths of the top layer, also behind an opaque directory and a changed type", () => {
  const dirs = layers(LOWER, UPPER);
  assert.deepEqual([...diff(dirs)].sort(), [
    "+./etc",
    "+./opaque",
    "+./plain",
    "-C",
    "-C",
    "-C",
    "A./inside",
    "A./new",
    "C./kept",
    "D./a",
    "D./gone",
    "D./old",
  ]);
});

t("diff: a directory that a layer only passes through is no change, one with another mode is", () => {
  const same = layers(LOWER, tar(dir("etc", { mode: 0o750, uid: 3, gid: 4, mtime: 1_150_000_000 })));
  assert.deepEqual(diff(same), ["+./etc", "-"]);
  const other = layers(LOWER, tar(dir("etc", { mode: 0o700, uid: 3, gid: 4, mtime: 1_150_000_000 })));
  assert.deepEqual(diff(other), ["+./etc", "-C"]);
});
