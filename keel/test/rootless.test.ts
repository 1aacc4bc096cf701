import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bundle, KEEL, type Loose, type Ran, skip } from "./harness.ts";

const UID = 4321;
const base = mkdtempSync(join(tmpdir(), "keel-rootless-"));
after(() => rmSync(base, { recursive: true, force: true }));
chmodSync(base, 0o755);

const tools = ["/usr/bin/newuidmap", "/usr/bin/setpriv", "/usr/bin/unshare"].find((path) => !existsSync(path));
const needs = skip || (tools === undefined ? false : `needs ${tools}`);

/** Runs a bundle as an ordinary user, who is known to the system in a mount namespace of the test's own. */
function asUser(script: string, change: (spec: Loose) => void, subids = `user:200000:65536\n`): Ran {
  const made = bundle(["sh", "-c", script], (spec) => {
    spec.linux.resources = undefined;
    spec.linux.namespaces = [{ type: "user" }, { type: "pid" }, { type: "mount" }, { type: "ipc" }, { type: "uts" }];
    spec.linux.maskedPaths = [];
    spec.mounts = [{ destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] }];
    change(spec);
  });
  const dir = join(base, made.id);
  cpSync(made.dir, dir, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(dir, "run"));
  spawnSync("chown", ["-R", `${UID}:${UID}`, dir]);
  const files = { passwd: readFileSync("/etc/passwd", "utf8"), group: readFileSync("/etc/group", "utf8") };
  writeFileSync(join(base, "passwd"), `${files.passwd}user:x:${UID}:${UID}::/:/bin/sh\n`);
  writeFileSync(join(base, "group"), `${files.group}user:x:${UID}:\n`);
  writeFileSync(join(base, "subuid"), subids);
  writeFileSync(join(base, "subgid"), subids);
  writeFileSync(join(base, "keel"), readFileSync(KEEL), { mode: 0o755 });
  const binds = ["passwd", "group", "subuid", "subgid"].map(
    (name) => `[ -e /etc/${name} ] || : >/etc/${name}; mount --bind ${base}/${name} /etc/${name}`,
  );
  const keel = `${base}/keel --root ${dir}/run --cgroup-manager disabled run -b ${dir} ${made.id}`;
  const user = `exec setpriv --reuid ${UID} --regid ${UID} --clear-groups`;
  const ran = spawnSync("unshare", ["-m", "sh", "-ec", `${binds.join("; ")}; ${user} ${keel}`], { encoding: "utf8" });
  return { code: ran.status ?? 128, out: ran.stdout, err: ran.stderr };
}

const map = (...ranges: readonly (readonly [number, number, number])[]): Loose =>
  ranges.map(([containerID, hostID, size]) => ({ containerID, hostID, size }));
const both = (mappings: Loose) => (spec: Loose) => {
  spec.linux.uidMappings = mappings;
  spec.linux.gidMappings = mappings;
};
const show = "id -u; tr -s ' ' </proc/self/uid_map; cat /proc/self/setgroups";

test("rootless: a user maps itself without help, and gives up setgroups", { skip: needs }, () => {
  const ran = asUser(show, both(map([0, UID, 1])));
  assert.equal(ran.code, 0, ran.err);
  assert.equal(ran.out, `0\n 0 ${UID} 1\ndeny\n`);
});

test("rootless: ranges of /etc/subuid go through newuidmap and newgidmap", { skip: needs }, () => {
  const ran = asUser(show, both(map([0, UID, 1], [1, 200_000, 1000])));
  assert.equal(ran.code, 0, ran.err);
  assert.equal(ran.out, `0\n 0 ${UID} 1\n 1 200000 1000\nallow\n`);
});

test("rootless: ranges that are somebody else's are refused with the program's words", { skip: needs }, () => {
  const ran = asUser(show, both(map([0, UID, 1], [1, 300_000, 1000])));
  assert.equal(ran.code, 1);
  assert.match(ran.err, /write linux\.gidMappings with newgidmap: .*\(\/etc\/subgid must give you these ids\)/);
});

test("rootless: a time namespace with offsets is made by the user namespace's root", { skip: needs }, () => {
  const script = "cut -d. -f1 /proc/uptime; tr -s ' ' </proc/self/timens_offsets; readlink /proc/self/ns/time";
  const ran = asUser(script, (spec) => {
    both(map([0, UID, 1]))(spec);
    spec.linux.namespaces.push({ type: "time" });
    spec.linux.timeOffsets = { boottime: { secs: 864_000 } };
  });
  assert.equal(ran.code, 0, ran.err);
  const [uptime, monotonic, boottime, namespace] = ran.out.split("\n");
  const own = Number(readFileSync("/proc/uptime", "utf8").split(".")[0]);
  assert.ok(Math.abs(Number(uptime) - own - 864_000) < 60, ran.out);
  assert.deepEqual([monotonic, boottime], ["monotonic 0 0", "boottime 864000 0"]);
  assert.notEqual(namespace, readlinkSync("/proc/self/ns/time"));
});
