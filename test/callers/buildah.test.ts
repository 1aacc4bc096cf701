import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Ran } from "../e2e/harness.ts";
import { Terminal } from "../terminal.ts";
import { call, callerSkip, KEEL, Place } from "./harness.ts";

const place = new Place();
const context = join(place.dir, "context");
const N = ["--network", "none"];

const ROOTS = ["--root", join(place.dir, "root"), "--runroot", join(place.dir, "run")];
const words = (...args: readonly string[]): readonly string[] => [...ROOTS, ...args];
const buildah = (...args: readonly string[]): Ran => call("buildah", words(...args));

const DOCKERFILE = `FROM scratch
COPY busybox /bin/sh
COPY busybox /bin/busybox
ENV PATH=/bin
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN echo built >/built && id -u && cat /proc/self/uid_map
USER 1000
RUN id -u; grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; ulimit -n; touch /x 2>&1 || true
RUN cut -d' ' -f2,3 /proc/mounts | grep -v ^/proc/ | sort; ls /dev /sys/fs/cgroup
`;

function build(runtime: string, dockerfile: string, ...flags: readonly string[]): Ran {
  writeFileSync(join(context, "Dockerfile"), dockerfile);
  return buildah("build", "--runtime", runtime, "--isolation", "oci", ...N, ...flags, "-t", "built", context);
}

function prepare(): string | false {
  const missing = callerSkip("buildah");
  if (missing) return missing;
  mkdirSync(context);
  copyFileSync("/bin/busybox", join(context, "busybox"));
  const ran = build("runc", DOCKERFILE);
  return ran.code === 0 ? false : `buildah does not work with runc on this machine: ${ran.err.trim()}`;
}

const skip = prepare();
let container = "";

after(() => {
  if (!skip) buildah("rm", "-a");
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

/** What a build prints but for the names that change. */
const steps = (ran: Ran): string =>
  (ran.out + ran.err).replace(/buildah-buildah\d+/g, "NAME").replace(/\b[0-9a-f]{11,64}\b/g, "ID");

t("build: the same steps with the same output as under runc", () => {
  const flags = ["--memory", "64m", "--ulimit", "nofile=50:60", "--no-cache"];
  const keel = build(KEEL, DOCKERFILE, ...flags);
  assert.equal(keel.code, 0, keel.err);
  assert.match(keel.out, /^1000\n/m);
  assert.match(keel.out, /^50\n.*touch: \/x: Permission denied\n/m);
  assert.equal(steps(keel), steps(build("runc", DOCKERFILE, ...flags)));
});

t("build: a command that fails ends it with its code", () => {
  const failing = `${DOCKERFILE}RUN exit 5\n`;
  const keel = build(KEEL, failing);
  assert.equal(keel.code, build("runc", failing).code);
  assert.match(keel.err, /while running runtime: exit status 5/);
});

t("run: exit codes, input, user, working directory, volumes, and why a command cannot run", () => {
  const from = buildah("from", "localhost/built");
  assert.equal(from.code, 0, from.err);
  container = from.out.trim();
  const told = (runtime: string): readonly (readonly [number, string])[] => {
    const run = (flags: readonly string[], command: readonly string[], input = ""): Ran =>
      call("buildah", words("run", "--runtime", runtime, ...N, ...flags, container, "--", ...command), { input });
    const missing = run([], ["nosuch"]);
    assert.match(missing.err, /exec: \\?"nosuch\\?": executable file not found in \$PATH/);
    const directory = run([], ["/etc"]);
    assert.match(directory.err, /permission denied/);
    const set = run(
      ["--user", "5:6", "--workingdir", "/bin", "-v", `${context}:/mnt:ro`],
      ["sh", "-c", "id -u; id -g; pwd; ls /mnt; touch /mnt/x 2>&1; hostname"],
    );
    assert.match(set.out, /^5\n6\n\/bin\nDockerfile\nbusybox\n.*Read-only file system\n/);
    return [run([], ["sh", "-c", "echo out; exit 7"]), run([], ["cat"], "through\n"), missing, directory, set].map(
      (ran) => [ran.code, ran.out] as const,
    );
  };
  const keel = told(KEEL);
  assert.deepEqual(keel[0], [7, "out\n"]);
  assert.deepEqual(keel[1], [0, "through\n"]);
  assert.deepEqual(keel, told("runc"));
});

t("run -t: a terminal through buildah's console socket", async () => {
  const terminal = new Terminal(["buildah", ...words("run", "--runtime", KEEL, ...N, "-t", container, "--", "sh")]);
  await terminal.sees(/\$ /);
  terminal.type("tty; stty size; exit 9\n");
  await terminal.sees(/\/dev\/pts\/0\r\n33 99\r\n/);
  assert.equal(await terminal.code, 9);
});
