import assert from "node:assert/strict";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { tool, until } from "../e2e/harness.ts";
import { type Field, fieldsOf, message, Service, textOf } from "./grpc.ts";
import { callerSkip, Daemon, documented, IMAGE, Place, removeCgroupParents } from "./harness.ts";

/** What a kubelet asks of containerd, with the runtime class that the documented configuration makes. */

const PAUSE = "berth.local/pause:1";
const NODE = 2;
const place = new Place();
const socket = join(place.dir, "containerd.sock");
const env = { ...process.env, CONTAINERD_ADDRESS: socket };
let daemon: Daemon | undefined;
let cri: Service | undefined;

/** The hello image with a program that stays, as what holds a pod's namespaces. */
function pauseArchive(): string {
  const layout = join(place.dir, "layout");
  const archive = join(place.dir, "pause.tar");
  tool("skopeo", "copy", "-q", "--insecure-policy", `docker-archive:${place.archive()}`, `oci:${layout}:pause`);
  tool("umoci", "config", "--image", `${layout}:pause`, "--config.cmd", "sleep", "--config.cmd", "1000000");
  tool("skopeo", "copy", "-q", "--insecure-policy", `oci:${layout}:pause`, `docker-archive:${archive}:${PAUSE}`);
  return archive;
}

function startContainerd(): Daemon {
  const at = (name: string): string => join(place.dir, name);
  const lines = documented("containerd", "toml").split("\n");
  const own = [`root = "${at("root")}"`, `state = "${at("state")}"`, "[grpc]", `address = "${socket}"`];
  own.push('[plugins."io.containerd.grpc.v1.cri"]', `sandbox_image = "${PAUSE}"`, "restrict_oom_score_adj = true");
  writeFileSync(at("config.toml"), [lines[0], ...own, ...lines.slice(1)].join("\n"));
  return new Daemon(["containerd", "-c", at("config.toml")], { env, log: openSync(at("containerd.log"), "a") });
}

async function prepare(): Promise<string | false> {
  const missing = callerSkip("containerd", "ctr", "umoci");
  if (missing) return missing;
  daemon = startContainerd();
  if (!(await daemon.answers(["ctr", "version"], env))) return "containerd does not answer within 30 s";
  for (const archive of [pauseArchive(), place.archive()])
    tool("ctr", "-a", socket, "-n", "k8s.io", "image", "import", archive);
  cri = new Service(socket, "runtime.v1.RuntimeService");
  try {
    await cri.call("Status", message());
  } catch (error) {
    return `containerd has no CRI on this machine: ${error instanceof Error ? error.message : error}`;
  }
  return false;
}

const skip = await prepare();
const ask = async (method: string, ...fields: readonly Field[]): Promise<ReadonlyMap<number, number | Buffer>> => {
  assert.ok(cri);
  return cri.call(method, message(...fields));
};

after(async () => {
  cri?.[Symbol.dispose]();
  await daemon?.stop();
  removeCgroupParents("keel-pods", "k8s.io");
  place.remove();
});

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 60_000 }, body);

/** PodSandboxConfig: the node's network, so that no CNI is needed. */
function podConfig(name: string): Buffer {
  const namespaces = message([1, NODE]);
  const linux = message([1, "/keel-pods"], [2, message([1, namespaces])]);
  return message([1, message([1, name], [2, `uid-${name}`], [3, "default"])], [3, join(place.dir, "logs")], [8, linux]);
}

/** keel keeps a container's configuration beside its state, in the directory that the shim names; runc does not. */
const madeByKeel = (id: string): boolean => existsSync(`/run/containerd/runc/k8s.io/${id}/config.json`);

t("a pod of the runtime class keel: container, limits, exec, update, logs, stop and removal", async () => {
  mkdirSync(join(place.dir, "logs"), { recursive: true });
  const pod = podConfig("pod");
  const sandbox = textOf((await ask("RunPodSandbox", [1, pod], [2, "keel"])).get(1));
  assert.ok(madeByKeel(sandbox));

  const resources = message([1, 100_000], [2, 50_000], [4, 67_108_864]);
  const user = message([5, message([1, 65_534])]);
  const script = "id -u; echo err >&2; trap 'exit 3' TERM; while :; do sleep 0.1; done";
  const container = message(
    [1, message([1, "main"])],
    [2, message([1, IMAGE])],
    ...["sh", "-c", script].map((word): Field => [3, word]),
    [11, "main.log"],
    [15, message([1, resources], [2, user])],
  );
  const id = textOf((await ask("CreateContainer", [1, sandbox], [2, container], [3, pod])).get(1));
  await ask("StartContainer", [1, id]);
  const log = join(place.dir, "logs/main.log");
  await until(
    "the log",
    () => /stdout F 65534\n/.test(readFileSync(log, "utf8")) && /stderr F err\n/.test(readFileSync(log, "utf8")),
  );

  const limit = [
    "sh",
    "-c",
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; exit 5",
  ];
  const exec = (): Promise<ReadonlyMap<number, number | Buffer>> =>
    ask("ExecSync", [1, id], ...limit.map((word): Field => [2, word]), [3, 10]);
  const first = await exec();
  assert.deepEqual([textOf(first.get(1)), first.get(3)], ["67108864\n", 5]);
  await ask("UpdateContainerResources", [1, id], [2, message([4, 134_217_728])]);
  assert.equal(textOf((await exec()).get(1)), "134217728\n");
  await assert.rejects(ask("ExecSync", [1, id], [2, "nosuch"], [3, 10]), /executable file not found in \$PATH/);

  await ask("StopContainer", [1, id], [2, 10]);
  const status = fieldsOf((await ask("ContainerStatus", [1, id])).get(1) as Buffer);
  assert.equal(status.get(7), 3);
  await ask("RemoveContainer", [1, id]);
  await ask("StopPodSandbox", [1, sandbox]);
  await ask("RemovePodSandbox", [1, sandbox]);
  assert.ok(!madeByKeel(sandbox));
  assert.equal(tool("find", "/sys/fs/cgroup", "-name", `*${id}*`), "");
});

t("a container whose program is missing: the kubelet is told why", async () => {
  const pod = podConfig("bad");
  const sandbox = textOf((await ask("RunPodSandbox", [1, pod], [2, "keel"])).get(1));
  const container = message([1, message([1, "main"])], [2, message([1, IMAGE])], [3, "nosuch"]);
  const id = textOf((await ask("CreateContainer", [1, sandbox], [2, container], [3, pod])).get(1));
  await assert.rejects(ask("StartContainer", [1, id]), /exec: "nosuch": executable file not found in \$PATH/);
  await ask("RemoveContainer", [1, id]);
  await ask("StopPodSandbox", [1, sandbox]);
  await ask("RemovePodSandbox", [1, sandbox]);
});
