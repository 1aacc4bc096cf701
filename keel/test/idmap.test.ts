import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Bundle, bundle, keel, type Loose, run, skip, sleeping, state } from "./harness.ts";

/** A directory beside the rootfs whose files have the owners their names say, mounted at /data. */
function withData(owners: readonly number[], mount: Loose, change: (spec: Loose) => void = () => {}): Bundle {
  const made = bundle(
    ["sh", "-c", "cd /data; stat -c '%n %u:%g' *; touch new && stat -c '%n %u' new; true"],
    (spec) => {
      spec.mounts.push({ destination: "/data", source: "data", options: ["rbind", "rw"], ...mount });
      change(spec);
    },
  );
  mkdirSync(join(made.rootfs, "data"));
  mkdirSync(join(made.dir, "data"));
  spawnSync("chmod", ["777", join(made.dir, "data")]);
  for (const owner of owners) {
    writeFileSync(join(made.dir, "data", `f${owner}`), "");
    chownSync(join(made.dir, "data", `f${owner}`), owner, owner);
  }
  return made;
}

const map = (containerID: number, hostID: number, size: number): Loose => [{ containerID, hostID, size }];
const inUser = (spec: Loose): void => {
  spec.linux.namespaces.push({ type: "user" });
  spec.linux.uidMappings = map(0, 100_000, 65_536);
  spec.linux.gidMappings = map(0, 100_000, 65_536);
};
const ownerOnDisk = (made: Bundle): string =>
  spawnSync("stat", ["-c", "%u", join(made.dir, "data/new")], { encoding: "utf8" }).stdout.trim();

test("idmap: a mount with its own mappings, without a user namespace, from a source relative to the bundle", {
  skip,
}, () => {
  const made = withData([0, 1000], { uidMappings: map(0, 5000, 2000), gidMappings: map(0, 6000, 2000) });
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(ran.out.trim().split("\n").slice(0, 2), ["f0 5000:6000", "f1000 6000:7000"]);
});

test("idmap: the container's user namespace is the default, and what is made has the host's owner", { skip }, () => {
  const made = withData([0, 1000], { options: ["rbind", "idmap"] }, inUser);
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(ran.out.trim().split("\n"), ["f0 0:0", "f1000 1000:1000", "new 0"]);
  assert.equal(ownerOnDisk(made), "0");
});

test("idmap: a joined user namespace gives its mappings when config.json has none", { skip }, () => {
  const target = sleeping(inUser);
  const path = `/proc/${(state(target.id) as Loose).pid}/ns/user`;
  const made = withData([0, 1000], { options: ["rbind", "idmap"] }, (spec) => {
    spec.linux.namespaces.push({ type: "user", path });
  });
  const ran = run(made);
  keel("delete", "-f", target.id);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(ran.out.trim().split("\n"), ["f0 0:0", "f1000 1000:1000", "new 0"]);
});

test("idmap: crun's ranges in the option, absolute and relative to the container", { skip }, () => {
  const absolute = run(withData([0], { options: ["bind", "idmap=uids=0-77-1;gids=0-78-1"] }));
  assert.match(absolute.out, /^f0 77:78$/m, absolute.err);
  const relative = run(withData([0], { options: ["bind", "idmap=uids=0-@3-1;gids=0-3-1"] }, inUser));
  assert.match(relative.err, /mounts\[\d+\]\.options: idmap: "0-@3-1" is no range/);
  const inside = run(withData([0], { options: ["bind", "idmap=uids=@0-3-1;gids=@0-4-1"] }, inUser));
  assert.match(inside.out, /^f0 3:4$/m, inside.err);
});

const [major, minor] = release().split(".").map(Number) as [number, number];
const tmpfsSkip = skip || (major * 100 + minor < 603 && "a tmpfs cannot be idmapped before Linux 6.3");

test("idmap: ridmap maps the mounts below too, idmap does not", { skip: tmpfsSkip }, () => {
  const script = "cd /data; stat -c '%u' sub/file";
  for (const [option, owner] of [
    ["idmap", "0"],
    ["ridmap", "900"],
  ]) {
    const made = bundle(["sh", "-c", script], (spec) => {
      const mappings = { uidMappings: map(0, 900, 10), gidMappings: map(0, 900, 10) };
      spec.mounts.push({ destination: "/data", source: "data", options: ["rbind", option], ...mappings });
    });
    mkdirSync(join(made.dir, "data/sub"), { recursive: true });
    const sub = join(made.dir, "data/sub");
    assert.equal(spawnSync("mount", ["-t", "tmpfs", "tmpfs", sub]).status, 0);
    writeFileSync(join(sub, "file"), "");
    const ran = run(made);
    spawnSync("umount", [sub]);
    assert.equal(ran.out.trim(), owner, ran.err);
  }
});

test("idmap: what cannot be mapped is told with its field", { skip }, () => {
  const bare = run(withData([], { options: ["bind", "idmap"] }));
  assert.match(bare.err, /mounts\[\d+\]\.uidMappings: an idmapped mount needs uidMappings and gidMappings/);
  const tmpfs = run(withData([], { type: "tmpfs", options: [], uidMappings: map(0, 1, 1), gidMappings: map(0, 1, 1) }));
  assert.match(tmpfs.err, /mounts\[\d+\]: only bind mounts can be idmapped/);
  const proc = run(
    withData([], { source: "/proc", options: ["bind"], uidMappings: map(0, 1, 1), gidMappings: map(0, 1, 1) }),
  );
  assert.match(proc.err, /idmap the mount of \/proc: invalid argument \(its file system/);
});
