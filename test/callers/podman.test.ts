import assert from "node:assert/strict";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { tool } from "../e2e/harness.ts";
import { type Command, dockerLikeTests, type Engine, type Runtime, sameStory } from "./docker-like.ts";
import { type CallOptions, call, callerSkip, documented, IMAGE, KEEL, Place, removeCgroupParents } from "./harness.ts";

const place = new Place();
const conf = join(place.dir, "containers.conf");
const env = { ...process.env, CONTAINERS_CONF: conf };
const N = ["--network", "none"];

/** What this machine needs besides the documented file: root may lack the right to raise limits, and there is no journal. */
function writeConfiguration(): void {
  const hard = (name: string): string =>
    new RegExp(`^${name} +\\S+ +(\\S+)`, "m").exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "1024";
  const limits = [`nofile=${hard("Max open files")}:${hard("Max open files")}`, "nproc=1000:1000"];
  writeFileSync(conf, `[containers]\ndefault_ulimits = ${JSON.stringify(limits)}\n\n${documented("Podman", "toml")}`);
}

function words(runtime: Runtime, args: readonly string[]): readonly [string, ...string[]] {
  const roots = ["root", "runroot", "tmpdir"].flatMap((flag) => [`--${flag}`, join(place.dir, flag)]);
  // none for keel: the documented file makes it the default
  const chosen = runtime === "keel" ? [] : ["--runtime", runtime];
  return ["podman", ...roots, "--events-backend", "file", ...chosen, ...args];
}

function podman(runtime: Runtime, args: readonly string[], options: CallOptions = {}): ReturnType<Engine["call"]> {
  const [program, ...rest] = words(runtime, args);
  return call(program, rest, { cwd: place.dir, ...options, env: { ...env, ...options.env } });
}

function prepare(): string | false {
  const missing = callerSkip("podman", "conmon");
  if (missing) return missing;
  writeConfiguration();
  const loaded = podman("runc", ["load", "-i", place.archive()]);
  if (loaded.code !== 0) return `podman does not load an image on this machine: ${loaded.err}`;
  const ran = podman("runc", ["run", "--rm", ...N, IMAGE, "true"]);
  return ran.code === 0 ? false : `podman does not work with runc on this machine: ${ran.err.trim()}`;
}

process.env["CONTAINERS_CONF"] = conf;
const engine: Engine = { skip: prepare(), place, words, call: podman };

after(() => {
  if (!engine.skip) podman("keel", ["rm", "-fa", "-t", "0"]);
  removeCgroupParents("libpod_parent");
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void =>
  void test(name, { skip: engine.skip, timeout: 120_000 }, body);

t("the documented containers.conf: keel is the runtime, podman shows its version", () => {
  const info = JSON.parse(podman("keel", ["info", "--format", "json"]).out);
  assert.equal(info.host.ociRuntime.name, "keel");
  assert.match(info.host.ociRuntime.version, /^keel version \d+\.\d+/);
  podman("keel", ["create", "--name", "who", ...N, IMAGE, "true"]);
  assert.equal(podman("keel", ["inspect", "-f", "{{.OCIRuntime}}", "who"]).out, "keel\n");
  podman("keel", ["rm", "who"]);
});

t("load: podman takes what berth save wrote, in both formats", async () => {
  for (const format of ["oci-archive", "docker-archive"] as const) {
    const archive = await place.saved(format);
    podman("keel", ["rmi", "-f", IMAGE]);
    const loaded = podman("keel", ["load", "-i", archive]);
    assert.equal(loaded.code, 0, loaded.err);
    assert.ok(loaded.out.includes(IMAGE), loaded.out);
    assert.equal(podman("keel", ["run", "--rm", ...N, IMAGE, "true"]).code, 0);
  }
  podman("keel", ["load", "-i", place.archive()]);
});

t("runtime_supports_json: podman takes the sentence from keel's log, without the hint", () => {
  const ran = podman("keel", ["run", "--rm", ...N, IMAGE, "nosuch"]);
  const said =
    'Error: keel: exec: "nosuch": executable file not found in $PATH: OCI runtime attempted to invoke a command';
  assert.ok(ran.err.startsWith(said), ran.err);
});

t("runtime_supports_nocgroup: --cgroups=disabled leaves the container in podman's cgroup", () => {
  const ran = podman("keel", ["run", "--rm", ...N, "--cgroups=disabled", IMAGE, "cat", "/proc/self/cgroup"]);
  assert.equal(ran.code, 0, ran.err);
  assert.doesNotMatch(ran.out, /libpod-[0-9a-f]{64}\n/);
});

t("pods: the containers of a pod share its namespaces", () => {
  sameStory(engine, (command) => {
    const infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];
    assert.equal(command(["pod", "create", "--name", "pod", ...N, "--hostname", "p", ...infra]).code, 0);
    assert.equal(command(["run", "--rm", "--pod", "pod", IMAGE, "hostname"]).out, "p\n");
    command(["pod", "rm", "-f", "-t", "0", "pod"]);
  });
});

t("descriptors: --preserve-fds of run and exec, and sockets that systemd passed", () => {
  const file = join(place.dir, "file");
  writeFileSync(file, "given\n");
  const list = "cat <&3; env | grep ^LISTEN | sort";
  sameStory(engine, (command) => {
    // every reader moves the one offset
    const positioned = (args: readonly string[], more: CallOptions = {}): ReturnType<Command> =>
      command(args, { ...more, fds: [openSync(file, "r")] });
    assert.equal(positioned(["run", "--rm", ...N, "--preserve-fds", "1", IMAGE, "sh", "-c", "cat <&3"]).out, "given\n");
    command(["run", "-d", "--name", "fds", ...N, IMAGE, "sleep", "1000"]);
    assert.equal(positioned(["exec", "--preserve-fds", "1", "fds", "sh", "-c", "cat <&3"]).out, "given\n");
    command(["rm", "-f", "-t", "0", "fds"]);
  });
  const told = (runtime: Runtime): ReturnType<Engine["call"]> => {
    const [program, ...args] = words(runtime, ["run", "--rm", ...N, IMAGE, "sh", "-c", list]);
    const shell = 'LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec "$@"';
    return call("sh", ["-c", shell, "sh", program, ...args], { env, fds: [openSync(file, "r")] });
  };
  const keel = told("keel");
  assert.equal(keel.out, "given\nLISTEN_FDNAMES=web\nLISTEN_FDS=1\nLISTEN_PID=1\n", keel.err);
  assert.equal(told("runc").out, keel.out);
});

t("user namespaces: --uidmap with a root of its own ids", () => {
  sameStory(engine, (command) => {
    const maps = ["--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000"];
    const script =
      "id -u; cat /proc/self/uid_map; touch /x; stat -c %u /x; grep ^Cap /proc/self/status; ls /sys/fs/cgroup | sort";
    const ran = command(["run", "--rm", ...maps, ...N, IMAGE, "sh", "-c", script]);
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.out, /^0\n +0 +100000 +1000\n0\n/);
  });
});

