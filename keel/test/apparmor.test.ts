import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bundle, keel, type Loose, run, skip, sleeping } from "./harness.ts";

const PROFILES = "/sys/kernel/security/apparmor/profiles";
const PROFILE = `keel-test-${process.pid}`;
const STRICT = `${PROFILE}-strict`;

const reason: string | false =
  skip ||
  (readText("/sys/module/apparmor/parameters/enabled").startsWith("Y") && readText(PROFILES) !== "none"
    ? spawnSync("apparmor_parser", ["--version"]).status === 0
      ? false
      : "needs apparmor_parser (package apparmor)"
    : "AppArmor is off in this kernel (./run-tests vm has one where it is on)");

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "none";
  }
}

function parser(flag: string): void {
  const rules = "file, capability, network, signal, ptrace, mount, umount, unix,";
  const profile = (name: string, more: string) =>
    `profile ${name} flags=(attach_disconnected,mediate_deleted) {\n${rules}\n${more}\n}\n`;
  const input = profile(PROFILE, "deny /etc/secret rw,") + profile(STRICT, "deny /etc/** rw,");
  const done = spawnSync("apparmor_parser", ["--skip-cache", flag], { input, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

before(() => {
  if (!reason) parser("--replace");
});
after(() => {
  if (!reason) parser("--remove");
});

function confined(profile: string): (spec: Loose) => void {
  return (spec) => {
    spec.process.apparmorProfile = profile;
  };
}

const SCRIPT = "cat /proc/self/attr/apparmor/current; cat /etc/passwd >/dev/null && echo passwd; cat /etc/secret";

test("apparmor: the program runs in the profile, which refuses what it denies", { skip: reason }, () => {
  const made = bundle(["sh", "-c", SCRIPT], confined(PROFILE));
  writeFileSync(join(made.rootfs, "etc/secret"), "told\n");
  const ran = run(made);
  assert.equal(ran.out, `${PROFILE} (enforce)\npasswd\n`);
  assert.match(ran.err, /Permission denied/);
  const free = bundle(["sh", "-c", SCRIPT]);
  writeFileSync(join(free.rootfs, "etc/secret"), "told\n");
  assert.match(run(free).out, /^unconfined\npasswd\ntold\n$/);
});

test("apparmor: a program that may not gain privileges is confined all the same", { skip: reason }, () => {
  const made = bundle(["cat", "/proc/self/attr/apparmor/current"], (spec) => {
    confined(PROFILE)(spec);
    spec.process.noNewPrivileges = true;
  });
  assert.equal(run(made).out, `${PROFILE} (enforce)\n`);
});

test("apparmor: exec gets the container's profile, or the one it asks for", { skip: reason }, () => {
  const made = sleeping(confined(PROFILE));
  writeFileSync(join(made.rootfs, "etc/secret"), "told\n");
  const own = keel("exec", made.id, "sh", "-c", SCRIPT);
  assert.equal(own.out, `${PROFILE} (enforce)\npasswd\n`);
  assert.match(own.err, /Permission denied/);
  const asked = keel("exec", "--apparmor", STRICT, made.id, "sh", "-c", SCRIPT);
  assert.equal(asked.out, `${STRICT} (enforce)\n`);
});

test("apparmor: a profile that is not loaded is named, and nothing is left", { skip: reason }, () => {
  const made = bundle(["true"], confined("keel-no-such-profile"));
  const ran = run(made);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /apply apparmor profile keel-no-such-profile: no such file or directory/);
  assert.match(ran.err, /profile loaded/);
  assert.equal(keel("state", made.id).code, 1);
  const other = keel("exec", "--apparmor", "keel-no-such-profile", sleeping().id, "true");
  assert.equal(other.code, 255);
  assert.match(other.err, /apply apparmor profile keel-no-such-profile/);
});

test("apparmor: a kernel without it is told as the reason", {
  skip: skip || (reason === false && "AppArmor is on"),
}, () => {
  const ran = run(bundle(["true"], confined("keel-test")));
  assert.equal(ran.code, 1);
  assert.match(ran.err, /apply apparmor profile keel-test: no such file or directory/);
  assert.match(ran.err, /AppArmor must be enabled/);
});
