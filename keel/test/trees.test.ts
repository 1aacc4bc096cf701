/** keel merge, diff and probe, and the mounts of keel host that show layers: on real layers and the real kernel. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as nodeTest } from "node:test";
import { dir, file, hardlink, symlink, tar } from "./tar-writer.ts";
import { KEEL, merged, modes, scratch, setXattr, skip, tree, unpack, xattr } from "./unpack-harness.ts";

const t = (name: string, body: () => void, why: string | false = skip): void =>
  void nodeTest(name, { skip: why, timeout: 120_000 }, body);

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function keel(args: readonly string[], input = "", env: NodeJS.ProcessEnv = process.env): Ran {
  const done = spawnSync(KEEL, args, { encoding: "utf8", input, env, timeout: 60_000 });
  return { code: done.status ?? 128, out: done.stdout, err: done.stderr };
}

/** Layers' directories, top first. */
function layers(...tars: readonly Uint8Array[]): readonly string[] {
  const dirs: string[] = [];
  for (const layer of tars) dirs.unshift(unpack(layer, dirs).dir);
  return dirs;
}

const layerFlags = (dirs: readonly string[]): readonly string[] => dirs.flatMap((one) => ["--layer", one]);

function merge(dirs: readonly string[], ...flags: readonly string[]): string {
  const target = scratch();
  const done = keel(["merge", "--target", target, ...layerFlags(dirs), ...flags]);
  assert.equal(done.code, 0, done.err);
  return target;
}

function host(step: object, env: NodeJS.ProcessEnv = process.env): Ran {
  return keel(["host"], JSON.stringify([step]), env);
}

/** Mounts by `keel host`, looks, and unmounts. */
function mounted(step: object, look: (dir: string) => void): void {
  const target = scratch();
  const done = host({ op: "mount", source: "overlay", target, ...step });
  assert.equal(done.code, 0, done.out);
  try {
    look(target);
  } finally {
    assert.equal(host({ op: "umount", target }).code, 0);
  }
}

const LOWER = tar(
  dir("etc", { mode: 0o750, uid: 3, gid: 4, mtime: 1_150_000_000 }),
  file("etc/a", "lower a", { uid: 7, mode: 0o4711 }),
  file("etc/b", "lower b"),
  hardlink("etc/c", "/etc/b"),
  dir("gone"),
  file("gone/x", "x"),
  dir("opaque"),
  file("opaque/old", "old"),
  file("opaque/kept", "old too"),
  symlink("link", "/etc/a"),
  file("plain", "a file that becomes a directory"),
);
const UPPER = tar(
  file("etc/.wh.a"),
  file("etc/new", "new", { gid: 9 }),
  file(".wh.gone"),
  file("opaque/.wh..wh..opq"),
  file("opaque/kept", "kept"),
  dir("plain"),
  file("plain/inside", "inside"),
);

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

/** Stacks of layers, bottom first, in which one takes away what another has, in every way. */
const STACKS: readonly (readonly Uint8Array[])[] = [
  [LOWER, UPPER, tar(file("opaque/top", "top"))],
  // a name that goes and comes back: as a file, as a directory in one layer and in two, below a directory that went
  [LOWER, tar(file("etc/.wh.a"), file(".wh.gone")), tar(file("etc/a", "again"), dir("gone"), file("gone/y", "y"))],
  [LOWER, tar(file(".wh.gone"), dir("gone"), file("gone/y", "y"))],
  [LOWER, tar(dir("gone"), file("gone/y", "y"), file(".wh.gone"))],
  [LOWER, tar(file(".wh.gone"), file("gone/deep/y", "y"))],
  [LOWER, tar(file(".wh.link"), file("link", "a file now"), file("etc/.wh.b"), hardlink("etc/b", "/etc/c"))],
  // everything at once, and what is not there
  [
    LOWER,
    tar(file(".wh..wh..opq"), file("only", "only")),
    tar(file("etc/new", "")),
    tar(file(".wh.none"), file("etc/.wh.new")),
  ],
];

function unpackAll(stack: readonly Uint8Array[], flags: readonly string[]): readonly string[] {
  const dirs: string[] = [];
  for (const layer of stack) dirs.unshift(unpack(layer, dirs, flags).dir);
  return dirs;
}

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

