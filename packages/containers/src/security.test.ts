import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { CAPABILITIES } from "@berth/linux";
import { parseCapability, planCapabilities } from "./capabilities.ts";
import type { RuntimeSeccomp, RuntimeSeccompRule } from "./plan-types.ts";
import { DEFAULT_GROUPS } from "./seccomp-default.ts";
import { isAtLeast, planSeccomp } from "./seccomp-plan.ts";

const caps = (more: object): readonly string[] =>
  planCapabilities({ capAdd: [], capDrop: [], privileged: false, ...more }, CAPABILITIES);

test("planCapabilities: docker's rules for added and dropped ones", () => {
  const defaults = caps({});
  assert.equal(defaults.length, 14);
  assert.deepEqual(caps({ capDrop: ["ALL"] }), []);
  assert.deepEqual(caps({ capDrop: ["all"], capAdd: ["chown", "CAP_KILL"] }), ["CAP_CHOWN", "CAP_KILL"]);
  assert.deepEqual(caps({ capAdd: ["ALL"] }), CAPABILITIES);
  assert.equal(caps({ capAdd: ["ALL"], capDrop: ["SYS_ADMIN"] }).length, CAPABILITIES.length - 1);
  assert.deepEqual(
    caps({ capAdd: ["NET_ADMIN"], capDrop: ["MKNOD"] }),
    CAPABILITIES.filter((cap) => (defaults.includes(cap) && cap !== "CAP_MKNOD") || cap === "CAP_NET_ADMIN"),
  );
  assert.deepEqual(caps({ privileged: true, capDrop: ["ALL"] }), CAPABILITIES);
});

test("parseCapability: any case, with or without CAP_; unknown ones are InvalidArgument", () => {
  assert.equal(parseCapability("cap_sys_admin"), "CAP_SYS_ADMIN");
  assert.throws(
    () => parseCapability("SYS_ROOT"),
    (e) => isCode(e, "InvalidArgument") && /SYS_ROOT/.test(e.message),
  );
});

const HOST = { arch: "amd64", kernelRelease: "6.1.0", seccomp: true };
const DEFAULTS = caps({});

function filter(more: Partial<typeof HOST> = {}, bounding = DEFAULTS, profile = "default"): RuntimeSeccomp {
  const planned = planSeccomp(profile, bounding, { ...HOST, ...more });
  assert.ok(planned);
  return planned;
}

/** Rules that say something about a system call. */
const about = (seccomp: RuntimeSeccomp, name: string): readonly RuntimeSeccompRule[] =>
  seccomp.syscalls.filter((rule) => rule.names.includes(name));
const allows = (seccomp: RuntimeSeccomp, name: string): boolean =>
  about(seccomp, name).some((rule) => rule.action === "SCMP_ACT_ALLOW" && rule.args === undefined);

