// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of source
/** Rows of table.ts: what is mounted and made, up to CVE-2025-24965. */
import type { Row } from "./types.ts";

const INROOT = "keel/src/run/inroot.ts";
const ROOTFS = "keel/src/run/rootfs.ts";
const BECOME = "keel/src/run/become.ts";
const FDS_FILE = "keel/src/run/fds.ts";
const EXEC = "keel/src/commands/exec.ts";
const RACE_MOUNT = "race: no mount lands on the host when its target is swapped for a symlink (CVE-2021-30465)";
const RACE_MKDIR = "race: no directory and no file is made on the host on the way to a mount point (CVE-2024-45310)";
const FDS = "fds: what the caller left open does not reach the program, at run and at exec (CVE-2024-21626)";
const FD_CWD = "fds: a cwd through a descriptor that the caller left open is refused (CVE-2024-21626)";
const JOINING = "fds: a process of the container cannot look into one that joins it (CVE-2016-9962)";
const BINARY = "binary: a container cannot write to keel through /proc/PID/exe (CVE-2019-5736)";
const PROC_LINK = "paths: /proc as a symlink of the image is refused (CVE-2023-27561, CVE-2023-28642)";
const SYS_LINK = "paths: /sys as a symlink of the image is refused (CVE-2023-27561, CVE-2023-28642)";
const DANGLING = "paths: /proc as a dangling symlink is refused, and nothing is made where it points";
const FILE_LINK = "paths: files that keel makes in the image are never written through a symlink (CVE-2025-24965)";
const CONSOLE_LINK = "paths: /dev/console as a symlink makes no file on the host (CVE-2025-52565)";
const DEST_LINK = "paths: `..` and absolute links in a destination stay inside (CVE-2019-18837)";
const LONG = "paths: a mount source longer than a message is an error with its reason (CVE-2021-43784)";
const LABEL = "proc: a label never goes to a file of the image (CVE-2019-16884, CVE-2025-62596)";
const NUMBER = "user: uid, gid, groups, umask and HOME; a numeric id is never a name (CVE-2016-3697)";
const INHERITABLE =
  "caps: nothing is inheritable unless asked for, at run and exec --cap (CVE-2022-29162, CVE-2022-27650, CVE-2025-27612)";
const CGROUP_VIEW =
  "cgroups: without a cgroup namespace the container sees its own group only, read-only (CVE-2023-25809)";