t("host: 500 layers in paths of any length are mounted, the top one wins", () => {
  for (const length of [1, 300]) {
    const base = join(
      scratch(),
      ...Array.from({ length: Math.ceil(length / 200) }, () => "d".repeat(Math.min(length, 200))),
    );
    mkdirSync(base, { recursive: true });
    const dirs = Array.from({ length: 500 }, (_, i) => join(base, String(500 - i)));
    for (const one of dirs) {
      mkdirSync(one);
      writeFileSync(join(one, `f${one.slice(base.length + 1)}`), "");
      writeFileSync(join(one, "all"), one.slice(base.length + 1));
    }
    for (const name of ["upper", "work"]) mkdirSync(join(base, name));
    const options = [`lowerdir=${dirs.join(":")}`, `upperdir=${base}/upper`, `workdir=${base}/work`];
    mounted({ type: "overlay", options }, (seen) => {
      assert.equal(readFileSync(join(seen, "all"), "utf8"), "500", `length ${length}`);
      assert.ok(existsSync(join(seen, "f1")) && existsSync(join(seen, "f250")));
      writeFileSync(join(seen, "all"), "mine");
    });
    assert.equal(readFileSync(join(base, "upper/all"), "utf8"), "mine");
  }
});

/** Whether a process has this in its command line. */
function isRunning(words: string): boolean {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(words);
      } catch {
        return false; // it is gone
      }
    });
}

/** What works here, by `keel probe`. */
const probe: { overlayfs: string; fuse: string; idmap: string } | undefined = skip
  ? undefined
  : JSON.parse(keel(["probe", "--target", scratch(), "--option", "index=off", "--option", "metacopy=off"]).out);

t("probe: nothing stays mounted or running of it, and a program that is not there is named", () => {
  assert.equal(probe?.overlayfs, "");
  const target = scratch();
  const bare = JSON.parse(keel(["probe", "--target", target], "", { PATH: "/none" }).out) as typeof probe;
  assert.match(bare?.fuse ?? "", /mount fuse-overlayfs at .*: no such file or directory/);
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(target));
  assert.ok(!isRunning(`lowerdir=${target}`));
});

t("probe: a directory that overlayfs cannot write to says why", () => {
  const on = merged(...layers(LOWER, UPPER));
  const base = scratch();
  for (const name of ["u", "w"]) mkdirSync(join(base, name));
  mounted({ type: "overlay", options: [`lowerdir=${on}`, `upperdir=${base}/u`, `workdir=${base}/w`] }, (seen) => {
    mkdirSync(join(seen, "here"));
    const found = JSON.parse(keel(["probe", "--target", join(seen, "here")]).out) as typeof probe;
    assert.match(found?.overlayfs ?? "", /the file system takes no whiteouts/);
    assert.match(found?.idmap ?? "", /needs overlayfs/);
  });
});

t(
  "host: idmapped layers show shifted owners, the upper directory its own; what mounts them is not seen by others",
  () => {
    const dirs = layers(LOWER, UPPER);
    const base = scratch();
    for (const name of ["upper", "work"]) mkdirSync(join(base, name));
    const options = [`lowerdir=${dirs.join(":")}`, `upperdir=${base}/upper`, `workdir=${base}/work`];
    const range = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const before = readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;
    mounted({ type: "overlay", options, idmap: { uid: range, gid: range, layers: "all" } }, (seen) => {
      assert.equal(readFileSync("/proc/self/mountinfo", "utf8").split("\n").length, before + 1);
      const owners = modes(seen);
      assert.deepEqual([owners["etc"], owners["etc/new"]], ["750 100003:100004", "644 100000:100009"]);
      writeFileSync(join(seen, "etc/b"), "changed");
      assert.equal(statSync(join(base, "upper/etc/b")).uid, 100_000, "what is copied up keeps the owner that is shown");
    });
    assert.equal(lstatSync(join(dirs[0] ?? "", "etc/new")).uid, 0, "the layer itself is as it was");
  },
  skip || (probe?.idmap === "" ? false : `this kernel has no idmapped layers: ${probe?.idmap}`),
);

t(
  "host: an idmapped view turns a container's upper directory back into the image's owners, over a long chain",
  () => {
    const dirs = layers(LOWER, ...Array.from({ length: 150 }, (_, i) => tar(file(`n${i}`, String(i)))));
    const upper = scratch();
    writeFileSync(join(upper, "mine"), "");
    spawnSync("chown", ["-R", "100005:100006", upper]);
    const range = [{ containerID: 100_000, hostID: 0, size: 65_536 }];
    const options = ["ro", `lowerdir=${[upper, ...dirs].join(":")}`];
    mounted({ type: "overlay", options, idmap: { uid: range, gid: range, layers: "top" } }, (seen) => {
      const owners = modes(seen);
      assert.deepEqual([owners["mine"], owners["etc"], owners["n149"]], ["644 5:6", "750 3:4", "644 0:0"]);
      assert.throws(() => writeFileSync(join(seen, "mine"), "x"), /EROFS/);
    });
  },
  skip || (probe?.idmap === "" ? false : `this kernel has no idmapped layers: ${probe?.idmap}`),
);