test("planSeccomp: the default profile lets through what programs need and nothing that makes namespaces", () => {
  const seccomp = filter();
  assert.deepEqual([seccomp.defaultAction, seccomp.defaultErrnoRet], ["SCMP_ACT_ERRNO", 1]);
  assert.deepEqual(seccomp.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  for (const name of ["read", "execve", "openat2", "ptrace", "chroot", "arch_prctl", "modify_ldt"]) {
    assert.ok(allows(seccomp, name), name);
  }
  for (const name of [
    "mount",
    "unshare",
    "setns",
    "bpf",
    "reboot",
    "keyctl",
    "init_module",
    "io_uring_setup",
    "userfaultfd",
  ]) {
    assert.deepEqual(about(seccomp, name), [], name);
  }
  assert.deepEqual(about(seccomp, "clone"), [
    {
      names: ["clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, op: "SCMP_CMP_MASKED_EQ", value: 0x7e020000, valueTwo: 0 }],
    },
  ]);
  assert.deepEqual(about(seccomp, "clone3"), [{ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }]);
  assert.equal(about(seccomp, "socket").length, 3);
});

test("planSeccomp: every group of the source is there: 361 calls always, 426 in all together", () => {
  assert.equal(filter({ arch: "none" }, []).syscalls[0]?.names.length, 361 + 3);
  assert.equal(DEFAULT_GROUPS.length, 33);
  assert.equal(new Set(DEFAULT_GROUPS.flatMap((group) => group.names.split(" "))).size, 426);
});

test("planSeccomp: capabilities, processor and kernel decide about groups", () => {
  assert.ok(allows(filter({}, [...DEFAULTS, "CAP_SYS_ADMIN"]), "mount"));
  assert.deepEqual(
    about(filter({}, [...DEFAULTS, "CAP_SYS_ADMIN"]), "clone3").map((rule) => rule.action),
    ["SCMP_ACT_ALLOW"],
  );
  assert.equal(allows(filter({}, []), "chroot"), false);
  assert.equal(allows(filter({ kernelRelease: "4.7.9" }), "ptrace"), false);
  assert.equal(allows(filter({ arch: "arm64" }), "arch_prctl"), false);
  assert.ok(allows(filter({ arch: "arm64" }), "set_tls"));
  assert.equal(about(filter({ arch: "s390x" }), "clone")[0]?.args?.[0]?.index, 1);
  assert.equal(filter({ arch: "strange" }).architectures, undefined);
});

test("planSeccomp: unconfined is none; without seccomp in the kernel the default is none and a profile is refused", () => {
  assert.equal(planSeccomp("unconfined", DEFAULTS, HOST), undefined);
  assert.equal(planSeccomp("default", DEFAULTS, { ...HOST, seccomp: false }), undefined);
  assert.throws(
    () => planSeccomp("{}", DEFAULTS, { ...HOST, seccomp: false }),
    (e) => isCode(e, "FailedPrecondition"),
  );
});

test("planSeccomp: a profile in docker's JSON: conditions, arguments with 64 bits, errno and flags", () => {
  const profile = `{
    "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 2, "archMap": [], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [
      {"names": ["mkdir", "rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": null, "comment": "x"},
      {"name": "personality", "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}]},
      {"names": ["mount"], "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["bpf"], "action": "SCMP_ACT_TRAP", "excludes": {"minKernel": "5.0"}},
      {"names": ["chown"], "action": "SCMP_ACT_TRAP", "excludes": {"arches": ["arm64"]}, "includes": {"minKernel": "5.0"}}
    ]}`;
  assert.deepEqual(filter({}, [], profile), {
    defaultAction: "SCMP_ACT_ALLOW",
    defaultErrnoRet: 2,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    flags: ["SECCOMP_FILTER_FLAG_LOG"],
    syscalls: [
      { names: ["mkdir", "rmdir"], action: "SCMP_ACT_ERRNO", errnoRet: 22 },
      { names: ["chown"], action: "SCMP_ACT_TRAP" },
      {
        names: ["personality"],
        action: "SCMP_ACT_KILL",
        args: [{ index: 0, op: "SCMP_CMP_EQ", value: 18446744073709551615n }],
      },
    ],
  });
});

test("planSeccomp: what is no profile is InvalidArgument and names the field", () => {
  const table: readonly (readonly [string, RegExp])[] = [
    ["nonsense", /profile/],
    ["[]", /profile: not an object/],
    ["{}", /defaultAction/],
    ['{"defaultAction":"SCMP_ACT_MAYBE"}', /SCMP_ACT_MAYBE/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}', /syscalls: not a list/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}', /syscalls\[0\].names/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a b"],"action":"SCMP_ACT_ALLOW"}]}', /names/],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}',
      /args\[0\].index/,
    ],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}',
      /kernel/,
    ],
  ];
  for (const [profile, text] of table) {
    assert.throws(
      () => planSeccomp(profile, [], HOST),
      (e) => isCode(e, "InvalidArgument") && text.test(e.message),
      profile,
    );
  }
});

test("isAtLeast: compares numbers, not texts", () => {
  assert.ok(isAtLeast("6.18.44-fc", "6.9"));
  assert.ok(isAtLeast("5.10.0", "4.20"));
  assert.equal(isAtLeast("4.8.0", "4.11"), false);
});
