/** Writes to /proc that must reach procfs, and masks that must hold. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { bundle, keel, type Loose, run, sh, skip, sleeping } from "../harness.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

/** A directory of the bundle with files, bound over /proc of the container. */
function fakeProc(
  change: (s: Loose) => void,
  files: readonly string[],
): { path: (file: string) => string; err: string } {
  const made = bundle(["true"], (s) => {
    s.linux.maskedPaths = s.linux.readonlyPaths = [];
    s.mounts.push({ destination: "/proc", type: "bind", source: "fake", options: ["bind"] });
    change(s);
  });
  const path = (file: string): string => join(made.dir, "fake", file);
  for (const file of files) {
    mkdirSync(dirname(path(file)), { recursive: true });
    writeFileSync(path(file), "");
  }
  return { path, err: run(made).err };
}

t("proc: a label never goes to a file of the image (CVE-2019-16884, CVE-2025-62596)", () => {
  const files = [
    "thread-self/attr/apparmor/exec",
    "self/attr/apparmor/exec",
    "thread-self/attr/exec",
    "self/attr/exec",
  ];
  const apparmor = fakeProc((s) => {
    s.process.apparmorProfile = "unconfined-by-image";
  }, files);
  assert.match(apparmor.err, /apply apparmor profile unconfined-by-image/);
  const selinux = fakeProc((s) => {
    s.process.selinuxLabel = "system_u:system_r:x:s0";
  }, files);
  assert.match(selinux.err, /apply SELinux label system_u:system_r:x:s0/);
  for (const file of files) {
    assert.equal(readFileSync(apparmor.path(file), "utf8"), "", file);
    assert.equal(readFileSync(selinux.path(file), "utf8"), "", file);
  }
});

t("proc: a label never goes to a file of the image at exec (CVE-2019-16884)", () => {
  const target = sleeping((s) => {
    s.mounts.push({ destination: "/proc", type: "tmpfs", source: "tmpfs" });
    s.linux.maskedPaths = s.linux.readonlyPaths = [];
  });
  keel("exec", target.id, "mkdir", "-p", "/proc/thread-self/attr/apparmor");
  keel("exec", target.id, "touch", "/proc/thread-self/attr/apparmor/exec");
  const ran = keel("exec", "--apparmor", "none", target.id, "true");
  assert.equal(ran.code, 255);
  assert.match(ran.err, /apply apparmor profile none/);
});

t("proc: sysctls are written to procfs, whatever is mounted there (CVE-2025-52881)", () => {
  const file = "sys/net/ipv4/ip_default_ttl";
  const fake = fakeProc(
    (s) => {
      s.linux.sysctl = { "net.ipv4.ip_default_ttl": "77" };
    },
    [file],
  );
  assert.equal(fake.err, "");
  assert.equal(readFileSync(fake.path(file), "utf8"), "");
  const real = sh("cat /proc/sys/net/ipv4/ip_default_ttl", (s) => {
    s.linux.sysctl = { "net.ipv4.ip_default_ttl": "77" };
  });
  assert.equal(real.out, "77\n", real.err);
});

t("proc: only sysctls of the container's own namespaces can be set", () => {
  const names = [
    "kernel.core_pattern",
    "vm.swappiness",
    "net/../kernel/core_pattern",
    "fs.file-max",
    "kernel.msg/../x",
  ];
  for (const name of names) {
    const ran = sh("true", (s) => {
      s.linux.sysctl = { [name]: "1" };
    });
    assert.match(ran.err, /is not namespaced, it would change the host/, name);
  }
  const host = sh("true", (s) => {
    for (const ns of s.linux.namespaces) if (ns.type === "network") ns.path = "/proc/self/ns/net";
    s.linux.sysctl = { "net.ipv4.ip_forward": "1" };
  });
  assert.match(host.err, /linux\.sysctl\["net\.ipv4\.ip_forward"\]: .* is the runtime's own: it would change the host/);
});

t("proc: masked files show nothing and masked directories are empty and read-only (CVE-2025-31133)", () => {
  const ran = sh(
    "cat /proc/version; ls /proc/sys | wc -l; touch /proc/sys/x; echo 1 >/proc/version; stat -c %t:%T /proc/version",
    (s) => {
      s.linux.maskedPaths = ["/proc/version", "/proc/sys", "/proc/version", "/nonesuch", "/proc/version/x"];
      s.linux.readonlyPaths = [];
    },
  );
  assert.equal(ran.out, "0\n1:3\n", ran.err);
  assert.match(ran.err, /touch: .*Read-only file system/);
});

t("proc: a /dev/null of the image that is no null device is never used (CVE-2025-31133)", () => {
  const made = bundle(["cat", "/proc/version"], (s) => {
    s.mounts = s.mounts.filter((m: Loose) => !m.destination.startsWith("/dev"));
    s.linux.maskedPaths = ["/proc/version"];
  });
  writeFileSync(join(made.rootfs, "dev/null"), "the image's\n");
  const ran = run(made);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /make device \/dev\/null: something else is there in the rootfs/);
});

t("proc: read-only paths hold for what is mounted below them too", () => {
  const ran = sh("touch /data/x; touch /data/sub/x", (s) => {
    s.mounts.push({ destination: "/data", type: "tmpfs", source: "tmpfs" });
    s.mounts.push({ destination: "/data/sub", type: "tmpfs", source: "tmpfs" });
    s.linux.readonlyPaths = ["/data"];
  });
  assert.match(ran.err, /\/data\/x: Read-only file system[\s\S]*\/data\/sub\/x: Read-only file system/);
});
