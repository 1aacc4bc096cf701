/**
 * The C bindings (keel/native). One function per system or library call; none decides anything.
 * Failure is a negative number: -errno. Every descriptor made is close-on-exec. `Bytes` are Duktape plain buffers
 * (Uint8Array). 64-bit values that exceed 2^53 may be given as decimal strings wherever `U64` stands.
 */
type Errno = number;
type Fd = number;
type U64 = number | string;
type Bytes = Uint8Array;

interface Stat {
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly size: number;
  /** ns part apart, both integers. */
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

interface Sys {
  // --- program
  /** argv of this process, [0] is the program. */
  readonly argv: readonly string[];
  /** "x86_64" or "aarch64" … as uname -m. */
  readonly machine: string;
  /** uname release. */
  readonly kernelRelease: string;
  environ(): string[];
  /** Loads and runs another embedded byte code module by its name (e.g. "update"). Its global effects remain. Throws if there is none. */
  loadModule(name: string): void;
  /** Name of an errno ("ENOENT") and its text ("no such file or directory", lower case first letter as Go prints it). */
  errnoName(errno: number): string;
  errnoText(errno: number): string;
  /** Puts every JSON integer literal longer than 15 digits between quotes, outside strings, so that JSON.parse keeps all digits. */
  quoteLongIntegers(json: string): string;
  /** Unix time, nanoseconds, as "sec.nnnnnnnnn" pieces: [sec, nsec]. */
  clockRealtime(): [number, number];
  /** CLOCK_MONOTONIC in microseconds. */
  clockMonotonicUs(): number;
  /** "2026-11-24T08:00:00.123456789Z" for now. */
  rfc3339Nano(): string;
  /** Lower-case hex SHA-256 of the string's UTF-8 bytes (nettle). */
  sha256(s: string): string;
  strlenUtf8(s: string): number;
  bytesFromString(s: string): Bytes;
  stringFromBytes(b: Bytes, start: number, end: number): string;

  // --- processes
  /** clone3 with fork semantics (no stack, exit signal SIGCHLD). cgroupFd ≥ 0 adds CLONE_INTO_CGROUP. Returns the pid, 0 in the child. */
  clone(flags: number, cgroupFd: Fd): number | Errno;
  unshare(flags: number): Errno;
  setns(fd: Fd, type: number): Errno;
  /** Returns the pid that changed, 0 with WNOHANG when none did. out[0] = wait status. */
  waitpid(pid: number, options: number, out: number[]): number | Errno;
  kill(pid: number, sig: number): Errno;
  pidfdOpen(pid: number, flags: number): Fd | Errno;
  /** A copy of another process's descriptor. */
  pidfdGetfd(pidfd: Fd, fd: number): Fd | Errno;
  pidfdSendSignal(fd: Fd, sig: number): Errno;
  exit(code: number): never;
  getpid(): number;
  getppid(): number;
  getuid(): number;
  geteuid(): number;
  getgid(): number;
  getpgrp(): number;
  execve(path: string, argv: readonly string[], envp: readonly string[]): Errno;
  /** execveat(fd, "", …, AT_EMPTY_PATH) */
  fexecve(fd: Fd, argv: readonly string[], envp: readonly string[]): Errno;
  prctl(op: number, a: number, b: number, c: number, d: number): number | Errno;
  setsid(): number | Errno;
  setpgid(pid: number, pgid: number): Errno;
  setresuid(r: number, e: number, s: number): Errno;
  setresgid(r: number, e: number, s: number): Errno;
  setgroups(gids: readonly number[]): Errno;
  umask(mask: number): number;
  /** Version 3 capability sets of this process; each 64-bit set as [low 32, high 32]. */
  capset(eLo: number, eHi: number, pLo: number, pHi: number, iLo: number, iHi: number): Errno;
  /** [eLo,eHi,pLo,pHi,iLo,iHi] */
  capget(): number[];
  prlimit(pid: number, resource: number, soft: U64, hard: U64): Errno;
  setpriority(which: number, who: number, prio: number): Errno;
  sethostname(name: string): Errno;
  setdomainname(name: string): Errno;
  /** Any other system call by its number; strings and Bytes are passed by address. */
  syscall(nr: number, ...args: readonly (number | string | Bytes)[]): number | Errno;
  /** Number of a system call on this machine by name (libseccomp's table), or negative. */
  syscallNumber(name: string): number;

  // --- signals
  /** how: 0 block, 1 unblock, 2 set. */
  sigprocmask(how: number, signals: readonly number[]): Errno;
  /** Dispositions to default (those of `changed`, when it is known that no other one is not), all signals unblocked. */
  resetSignals(changed?: readonly number[]): void;
  ignoreSignal(sig: number): Errno;
  signalfd(signals: readonly number[]): Fd | Errno;
  /** [signo, pid, uid, status] or -errno (-EAGAIN when none; the fd is non-blocking). */
  readSignalfd(fd: Fd): number[] | Errno;