export const MOUNT_ROWS: readonly Row[] = [
  {
    id: "CVE-2016-3697",
    wrong: "a numeric user is looked up as a name",
    guard: "users are numbers everywhere; passwd is asked for the home directory of a uid only",
    tests: [NUMBER, "ids: a number is an id, also for a user of that name, at exec (CVE-2016-3697)"],
    weaken: [
      {
        name: "home directory by name",
        test: NUMBER,
        edits: [
          {
            file: BECOME,
            search: "fields[2] === String(plan.uid)",
            replace: "(fields[2] === String(plan.uid) || fields[0] === String(plan.uid))",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2016-9962",
    wrong: "an exec'd process is traced before its host descriptors are closed",
    guard: "undumpable before any namespace is joined; descriptors are closed before the user's rights are taken",
    tests: [JOINING],
    weaken: [
      {
        name: "exec stays dumpable",
        test: JOINING,
        edits: [
          {
            file: "keel/src/run/exec.ts",
            search: 'must(sys.prctl(c.PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable");',
            replace: "",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2019-5736",
    wrong: "a container overwrites the runtime's program through /proc/PID/exe",
    guard: "keel runs from a detached read-only mount of its own file, else from a sealed memfd",
    tests: [BINARY, "binary: /proc/self/exe as the program shows a file that nobody can write to (CVE-2019-5736)"],
    weaken: [
      {
        name: "runs from its file",
        test: BINARY,
        edits: [
          {
            file: "keel/native/seal.c",
            search: 'same(argv[i], "restore")) return 1;',
            replace: 'same(argv[i], "restore")) return 0;',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2019-16884, CVE-2025-62596",
    wrong: "an image volume over /proc takes the writes of labels",
    guard: "labels are written below a procfs of keel's own that is mounted nowhere",
    tests: [LABEL, "proc: a label never goes to a file of the image at exec (CVE-2019-16884)"],
    weaken: [
      {
        name: "labels through /proc",
        test: LABEL,
        edits: [
          {
            file: BECOME,
            search: "  const proc = privateProc();",
            replace: '  const proc = sys.open("/proc", c.O_PATH, 0);',
          },
          { file: BECOME, search: 'import { privateProc } from "./rootfs.ts";\n', replace: "" },
        ],
      },
    ],
  },
  {
    id: "CVE-2019-18837",
    wrong: "symlinks in mount targets are resolved on the host",
    guard: "openat2 with RESOLVE_IN_ROOT for every path of the image",
    tests: [DEST_LINK, "mounts: an absolute symlink in the image stays inside the root (CVE-2019-18837)"],
    weaken: [
      {
        name: "resolved on the host",
        test: DEST_LINK,
        edits: [
          {
            file: INROOT,
            search: "c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS",
            replace: "c.RESOLVE_NO_MAGICLINKS",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642",
    wrong: "/proc or /sys is a symlink, and what is mounted lies elsewhere",
    guard: "the mount points of procfs and sysfs are opened without following any symlink",
    tests: [PROC_LINK, SYS_LINK, DANGLING, "mounts: /proc as a symlink is refused (CVE-2019-19921)"],
    weaken: [PROC_LINK, SYS_LINK, DANGLING].map((test) => ({
      name: `${test.split(" ")[1]} ${test === DANGLING ? "dangling " : ""}followed`,
      test,
      edits: [
        {
          file: ROOTFS,
          search: "step.strict ? openStrict(state.root, step.dest) : ensureInRoot",
          replace: "step.strict && openStrict === undefined ? -1 : ensureInRoot",
        },
      ],
    })),
  },
  {
    id: "CVE-2021-30465",
    wrong: "a mount target is swapped for a symlink between check and mount",
    guard: "the target is opened once and the mount is made on that descriptor",
    tests: [RACE_MOUNT, "race: what loses a race says where, and never fails in an unforeseen way"],
    weaken: [
      {
        name: "mounts by path",
        test: RACE_MOUNT,
        edits: [
          {
            file: ROOTFS,
            search: '  let result = sys.mount(step.source, ".", step.fstype, flags, data);',
            replace:
              "  let result = sys.mount(step.source, `/proc/self/fd/${state.root}${step.dest}`, step.fstype, flags, data);",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2021-43784",
    wrong: "a length overflows in the messages between the runtime's processes",
    guard: "messages are JSON on a seqpacket socket, and shorter than one read takes",
    tests: [LONG],
    weaken: [
      {
        name: "long messages are not cut",
        test: LONG,
        edits: [
          {
            file: "keel/src/run/sync.ts",
            search: "if (text.length > MESSAGE_LIMIT / 4) {",
            replace: "if (text.length > MESSAGE_LIMIT * 1000) {",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2022-29162, CVE-2022-27650, CVE-2025-27612",
    wrong: "capabilities of exec --cap are inheritable",
    guard: "the inheritable set is what the configuration says and nothing else",
    tests: [INHERITABLE, "capabilities: exactly the five sets asked for, none for a plain user"],
    weaken: [
      {
        name: "exec --cap inheritable",
        test: INHERITABLE,
        edits: [
          {
            file: EXEC,
            search: "inheritable: own.inheritable || [],",
            replace: "inheritable: (own.inheritable || []).concat(caps),",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2023-25809",
    wrong: "without a cgroup namespace the host's cgroup tree is writable",
    guard: "only the container's own cgroup is bound",
    tests: [CGROUP_VIEW],
    weaken: [
      {
        name: "the whole hierarchy is bound",
        needs: "cgroup v1",
        test: CGROUP_VIEW,
        edits: [
          {
            file: "keel/src/plan/cgroup-mount.ts",
            search: "bindOwn(own, hierarchy.mountpoint + hierarchy.own, target, flags, [])",
            replace:
              'bindOwn(own && { path: hierarchy.mountpoint, mountpoint: "", controllers: "", writes: [] }, "", target, flags, [])',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2024-21626",
    wrong: "a directory descriptor leaks, and a cwd or a program through it is on the host",
    guard:
      "all descriptors are closed before anything of the image is looked at; after chdir getcwd must lie in the root",
    tests: [FDS, FD_CWD, "cwd: a path through a leaked descriptor is refused (CVE-2024-21626)"],
    weaken: [
      {
        name: "descriptors stay open",
        test: FDS,
        edits: [
          { file: FDS_FILE, search: "if (fd > from) sys.closeRange(from, fd - 1, 0);", replace: "" },
          { file: FDS_FILE, search: "  sys.closeRange(from, 0x7fffffff, 0);\n", replace: "" },
        ],
      },
      {
        name: "descriptors stay open, cwd is not made in the root and getcwd is not asked",
        test: FD_CWD,
        edits: [
          { file: FDS_FILE, search: "if (fd > from) sys.closeRange(from, fd - 1, 0);", replace: "" },
          { file: FDS_FILE, search: "  sys.closeRange(from, 0x7fffffff, 0);\n", replace: "" },
          {
            file: BECOME,
            search: 'if (typeof now === "number" || now.charAt(0) !== "/") {',
            replace: 'if (typeof now === "number") {',
          },
          {
            file: "keel/src/plan/rootfs.ts",
            search: 'if (cwd !== "/") steps.push(',
            replace: 'if (cwd.indexOf("/proc") !== 0 && cwd !== "/") steps.push(',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2024-45310",
    wrong: "making the directories of a mount target follows a race and makes them on the host",
    guard: "each directory is made by mkdirat on the descriptor of its parent",
    tests: [RACE_MKDIR],
    weaken: [
      {
        name: "directories by path",
        test: RACE_MKDIR,
        edits: [
          {
            file: INROOT,
            search: ": sys.mkdirat(parent, name, 0o755);",
            replace: ": sys.mkdirat(c.AT_FDCWD, `/proc/self/fd/${root}${path}`, 0o755);",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2025-24965",
    wrong: "a file of the runtime is written through a symlink of the image",
    guard: "mount points, cwd and /dev/console are made in the root, with O_EXCL and O_NOFOLLOW",
    tests: [FILE_LINK, CONSOLE_LINK],
    weaken: [
      {
        name: "files through links",
        test: FILE_LINK,
        edits: [
          {
            file: INROOT,
            search: 'sys.openat2(root, path === "/" ? "." : path.substring(1), c.O_PATH | flags, 0, IN_ROOT)',
            replace: 'sys.openat2(root, path === "/" ? "." : path.substring(1), c.O_PATH | flags, 0, 0)',
          },
        ],
      },
      {
        name: "console through a link",
        test: CONSOLE_LINK,
        edits: [
          {
            file: "keel/src/run/terminal.ts",
            search: "    c.O_WRONLY | c.O_CREAT | c.O_NOFOLLOW | c.O_NOCTTY,\n    0o600,\n    c.RESOLVE_IN_ROOT,",
            replace: "    c.O_WRONLY | c.O_CREAT | c.O_NOCTTY,\n    0o600,\n    0,",
          },
        ],
      },
    ],
  },
];
