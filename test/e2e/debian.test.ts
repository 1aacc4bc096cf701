import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../docker-registry.ts";
import { derive } from "./fixtures.ts";
import { probe, Store, tool, until } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci", "debootstrap");
const dir = mkdtempSync(join(tmpdir(), "berth-debian-"));
let registry: Registry;
let store: Store;
let image = "";
let problem = "";

/** The release this host itself runs, which debootstrap has keys for. */
function release(): string {
  const text = readFileSync("/etc/os-release", "utf8");
  return /^VERSION_CODENAME=(\S+)/m.exec(text)?.[1] ?? "bookworm";
}

before(async () => {
  if (skip) return;
  const root = join(dir, "root");
  const made = spawnSync("debootstrap", ["--variant=minbase", release(), root], { encoding: "utf8", timeout: 600_000 });
  if (made.status !== 0) {
    problem = `debootstrap failed: ${made.stdout.split("\n").slice(-5).join(" ")}`;
    return;
  }
  rmSync(join(root, "var/cache/apt"), { recursive: true, force: true });
  const layout = join(dir, "layout");
  tool("umoci", "init", "--layout", layout);
  tool("umoci", "new", "--image", `${layout}:base`);
  const tar = join(dir, "root.tar");
  tool("tar", "-C", root, "--numeric-owner", "--xattrs", "--exclude=./dev/*", "-cf", tar, ".");
  tool("umoci", "raw", "add-layer", "--image", `${layout}:base`, tar);
  tool("umoci", "config", "--image", `${layout}:base`, "--config.cmd", "bash");
  derive(layout, "base", "second", (target) => {
    rmSync(join(target, "usr/share/doc"), { recursive: true });
    rmSync(join(target, "etc/motd"), { force: true });
    linkSync(join(target, "usr/bin/env"), join(target, "usr/bin/env-link"));
    copyFileSync(join(target, "usr/bin/id"), join(target, "usr/bin/id-setuid"));
    chmodSync(join(target, "usr/bin/id-setuid"), 0o4755);
  });
  derive(layout, "second", "third", (target) => {
    mkdirSync(join(target, "usr/share/doc/new"), { recursive: true });
    writeFileSync(join(target, "usr/share/doc/new/file"), "x");
    rmSync(join(target, "usr/share/man"), { recursive: true, force: true });
    writeFileSync(join(target, "usr/share/man"), "a file where a directory was\n");
  });
  registry = await Registry.start();
  image = registry.fill(`oci:${layout}:third`, "library/debian:test");
  store = new Store();
});

after(async () => {
  if (store) await store[Symbol.asyncDispose]();
  if (registry) await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void): void =>
  void test(name, { skip, timeout: 300_000 }, () => {
    assert.equal(problem, "");
    body();
  });

t("debian: three layers made by debootstrap and umoci, run as they should be", () => {
  const ran = store.berth(
    "run",
    "--rm",
    "--network",
    "none",
    image,
    "bash",
    "-c",
    "ls /usr/share/doc; cat /usr/share/man; stat -c %h /usr/bin/env-link; find / -xdev -perm -4000 -type f | sort; dpkg-query -W bash | cut -f 1",
  );
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /^new\na file where a directory was\n2\n/);
  assert.match(ran.out, /\/usr\/bin\/id-setuid\n/);
  assert.match(ran.out, /\/usr\/bin\/su\n/);
  assert.match(ran.out, /bash\n$/);
});

t("debian: a set-id program changes the user, and not with no-new-privileges", () => {
  const inside = (...flags: string[]) =>
    store.berth("run", "--rm", "--network", "none", "-u", "1000", ...flags, image, "id-setuid", "-u").out;
  assert.equal(inside(), "0\n");
  assert.equal(inside("--security-opt", "no-new-privileges"), "1000\n");
});

const plugins = ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"].some((path) => existsSync(path));

test("debian: a server of the image answers on a published port of the bridge network", {
  skip: skip || probe("iptables") || (plugins ? false : "needs the CNI plugins"),
  timeout: 60_000,
}, async () => {
  assert.equal(problem, "");
  const server =
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die; " +
    'while (my $c = $s->accept) { <$c>; print $c "HTTP/1.0 200 OK\\r\\n\\r\\nfrom debian\\n"; close $c }';
  const port = await freePort();
  const started = store.berth("run", "-d", "--name", "perl", "-p", `127.0.0.1:${port}:80`, image, "perl", "-e", server);
  assert.equal(started.code, 0, started.err);
  const answer = await until("the server", async () => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/`)).text();
    } catch {
      return "";
    }
  });
  assert.equal(answer, "from debian\n");
  assert.equal(store.berth("rm", "-f", "perl").code, 0);
});

t("debian: what was unpacked is what umoci unpacks, file by file", () => {
  assert.ok(existsSync(join(dir, "layout")));
  const ours = store.berth(
    "run",
    "--rm",
    "--network",
    "none",
    "--hostname",
    "x",
    image,
    "sh",
    "-c",
    "cd / && find . -xdev -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -path ./etc/hosts -prune -o -path ./etc/hostname -prune -o -path ./etc/resolv.conf -prune -o -printf '%p %y %m %U %G %s %l\\n' | sort",
  );
  const bundle = join(dir, "bundle");
  tool("umoci", "unpack", "--image", `${join(dir, "layout")}:third`, bundle);
  const theirs = tool(
    "sh",
    "-c",
    `cd ${bundle}/rootfs && find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -path ./etc/hosts -prune -o -path ./etc/hostname -prune -o -path ./etc/resolv.conf -prune -o -printf '%p %y %m %U %G %s %l\\n' | LC_ALL=C sort`,
  );
  // directory sizes are the file system's affair, mount points of the run may be new directories
  const lines = (text: string) =>
    text
      .split("\n")
      .filter((line) => line !== "" && !/^\.? /.test(line))
      .map((line) => (/ d /.test(line) ? line.replace(/ \d+ ?$/, "") : line))
      .sort();
  const mine = new Set(lines(ours.out));
  const missing = lines(theirs).filter((line) => !mine.has(line));
  assert.deepEqual(missing.slice(0, 10), []);
  const reference = new Set(lines(theirs));
  assert.deepEqual([...mine].filter((line) => !reference.has(line)).slice(0, 10), []);
});
