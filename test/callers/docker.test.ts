import assert from "node:assert/strict";
import { existsSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { tool } from "../e2e/harness.ts";
import { dockerLikeTests, type Engine, type Runtime, sameStory } from "./docker-like.ts";
import {
  type CallOptions,
  call,
  callerSkip,
  Daemon,
  documented,
  IMAGE,
  KEEL,
  Place,
  removeCgroupParents,
} from "./harness.ts";

const N = ["--network", "none"];
/** The distribution's client goes with its dockerd; another in the PATH may have no BuildKit without a plugin. */
const CLIENT = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
const place = new Place();
const socket = join(place.dir, "docker.sock");
const env = { ...process.env, DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: join(place.dir, "client") };
let daemon: Daemon | undefined;

/** The documented daemon.json, and runc under a name of its own: BuildKit takes what `runc` in the PATH is, here keel. */
function startDockerd(): Daemon {
  const configuration = JSON.parse(documented("Docker", "json"));
  configuration.runtimes["real-runc"] = { path: tool("sh", "-c", "command -v runc").trim() };
  writeFileSync(join(place.dir, "daemon.json"), JSON.stringify(configuration));
  mkdirSync(join(place.dir, "bin"));
  symlinkSync(KEEL, join(place.dir, "bin/runc"));
  const at = (name: string): string => join(place.dir, name);
  const args = ["--config-file", at("daemon.json"), "--data-root", at("data"), "--exec-root", at("exec")];
  args.push("--pidfile", at("docker.pid"), "-H", env.DOCKER_HOST);
  args.push("--bridge=none", "--iptables=false", "--ip-forward=false");
  return new Daemon(["dockerd", ...args], {
    env: { ...process.env, PATH: `${at("bin")}:${process.env["PATH"]}` },
    log: openSync(at("dockerd.log"), "a"),
  });
}

function words(runtime: Runtime, args: readonly string[]): readonly [string, ...string[]] {
  const makes = args[0] === "run" || args[0] === "create";
  // none for keel: the documented file makes it the default
  if (!makes || runtime === "keel") return [CLIENT, ...args];
  return [CLIENT, args[0] ?? "", "--runtime", "real-runc", ...args.slice(1)];
}

function docker(runtime: Runtime, args: readonly string[], options: CallOptions = {}): ReturnType<Engine["call"]> {
  const [program, ...rest] = words(runtime, args);
  return call(program, rest, { ...options, env: { ...env, ...options.env } });
}

async function prepare(): Promise<string | false> {
  const missing = callerSkip("dockerd", "docker", "containerd");
  if (missing) return missing;
  daemon = startDockerd();
  if (!(await daemon.answers([CLIENT, "version"], env))) return "dockerd does not answer within 30 s";
  const loaded = docker("runc", ["load", "-i", place.archive()]);
  if (loaded.code !== 0) return `dockerd does not load an image on this machine: ${loaded.err}`;
  const ran = docker("runc", ["run", "--rm", ...N, IMAGE, "true"]);
  return ran.code === 0 ? false : `dockerd does not work with runc on this machine: ${ran.err.trim()}`;
}

process.env["DOCKER_HOST"] = env.DOCKER_HOST;
const engine: Engine = { skip: await prepare(), place, words, call: docker };

after(async () => {
  if (!engine.skip) {
    const ids = docker("keel", ["ps", "-aq"]).out.split("\n").filter(Boolean);
    if (ids.length > 0) docker("keel", ["rm", "-f", ...ids]);
  }
  await daemon?.stop();
  removeCgroupParents("docker");
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void =>
  void test(name, { skip: engine.skip, timeout: 120_000 }, body);

t("the documented daemon.json: keel is the default runtime, and dockerd's own", () => {
  const info = JSON.parse(docker("keel", ["info", "--format", "{{json .}}"]).out);
  assert.equal(info.DefaultRuntime, "keel");
  assert.equal(info.Runtimes.keel.path, KEEL);
  // what `runc` in its PATH says of itself
  assert.equal(info.RuncCommit.ID, "berth");
  docker("keel", ["create", "--name", "who", ...N, IMAGE, "true"]);
  assert.equal(docker("keel", ["inspect", "-f", "{{.HostConfig.Runtime}}", "who"]).out, "keel\n");
  docker("keel", ["rm", "who"]);
});

t("load: docker takes what berth save wrote, in both formats", async () => {
  for (const format of ["oci-archive", "docker-archive"] as const) {
    const archive = await place.saved(format);
    docker("keel", ["rmi", "-f", IMAGE]);
    const loaded = docker("keel", ["load", "-i", archive]);
    assert.equal(loaded.code, 0, loaded.err);
    assert.ok(loaded.out.includes(IMAGE), loaded.out);
    assert.equal(docker("keel", ["run", "--rm", ...N, IMAGE, "true"]).code, 0);
  }
  docker("keel", ["load", "-i", place.archive()]);
});

t("stats, --init and start -a", () => {
  sameStory(engine, (command) => {
    command(["run", "-d", "--name", "stays", ...N, "--init", "--stop-signal", "KILL", IMAGE, "sleep", "1000"]);
    // 0 where containerd cannot find the cgroups of a machine, whichever runtime made them
    assert.match(command(["stats", "--no-stream", "--format", "{{.PIDs}}", "stays"]).out, /^[02]\n$/);
    assert.match(command(["exec", "stays", "cat", "/proc/1/cmdline"]).out, /docker-init/);
    command(["rm", "-f", "stays"]);
    command(["create", "--name", "seen", ...N, IMAGE, "sh", "-c", "echo seen; exit 4"]);
    const attached = command(["start", "-a", "seen"]);
    assert.deepEqual([attached.code, attached.out], [4, "seen\n"]);
    command(["rm", "seen"]);
  });
});

const DOCKERFILE = `FROM ${IMAGE}
RUN echo built >/built && id -u
USER 65534
RUN test $(id -u) = 65534 && grep -q '^Seccomp:.*2' /proc/self/status
`;

function build(buildkit: boolean, dockerfile: string): ReturnType<Engine["call"]> {
  const context = join(place.dir, "context");
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, "Dockerfile"), dockerfile);
  const args = ["build", "--no-cache", ...N, "-t", "built", context];
  return docker("keel", buildkit ? [...args, "--progress", "plain"] : args, {
    env: { DOCKER_BUILDKIT: buildkit ? "1" : "0" },
  });
}

t("docker build, the classic one: with the default runtime, codes of failing commands", () => {
  const built = build(false, DOCKERFILE);
  assert.equal(built.code, 0, built.err);
  assert.equal(docker("keel", ["run", "--rm", ...N, "built", "cat", "/built"]).out, "built\n");
  const failed = build(false, `${DOCKERFILE}RUN exit 5\n`);
  assert.match(failed.err, /returned a non-zero code: 5/);
});

const buildkitSkip =
  engine.skip ||
  (/buildx/.test(build(true, "FROM scratch\n").err)
    ? "this docker client has BuildKit only with the buildx plugin"
    : false);

test("docker build with BuildKit: dockerd's runc is keel, codes of failing commands", { skip: buildkitSkip }, () => {
  const built = build(true, DOCKERFILE);
  assert.equal(built.code, 0, built.err);
  assert.equal(docker("keel", ["run", "--rm", ...N, "built", "cat", "/built"]).out, "built\n");
  const failed = build(true, `${DOCKERFILE}RUN exit 5\n`);
  assert.match(failed.err, /exit code: 5/);
});

dockerLikeTests(engine);
