import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  alive,
  type Bundle,
  bundle,
  keel,
  keelDetached,
  type Loose,
  skip,
  sleeping,
  state,
  stateDir,
  until,
} from "./harness.ts";

/** CRIU's own reason why it cannot work here, or false. */
function criuReason(): string | false {
  const check = spawnSync("criu", ["-v1", "-o", "-", "check"], { encoding: "utf8", timeout: 60_000 });
  if (check.error) return "needs criu";
  if (check.status === 0) return false;
  const logged = spawnSync("sh", ["-c", 'f=$(mktemp); criu -v1 -o "$f" check; cat "$f"; rm "$f"'], {
    encoding: "utf8",
  });
  const error = /Error .*/.exec(`${check.stdout}${check.stderr}${logged.stdout}`)?.[0] ?? `exit status ${check.status}`;
  return `CRIU does not work on this kernel: ${error}`;
}

const there = spawnSync("criu", ["--version"]).status === 0;
const noCriu = criuReason();
const works = skip || noCriu;
/** The guest has no iptables; CRIU uses its own library for this. */
const LOCK = ["--network-lock", "nftables"];

/** A container that counts into /tmp/count of its rootfs, ten times a second. */
function counting(change: (spec: Loose) => void = () => {}): Bundle {
  const made = bundle(
    ["sh", "-c", "n=0; while true; do n=$((n+1)); echo $n >/tmp/next; mv /tmp/next /tmp/count; sleep 0.1; done"],
    change,
  );
  const ran = keelDetached("run", "-d", "-b", made.dir, made.id);
  assert.equal(ran.code, 0, ran.err);
  return made;
}

const count = ({ rootfs }: Bundle): number => {
  const path = join(rootfs, "tmp/count");
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
};

test("checkpoint, restore: --help of both tells what they do, with exit code 0", { skip }, () => {
  for (const command of ["checkpoint", "restore"]) {
    const { code, out } = keel(command, "--help");
    assert.equal(code, 0);
    assert.match(out, new RegExp(`${command} \\[--image-path`));
  }
});

test("checkpoint: a container that is not running is refused, and one that is not there", { skip }, () => {
  assert.match(keel("checkpoint", "nobody").err, /container does not exist/);
  const made = bundle(["true"]);
  assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
  assert.match(keel("checkpoint", made.id).err, /cannot be checkpointed in created state/);
  keel("delete", "--force", made.id);
});

test("restore: without an image the error names the file, and nothing is left", { skip }, () => {
  const made = bundle(["true"]);
  const restored = keel("restore", "-b", made.dir, "--image-path", join(made.dir, "none"), made.id);
  assert.equal(restored.code, 1);
  assert.match(
    restored.err,
    /restore container .*: open checkpoint image .*\/none\/inventory\.img: no such file or directory/,
  );
  assert.match(keel("state", made.id).err, /container does not exist/);
});

test("checkpoint: without CRIU in PATH the error says so and the container runs on", { skip }, () => {
  const { id, dir } = sleeping();
  const before = process.env["PATH"];
  process.env["PATH"] = "/nonexistent";
  const refused = keel("checkpoint", "--image-path", join(dir, "image"), id);
  process.env["PATH"] = before;
  assert.equal(refused.code, 1);
  assert.match(refused.err, /CRIU is not installed.*install criu/);
  assert.equal(state(id).status, "running");
  assert.ok(!existsSync(join(dir, "image")));
});

test("checkpoint: where CRIU fails its reason is told, the container runs on and no image is left", {
  skip: skip || (!there && "needs criu"),
}, () => {
  const { id, dir } = sleeping();
  const image = join(dir, "image");
  // this machine's CRIU fails by itself, or for a parent image that is none
  mkdirSync(join(image, "parent"), { recursive: true });
  writeFileSync(join(image, "parent", "inventory.img"), "no image");
  const refused = keel("checkpoint", "--image-path", image, "--parent-path", "parent", id);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /checkpoint container .*: CRIU failed.*Error .*dump\.log/);
  assert.equal(state(id).status, "running");
  assert.deepEqual(
    readdirSync(image).filter((name) => /\.img$|json$/.test(name)),
    [],
  );
});