t("log drivers: k8s-file, none and passthrough", () => {
  sameStory(engine, (command) => {
    const run = (driver: string): ReturnType<Command> =>
      command(["run", "--rm", ...N, "--log-driver", driver, IMAGE, "sh", "-c", "echo out; echo err >&2"]);
    for (const driver of ["k8s-file", "none", "passthrough"]) assert.equal(run(driver).out, "out\n");
  });
});

t("files: cp and diff of a running container", () => {
  mkdirSync(join(place.dir, "copied"), { recursive: true });
  writeFileSync(join(place.dir, "copied/file"), "copied\n");
  sameStory(engine, (command) => {
    command(["run", "-d", "--name", "files", ...N, IMAGE, "sleep", "1000"]);
    command(["cp", join(place.dir, "copied"), "files:/tmp"]);
    assert.equal(command(["exec", "files", "cat", "/tmp/copied/file"]).out, "copied\n");
    command(["diff", "files"]);
    command(["rm", "-f", "-t", "0", "files"]);
  });
});

/** podman as a user without subordinate ids or a cgroup of its own: root of a user namespace that has one id. */
function rootless(runtime: Runtime, args: readonly string[]): ReturnType<Engine["call"]> {
  const dir = join(place.dir, "rootless");
  const own = { ...env, HOME: join(dir, "home"), XDG_RUNTIME_DIR: join(dir, "run"), USER: "nobody" };
  const user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const chosen = runtime === "keel" ? [] : ["--runtime", runtime];
  const flags = ["--storage-driver", "vfs", "--events-backend", "file", "--cgroup-manager", "cgroupfs"];
  return call("setpriv", [...user, "podman", ...flags, ...chosen, ...args], { env: own, cwd: "/" });
}

function rootlessSkip(): string | false {
  if (engine.skip) return engine.skip;
  for (const name of ["home", "run"])
    tool("install", "-d", "-o", "65534", "-g", "65534", join(place.dir, "rootless", name));
  const nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  if (call("setpriv", [...nobody, "test", "-x", KEEL]).code !== 0) return `another user may not execute ${KEEL}`;
  const loaded = rootless("runc", ["load", "-i", place.archive()]);
  if (loaded.code !== 0) return `rootless podman does not load an image here: ${loaded.err.trim()}`;
  const ran = rootless("runc", ["run", "--rm", ...N, IMAGE, "true"]);
  return ran.code === 0 ? false : `rootless podman does not work with runc here: ${ran.err.trim()}`;
}

test("rootless: run, exec, logs, kill and exit codes as under runc", { skip: rootlessSkip(), timeout: 120_000 }, () => {
  const [runc, keel] = (["runc", "keel"] as const).map((runtime) => {
    const told = (...args: readonly string[]): readonly [number, string] => {
      const ran = rootless(runtime, args);
      return [ran.code, ran.out.replace(/\b[0-9a-f]{12,64}\b/g, "ID")];
    };
    const script = "id -u; cat /proc/self/uid_map; grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; ls /dev; exit 7";
    return [
      told("run", "--rm", ...N, IMAGE, "sh", "-c", script),
      told("run", "--rm", ...N, IMAGE, "nosuch"),
      told("run", "-d", "--name", "r", ...N, IMAGE, "sh", "-c", "echo out; exec sleep 1000"),
      told("exec", "r", "sh", "-c", "echo in; exit 5"),
      told("logs", "r"),
      told("kill", "-s", "KILL", "r"),
      told("wait", "r"),
      told("rm", "r"),
    ];
  });
  assert.equal(keel?.[0]?.[0], 7);
  assert.match(keel?.[0]?.[1] ?? "", /^0\n +0 +65534 +1\n/);
  assert.deepEqual(keel, runc);
});

dockerLikeTests(engine);
