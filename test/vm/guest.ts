import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseTap, type TapResult } from "../tap.ts";

const REPO = join(import.meta.dirname, "../..");
const KERNEL = join(REPO, ".tools/vm/vmlinuz");
const QEMU = "qemu-system-x86_64";
/** Under emulation a guest with the whole suite takes half a minute; one that takes this long hangs. */
const LIMIT_MS = 400_000;

export interface GuestRun {
  /** Kernel and controllers, as the guest tells them. */
  readonly about: string;
  readonly results: readonly TapResult[];
}

/** Why no guest can be started here, or false. */
export function vmSkip(): string | false {
  if (process.arch !== "x64") return `the guest is x86_64, this machine is ${process.arch}`;
  for (const tool of [QEMU, "cpio", "busybox"]) {
    if (spawnSync("sh", ["-c", 'command -v "$1"', "sh", tool]).status !== 0)
      return `needs ${tool} (./run-tests installs it when it may)`;
  }
  return existsSync(KERNEL) ? false : "there is no guest kernel: .tools/setup.log says why it could not be fetched";
}

/**
 * Boots a kernel with these test files of the repository and returns what they came to.
 *
 * @param suites paths below the repository's root; they may import what is below keel/ and packages/protocol
 */
export function runInGuest(suites: readonly string[]): GuestRun {
  const dir = mkdtempSync(join(tmpdir(), "berth-vm-"));
  try {
    makeRoot(join(dir, "root"), suites);
    execFileSync("sh", ["-c", "cd root && find . | cpio --quiet -o -H newc >../initrd"], { cwd: dir });
    return parseConsole(boot(join(dir, "initrd")));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function makeRoot(root: string, suites: readonly string[]): void {
  for (const name of ["bin", "dev", "etc", "lib64", "newroot", "proc", "root", "run", "sys", "tmp"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).split("\n")) {
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  }
  copyFileSync(process.execPath, join(root, "bin/node"));
  for (const library of librariesOf(process.execPath)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library));
  }
  copyFileSync(join(import.meta.dirname, "init.sh"), join(root, "init"));
  chmodSync(join(root, "init"), 0o755);
  writeFileSync(join(root, "etc/suites"), suites.join(" "));
  copyRepository(join(root, "repo"));
}

function copyRepository(to: string): void {
  mkdirSync(join(to, "keel/build"), { recursive: true });
  mkdirSync(join(to, "node_modules/@berth"), { recursive: true });
  cpSync(join(REPO, "package.json"), join(to, "package.json"));
  cpSync(join(REPO, "keel/package.json"), join(to, "keel/package.json"));
  cpSync(join(REPO, "keel/build/keel"), join(to, "keel/build/keel"));
  cpSync(join(REPO, "keel/test"), join(to, "keel/test"), { recursive: true });
  cpSync(join(REPO, "packages/protocol"), join(to, "packages/protocol"), { recursive: true });
  symlinkSync("../../packages/protocol", join(to, "node_modules/@berth/protocol"));
}

function librariesOf(program: string): readonly string[] {
  const listed = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...listed.matchAll(/\s(\/\S+)/g)].map((match) => match[1] ?? "");
}

/** Everything the guest wrote on its console. Emulated: a nested KVM may hang instead of failing. */
function boot(initrd: string): string {
  const machine = ["-M", "microvm,x-option-roms=off,rtc=on", "-accel", "tcg,thread=multi", "-cpu", "max"];
  const size = ["-smp", "2", "-m", "2048"];
  const devices = ["-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"];
  const kernel = ["-kernel", KERNEL, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 reboot=t quiet"];
  const ran = spawnSync(QEMU, [...machine, ...size, ...devices, ...kernel], {
    encoding: "utf8",
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (!ran.stdout.includes("guest: end")) {
    throw new Error(`the guest did not come to its end: ${ran.error ?? ran.stderr}\n${ran.stdout.slice(-3000)}`);
  }
  return ran.stdout;
}

/** What the guest told on its console, the kernel's lines left out. */
export function parseConsole(text: string): GuestRun {
  const lines = text.split(/\r*\n/);
  const about = lines.find((line) => line.startsWith("guest: Linux"))?.slice("guest: ".length) ?? "";
  return { about, results: parseTap(text) };
}