  // --- files
  open(path: string, flags: number, mode: number): Fd | Errno;
  openat(dir: Fd, path: string, flags: number, mode: number): Fd | Errno;
  openat2(dir: Fd, path: string, flags: number, mode: number, resolve: number): Fd | Errno;
  close(fd: Fd): Errno;
  /** flags: 4 = CLOSE_RANGE_CLOEXEC. */
  closeRange(first: number, last: number, flags: number): Errno;
  /** Up to max bytes as text; "" at end of file. */
  read(fd: Fd, max: number): string | Errno;
  readBytes(fd: Fd, max: number): Bytes | Errno;
  /** Whole file (at most 16 MiB, else -EFBIG). */
  readFile(path: string): string | Errno;
  readFileAt(dir: Fd, path: string): string | Errno;
  /** One write(2). */
  write(fd: Fd, data: string | Bytes): number | Errno;
  /** Loops until all is written. */
  writeAll(fd: Fd, data: string | Bytes): Errno;
  /** open(flags) + one write + close; flags usually O_WRONLY; mode for O_CREAT. */
  writeFileAt(dir: Fd, path: string, data: string | Bytes, flags: number, mode: number): Errno;
  fsync(fd: Fd): Errno;
  lseek(fd: Fd, offset: number, whence: number): number | Errno;
  ftruncate(fd: Fd, size: number): Errno;
  mkdirat(dir: Fd, path: string, mode: number): Errno;
  mknodat(dir: Fd, path: string, mode: number, major: number, minor: number): Errno;
  symlinkat(target: string, dir: Fd, path: string): Errno;
  linkat(oldDir: Fd, oldPath: string, newDir: Fd, newPath: string, flags: number): Errno;
  unlinkat(dir: Fd, path: string, flags: number): Errno;
  renameat(oldDir: Fd, oldPath: string, newDir: Fd, newPath: string): Errno;
  fchownat(dir: Fd, path: string, uid: number, gid: number, flags: number): Errno;
  fchmod(fd: Fd, mode: number): Errno;
  fchmodat(dir: Fd, path: string, mode: number): Errno;
  utimensat(
    dir: Fd,
    path: string,
    atimeSec: number,
    atimeNsec: number,
    mtimeSec: number,
    mtimeNsec: number,
    flags: number,
  ): Errno;
  fsetxattr(fd: Fd, name: string, value: Bytes | string): Errno;
  /** On a path relative to cwd, not following a final symlink. */
  lsetxattr(path: string, name: string, value: Bytes | string): Errno;
  readlinkat(dir: Fd, path: string): string | Errno;
  fstat(fd: Fd): Stat | Errno;
  /** flags: AT_SYMLINK_NOFOLLOW 0x100, AT_EMPTY_PATH 0x1000. */
  fstatat(dir: Fd, path: string, flags: number): Stat | Errno;
  /** f_type of statfs. */
  fstatfsType(fd: Fd): number | Errno;
  faccessat(dir: Fd, path: string, mode: number, flags: number): Errno;
  /** Names without "." and "..", each with `before` before it ("./": any bytes make a string then). */
  readdir(fd: Fd, before?: string): string[] | Errno;
  chdir(path: string): Errno;
  fchdir(fd: Fd): Errno;
  chroot(path: string): Errno;
  getcwd(): string | Errno;
  /** dup to the lowest free number ≥ min, close-on-exec. */
  dupMin(fd: Fd, min: number): Fd | Errno;
  /** dup2; the new one is not close-on-exec. */
  dup2(fd: Fd, to: Fd): Errno;
  /** Sets or clears close-on-exec. */
  setCloexec(fd: Fd, on: boolean): Errno;
  setNonblock(fd: Fd, on: boolean): Errno;
  /** [read end, write end] */
  pipe(): [Fd, Fd] | Errno;
  memfdCreate(name: string, flags: number): Fd | Errno;
  fcntlAddSeals(fd: Fd, seals: number): Errno;
  isatty(fd: Fd): boolean;

  // --- mounts
  mount(source: string, target: string, fstype: string, flags: number, data: string): Errno;
  umount2(target: string, flags: number): Errno;
  pivotRoot(newRoot: string, putOld: string): Errno;
  openTree(dir: Fd, path: string, flags: number): Fd | Errno;
  moveMount(fromDir: Fd, fromPath: string, toDir: Fd, toPath: string, flags: number): Errno;
  /** attrSet/attrClr: MOUNT_ATTR_*; propagation: MS_* or 0; usernsFd: -1 for none. */
  mountSetattr(
    dir: Fd,
    path: string,
    flags: number,
    attrSet: number,
    attrClr: number,
    propagation: number,
    usernsFd: Fd,
  ): Errno;
  fsopen(fstype: string, flags: number): Fd | Errno;
  /** cmd: 0 flag, 1 string, 6 create, 7 reconfigure; key or value "" where unused. */
  fsconfig(fd: Fd, cmd: number, key: string, value: string): Errno;
  fsmount(fd: Fd, flags: number, attrs: number): Fd | Errno;

