/** What an image or a configuration can name so that it leads out of the container's root. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bundle, bundle, keel, type Loose, run, skip, sleeping, stateDir } from "../harness.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

/** An empty directory of the host, and a symlink to it at `path` of the image. */
function leadOut(made: Bundle, path: string): string {
  const outside = join(made.dir, "outside");
  mkdirSync(outside, { recursive: true });
  rmSync(join(made.rootfs, path), { recursive: true, force: true });
  symlinkSync(outside, join(made.rootfs, path));
  return outside;
}

for (const name of ["proc", "sys"]) {
  t(`paths: /${name} as a symlink of the image is refused (CVE-2023-27561, CVE-2023-28642)`, () => {
    const made = bundle(["true"]);
    mkdirSync(join(made.rootfs, "elsewhere"));
    rmSync(join(made.rootfs, name), { recursive: true });
    symlinkSync("/elsewhere", join(made.rootfs, name));
    const ran = run(made);
    assert.equal(ran.code, 1);
    assert.match(ran.err, new RegExp(`mount at /${name}: it must be mounted on ordinary directory`));
    assert.equal(existsSync(stateDir(made.id)), false);
  });
}

t("paths: /proc as a dangling symlink is refused, and nothing is made where it points", () => {
  const made = bundle(["true"]);
  rmSync(join(made.rootfs, "proc"), { recursive: true });
  symlinkSync("/made", join(made.rootfs, "proc"));
  assert.match(run(made).err, /mount at \/proc: it must be mounted on ordinary directory/);
  assert.equal(existsSync(join(made.rootfs, "made")), false);
});

t("paths: /dev as a symlink of the image makes nothing on the host (CVE-2026-41579, CVE-2026-47766)", () => {
  const made = bundle(["true"], (s) => {
    s.mounts = s.mounts.filter((m: Loose) => !m.destination.startsWith("/dev"));
    s.linux.devices = [{ path: "/dev/more", type: "c", major: 1, minor: 3 }];
  });
  const outside = leadOut(made, "dev");
  const ran = run(made);
  assert.deepEqual(readdirSync(outside), [], ran.err);
  assert.ok(existsSync(join(made.rootfs, outside, "null")), "the nodes are where the link leads inside of the root");
});

t("paths: files that keel makes in the image are never written through a symlink (CVE-2025-24965)", () => {
  const made = bundle(["true"], (s) => {
    s.process.cwd = "/cwd/deep";
    s.mounts.push({ destination: "/file/x", type: "bind", source: "config.json", options: ["bind", "ro"] });
  });
  const outside = leadOut(made, "cwd");
  symlinkSync(outside, join(made.rootfs, "file"));
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(readdirSync(outside), []);
});

t("paths: /dev/console as a symlink makes no file on the host (CVE-2025-52565)", () => {
  const made = bundle(["true"], (s) => {
    s.process.terminal = true;
    s.mounts = s.mounts.filter((m: Loose) => m.destination !== "/dev");
  });
  const outside = join(made.dir, "outside");
  mkdirSync(outside);
  symlinkSync(join(outside, "console"), join(made.rootfs, "dev/console"));
  run(made);
  assert.deepEqual(readdirSync(outside), []);
});

t("paths: `..` and absolute links in a destination stay inside (CVE-2019-18837)", () => {
  const made = bundle(["ls", "/tmp"], (s) => {
    s.mounts.push({ destination: "/../../../../tmp/up", type: "tmpfs", source: "tmpfs" });
    s.mounts.push({ destination: "/climb/climbed", type: "tmpfs", source: "tmpfs" });
    s.mounts.push({ destination: "/away/made", type: "tmpfs", source: "tmpfs" });
  });
  symlinkSync("../../../../../../../../tmp", join(made.rootfs, "climb"));
  const outside = leadOut(made, "away");
  const ran = run(made);
  const escaped = ["/tmp/climbed", "/tmp/up"].filter((path) => existsSync(path));
  // nothing of a build without its guard (npm run mutants) stays for the next one
  for (const path of escaped) rmdirSync(path);
  assert.deepEqual(escaped, []);
  assert.ok(ran.out.includes("climbed\n") && ran.out.includes("up\n"), ran.err);
  assert.deepEqual(readdirSync(outside), []);
});