t(
  "host: fuse-overlayfs shows the same tree as overlayfs, writes to the upper directory, and ends when unmounted",
  () => {
    const dirs = layers(LOWER, UPPER);
    const base = scratch();
    for (const name of ["upper", "work"]) mkdirSync(join(base, name));
    const options = ["index=off", "metacopy=off", `lowerdir=${dirs.join(":")}`, `upperdir=${base}/upper`];
    mounted({ type: "fuse-overlayfs", options: [...options, `workdir=${base}/work`] }, (seen) => {
      const overlay = merged(...dirs);
      assert.deepEqual(tree(seen), tree(overlay));
      assert.deepEqual(modes(seen), modes(overlay));
      // not one with several names: version 1.10 copies those up under another of their names
      writeFileSync(join(seen, "etc/new"), "mine");
      assert.equal(readFileSync(join(base, "upper/etc/new"), "utf8"), "mine");
    });
    for (let i = 0; i < 50 && isRunning(`upperdir=${base}`); i++) spawnSync("sleep", ["0.1"]);
    assert.ok(!isRunning(`upperdir=${base}`));
  },
  skip || (probe?.fuse === "" ? false : `fuse-overlayfs does not work here: ${probe?.fuse}`),
);

t(
  "host: fuse-overlayfs shows layers with marks in files as they are meant",
  () => {
    for (const [i, stack] of STACKS.entries()) {
      const overlay = merged(...unpackAll(stack, []));
      const dirs = unpackAll(stack, ["--marks-in-files"]);
      mounted({ type: "fuse-overlayfs", options: [`lowerdir=${[...dirs, scratch()].join(":")}`] }, (seen) => {
        assert.deepEqual(tree(seen), tree(overlay), `stack ${i}`);
      });
    }
  },
  skip || (probe?.fuse === "" ? false : `fuse-overlayfs does not work here: ${probe?.fuse}`),
);

t("user namespace: layers are unpacked and shown without root's rights outside, opaque directories too", () => {
  const base = mkdtempSync(join(tmpdir(), "keel-trees-")); // what is above it is open to all
  copyFileSync(KEEL, join(base, "keel"));
  spawnSync("chown", ["-R", "100000:100000", base]);
  spawnSync("chmod", ["755", base]);
  for (const [name, data] of [
    ["lower.tar", tar(file("etc/b", "b"), file("opaque/old", ""), symlink("link", "etc/b"))],
    ["upper.tar", tar(file("etc/new", ""), file("etc/.wh.none"), file("opaque/.wh..wh..opq"), file("opaque/kept", ""))],
  ] as const)
    writeFileSync(join(base, name), data);
  const script = `set -e
    mkdir l u w m up; $KEEL unpack --target l <lower.tar >/dev/null; $KEEL unpack --target up --lower l <upper.tar >/dev/null
    echo '[{"op":"mount","type":"overlay","source":"overlay","target":"'$PWD'/m","options":["index=off","metacopy=off","userxattr",
      "lowerdir='$PWD'/up:'$PWD'/l","upperdir='$PWD'/u","workdir='$PWD'/w"]}]' | $KEEL host >reply || { cat reply; exit 1; }
    ls m/opaque; echo mine >m/etc/b; rm m/link; cat u/etc/b; stat -c %u m/etc/new
    mkdir p c; $KEEL probe --target p --option index=off --option userxattr; $KEEL merge --target c --layer up --layer l; ls c/opaque`;
  const done = spawnSync(
    "setpriv",
    ["--reuid=100000", "--regid=100000", "--clear-groups", "unshare", "-Urm", "sh", "-c", script],
    { cwd: base, encoding: "utf8", env: { ...process.env, KEEL: join(base, "keel") } },
  );
  rmSync(base, { recursive: true, force: true });
  assert.equal(done.status, 0, done.stderr + done.stdout);
  const lines = done.stdout.trim().split("\n");
  assert.deepEqual(lines.slice(0, 3), ["kept", "mine", "0"]);
  const found = JSON.parse(lines[3] ?? "") as typeof probe;
  assert.equal(found?.overlayfs, "");
  assert.match(found?.idmap ?? "", /outside of user namespaces/);
  assert.equal(lines[4], "kept");
});
