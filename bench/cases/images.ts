/** berth against containerd, dockerd, podman and skopeo: images come from and go to a registry on loopback. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDockerRegistry } from "../../test/docker-registry.ts";
import { missing, run } from "../measure.ts";
import { bigFileLayer, pushFixture, smallFilesLayer, systemLayers } from "./fixtures.ts";
import { listingRow } from "./listing.ts";
import { memoryRow } from "./memory.ts";
import { type PullRow, pullRow } from "./pull.ts";
import { pushRow } from "./push.ts";
import { throughputRow } from "./throughput.ts";

/** About 120 MB of gzip. */
const SYSTEM_BYTES = 245_000_000;
const SMALL_FILES = 60_000;

export async function imagesCase(): Promise<boolean> {
  const skip = missing("docker-registry");
  if (skip !== undefined) {
    console.log(`\nimages are left out: ${skip}`);
    return true;
  }
  const dir = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const memory = join(dir, "m");
  mkdirSync(memory);
  run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", memory);
  const registry = await startDockerRegistry(dir);
  try {
    return await allRows(dir, memory, registry.host);
  } finally {
    registry.child.kill("SIGKILL");
    run("umount", "-l", memory);
    rmSync(dir, { recursive: true, force: true });
  }
}

async function allRows(dir: string, memory: string, host: string): Promise<boolean> {
  const system = systemLayers(dir, SYSTEM_BYTES);
  await pushFixture(host, "system", system);
  await pushFixture(host, "small", [smallFilesLayer(dir, SMALL_FILES)]);
  for (const [name, bytes] of [["mb100", 1e8] as const, ["mb1000", 1e9] as const])
    await pushFixture(host, name, [bigFileLayer(dir, bytes)]);

  const five = { title: `${megabytes(system)} MB in 5 layers`, image: `${host}/system:1`, atMost: 0.5 };
  const small = { title: "60,000 small files", image: `${host}/small:1`, atMost: 0.7 };
  const pulls: readonly (readonly [PullRow, "warm" | "cold"])[] = [
    [{ ...five, rounds: 3 }, "warm"],
    [{ ...small, rounds: 2 }, "warm"],
    [{ ...five, rounds: 2 }, "cold"],
    [{ ...small, rounds: 2 }, "cold"],
  ];
  let met = true;
  for (const [i, [row, caches]] of pulls.entries())
    met = (await pullRow(join(caches === "warm" ? memory : dir, String(i)), row, caches)) && met;
  met = (await memoryRow(memory, [`${host}/mb100:1`, `${host}/mb1000:1`])) && met;
  met = (await pushRow(memory, host, system)) && met;
  met = (await listingRow(memory)) && met;
  return (
    throughputRow(
      dir,
      system.map(({ path }) => path),
    ) && met
  );
}

function megabytes(layers: readonly { readonly size: number }[]): number {
  return Math.round(layers.reduce((sum, { size }) => sum + size, 0) / 1e6);
}