t("paths: masked and read-only paths are resolved in the root (CVE-2025-54867, CVE-2025-62161)", () => {
  const made = bundle(["true"], (s) => {
    s.linux.maskedPaths = ["/link/masked"];
    s.linux.readonlyPaths = ["/link/readonly"];
  });
  const outside = leadOut(made, "link");
  for (const dir of [outside, join(made.rootfs, outside)]) {
    for (const name of ["masked", "readonly"]) mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, "masked/file"), "");
  }
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  spec.process.args = ["sh", "-c", `ls ${outside}/masked | wc -l; touch ${outside}/readonly/x`];
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  const ran = run(made);
  assert.equal(ran.out, "0\n");
  assert.match(ran.err, /readonly\/x: Read-only file system/);
});

t("paths: a mount source longer than a message is an error with its reason (CVE-2021-43784)", () => {
  for (const user of [false, true]) {
    const made = bundle(["true"], (s) => {
      s.mounts.push({ destination: "/x", type: "bind", source: `/${"a".repeat(70_000)}`, options: ["bind"] });
      if (!user) return;
      s.linux.namespaces.push({ type: "user" });
      s.linux.uidMappings = s.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }];
    });
    const ran = run(made);
    assert.equal(ran.code, 1);
    assert.match(ran.err, /^bind \/aaaa/);
    assert.doesNotMatch(ran.err, /keel failed|JSON/);
  }
});

t("paths: an id is judged before any path is made of it", () => {
  const made = bundle(["true"]);
  for (const id of ["..", ".", "a/b", "../../tmp/x", "", "a\nb", "-x/..", "a".repeat(2000)]) {
    const words = id.startsWith("-") ? ["--", id] : [id];
    for (const command of ["run", "create", "state", "delete", "kill"]) {
      const flags = command === "run" || command === "create" ? ["-b", made.dir] : [];
      const told = keel(command, ...flags, ...words);
      assert.equal(told.code, 1, `${command} ${id}`);
      assert.match(told.err, /invalid container ID format|requires/, `${command} ${id}`);
    }
  }
});

t("paths: exec --cgroup cannot leave the container's cgroup (crun 1.28)", () => {
  const target = sleeping();
  for (const path of ["../..", "../../x", "a/../../..", "cpu:../x", "/.."]) {
    const ran = keel("exec", "--cgroup", path, target.id, "true");
    assert.equal(ran.code, 255, path);
    assert.match(ran.err, /bad sub cgroup path: --cgroup must stay below the container's cgroup/);
  }
  assert.match(keel("exec", "--cgroup", "none", target.id, "true").err, /error adding pid to the group "none" below/);
});

t("paths: a cgroup file name with a slash and a cgroup path with .. are refused (GHSA-5g49-rx9x-qfc6)", () => {
  const told = (change: (s: Loose) => void): string => run(bundle(["true"], change)).err;
  for (const file of ["../x", "a/b", "..", "."]) {
    const err = told((s) => {
      s.linux.resources.unified = { [file]: "1" };
    });
    assert.match(err, /linux\.resources\.unified\[.*\]: must be a file name without/, file);
  }
  for (const path of ["../x", "/a/../../x", "/.."]) {
    const err = told((s) => {
      s.linux.cgroupsPath = path;
    });
    assert.match(err, /linux\.cgroupsPath: must not contain "\.\."/, path);
  }
  const root = told((s) => {
    s.linux.cgroupsPath = "//./";
  });
  assert.match(root, /linux\.cgroupsPath: must name a cgroup below the root/);
});
