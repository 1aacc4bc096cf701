/** keel probe, and the mounts of keel host that show layers: on real layers and the real kernel. */
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
import { file, symlink, tar } from "./tar-writer.ts";
import { keel, LOWER, layers, mounted, STACKS, t, UPPER, unpackAll } from "./tree-harness.ts";
import { KEEL, merged, modes, scratch, skip, tree } from "./unpack-harness.ts";

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
