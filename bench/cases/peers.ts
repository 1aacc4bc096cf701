/** Daemons of the peers, apart from everything else on this machine; each holds the same busybox image. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, openSync, readFileSync } from "node:fs";
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
  mkdirSync(dir, { recursive: true });
  const client = ["docker", "-H", `unix://${dir}/docker.sock`];
  const args = ["--data-root", `${dir}/docker`, "--exec-root", `${dir}/docker-run`, "--pidfile", `${dir}/docker.pid`];
  args.push("-H", `unix://${dir}/docker.sock`, "--bridge=none", "--iptables=false");
  const skip = missing("dockerd") ?? missing("docker");
  return startPeer({ skip, daemon: ["dockerd", ...args], client, log: `${dir}/dockerd.log` }, () => {
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
  mkdirSync(dir, { recursive: true });
  const client = ["ctr", "-a", `${dir}/containerd.sock`];
  const args = ["--root", `${dir}/containerd`, "--state", `${dir}/containerd-run`, "-a", `${dir}/containerd.sock`];
  const skip = missing("containerd") ?? missing("ctr");
  return startPeer({ skip, daemon: ["containerd", ...args], client, log: `${dir}/containerd.log` }, () => {
    run(client[0] ?? "", ...client.slice(1), "image", "import", IMAGE_ARCHIVE);
  });
}

interface Daemon {
  readonly skip: string | undefined;
  readonly daemon: readonly [string, ...string[]];
  readonly client: readonly string[];
  readonly log: string;
}

async function startPeer({ skip, daemon, client, log }: Daemon, fill: () => void): Promise<Peer> {
  if (skip !== undefined) return { skip, client, stop: () => {} };
  const [program, ...args] = daemon;
  const output = openSync(log, "a");
  const child = spawn(program, args, { stdio: ["ignore", output, output] });
  const stop = (): void => stopPeer(child);
  if (!(await answers(client))) {
    stop();
    return { skip: `${program} does not answer within 30 s`, client, stop: () => {} };
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

/** Or is there for us to reap, which takes a turn of the event loop. */
function hasEnded(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return true;
  }
}

function stopPeer(child: ChildProcess): void {
  child.kill("SIGTERM");
  const pid = child.pid;
  for (let attempt = 0; attempt < 100 && pid !== undefined; attempt++) {
    if (hasEnded(pid)) return;
    spawnSync("sleep", ["0.1"]);
  }
  child.kill("SIGKILL");
}
