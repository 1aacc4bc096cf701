import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
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
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, mounts, ok, probe, Store, sleep, tool, until } from "./harness.ts";

const skip = probe("umoci", "python3");
const dir = mkdtempSync(join(tmpdir(), "berth-userns-"));
const N = ["--network", "none"];
/** CAP_NET_RAW of a file, in the form without a user namespace. */
const SET_CAPABILITY =
  "import os,sys\nos.setxattr(sys.argv[1], 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))";
let layout = "";

before(() => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", (root) => {
    changeEverything(root);
    mkdirSync(join(root, "srv"));
    writeFileSync(join(root, "srv/of-www"), "");
    spawnSync("chown", ["33:50", join(root, "srv/of-www")]);
    writeFileSync(join(root, "srv/capable"), "");
    tool("python3", "-c", SET_CAPABILITY, join(root, "srv/capable"));
  });
});

after(() => rmSync(dir, { recursive: true, force: true }));

const t = (name: string, body: () => void | Promise<void>, why: string | false = skip): void =>
  void test(name, { skip: why, timeout: 180_000 }, body);

const loaded = (env?: NodeJS.ProcessEnv): Store => Store.with(layout, env);

const cni = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"].some((path) => existsSync(`${path}/bridge`));

/** Owners of everything in the newest snapshot, as they are on the disk. */
function ownersOnDisk(store: Store): ReadonlySet<number> {
  const all = join(store.dir, "data/snapshots");
  const newest = Math.max(
    ...readdirSync(all)
      .map(Number)
      .filter((n) => n > 0),
  );
  const found = spawnSync("find", [join(all, String(newest), "fs"), "-printf", "%U\n"], { encoding: "utf8" }).stdout;
  return new Set(found.trim().split("\n").map(Number));
}

for (const way of ["overlayfs", "native"]) {
  t(
    `--userns auto with ${way}: root inside is nobody outside, the image's owners are right, layers are untouched`,
    async () => {
      await using store = loaded({ BERTH_SNAPSHOTTER: way });
      const script =
        "head -1 /proc/self/uid_map; stat -c %u:%g / /www/new /srv/of-www; echo x >>/www/new && stat -c %u /www/new; chown 33 /tmp; sleep 60";
      ok(store.berth("run", "-d", "--name", "one", "--userns", "auto", ...N, "changed", "sh", "-c", script));
      const lines = await until("the script", () => {
        const out = store.berth("logs", "one").out.trim().split("\n");
        return out.length === 5 ? out : undefined;
      });
      const [uids = "", ...owners] = lines;
      const [, base = 0, size] = uids.trim().split(/\s+/).map(Number);
      assert.deepEqual([size, base >= 65_536], [65_536, true]);
      assert.deepEqual(owners, ["0:0", "0:0", "33:50", "0"]);
      const pid = ok(store.berth("inspect", "-f", "{{.State.Pid}}", "one")).trim();
      assert.equal(statSync(`/proc/${pid}`).uid, base);
      assert.deepEqual(JSON.parse(ok(store.berth("inspect", "-f", "{{json .HostConfig.IDMappings.UidMap}}", "one"))), [
        `0:${base}:65536`,
      ]);
      assert.equal(ok(store.berth("exec", "one", "sh", "-c", "id -u; cat /proc/self/uid_map | wc -l")), "0\n1\n");
      assert.ok([...ownersOnDisk(store)].every((uid) => uid >= base && uid < base + 65_536));
      // Running and stopped, the archive has the owners that the container sees.
      const exported = (name: string): string => {
        ok(store.berth("export", "-o", join(store.dir, name), "one"));
        return join(store.dir, name);
      };
      const running = exported("running.tar");
      // Another one at the same time gets other ids.
      const other = ok(
        store.berth("run", "--rm", "--userns", "auto:size=1000", ...N, "changed", "cat", "/proc/self/uid_map"),
      );
      assert.deepEqual(other.trim().split(/\s+/).map(Number), [0, base + 65_536, 1000]);
      ok(store.berth("stop", "-t", "0", "one"));
      const members = tool("tar", "--numeric-owner", "-tvf", running);
      assert.match(members, / 33\/50 .* srv\/of-www\n/);
      assert.match(members, / 33\/0 .* tmp\/\n/, "what the container changed has its owner in it");
      assert.match(members, /^-rwsr-xr-x 0\/0 .* bin\/su-busybox$/m);
      // Capabilities of files too, byte for byte.
      assert.ok(readFileSync(running).includes("SCHILY.xattr.security.capability"));
      assert.deepEqual(readFileSync(exported("stopped.tar")), readFileSync(running));
      // The layers themselves belong to root as before.
      const plain = ok(store.berth("run", "--rm", ...N, "changed", "stat", "-c", "%u:%g", "/www/new", "/srv/of-www"));
      assert.equal(plain, "0:0\n33:50\n");
      ok(store.berth("rm", "one"));
      await until("the mounts to go", () => !mounts().includes(store.dir));
    },
  );
}

