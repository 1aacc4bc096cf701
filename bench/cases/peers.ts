/** Daemons of the peers, apart from everything else on this machine; each holds the same busybox image. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { missing, ROOT, run } from "../measure.ts";

export interface Peer {
  readonly skip: string | undefined;
  /** The client's command line up to its subcommand. */
  readonly client: readonly string[];
  stop(): void;
}

const IMAGE_ARCHIVE = join(ROOT, "dist/hello.tar");
export const PEER_IMAGE = "berth.local/hello:latest";

/** dockerd on sockets and directories of its own below `dir`. */
export async function startDocker(dir: string): Promise<Peer> {
  const client = ["docker", "-H", `unix://${dir}/docker.sock`];
  const args = ["--data-root", `${dir}/docker`, "--exec-root", `${dir}/docker-run`, "--pidfile", `${dir}/docker.pid`];
  args.push("-H", `unix://${dir}/docker.sock`, "--bridge=none", "--iptables=false");
  return startPeer(missing("dockerd") ?? missing("docker"), "dockerd", args, client, dir, () => {
    const rootfs = join(dir, "rootfs");
    mkdirSync(join(rootfs, "bin"), { recursive: true });
    copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
    run("ln", "-sf", "busybox", join(rootfs, "bin/true"));
    run("ln", "-sf", "busybox", join(rootfs, "bin/sleep"));
    run("tar", "-C", rootfs, "-cf", join(dir, "rootfs.tar"), ".");
    run(client[0] ?? "", ...client.slice(1), "import", join(dir, "rootfs.tar"), PEER_IMAGE);
  });
}

/** containerd, likewise. */
export async function startContainerd(dir: string): Promise<Peer> {
  const client = ["ctr", "-a", `${dir}/containerd.sock`];
  const args = ["--root", `${dir}/containerd`, "--state", `${dir}/containerd-run`, "-a", `${dir}/containerd.sock`];
  return startPeer(missing("containerd") ?? missing("ctr"), "containerd", args, client, dir, () => {
    run(client[0] ?? "", ...client.slice(1), "image", "import", IMAGE_ARCHIVE);
  });
}

async function startPeer(
  skip: string | undefined,
  daemon: string,
  args: readonly string[],
  client: readonly string[],
  dir: string,
  fill: () => void,
): Promise<Peer> {
  if (skip !== undefined) return { skip, client, stop: () => {} };
  const log = openSync(join(dir, `${daemon}.log`), "a");
  const child = spawn(daemon, args, { stdio: ["ignore", log, log] });
  const stop = (): void => stopPeer(child);
  if (!(await answers(client))) {
    stop();
    return { skip: `${daemon} does not answer within 30 s`, client, stop: () => {} };
  }
  try {
    fill();
  } catch (error) {
    stop();
    return {
      skip: `it took no image: ${error instanceof Error ? error.message.trim() : error}`,
      client,
      stop: () => {},
    };
  }
  return { skip: undefined, client, stop };
}

async function answers(client: readonly string[]): Promise<boolean> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (spawnSync(client[0] ?? "", [...client.slice(1), "version"], { stdio: "ignore" }).status === 0) return true;
    await sleep(100);
  }
  return false;
}

function stopPeer(child: ChildProcess): void {
  child.kill("SIGTERM");
  const pid = child.pid;
  for (let attempt = 0; attempt < 100 && pid !== undefined; attempt++) {
    if (spawnSync("kill", ["-0", String(pid)], { stdio: "ignore" }).status !== 0) return;
    spawnSync("sleep", ["0.1"]);
  }
  child.kill("SIGKILL");
}