  // --- sockets, terminals, polling
  /**
   * type: 1 stream, 5 seqpacket; 2 datagram, with backlog -1. The path may be longer than 107 bytes (bound through
   * /proc/self/fd of its directory). Mode 0600.
   */
  unixListen(path: string, type: number, backlog: number): Fd | Errno;
  /** A path that begins with @ is an abstract address. */
  unixConnect(path: string, type: number): Fd | Errno;
  accept(fd: Fd): Fd | Errno;
  socketpair(type: number): [Fd, Fd] | Errno;
  /** Sends data with descriptors (SCM_RIGHTS). */
  sendFds(sock: Fd, data: string | Bytes, fds: readonly Fd[]): number | Errno;
  /** Receives at most max bytes and up to 16 descriptors. */
  recvFds(sock: Fd, max: number): { readonly data: string; readonly fds: Fd[] } | Errno;
  /** fds: flat [fd, events, fd, events…]; revents are written to out. Returns the number ready. */
  poll(fds: readonly number[], timeoutMs: number, out: number[]): number | Errno;
  /** Waits without an end; before that the program's read-only pages leave this process's memory until they are used again. */
  pollAtRest(fds: readonly number[], out: number[]): number | Errno;
  /** [master, slave] both close-on-exec and O_NOCTTY; unlocked; through /dev/ptmx of the present root, slave by TIOCGPTPEER. */
  openPty(): [Fd, Fd] | Errno;
  /** Same, from the ptmx given as an open devpts-relative descriptor (path opened by the caller). */
  ptyPeer(master: Fd): Fd | Errno;
  setControllingTty(fd: Fd): Errno;
  getWinsize(fd: Fd): [number, number] | Errno;
  setWinsize(fd: Fd, rows: number, cols: number): Errno;
  /** Raw mode; returns the former settings to give to restoreTerm. */
  setRaw(fd: Fd): Bytes | Errno;
  restoreTerm(fd: Fd, saved: Bytes): Errno;
  /** Another process begins to make a network namespace with lo up, while this one goes on; returns its pid. */
  beginNetwork(): number | Errno;
  /**
   * Waits for that process; a descriptor of the namespace, which closes on exec. EAGAIN: it had not begun, and will not;
   * `patient` waits for its end nevertheless.
   */
  endNetwork(pid: number, patient: boolean): Fd | Errno;
  /** ioctl SIOCSIFFLAGS: interface up in the present network namespace. */
  interfaceUp(name: string): Errno;

  // --- hot loops
  /** splice-like copy of what is there now from one to the other, at most max bytes; 0 at end of file. */
  copyFd(from: Fd, to: Fd, max: number): number | Errno;
  /** The same between files by copy_file_range(2), which shares blocks where it can; -EXDEV, -EINVAL, -ENOSYS, -EOPNOTSUPP: it cannot. */
  copyRange(from: Fd, to: Fd, max: number): number | Errno;
  /**
   * Opens a CRI log writer on fd for the stream "stdout" or "stderr"; returns a handle ≥ 0. Lines are written as
   * `<RFC 3339 nano> <stream> <F|P> <line>\n`; a line longer than 16 KiB is split with P.
   */
  logOpen(fd: Fd, stream: string): number | Errno;
  logSetFd(handle: number, fd: Fd): Errno;
  /** Writes an unfinished last line as P. */
  logClose(handle: number): Errno;
  /**
   * Reads once from `from` (≤ 64 KiB), appends to the log (handle -1: none), and sends the bytes as one frame of the
   * given type to each fd in clients (blocking up to the socket's own buffer; a client whose write fails is put into
   * `failed`). Returns the bytes read, 0 at end of file, -EAGAIN, -EIO (pty hung up = end).
   */
  relay(from: Fd, log: number, frameType: number, clients: readonly Fd[], failed: Fd[]): number | Errno;

