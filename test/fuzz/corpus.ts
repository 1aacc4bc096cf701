/** What the mutations begin with and are made of. */
import { defaultSpec } from "../../keel/src/spec/defaults.ts";

// biome-ignore lint/suspicious/noExplicitAny: a document of any shape
export type Json = any;

const mapping = [{ containerID: 0, hostID: 100000, size: 65536 }];

/** A config.json with most fields there are. */
function richSpec(): Json {
  const spec = defaultSpec({ rootless: false, uid: 0, gid: 0, unified: true }) as Json;
  spec.domainname = "d";
  spec.process.args = ["/bin/sh", "-c", "exit 3"];
  spec.annotations = { "org.example": "x" };
  Object.assign(spec.process, {
    terminal: false,
    consoleSize: { height: 24, width: 80 },
    user: { uid: 0, gid: 0, umask: 18, additionalGids: [5] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
    oomScoreAdj: 100,
    scheduler: { policy: "SCHED_OTHER", nice: 1 },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
    execCPUAffinity: { initial: "0", final: "0" },
  });
  spec.mounts.push(
    { destination: "/data", type: "tmpfs", source: "tmpfs", options: ["size=1m", "mode=700", "tmpcopyup"] },
    { destination: "/src", type: "bind", source: "rootfs", options: ["rbind", "ro", "rprivate"] },
  );
  Object.assign(spec.linux, {
    uidMappings: mapping,
    gidMappings: mapping,
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0 }],
    rootfsPropagation: "rslave",
    sysctl: { "net.ipv4.ip_forward": "1" },
    timeOffsets: { boottime: { secs: 1, nanosecs: 0 } },
    personality: { domain: "LINUX" },
    resources: {
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 67108864, reservation: 1048576, swap: 134217728, swappiness: 60 },
      cpu: { shares: 1024, quota: 50000, period: 100000 },
      pids: { limit: 100 },
      blockIO: { weight: 100 },
      unified: {},
    },
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      syscalls: [
        { names: ["read", "write", "execve", "exit_group"], action: "SCMP_ACT_ALLOW" },
        {
          names: ["clone"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 0, value: 2114060288, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
        },
      ],
    },
  });
  spec.linux.namespaces.push({ type: "user" });
  spec.hooks = { createRuntime: [{ path: "/bin/true", timeout: 5 }] };
  return spec;
}

/** Each call makes a document of its own. */
export const SPECS: readonly (() => Json)[] = [
  () => structuredClone(defaultSpec({ rootless: false, uid: 0, gid: 0, unified: true })),
  () => structuredClone(defaultSpec({ rootless: true, uid: 0, gid: 0, unified: true })),
  () => structuredClone(richSpec()),
];

const MOUNT_OPTIONS =
  "ro rw nosuid suid nodev dev noexec exec sync async dirsync remount mand noatime atime nodiratime relatime strictatime " +
  "bind rbind private rprivate shared rshared slave rslave unbindable runbindable rro rrw rnosuid rnodev rnoexec rnoatime " +
  "rrelatime nosymfollow rnosymfollow tmpcopyup idmap ridmap size=1m size=-1 mode=0 mode=99999 uid=x defaults silent loud";

const WORDS =
  "pid network mount ipc uts user cgroup time tmpfs proc sysfs devpts mqueue bind cgroup2 overlay none SCMP_ACT_ALLOW " +
  "SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_TRAP SCMP_ACT_NOTIFY SCMP_ACT_LOG SCMP_CMP_EQ SCMP_CMP_MASKED_EQ SCMP_CMP_NE " +
  "SCMP_ARCH_X86 SCMP_ARCH_X32 SCMP_ARCH_ARM read write clone openat2 no_such_call RLIMIT_NOFILE RLIMIT_CORE RLIMIT_X " +
  "CAP_KILL CAP_SYS_ADMIN CAP_NONE SCHED_FIFO SCHED_RR SCHED_IDLE SCHED_DEADLINE LINUX32 MPOL_BIND c b u p a rwm " +
  "constructor __proto__ toString hasOwnProperty length prototype valueOf net.ipv4.ip_forward kernel.shmmax fs.mqueue.x " +
  "kernel.hostname memory.max cpu.max pids.max 0-1 0-999999 1,,2 eth0 2MB 1KB";

const PATHS: readonly string[] = [
  "",
  "/",
  ".",
  "..",
  "//",
  "/..",
  "/../..",
  "/a/../../b",
  "/proc",
  "/proc/self/fd/3",
  "/proc/self/exe",
  "/proc/sys/kernel/core_pattern",
  "/sys",
  "/dev",
  "/dev/null",
  "/dev/console",
  "/dev/pts/0",
  "/tmp",
  "/etc/passwd",
  "/nonesuch/deep/path",
  "rootfs",
  "./rootfs/../rootfs",
  "/a b\tc\nd",
  "/ü/𝒳/\ud800",
  `/${"x".repeat(300)}`,
  `/${"d/".repeat(2100)}`,
  "a:b:c",
  "%s%n",
];

/** Strings by what they may stand for. */
export const STRINGS: readonly string[] = [...MOUNT_OPTIONS.split(" "), ...WORDS.split(" "), ...PATHS];

export const NUMBERS: readonly number[] = [
  0, 1, -1, 2, 7, 255, 256, 4095, 4096, 65535, 65536, 2147483647, 2147483648, 4294967294, 4294967295, 4294967296,
  -2147483649, 9007199254740991, 9007199254740992, 1e16, 1e19, 1e300, -1e300, 0.5, -0.5, 1e-9,
];

/** Integers of JSON that a double cannot hold: keel reads them as strings. */
export const LONG_NUMBERS: readonly string[] = [
  "9223372036854775807",
  "-9223372036854775808",
  "18446744073709551615",
  "18446744073709551616",
  "99999999999999999999999",
  "-1000000000000000000",
];

/** What stands for a long integer in a document, and becomes one in its text. */
export const LONG_MARK = "\u0001long:";
