// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of source
/** Rows of table.ts: from CVE-2025-31133 on, and classes without a number. */
import type { Row } from "./types.ts";

const INROOT = "keel/src/run/inroot.ts";
const ROOTFS = "keel/src/run/rootfs.ts";
const BECOME = "keel/src/run/become.ts";
const EXEC = "keel/src/commands/exec.ts";
const VALIDATE = "keel/src/spec/validate.ts";

const RACE_MASK = "race: a masked file shows nothing, whatever /dev/null of the image becomes (CVE-2025-31133)";
const RACE_CONSOLE = "race: /dev/console is the terminal, whatever /dev/pts of the image becomes (CVE-2025-52565)";
const HOOK_FDS = "fds: hooks get stdio and nothing else";
const DEV_LINK = "paths: /dev as a symlink of the image makes nothing on the host (CVE-2026-41579, CVE-2026-47766)";
const CONSOLE_LINK = "paths: /dev/console as a symlink makes no file on the host (CVE-2025-52565)";
const MASK_LINK = "paths: masked and read-only paths are resolved in the root (CVE-2025-54867, CVE-2025-62161)";
const IDS = "paths: an id is judged before any path is made of it";
const EXEC_CGROUP = "paths: exec --cgroup cannot leave the container's cgroup (crun 1.28)";
const UNIFIED = "paths: a cgroup file name with a slash and a cgroup path with .. are refused (GHSA-5g49-rx9x-qfc6)";
const LABEL = "proc: a label never goes to a file of the image (CVE-2019-16884, CVE-2025-62596)";
const SYSCTL = "proc: sysctls are written to procfs, whatever is mounted there (CVE-2025-52881)";
const HOST_SYSCTL = "proc: only sysctls of the container's own namespaces can be set";
const MASKS = "proc: masked files show nothing and masked directories are empty and read-only (CVE-2025-31133)";
const READONLY = "proc: read-only paths hold for what is mounted below them too";
const FAKE_NULL = "proc: a /dev/null of the image that is no null device is never used (CVE-2025-31133)";
const EXEC_UID = "ids: a uid alone is not dropped at exec (CVE-2026-30892)";
const ID_RANGE = "ids: an id that the kernel takes for 'no change' or cuts to 0 is refused at run and exec";
const GROUPS = "ids: the caller's groups do not reach the program (edge 20: setgroups when there are none)";
const SETUID = "caps: a set-user-id program gains nothing past the bounding set, and nothing at all with no_new_privs";
const DEVICES = "devices: a rule for one device does not allow others, and a container cannot widen it";
const STATE_MODE = "state: the directory and all in it are for the owner only";