  // --- seccomp (libseccomp) and eBPF
  /** defaultAction: SCMP_ACT_* number. Handle ≥ 0 or -errno. */
  seccompInit(defaultAction: number): number | Errno;
  /** arch: "SCMP_ARCH_X86_64"… An arch that is already there is no error. */
  seccompAddArch(handle: number, arch: string): Errno;
  /** flag attributes by number of SCMP_FLTATR_*. */
  seccompAttr(handle: number, attr: number, value: number): Errno;
  /** Resolves the name (libseccomp): its number (may be a pseudo number < -1 … as libseccomp gives it), or -1 unknown. */
  seccompResolve(name: string): number;
  /** libseccomp's token of an architecture ("SCMP_ARCH_X86", "NATIVE"), 0 unknown. */
  seccompArch(name: string): number;
  /** As seccompResolve, with the numbers of another architecture; negative when it has no such call. */
  seccompResolveFor(arch: number, name: string): number;
  /** args: flat [index, op(SCMP_CMP_*), valueA, valueB]… as numbers or decimal strings. */
  seccompRule(handle: number, action: number, syscallNr: number, args: readonly U64[]): Errno;
  /** The classic BPF program's bytes; releases the handle. */
  seccompExport(handle: number): Bytes | Errno;
  /** seccomp(2) SECCOMP_SET_MODE_FILTER with flags; a listener fd if asked. */
  seccompLoad(program: Bytes, flags: number): number | Errno;
  /** The same, and then no system call until the page of `fd` is written to. */
  seccompLoadHeld(program: Bytes, flags: number, page: Fd): number | Errno;
  /** BPF_PROG_LOAD; insns = raw bytes of struct bpf_insn. */
  bpfLoad(progType: number, insns: Bytes, license: string): Fd | Errno;
  /** replaced: the program whose place it takes (with BPF_F_REPLACE), or -1. */
  bpfAttach(progFd: Fd, targetFd: Fd, attachType: number, flags: number, replaced: Fd): Errno;
  /** Ids of the programs that are attached. */
  bpfPrograms(targetFd: Fd, attachType: number): number[] | Errno;
  bpfOpen(id: number): Fd | Errno;

  // --- unpack (libarchive, nettle); one layer per process. What the layer's bytes cannot mean is a text (libarchive's).
  /**
   * Starts reading a layer from fd: compressed bytes are hashed, decompressed (gzip, zstd, none; multi-member), the
   * tar stream is hashed, entries are parsed. A failure are more entries or more bytes of tar than allowed, and, past
   * freeBytes of tar, more than maxRatio (at least 1) for each byte read. No entry sets an xattr whose name begins with one
   * of refusedXattrs (at most 4). grows: -1, or a pipe: while it is open fd is a file that still grows, and each byte there
   * says that there is more; of such a file no digest is taken.
   */
  layerOpen(
    fd: Fd,
    maxEntries: number,
    maxTarBytes: number,
    freeBytes: number,
    maxRatio: number,
    refusedXattrs: readonly string[],
    grows: Fd,
  ): Errno | string;
  /** From now on copyXattrs sets none whose name begins with one of these (at most 4). */
  refuseXattrs(prefixes: readonly string[]): void;
  /** The next entry, which becomes the present one; undefined at the end. -ENAMETOOLONG, -EILSEQ: no such name can be. */
  layerNext(): LayerEntry | string | Errno | undefined;
  /**
   * Makes the present entry (no hard link) in dir under the last component of its path, with data (holes kept), owner,
   * mode, xattrs and times. -EEXIST: nothing was done. inherits: files in dir get its group or mode bits by themselves.
   */
  layerMake(dir: Fd, inherits: boolean): Errno | string;
  /**
   * Makes the following entries as layerMake does while they are files and symlinks in dir, whose path with a slash at
   * its end is given, that are not there yet and whose names do not begin with `stop`. Returns how many.
   */
  layerRun(dir: Fd, path: string, inherits: boolean, stop: string): number | Errno | string;
  /** Gives the open file or directory the present entry's owner, mode, xattrs and times. */
  layerAttributes(fd: Fd): Errno;
  /** Makes overlayfs's whiteout in dir: a device 0/0, named as the present entry without its first `skip` bytes. */
  layerWhiteout(dir: Fd, skip: number): Errno;
  /** Reads on to the end of the stream (trailing bytes are hashed too) and returns the results. */
  layerFinish(): LayerTotals | string | Errno;
  /** At most 255 bytes; -ENODATA: there is none. */
  fgetxattr(fd: Fd, name: string): string | Errno;
  /** All of them, but for those that are refused. */
  copyXattrs(from: Fd, to: Fd): Errno;
}

interface LayerEntry {
  /** Absolute and clean: no ".", "..", "//". The bytes of the tar, which need not be UTF-8. */
  readonly path: string;
  /** "file" "dir" "symlink" "hardlink" "char" "block" "fifo" or "other" */
  readonly kind: string;
  /** Hard link target, absolute and clean; else "". */
  readonly link: string;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

interface LayerTotals {
  readonly diffId: string;
  readonly digest: string | undefined;
  readonly compressedBytes: number;
  readonly tarBytes: number;
  readonly entries: number;
}

declare const sys: Sys;
