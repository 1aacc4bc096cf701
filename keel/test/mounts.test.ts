import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bundle, keel, type Loose, skip, sleeping } from "./harness.ts";

function mounts(verb: string, made: Bundle, list: Loose): { code: number; err: string } {
  const file = join(made.dir, "mounts.json");
  writeFileSync(file, JSON.stringify(list));
  return keel("mounts", verb, made.id, file);
}

const inside = (made: Bundle, script: string): string => keel("exec", made.id, "sh", "-c", script).out.trim();

for (const user of [false, true]) {
  test(`mounts: binds and tmpfs come and go while the container runs${user ? ", in a user namespace" : ""}`, {
    skip,
  }, () => {
    const made = sleeping((spec) => {
      if (!user) return;
      spec.linux.namespaces.push({ type: "user" });
      spec.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
      spec.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
    });
    mkdirSync(join(made.dir, "host"));
    writeFileSync(join(made.dir, "host/file"), "from the host");
    const list = [
      { destination: "/new/data", source: "host", options: ["bind", "ro"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=64k", "mode=700"] },
    ];
    const added = mounts("add", made, list);
    assert.equal(added.code, 0, added.err);
    assert.equal(
      inside(made, "cat /new/data/file; touch /new/data/x || echo refused; stat -c %a /tmp"),
      "from the hostrefused\n700",
    );
    assert.equal(mounts("remove", made, list).code, 0);
    assert.equal(inside(made, "ls /new/data; stat -c %a /tmp"), "755");
    assert.match(mounts("remove", made, list).err, /unmount \/tmp: invalid argument \(nothing is mounted there\)/);
  });
}

test("mounts: destinations stay in the container, and a failed list leaves nothing", { skip }, () => {
  const made = sleeping();
  mkdirSync(join(made.dir, "host"));
  symlinkSync("/../../../../../", join(made.rootfs, "out"));
  const bind = { source: "host", options: ["bind"] };
  assert.equal(mounts("add", made, [{ destination: "/out/inside", ...bind }]).code, 0);
  assert.match(inside(made, "mount"), / \/inside /);
  const failed = mounts("add", made, [
    { destination: "/first", ...bind },
    { destination: "/second", source: "/nowhere", options: ["bind"] },
  ]);
  assert.match(failed.err, /bind \/nowhere at \/second: no such file or directory/);
  assert.doesNotMatch(inside(made, "mount"), / \/first /);
});

test("mounts: what is no list of mounts is told", { skip }, () => {
  const made = sleeping();
  assert.match(mounts("add", made, {}).err, /mounts: must be an array/);
  assert.match(mounts("add", made, [{ source: "x" }]).err, /mounts\[0\]\.destination: is required/);
  assert.match(mounts("add", made, [{ destination: "/x", type: "cgroup" }]).err, /mounts\[0\]\.type: cgroups cannot/);
  assert.match(keel("mounts", "move", made.id, "x").err, /takes add or remove/);
});
