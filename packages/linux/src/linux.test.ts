import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { parseCapabilityMask } from "./capabilities.ts";
import { decodeDevice } from "./devices.ts";
import { countIds, parseLimit, parseOsRelease } from "./facts.ts";
import {
  applyHostSteps,
  CAPABILITIES,
  listProcessesWithEnv,
  readDevices,
  readFileInRoot,
  readHostFacts,
  readSystemInfo,
  resolveInRoot,
} from "./index.ts";

function scratch(): { readonly dir: string } & Disposable {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "berth-linux-")));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test("parseCapabilityMask: bits by name; docker's default mask has 14", () => {
  assert.deepEqual(parseCapabilityMask("0"), []);
  assert.deepEqual(parseCapabilityMask("0000000000000003"), ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
  assert.equal(parseCapabilityMask("00000000a80425fb").length, 14);
  assert.equal(parseCapabilityMask("000001ffffffffff").length, CAPABILITIES.length);
  assert.equal(CAPABILITIES[21], "CAP_SYS_ADMIN");
  assert.equal(CAPABILITIES[40], "CAP_CHECKPOINT_RESTORE");
});

test("parseLimit: soft and hard of a line; unlimited and absent are Infinity", () => {
  const text =
    "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 unlimited            files     \n";
  assert.deepEqual(parseLimit(text, "Max open files"), { soft: 1024, hard: Infinity });
  assert.deepEqual(parseLimit(text, "Max processes"), { soft: Infinity, hard: Infinity });
});

test("countIds: ranges that follow each other from 0 on, in any order", () => {
  assert.equal(countIds("         0          0 4294967295\n"), 4_294_967_295);
  assert.equal(countIds("1 100000 65535\n0 1001 1\n"), 65_536);
  assert.equal(countIds("0 1001 1\n5 100000 10\n"), 1);
  assert.equal(countIds("1000 1000 1\n"), 0);
});

test("parseOsRelease: the pretty name, without quotes, or what there is", () => {
  assert.equal(parseOsRelease('NAME="X"\nPRETTY_NAME="X 1 (y)"\n'), "X 1 (y)");
  assert.equal(parseOsRelease("NAME=X\n"), "X");
  assert.equal(parseOsRelease(""), "Linux");
});

test("readHostFacts, readSystemInfo: this host has a kernel, processors, memory and a known cgroup layout", () => {
  const facts = readHostFacts();
  assert.match(facts.kernelRelease, /^\d+\.\d+/);
  assert.match(facts.cgroup.version, /^(1|2|hybrid)$/);
  assert.ok(facts.cpus >= 1 && facts.rlimits.nofile.hard > 0);
  assert.ok(readSystemInfo().memoryBytes > 1e6);
});

test("resolveInRoot: links and .. stay inside; what is missing is appended", () => {
  using s = scratch();
  mkdirSync(join(s.dir, "a/b"), { recursive: true });
  for (const [name, target] of Object.entries({
    abs: "/a",
    up: "../../../../a/b",
    chain: "abs/b",
    out: "/../../etc",
    "a/b/back": "..",
    dangling: "none/x",
  })) {
    symlinkSync(target, join(s.dir, name));
  }
  const table: Readonly<Record<string, string>> = {
    "/": "",
    "": "",
    "/a/./b//": "/a/b",
    "/../../x": "/x",
    "/abs/b": "/a/b",
    "/up": "/a/b",
    "/chain": "/a/b",
    "/out/passwd": "/etc/passwd",
    "/a/b/back/c": "/a/c",
    "/dangling/y": "/none/x/y",
    "/none/../a": "/a",
  };
  for (const [path, want] of Object.entries(table)) assert.equal(resolveInRoot(s.dir, path), `${s.dir}${want}`, path);
  assert.equal(resolveInRoot("/", "/../dev/./null"), "/dev/null");
});

test("resolveInRoot: a loop of links and a NUL byte are InvalidArgument", () => {
  using s = scratch();
  symlinkSync("loop", join(s.dir, "loop"));
  for (const path of ["/loop/x", "/a\0b"]) {
    assert.throws(
      () => resolveInRoot(s.dir, path),
      (e) => isCode(e, "InvalidArgument"),
    );
  }
});

test("readFileInRoot: text, undefined when absent, and no FIFO, directory or large file", () => {
  using s = scratch();
  writeFileSync(join(s.dir, "f"), "text");
  symlinkSync("/../f", join(s.dir, "link"));
  mkdirSync(join(s.dir, "d"));
  spawnSync("mkfifo", [join(s.dir, "pipe")]);
  assert.equal(readFileInRoot(s.dir, "/link", 4), "text");
  assert.equal(readFileInRoot(s.dir, "/none", 4), undefined);
  assert.equal(readFileInRoot(s.dir, "/f/below", 4), undefined);
  for (const [path, why] of [
    ["/d", /not a regular file/],
    ["/pipe", /not a regular file/],
    ["/f", /4 bytes, more than 3/],
  ] as const) {
    assert.throws(
      () => readFileInRoot(s.dir, path, 3),
      (e) => isCode(e, "InvalidArgument") && why.test(e.message),
      path,
    );
  }
});

test("readDevices: a device with its numbers, a directory's devices; other files are refused", () => {
  using s = scratch();
  const [node] = readDevices("/dev/null");
  assert.deepEqual([node?.type, node?.major, node?.minor], ["c", 1, 3]);
  assert.deepEqual(readDevices(s.dir), []);
  for (const path of ["/etc/passwd", join(s.dir, "none")]) {
    assert.throws(
      () => readDevices(path),
      (e) => isCode(e, "InvalidArgument"),
    );
  }
});

test("decodeDevice: majors and minors above 255 are put together as glibc does", () => {
  assert.deepEqual(decodeDevice(0x10300), { major: 259, minor: 0 });
  assert.deepEqual(decodeDevice(0x10082c), { major: 8, minor: 300 });
  assert.deepEqual(decodeDevice(0x1000_1113_8870), { major: 5000, minor: 70_000 });
});

test("listProcessesWithEnv: finds a child by an exact entry", async () => {
  const entry = `BERTH_TEST_MARK=${process.pid}`;
  const child = spawn("sleep", ["60"], { env: { PATH: process.env["PATH"], BERTH_TEST_MARK: `${process.pid}` } });
  await once(child, "spawn");
  assert.deepEqual(listProcessesWithEnv(entry), [child.pid]);
  assert.deepEqual(listProcessesWithEnv(entry.slice(0, -1)), []);
  child.kill("SIGKILL");
});

/** A stand-in for keel's binary: answers like its `host` subcommand would. */
function fakeKeel(dir: string, script: string): string {
  const path = join(dir, "keel");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const STEP = { op: "umount", target: "/x" } as const;

test("applyHostSteps: steps go in as JSON; an error comes back with its code, hint and step", async () => {
  using s = scratch();
  const keel = fakeKeel(s.dir, `cat >${s.dir}/in; echo '{"ok":true}'`);
  await applyHostSteps(keel, [STEP]);
  assert.equal(readFileInRoot(s.dir, "/in", 1000), JSON.stringify([STEP]));
  await applyHostSteps("/nonexistent", []);
  const error = {
    code: "PermissionDenied",
    message: "mount x: EPERM",
    hint: "be root",
    errno: "EPERM",
    step: "mount x",
  };
  const failing = fakeKeel(s.dir, `echo '${JSON.stringify({ ok: false, index: 0, error })}'; exit 1`);
  await assert.rejects(
    applyHostSteps(failing, [STEP]),
    (e) => isCode(e, "PermissionDenied") && e.hint === "be root" && e.details?.["errno"] === "EPERM",
  );
});

test("applyHostSteps: a missing binary and one without a reply are told apart", async () => {
  using s = scratch();
  await assert.rejects(applyHostSteps(join(s.dir, "none"), [STEP]), (e) => isCode(e, "FailedPrecondition"));
  await assert.rejects(
    applyHostSteps(fakeKeel(s.dir, "echo boom >&2; exit 3"), [STEP]),
    (e) => isCode(e, "Internal") && /ended with 3 .*boom/.test(e.message),
  );
});
