import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const REPO = join(import.meta.dirname, "../..");
/** Programs of this machine that suites use in the guest, where they are there. */
const PROGRAMS: readonly string[] = [
  "/sbin/apparmor_parser",
  "/bin/bash",
  "/usr/bin/setpriv",
  // and what it saves a tmpfs with, for which busybox's tar lacks options
  "/usr/sbin/criu",
  "/bin/tar",
  "/bin/gzip",
];

/**
 * Fills a directory with what the guest boots into: busybox, Node.js, kernel modules, and of this repository what the
 * suites need.
 */
export function makeInitramfs(root: string, suites: readonly string[], modules: readonly string[]): void {
  for (const name of ["bin", "dev", "etc", "lib64", "modules", "newroot", "proc", "root", "run", "sys", "tmp"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).split("\n")) {
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  }
  copyProgram(root, process.execPath, "bin/node");
  for (const program of PROGRAMS) {
    if (existsSync(program)) copyProgram(root, program, join("programs", basename(program)));
  }
  for (const module of modules) copyFileSync(module, join(root, "modules", basename(module)));
  for (const script of ["init.sh", "suites.sh"]) {
    copyFileSync(join(import.meta.dirname, script), join(root, script));
    chmodSync(join(root, script), 0o755);
  }
  symlinkSync("init.sh", join(root, "init"));
  writeFileSync(join(root, "etc/suites"), suites.join(" "));
  copyRepository(join(root, "repo"));
}

function copyProgram(root: string, program: string, to: string): void {
  for (const file of [...librariesOf(program), to]) mkdirSync(join(root, dirname(file)), { recursive: true });
  for (const library of librariesOf(program)) copyFileSync(library, join(root, library));
  copyFileSync(program, join(root, to));
}

function librariesOf(program: string): readonly string[] {
  const listed = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...listed.matchAll(/\s(\/\S+)/g)].map((match) => match[1] ?? "");
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
