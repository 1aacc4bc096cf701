/**
 * berth against containerd, dockerd and podman: images come from a registry on loopback and are unpacked. Once with all
 * stores in memory, where only work counts, and once with them on the disk and nothing in the page cache.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BERTH, type Contender, median, missing, type Result, run } from "../measure.ts";
import { printComparison } from "../report.ts";
import { type Peer, startContainerd, startDocker } from "./peers.ts";

export type Caches = "warm" | "cold";

export interface PullRow {
  readonly title: string;
  /** host/repository:tag */
  readonly image: string;
  /** Of the fastest peer's wall time. */
  readonly atMost: number;
  readonly rounds: number;
}

/** Pulls an image with every contender in turn, each time into a store of its own below `dir` that is empty. */
export async function pullRow(dir: string, row: PullRow, caches: Caches): Promise<boolean> {
  const walls = new Map<string, { readonly skip: string | undefined; readonly us: number[] }>();
  for (let round = caches === "warm" ? -1 : 0; round < row.rounds; round++) {
    for (const [i, [name, open]] of Object.entries(PULLERS).entries()) {
      // podman takes no long paths
      const place = join(dir, `${i}.${round + 1}`);
      mkdirSync(place, { recursive: true });
      const puller = await open(place);
      const wall = walls.get(name) ?? { skip: puller.skip, us: [] };
      walls.set(name, wall);
      try {
        if (puller.skip === undefined) {
          settle(caches);
          const us = timePull([...puller.pull, row.image]);
          // Round -1 warms programs and registry up.
          if (round >= 0) wall.us.push(us);
        }
      } finally {
        puller.stop();
      }
      // ext4 is slow to make files for a minute after as many were removed: on the disk they stay until the end.
      if (caches === "warm") emptyStore(place);
    }
  }
  return printRow(row, caches, walls);
}

function timePull(command: readonly string[]): number {
  const [program = "", ...args] = command;
  const began = performance.now();
  run(program, ...args);
  return (performance.now() - began) * 1000;
}

function settle(caches: Caches): void {
  if (caches === "warm") return;
  run("sync");
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

function emptyStore(place: string): void {
  // dockerd and podman leave mounts of their own directories in them
  for (const line of run("findmnt", "-rno", "TARGET").split("\n").reverse())
    if (line.startsWith(`${place}/`)) spawnSync("umount", [line]);
  rmSync(place, { recursive: true, force: true });
}

type Walls = ReadonlyMap<string, { readonly skip: string | undefined; readonly us: readonly number[] }>;

function printRow({ title, atMost }: PullRow, caches: Caches, walls: Walls): boolean {
  const contenders: Contender[] = [...walls].map(([name, { skip }]) => ({ name, skip, commands: [] }));
  const results: Result[] = [...walls].flatMap(([name, { skip, us }]) =>
    skip === undefined ? [{ name, wallUs: us, peakKib: [] }] : [],
  );
  const [, fastest] = results.toSorted((a, b) => rank(a) - rank(b));
  const target = { ours: "berth pull", peer: fastest?.name ?? "", what: "wall", atMost } as const;
  const where = caches === "warm" ? "stores in memory, warm caches" : "stores on the disk, cold caches";
  return printComparison(`pull and unpack of ${title}; ${where}`, contenders, results, [target]);
}

/** Ours first, then the peers by speed. */
const rank = ({ name, wallUs }: Result): number => (name === "berth pull" ? 0 : median(wallUs));

interface Puller {
  readonly skip: string | undefined;
  /** To be followed by the image's name. */
  readonly pull: readonly string[];
  stop(): void;
}

const PULLERS: Readonly<Record<string, (dir: string) => Puller | Promise<Puller>>> = {
  "berth pull": (dir) => plain([BERTH, "--root", join(dir, "root"), "--run-root", join(dir, "run"), "pull", "-q"]),
  "ctr image pull": async (dir) => daemon(await startContainerd(dir), ["image", "pull", "--plain-http"]),
  "docker pull": async (dir) => daemon(await startDocker(dir), ["pull", "-q"]),
  "podman pull": (dir) => {
    const own = ["podman", "--root", join(dir, "root"), "--runroot", join(dir, "run"), "--storage-driver", "overlay"];
    return plain([...own, "--cgroup-manager", "cgroupfs", "pull", "-q", "--tls-verify=false"], missing("podman"));
  },
};

function plain(pull: readonly string[], skip?: string): Puller {
  return { skip, pull, stop: () => {} };
}

function daemon(peer: Peer, args: readonly string[]): Puller {
  return { skip: peer.skip, pull: [...peer.client, ...args], stop: peer.stop };
}