test("restore: where CRIU fails its reason is told, and no state, cgroup, mount or process is left", {
  skip: skip || (!there && "needs criu"),
}, () => {
  const { id, dir } = bundle(["true"]);
  const image = join(dir, "image");
  mkdirSync(image);
  writeFileSync(join(image, "inventory.img"), "no image");
  writeFileSync(join(image, "descriptors.json"), '["/dev/null","pipe:[1]","pipe:[2]"]');
  const refused = keel("restore", "-d", "-b", dir, "--image-path", image, id);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /restore container .*: CRIU failed.*Error .*restore\.log/);
  assert.ok(!existsSync(stateDir(id)));
  const cgroups = spawnSync("find", ["/sys/fs/cgroup", "-name", id], { encoding: "utf8" }).stdout;
  assert.equal(cgroups, "");
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(id));
});

test("checkpoint, delete, restore: a process goes on where it was", { skip: works }, async () => {
  const made = counting();
  const image = join(made.dir, "image");
  await until(() => count(made) >= 3);
  const { pid } = state(made.id);
  const saved = keel("checkpoint", ...LOCK, "--image-path", image, made.id);
  assert.equal(saved.code, 0, saved.err);
  assert.ok(!alive(pid));
  assert.match(keel("state", made.id).err, /container does not exist/);
  const reached = count(made);
  await sleep(300);
  assert.equal(count(made), reached);
  const pidFile = join(made.dir, "pid");
  const restored = keelDetached("restore", "-d", "-b", made.dir, "--image-path", image, "--pid-file", pidFile, made.id);
  assert.equal(restored.code, 0, restored.err);
  const now = state(made.id);
  assert.equal(now.status, "running");
  assert.equal(Number(readFileSync(pidFile, "utf8")), now.pid);
  await until(() => count(made) > reached);
  assert.ok(count(made) < reached + 100, "it began again");
  assert.equal(keel("exec", made.id, "cat", "/proc/1/comm").out, "sh\n");
  assert.equal(keel("delete", "--force", made.id).code, 0);
  assert.ok(!alive(now.pid));
});

test("checkpoint --leave-running: the container runs on, and can be restored from there after its end", {
  skip: works,
}, async () => {
  const made = counting();
  const image = join(made.dir, "image");
  await until(() => count(made) >= 2);
  const saved = keel(
    "checkpoint",
    ...LOCK,
    "--leave-running",
    "--image-path",
    image,
    "--work-path",
    join(made.dir, "work"),
    made.id,
  );
  assert.equal(saved.code, 0, saved.err);
  assert.ok(existsSync(join(made.dir, "work/dump.log")));
  assert.equal(state(made.id).status, "running");
  const reached = count(made);
  await until(() => count(made) > reached + 2);
  assert.equal(keel("delete", "--force", made.id).code, 0);
  assert.equal(keelDetached("restore", "-d", "-b", made.dir, "--image-path", image, made.id).code, 0);
  await until(() => count(made) > reached);
  keel("delete", "--force", made.id);
});

test("restore in the foreground: bind mounts, tmpfs, loopback and stdio are there again, and its exit code is the program's", {
  skip: works,
}, async () => {
  const script =
    "echo kept >/dev/shm/file; echo x >>/data/ready; until [ -e /data/stop ]; do sleep 0.1; done; cat /dev/shm/file /data/stop; ip addr; exit 7";
  const made = bundle(["sh", "-c", script], (spec) => {
    spec.mounts.push({
      destination: "/link/data",
      type: "bind",
      source: join(spec.root.path, "../outside"),
      options: ["rbind"],
    });
  });
  const outside = join(made.dir, "outside");
  mkdirSync(outside);
  // the mount lies where the symlink leads
  mkdirSync(join(made.rootfs, "data"));
  symlinkSync("/", join(made.rootfs, "link"));
  assert.equal(keelDetached("run", "-d", "-b", made.dir, made.id).code, 0);
  await until(() => existsSync(join(outside, "ready")));
  const image = join(made.dir, "image");
  const saved = keel("checkpoint", ...LOCK, "--image-path", image, made.id);
  assert.equal(saved.code, 0, saved.err);
  writeFileSync(join(outside, "stop"), "told\n");
  const restored = keelDetached("restore", "-b", made.dir, "--image-path", image, made.id);
  assert.equal(restored.code, 7, restored.err);
  assert.match(restored.out, /^kept\ntold\n/);
  assert.match(restored.out, /lo: <LOOPBACK,UP/);
  assert.match(keel("state", made.id).err, /container does not exist/);
});