export const OTHER_ROWS: readonly Row[] = [
  {
    id: "CVE-2025-31133, CVE-2025-54867, CVE-2025-62161",
    wrong: "the image's /dev/null becomes a symlink, and a file of procfs is bound where one should be hidden",
    guard:
      "the host's /dev/null, opened and verified (char 1:3) before the image is entered; directories: an own empty tmpfs",
    tests: [RACE_MASK, MASKS, FAKE_NULL, MASK_LINK, READONLY, "masked and read-only paths"],
    weaken: [
      {
        name: "the image's /dev/null",
        test: RACE_MASK,
        edits: [
          {
            file: ROOTFS,
            search: 'sys.openTree(state.hostNull, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH), `mask ${path}`',
            replace: 'sys.openTree(state.root, "dev/null", c.OPEN_TREE_CLONE), `mask ${path}`',
          },
        ],
      },
      {
        name: "any file as a device",
        test: FAKE_NULL,
        edits: [
          { file: ROOTFS, search: "    if (!same) throw", replace: '    if (!same && step.op !== "device") throw' },
        ],
      },
      {
        name: "masks resolved on the host",
        test: MASK_LINK,
        edits: [
          {
            file: INROOT,
            search: "c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS",
            replace: "c.RESOLVE_NO_MAGICLINKS",
          },
        ],
      },
      {
        name: "masked directories writable",
        test: MASKS,
        edits: [
          {
            file: ROOTFS,
            search: "c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC",
            replace: "c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC",
          },
        ],
      },
      {
        name: "read-only at the top only",
        test: READONLY,
        edits: [
          {
            file: ROOTFS,
            search: 'sys.mountSetattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, c.MOUNT_ATTR_RDONLY, 0, 0, -1)',
            replace: 'sys.mountSetattr(tree, "", c.AT_EMPTY_PATH, c.MOUNT_ATTR_RDONLY, 0, 0, -1)',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2025-52565",
    wrong: "the bind of /dev/pts/N at /dev/console follows a swapped path",
    guard: "the terminal's own descriptor (TIOCGPTPEER) is cloned and moved into place",
    tests: [RACE_CONSOLE, CONSOLE_LINK, "terminal: a foreground run gets one, with a size and /dev/console"],
    weaken: [
      {
        name: "the terminal by path",
        test: RACE_CONSOLE,
        edits: [
          {
            file: "keel/src/run/terminal.ts",
            search: 'sys.openTree(slave, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)',
            replace: 'sys.openTree(root, "dev/pts/0", c.OPEN_TREE_CLONE)',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2025-52881",
    wrong: "writes of sysctls and labels are redirected to other files of procfs",
    guard: "a procfs of keel's own, openat2 with RESOLVE_BENEATH, NO_SYMLINKS and NO_XDEV",
    tests: [SYSCTL, HOST_SYSCTL, LABEL],
    weaken: [
      {
        name: "sysctls through the container's /proc",
        test: SYSCTL,
        edits: [
          {
            file: ROOTFS,
            search: "function applySysctl(file: string, value: string): void {\n  const proc = privateProc();",
            replace:
              'function applySysctl(file: string, value: string, root: number): void {\n  const proc = sys.openat(root, "proc", c.O_PATH, 0);',
          },
          {
            file: ROOTFS,
            search: "applySysctl(step.file, step.value);",
            replace: "applySysctl(step.file, step.value, state.root);",
          },
        ],
      },
      {
        name: "sysctls of the host's namespace",
        test: HOST_SYSCTL,
        edits: [
          {
            file: "keel/src/run/nscheck.ts",
            search: "if (isOwn(fd, type)) checkOwn(type, path, field, spec);",
            replace: 'if (isOwn(fd, type) && type === "user") checkOwn(type, path, field, spec);',
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2026-41579, CVE-2026-47766",
    wrong: "/dev is a symlink of the image, and nodes and links are made on the host",
    guard: "the directory of each node is opened in the root, and the node made on that descriptor",
    tests: [DEV_LINK, "devices: /dev as a symlink makes no nodes on the host (CVE-2026-41579)"],
    weaken: [
      {
        name: "nodes by path",
        test: DEV_LINK,
        edits: [
          {
            file: ROOTFS,
            search: "state.devDir = ensureInRoot(state.root, parent, false);",
            replace: "state.devDir = sys.openat(state.root, parent.substring(1), c.O_PATH, 0);",
          },
        ],
      },
    ],
  },
  {
    id: "CVE-2026-30892",
    wrong: "exec -u 1 is read as uid 0",
    guard: "the uid is set whether or not a gid follows",
    tests: [EXEC_UID, "exec: exit code, user, cwd, environment; 255 when it cannot run"],
    weaken: [
      {
        name: "uid dropped without a gid",
        test: EXEC_UID,
        edits: [
          {
            file: EXEC,
            search: 'uid: numberFlag("user", match[1], LAST_ID),',
            replace: 'uid: match[2] === undefined ? 0 : numberFlag("user", match[1], LAST_ID),',
          },
        ],
      },
    ],
  },
  {
    id: "GHSA-5g49-rx9x-qfc6",
    wrong: 'a cgroup file name with "../" leads out of the cgroup',
    guard: 'file names of `unified` hold no "/"; cgroup paths no ".."',
    tests: [UNIFIED],
    weaken: [
      {
        name: "any file name",
        test: UNIFIED,
        edits: [
          {
            file: VALIDATE,
            search: 'if (file.indexOf("/") >= 0 || file === "." || file === "..")',
            replace: 'if (file === "")',
          },
        ],
      },
      {
        name: "any cgroup path",
        test: UNIFIED,
        edits: [
          {
            file: "keel/src/cgroup/plan.ts",
            search: 'if (wanted.split("/").indexOf("..") >= 0)',
            replace: 'if (wanted.split("/").indexOf("...") >= 0)',
          },
        ],
      },
    ],
  },
  {
    id: "crun 1.28 (no number)",
    wrong: "exec --cgroup leaves the container's cgroup",
    guard: '".." is refused',
    tests: [EXEC_CGROUP],
    weaken: [
      {
        name: "exec --cgroup climbs",
        test: EXEC_CGROUP,
        edits: [
          {
            file: "keel/src/cgroup/apply.ts",
            search: 'if (below.split("/").indexOf("..") >= 0 ||',
            replace: "if (",
          },
        ],
      },
    ],
  },
  {
    id: "class: ids cut by the kernel",
    wrong: "(uid_t)-1 means 'no change' to setresuid: the program stays root; 2^32 is 0",
    guard: "ids are 0 to 4294967294, in configurations and flags",
    tests: [ID_RANGE],
    weaken: [
      {
        name: "any number is an id",
        test: ID_RANGE,
        edits: [
          {
            file: "keel/src/spec/shape.ts",
            search: "Math.floor(value) === value && value < 4294967295;",
            replace: "value < 9007199254740991;",
          },
        ],
      },
    ],
  },
  {
    id: "class: the caller's rights",
    wrong: "supplementary groups and capabilities of whoever called remain",
    guard: "setgroups also when there are none; the bounding set is dropped first",
    tests: [GROUPS, SETUID, "caps: a plain user has none at exec, with --cap too"],
    weaken: [
      {
        name: "the caller's groups stay",
        test: GROUPS,
        edits: [
          {
            file: BECOME,
            search: "const groups = additional ? sys.setgroups(additional) : 0;",
            replace: "const groups = additional && additional.length > 0 ? sys.setgroups(additional) : 0;",
          },
        ],
      },
      {
        name: "the bounding set stays",
        test: SETUID,
        edits: [
          {
            file: BECOME,
            search: "const result = sys.prctl(c.PR_CAPBSET_DROP, cap, 0, 0, 0);",
            replace: "const result = cap > 40 ? -c.EINVAL : 0;",
          },
        ],
      },
      {
        name: "no_new_privs forgotten",
        test: SETUID,
        edits: [
          {
            file: BECOME,
            search: "if (plan.noNewPrivileges)\n",
            replace: "if (plan.noNewPrivileges && plan.uid === 77)\n",
          },
        ],
      },
    ],
  },
  {
    id: "class: hooks inherit",
    wrong: "hooks get descriptors or variables of the runtime",
    guard: "close-on-exec for all from 3 on; the environment is the hook's own, or PATH alone",
    tests: [HOOK_FDS, "fds: a hook gets no variable of the caller but PATH"],
    weaken: [
      {
        name: "hooks get descriptors",
        test: HOOK_FDS,
        edits: [{ file: "keel/src/run/hooks.ts", search: "  sys.closeRange(3, 0x7fffffff, 4);\n", replace: "" }],
      },
    ],
  },
  {
    id: "class: ids as paths",
    wrong: "a container id leads out of the state directory",
    guard: "runc's alphabet, judged before any path is made; the state is for the owner only",
    tests: [IDS, STATE_MODE],
    weaken: [
      {
        name: "any id",
        test: IDS,
        edits: [
          {
            file: "keel/src/lib/args.ts",
            search: "if (!/^[A-Za-z0-9_+-][A-Za-z0-9_+.-]*$/.test(id) || id.length > 1024) {",
            replace: 'if (id === "") {',
          },
        ],
      },
      {
        name: "state for everybody",
        test: STATE_MODE,
        edits: [
          {
            file: "keel/src/state/store.ts",
            search: "  let result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o700);",
            replace: "  let result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o755);",
          },
          {
            file: "keel/src/state/store.ts",
            search: "    result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o700);",
            replace: "    result = sys.mkdirat(c.AT_FDCWD, containerDir(id), 0o755);",
          },
        ],
      },
    ],
  },
  {
    id: "class: limits and the OOM score",
    wrong: "limits are set when the right to is gone already, or hit the runtime's own set-up",
    guard: "set from outside while the program waits; another user's process lowers its own as the last thing",
    tests: [
      "limits: rlimits and the OOM score are in force, and need no right of the program",
      "rlimits: lowered exactly; raising without the right says which right is missing",
    ],
    weaken: [
      {
        name: "no limits",
        test: "limits: rlimits and the OOM score are in force, and need no right of the program",
        edits: [
          {
            file: "keel/src/run/limits.ts",
            search: "  if (plan.oomScoreAdj === undefined) return;",
            replace: "  if (plan.oomScoreAdj !== 1234) return;",
          },
        ],
      },
    ],
  },
  {
    id: "class: kernel holes",
    wrong: "mount options that wall off kernel holes do nothing",
    guard: "nosymfollow, rro and their like through mount_setattr; devices by rule",
    tests: ["mounts: nosymfollow holds, and rro reaches the mounts below", DEVICES],
    weaken: [
      {
        name: "recursive options forgotten",
        test: "mounts: nosymfollow holds, and rro reaches the mounts below",
        edits: [
          {
            file: ROOTFS,
            search: "if (step.recSet !== 0 || step.recClear !== 0) {",
            replace: "if (step.recSet !== 0 && step.recClear !== 0) {",
          },
        ],
      },
      {
        name: "every device allowed",
        test: DEVICES,
        edits: [
          {
            file: "keel/src/cgroup/plan.ts",
            search: '{ allow: true, type: "c", access: "m" },',
            replace: "{ allow: true },",
          },
        ],
      },
    ],
  },
];