t("--uidmap and --gidmap: the given ids; what cannot be is refused before anything is made", async () => {
  await using store = loaded();
  const maps = ["--uidmap", "0:200000:10000", "--uidmap", "10000:300000:5", "--gidmap", "0:400000:10000"];
  const out = ok(
    store.berth("run", "--rm", ...maps, ...N, "changed", "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map"),
  );
  assert.deepEqual(
    out
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).join(":")),
    ["0:200000:10000", "10000:300000:5", "0:400000:10000"],
  );
  for (const [flags, why] of [
    [["--uidmap", "1:200000:10"], /gives the container no id 0/],
    [["--uidmap", "0:200000"], /write ID:HOST:N/],
    [["--userns", "keep-id"], /write host, auto or auto:size=N/],
    [["--userns", "auto", "--uidmap", "0:1:1"], /cannot be used together/],
    [["--uidmap", "0:1000:10", "--uidmap", "5:5000:10"], /overlaps another/],
  ] as const) {
    const refused = store.berth("run", "--rm", ...flags, ...N, "changed", "true");
    assert.equal(refused.code, 125, refused.err);
    assert.match(refused.err, why);
  }
  assert.equal(ok(store.berth("ps", "-aq")), "");
});

t("a user too large for a copied root is named, and nothing stays of the container", async () => {
  await using store = loaded({ BERTH_SNAPSHOTTER: "native" });
  const before = readdirSync(join(store.dir, "data/snapshots")).sort();
  const refused = store.berth("run", "--name", "small", "--uidmap", "0:200000:20", ...N, "changed", "true");
  assert.equal(refused.code, 125);
  assert.match(
    refused.err,
    /copy \.\/srv\/of-www: its uid 33 is not in the mappings of the user namespace\nhint: give a longer/,
  );
  assert.equal(ok(store.berth("ps", "-aq")), "");
  assert.deepEqual(readdirSync(join(store.dir, "data/snapshots")).sort(), before);
});

const MAP = ["--uidmap", "0:200000:1000"];
const OWNERS = "stat -c %u:%g /empty /empty/* /srv/of-www";

t("volumes: hold the ids that containers see, so that one serves containers of any mapping and of none", async () => {
  await using store = loaded();
  const both = ["-v", "empty:/empty", "-v", "filled:/srv"];
  const run = (flags: readonly string[], script: string): string =>
    ok(store.berth("run", "--rm", ...flags, ...both, "changed", "sh", "-c", script));
  assert.equal(run([...MAP, ...N], `echo mine >/empty/file && ${OWNERS}`), "0:0\n0:0\n33:50\n");
  const content = (path: string) => statSync(join(store.dir, "data/volumes", path));
  assert.deepEqual([content("empty/_data/file").uid, content("filled/_data/of-www").gid], [0, 50]);
  // Nobody else on the host may use the set-id files of a container's root.
  assert.equal(content("empty").mode & 0o77, 0);
  const other = ["--userns", "auto", ...(cni ? [] : N)];
  const change = "chown 5:6 /empty/file && echo x >>/srv/of-www && touch /empty/second";
  assert.equal(run(other, `${change} && ${OWNERS}`), "0:0\n5:6\n0:0\n33:50\n");
  assert.equal(run(N, `echo y >>/empty/second && ${OWNERS}`), "0:0\n5:6\n0:0\n33:50\n");
  assert.equal(run([...MAP, ...N], "cat /empty/second && rm /empty/* && ls /empty"), "y\n");
  const readOnly = store.berth("run", "--rm", ...MAP, ...N, "-v", "filled:/srv:ro", "changed", "touch", "/srv/x");
  assert.match(readOnly.err, /Read-only file system/);
});

t("volumes: kill -9 while one is filled leaves no mount, and the next start fills it", async () => {
  // A cp that waits, so that there is a moment to kill in.
  const bin = mkdtempSync(join(dir, "bin-"));
  const reached = join(bin, "reached");
  const slow = `#!/bin/sh\n[ -e ${reached} ] || { touch ${reached}; sleep 2; }\nexec /bin/cp "$@"\n`;
  writeFileSync(join(bin, "cp"), slow, { mode: 0o755 });
  await using store = loaded({ PATH: `${bin}:${process.env["PATH"]}` });
  const args = ["run", "--rm", ...MAP, ...N, "-v", "filled:/srv", "changed", "stat", "-c", "%u:%g", "/srv/of-www"];
  const child = spawn(BERTH, args, { env: store.env, stdio: "ignore" });
  await until("the copy", () => existsSync(reached));
  assert.match(mounts(), new RegExp(`${store.dir}\\S*/aside`));
  const ended = new Promise((resolve) => child.on("close", resolve));
  child.kill("SIGKILL");
  await ended;
  assert.equal(ok(store.berth("ps", "-aq")), "");
  await until("the mounts to go", () => !mounts().includes(store.dir));
  assert.equal(ok(store.berth(...args)), "33:50\n");
});

