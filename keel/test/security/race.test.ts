/** Races with whoever shares a volume with the container: 1,000 starts each, while a program swaps what keel looks at. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bundle, bundle, type Loose } from "../harness.ts";
import { attacker, ROUNDS, type Rounds, runRounds, skipRace, swapping } from "./attack.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip: skipRace }, body);

interface Volume {
  readonly made: Bundle;
  /** A directory of the host that no container was given. */
  readonly outside: string;
  readonly seen: Rounds;
}

let volume: Volume | undefined;

/**
 * A container whose volume holds `a`, in turn a directory and a symlink to a directory of the host, with mounts below
 * it: one onto it, one whose directories have to be made, one onto a file to be made, one of procfs. A hook looks at the
 * mounts of init before it has left the host's tree.
 */
function raceInVolume(): Volume {
  if (volume) return volume;
  const made = bundle(["true"], (s) => {
    s.mounts.push(
      { destination: "/vol", type: "bind", source: "vol", options: ["rbind"] },
      { destination: "/vol/a", type: "tmpfs", source: "tmpfs" },
      { destination: "/vol/c/made/deep", type: "tmpfs", source: "tmpfs" },
      { destination: "/vol/c/file", type: "bind", source: "config.json", options: ["bind", "ro"] },
      { destination: "/vol/c/proc", type: "proc", source: "proc" },
    );
  });
  const outside = join(made.dir, "outside");
  const vol = join(made.dir, "vol");
  mkdirSync(outside);
  mkdirSync(join(outside, "proc"));
  for (const sub of ["a", "c"]) {
    mkdirSync(join(vol, sub), { recursive: true });
    symlinkSync(outside, join(vol, `${sub}.link`));
  }
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  // below the container's root a mount point's path begins with that of the bundle's rootfs
  const args = ["attacker", "mounts", outside, join(made.dir, "escaped")];
  spec.hooks = { createContainer: [{ path: attacker(), args }] };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  const stop = swapping(...["a", "a.link", "c", "c.link"].map((name) => join(vol, name)));
  const seen = runRounds(made);
  stop();
  volume = { made, outside, seen };
  return volume;
}

t("race: no mount lands on the host when its target is swapped for a symlink (CVE-2021-30465)", () => {
  const { made, seen } = raceInVolume();
  assert.equal(existsSync(join(made.dir, "escaped")), false, "a mount was made outside of the root");
  assert.ok(seen.ok > ROUNDS / 20, `only ${seen.ok} of ${ROUNDS} containers started: ${seen.err.slice(0, 500)}`);
});

t("race: no directory and no file is made on the host on the way to a mount point (CVE-2024-45310)", () => {
  const { outside } = raceInVolume();
  assert.deepEqual(readdirSync(outside), ["proc"]);
});

t("race: what loses a race says where, and never fails in an unforeseen way", () => {
  const { seen } = raceInVolume();
  for (const line of seen.err.split("\n"))
    if (line !== "") assert.match(line, /\/vol|rootfs|config\.json/, `unforeseen: ${line}`);
  assert.doesNotMatch(seen.err, /keel failed|TypeError|Internal/);
});

t("race: a masked file shows nothing, whatever /dev/null of the image becomes (CVE-2025-31133)", () => {
  const made = bundle(["cat", "/proc/version", "/proc/cpuinfo"], (s) => {
    s.mounts = s.mounts.filter((m: Loose) => !m.destination.startsWith("/dev"));
    s.mounts.push({ destination: "/dev", type: "bind", source: "vol", options: ["rbind"] });
    s.linux.maskedPaths = ["/proc/version", "/proc/cpuinfo"];
  });
  const vol = join(made.dir, "vol");
  mkdirSync(vol);
  // the first container makes the nodes
  assert.equal(runRounds(made, 1).ok, 1);
  symlinkSync("/proc/sys/kernel/core_pattern", join(vol, "evil"));
  const stop = swapping(join(vol, "null"), join(vol, "evil"));
  const seen = runRounds(made);
  stop();
  assert.equal(seen.out, "");
  assert.ok(seen.ok > ROUNDS / 20, `only ${seen.ok} of ${ROUNDS} containers started: ${seen.err.slice(0, 500)}`);
});

t("race: /dev/console is the terminal, whatever /dev/pts of the image becomes (CVE-2025-52565)", () => {
  const script = 'test -c /dev/console && exit; echo "console: $(cat /dev/console)"';
  const made = bundle(["sh", "-c", script], (s) => {
    s.process.terminal = true;
    s.mounts = s.mounts.filter((m: Loose) => !m.destination.startsWith("/dev"));
    s.mounts.push(
      { destination: "/dev", type: "bind", source: "vol", options: ["rbind"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
    );
  });
  const vol = join(made.dir, "vol");
  for (const sub of ["pts", "evil"]) mkdirSync(join(vol, sub), { recursive: true });
  symlinkSync("/proc/version", join(vol, "evil/0"));
  symlinkSync("/proc/version", join(vol, "evil/ptmx"));
  const stop = swapping(join(vol, "pts"), join(vol, "evil"));
  const seen = runRounds(made);
  stop();
  assert.doesNotMatch(seen.out, /console:/);
  assert.ok(seen.ok > ROUNDS / 20, `only ${seen.ok} of ${ROUNDS} containers started: ${seen.err.slice(0, 500)}`);
});
