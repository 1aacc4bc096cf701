import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, existsSync, globSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "node:path";
import { parseTap, type TapResult } from "../tap.ts";
import { makeInitramfs } from "./initramfs.ts";

export const REPO: string = join(import.meta.dirname, "../..");
const TOOLS = join(REPO, ".tools/vm");
const QEMU = "qemu-system-x86_64";
/** Under emulation a guest with all suites takes two minutes on a quiet machine; one that takes this long hangs. */
const LIMIT_MS = 900_000;

/** A kernel that setup/setup.sh fetched: this release's own, or that of the release before it, two years older. */
export type Kernel = "kernel" | "older";

export interface Guest {
  readonly kernel: Kernel;
  /** Test files below the repository's root; they may import what is below keel/ and packages/protocol. */
  readonly suites: readonly string[];
  /** An ext4 image with systemd, which becomes the root and process 1; else busybox on a tmpfs. */
  readonly disk?: string;
  /** More words for the kernel's command line. */
  readonly append?: string;
}

export interface GuestRun {
  /** Kernel and controllers, as the guest tells them. */
  readonly about: string;
  readonly results: readonly TapResult[];
}

/** Why no guest can be started here, or false. */
export function vmSkip(kernel: Kernel = "kernel"): string | false {
  if (process.arch !== "x64") return `the guest is x86_64, this machine is ${process.arch}`;
  for (const tool of [QEMU, "cpio", "busybox"]) {
    if (spawnSync("sh", ["-c", 'command -v "$1"', "sh", tool]).status !== 0)
      return `needs ${tool} (./run-tests installs it when it may)`;
  }
  if (existsSync(join(TOOLS, kernel, "vmlinuz"))) return false;
  const which = kernel === "kernel" ? "guest kernel" : "older guest kernel";
  return `there is no ${which}: .tools/setup.log says why it could not be fetched`;
}

/** keel's suites but for those of `without`, so that a new one runs in the guest too. */
export function keelSuites(without: readonly string[]): readonly string[] {
  const all = globSync("keel/test/**/*.test.ts", { cwd: REPO }).sort();
  for (const suite of without) if (!all.includes(suite)) throw new Error(`there is no ${suite} to leave out`);
  return all.filter((suite) => !without.includes(suite));
}

/** Boots the guest, runs its suites and returns what they came to. */
export function runInGuest(guest: Guest): GuestRun {
  const dir = mkdtempSync(join(tmpdir(), "berth-vm-"));
  try {
    const kernel = join(TOOLS, guest.kernel);
    makeInitramfs(join(dir, "root"), guest.suites, globSync(join(kernel, "*.ko*")));
    execFileSync("sh", ["-c", "cd root && find . | cpio --quiet -o -H newc >../initrd"], { cwd: dir });
    const t = boot(guest, join(kernel, "vmlinuz"), join(dir, "initrd"));
    return { ...parseConsole(t), raw: t } as never;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Everything the guest wrote on its console. Emulated: a nested KVM may hang instead of failing. */
function boot(guest: Guest, kernel: string, initrd: string): string {
  // not microvm: it has no clock that the kernel could measure its timers by, which hangs at boot on a busy machine
  const machine = ["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"];
  const size = ["-smp", "2", "-m", "2048"];
  const devices = ["-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"];
  // NVMe, since its driver is in the kernel itself; what the guest writes is thrown away
  if (guest.disk !== undefined) {
    devices.push("-drive", `if=none,id=disk,file=${guest.disk},format=raw,snapshot=on`);
    devices.push("-device", "nvme,drive=disk,serial=berth");
  }
  const words = `console=ttyS0 panic=-1 reboot=t quiet apparmor=1 security=apparmor ${guest.append ?? ""}`;
  // to a file: what a guest that hangs has written so far says where
  const path = `${initrd}.console`;
  const console = openSync(path, "w");
  const args = [...machine, ...size, ...devices, "-kernel", kernel, "-initrd", initrd, "-append", words];
  const ran = spawnSync(QEMU, args, {
    encoding: "utf8",
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
    stdio: ["ignore", console, "pipe"],
  });
  closeSync(console);
  const text = readFileSync(path, "utf8");
  if (!text.includes("guest: end"))
    throw new Error(`the guest did not come to its end: ${ran.error ?? ran.stderr}\n${text.slice(-3000)}`);
  return text;
}

/** What the guest told on its console, the kernel's lines left out. */
export function parseConsole(text: string): GuestRun {
  // the firmware ends its own lines with a cursor movement
  const about = /guest: (Linux .*?)\r*\n/.exec(text)?.[1] ?? "";
  return { about, results: parseTap(text) };
}
