/** berth against docker and ctr: a container's life as a user asks for it, and what an idle one costs. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BERTH, type Contender, interleave, run } from "../measure.ts";
import { printComparison, printTable, printVerdict } from "../report.ts";
import { PEER_IMAGE, type Peer, startContainerd, startDocker } from "./peers.ts";

const ROUNDS = 30;

export async function engineCase(): Promise<boolean> {
  const dir = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const docker = await startDocker(dir);
  const containerd = await startContainerd(dir);
  try {
    return [runCase(dir, docker, containerd), monitorCase(dir, containerd)].every(Boolean);
  } finally {
    docker.stop();
    containerd.stop();
    unmountBelow(dir);
    rmSync(dir, { recursive: true, force: true });
  }
}

const berth = (dir: string, ...args: readonly string[]): readonly string[] => [
  BERTH,
  "--root",
  join(dir, "berth"),
  "--run-root",
  join(dir, "berth-run"),
  ...args,
];

function runCase(dir: string, docker: Peer, containerd: Peer): boolean {
  const [program = "", ...args] = berth(dir, "run", "--rm", "--network", "none", PEER_IMAGE, "true");
  run(program, ...args); // loads the image
  const contenders: Contender[] = [
    { name: "berth", commands: [[program, ...args]] },
    {
      name: "docker",
      skip: docker.skip,
      commands: [[...docker.client, "run", "--rm", "--network", "none", PEER_IMAGE, "/bin/true"]],
    },
    {
      name: "ctr",
      skip: containerd.skip,
      commands: [[...containerd.client, "run", "--rm", PEER_IMAGE, "bench", "/bin/true"]],
    },
  ];
  return printComparison("run --rm --network none IMAGE true", contenders, interleave(contenders, ROUNDS), [
    { ours: "berth", peer: "docker", what: "wall", atMost: 0.5 },
    { ours: "berth", peer: "ctr", what: "wall", atMost: 1.0 },
  ]);
}

interface Memory {
  readonly name: string;
  readonly residentKib: number;
  readonly proportionalKib: number;
}

/** Resident and proportional set of the process that stays with one idle container. */
function monitorCase(dir: string, containerd: Peer): boolean {
  const [program = "", ...args] = berth(dir, "run", "-d", "--network", "none", PEER_IMAGE, "sleep", "1000");
  const id = run(program, ...args).trim();
  const rows: Memory[] = [];
  try {
    if (containerd.skip === undefined)
      run(containerd.client[0] ?? "", ...containerd.client.slice(1), "run", "-d", PEER_IMAGE, "idle", "sleep", "1000");
    // idle is what has had nothing to do for a while: the same while for both
    spawnSync("sleep", ["4"]);
    rows.push(
      memoryOf("keel monitor", (command) => command.includes("keel") && command.includes("monitor"), id.slice(0, 32)),
    );
    if (containerd.skip === undefined)
      rows.push(memoryOf("containerd-shim-runc-v2", (command) => command.includes("shim"), "idle"));
  } finally {
    const [rm = "", ...rmArgs] = berth(dir, "rm", "-f", id);
    run(rm, ...rmArgs);
    spawnSync(containerd.client[0] ?? "", [...containerd.client.slice(1), "task", "kill", "-s", "KILL", "idle"]);
    spawnSync("sleep", ["0.5"]);
    spawnSync(containerd.client[0] ?? "", [...containerd.client.slice(1), "container", "rm", "idle"]);
  }
  console.log("\nMemory of the process that stays with an idle container");
  printTable(
    ["", "resident", "proportional"],
    rows.map((row) => [row.name, `${row.residentKib} KiB`, `${row.proportionalKib} KiB`]),
  );
  if (containerd.skip !== undefined) console.log(`  containerd's shim is left out: ${containerd.skip}`);
  const [ours, shim] = rows;
  if (ours === undefined) return false;
  const small = printVerdict("proportional set of the monitor, MiB", ours.proportionalKib / 1024, 1.0);
  if (shim === undefined) return small;
  return printVerdict("resident set of the monitor / shim", ours.residentKib / shim.residentKib, 0.25) && small;
}

function memoryOf(name: string, isIt: (command: string) => boolean, marker: string): Memory {
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    let command = "";
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue; // it ended meanwhile
    }
    if (!isIt(command) || !command.includes(marker)) continue;
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const field = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(rollup)?.[1]);
    return { name, residentKib: field("Rss"), proportionalKib: field("Pss") };
  }
  throw new Error(`no process of ${name}`);
}

function unmountBelow(dir: string): void {
  const targets = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((target) => target.startsWith(`${dir}/`));
  for (const target of targets.reverse()) spawnSync("umount", ["-l", target]);
}
