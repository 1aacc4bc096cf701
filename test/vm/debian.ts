import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const TOOLS = join(import.meta.dirname, "../../.tools/vm");
const PACKAGES = [
  "systemd-sysv",
  "dbus",
  "dbus-user-session",
  "libpam-systemd",
  "busybox-static",
  "libatomic1",
  "runc",
  "crun",
  "time",
  "python3-minimal",
];

/** Units that a machine needs which is there for a minute: everything else makes it boot slower. */
const MASKED = [
  "systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket",
  "systemd-hwdb-update.service systemd-random-seed.service systemd-timesyncd.service systemd-update-utmp.service",
  "systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service systemd-fsck-root.service",
  "systemd-tmpfiles-setup-dev.service systemd-sysusers.service systemd-machine-id-commit.service getty.target",
  "systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-journal-flush.service e2scrub_reap.service",
  "dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount",
  "sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount",
]
  .join(" ")
  .split(" ");

/** Runs the suites and ends the machine. What it writes goes to the console as it is. */
const UNIT = `[Unit]
Description=test suites
Wants=basic.target dbus.socket
After=basic.target dbus.socket

[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
ExecStart=/berth/suites.sh
ExecStopPost=systemctl poweroff -ff
`;

/** Why no such guest can be made here, or false. */
export function debianSkip(): string | false {
  if (existsSync(image())) return false;
  if (process.getuid?.() !== 0) return "needs root to make the guest's disk (once)";
  for (const tool of ["debootstrap", "mke2fs"]) {
    if (spawnSync("sh", ["-c", 'command -v "$1"', "sh", tool]).status !== 0)
      return `needs ${tool} (./run-tests installs it when it may)`;
  }
  return codename() === "" ? "needs a Debian or Ubuntu to take the guest's system from" : false;
}

function codename(): string {
  return /^VERSION_CODENAME=(\S+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
}

/** The image's name tells what it is made of, so that a change here makes another one. */
function image(): string {
  const made = [PACKAGES, MASKED, UNIT, prepare.toString()].join("\n");
  return join(TOOLS, `${codename()}-${createHash("sha256").update(made).digest("hex").slice(0, 12)}.ext4`);
}

/**
 * A disk with this machine's release, systemd, runc and crun, on which suites run instead of a login; made once.
 *
 * @returns its path, and the words that the kernel needs to boot it so
 */
export function debianDisk(): { readonly disk: string; readonly append: string } {
  const append = "systemd.unit=suites.service systemd.show_status=0 systemd.log_level=warning";
  const disk = image();
  if (existsSync(disk)) return { disk, append };
  const root = join(TOOLS, "root");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(TOOLS, { recursive: true });
  try {
    const include = `--include=${PACKAGES.join(",")}`;
    execFileSync("debootstrap", ["--variant=minbase", include, codename(), root], { stdio: "pipe", timeout: 600_000 });
    prepare(root);
    execFileSync("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-d", root, `${disk}.new`, "600M"]);
    renameSync(`${disk}.new`, disk);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return { disk, append };
}

function prepare(root: string): void {
  for (const path of ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"]) {
    rmSync(join(root, path), { recursive: true, force: true });
  }
  const units = join(root, "etc/systemd/system");
  for (const unit of MASKED) {
    rmSync(join(units, unit), { force: true });
    symlinkSync("/dev/null", join(units, unit));
  }
  writeFileSync(join(units, "suites.service"), UNIT);
  writeFileSync(join(root, "etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
  mkdirSync(join(root, "berth"));
  execFileSync("chroot", [root, "useradd", "--create-home", "--uid", "1000", "--shell", "/bin/sh", "user"]);
}