t(
  "volumes on a file system without id-mapped mounts: the first mapping's host ids, kept when it could map",
  async () => {
    await using store = loaded();
    const volumes = join(store.dir, "data/volumes");
    const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(store.dir, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [volumes, lower, upper, work]) mkdirSync(path, { recursive: true });
    const dirs = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    // overlayfs takes no id mapping of itself.
    tool("mount", "-t", "overlay", "overlay", "-o", dirs, volumes);
    const run = (flags: readonly string[], ...args: readonly string[]): string =>
      ok(store.berth("run", "--rm", ...flags, ...N, ...args));
    try {
      const both = ["-v", "empty:/empty", "-v", "filled:/srv", "changed", "sh", "-c"];
      assert.equal(run(MAP, ...both, `echo mine >/empty/file && ${OWNERS}`), "0:0\n0:0\n33:50\n");
      assert.deepEqual(
        ["empty/_data/file", "filled/_data/of-www"].map((path) => statSync(join(volumes, path)).uid),
        [200_000, 200_033],
      );
      run([], "-v", "plain:/empty", "changed", "touch", "/empty/file");
      assert.equal(run(MAP, "-v", "plain:/empty", "changed", "stat", "-c", "%u", "/empty/file"), "65534\n");
    } finally {
      tool("umount", "-l", volumes);
    }
    tool("cp", "-a", `${upper}/.`, volumes);
    const after = run(MAP, "-v", "empty:/empty", "-v", "filled:/srv", "changed", "sh", "-c", OWNERS);
    assert.equal(after, "0:0\n0:0\n33:50\n");
    // A new one, and one that has become empty, are as if that had never been.
    rmSync(join(volumes, "empty/_data/file"));
    run(MAP, "-v", "empty:/empty", "changed", "touch", "/empty/file");
    assert.equal(statSync(join(volumes, "empty/_data/file")).uid, 0);
  },
);

t(
  "a network of its own belongs to the user namespace: addresses, sysfs and settings, and no namespace stays",
  async () => {
    await using store = loaded();
    const script = "ip -4 addr show eth0 | grep -c inet; ls -d /sys/class/net/eth0; ip link set lo down && echo rights";
    const flags = ["--userns", "auto", "--cap-add", "NET_ADMIN"];
    const out = ok(store.berth("run", "--rm", ...flags, "changed", "sh", "-c", script));
    assert.equal(out, "1\n/sys/class/net/eth0\nrights\n");
    const host = ok(
      store.berth("run", "--rm", "--userns", "auto", "--network", "host", "changed", "ls", "/sys/class/net"),
    );
    assert.match(host, /^lo$/m);
    await until("the mounts to go", () => !mounts().includes(store.dir));
  },
  skip || (cni ? false : "needs CNI plugins (package containernetworking-plugins)"),
);

t("kill -9 of run --userns at any moment: the next command leaves no mount, namespace or snapshot of it", async () => {
  await using store = loaded();
  const before = readdirSync(join(store.dir, "data/snapshots")).filter((name) => /^\d/.test(name)).length;
  for (let round = 0; round < 10; round++) {
    const volume = ["-v", `filled${round % 5}:/srv`];
    const args = ["run", "--rm", "--userns", "auto", ...(cni ? [] : N), ...volume, "changed", "sleep", "0.05"];
    const child = spawn(BERTH, args, { env: store.env, stdio: "ignore" });
    await sleep(40 + round * 15);
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.on("close", resolve));
  }
  await until("the containers to go", () => ok(store.berth("ps", "-aq")) === "");
  await until("the mounts to go", () => !mounts().includes(store.dir));
  const now = readdirSync(join(store.dir, "data/snapshots")).filter((name) => /^\d/.test(name)).length;
  assert.equal(now, before);
  for (let i = 0; i < 5; i++) {
    const args = ["-v", `filled${i}:/srv`, "changed", "stat", "-c", "%u:%g", "/srv/of-www"];
    assert.equal(ok(store.berth("run", "--rm", ...MAP, ...N, ...args)), "33:50\n");
  }
});
