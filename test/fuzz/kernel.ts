/**
 * `sys` for the pure parts of keel under Node: what they ask for is answered, with the same demands on arguments as the
 * bindings have (keel/native/args.c), so that a wrong one shows. Import it before anything of keel.
 */
const ENOENT = -2;

export class BindingError extends Error {}

function number(value: unknown): void {
  if (typeof value !== "number" || !(value >= -(2 ** 53) && value <= 2 ** 64 - 2048))
    throw new BindingError(`argument is no 64-bit integer: ${String(value)}`);
}

function u64(value: unknown): void {
  if (typeof value !== "string") number(value);
  else if (!/^[-+ ]?\d+$/.test(value) || BigInt(value) > 18446744073709551615n || BigInt(value) < -(2n ** 64n))
    throw new BindingError(`argument is no 64-bit integer: ${value}`);
}

function string(value: unknown): void {
  if (typeof value !== "string") throw new BindingError(`argument is no string: ${String(value)}`);
  if (value.includes("\u0000")) throw new BindingError("NUL in argument");
}

/** As keel/native/text.c does. */
function quoteLongIntegers(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:[.eE][\d.eE+-]*)?/g, (token) =>
    /^-?\d{16,}$/.test(token) ? `"${token}"` : token,
  );
}

const ARCHITECTURES = "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32 SCMP_ARCH_ARM SCMP_ARCH_AARCH64";
const CALLS = ["read", "write", "open", "close", "execve", "exit_group", "clone", "openat2"];

const answers: { [name: string]: unknown } = {
  machine: "x86_64",
  kernelRelease: "6.1.0",
  errnoName: (errno: number) => `errno ${errno}`,
  errnoText: (errno: number) => `errno ${errno}`,
  quoteLongIntegers,
  bytesFromString: (text: string) => new TextEncoder().encode(text),
  stringFromBytes: (bytes: Uint8Array, start: number, end: number) =>
    new TextDecoder().decode(bytes.subarray(start, end)),
  getcwd: () => "/cwd",
  getpid: () => 1,
  geteuid: () => 0,
  getuid: () => 0,
  getgid: () => 0,
  environ: () => [],
  sha256: () => "0".repeat(64),
  rfc3339Nano: () => "2026-01-01T00:00:00.000000000Z",
  readFile: () => ENOENT,
  open: (path: unknown) => {
    string(path);
    return ENOENT;
  },
  close: () => 0,
  mkdirat: () => 0,
  writeFileAt: () => ENOENT,
  syscallNumber: () => 1,
  seccompInit: (action: unknown) => {
    number(action);
    return 1;
  },
  seccompAttr: () => 0,
  seccompAddArch: (_: number, name: unknown) => {
    string(name);
    return ARCHITECTURES.split(" ").includes(name as string) ? 0 : -22;
  },
  seccompResolve: (name: unknown) => {
    string(name);
    return CALLS.indexOf(name as string);
  },
  seccompArch: (name: unknown) => {
    string(name);
    const index = ["NATIVE", ...ARCHITECTURES.split(" ")].indexOf(name as string);
    return index < 0 ? -22 : index < 2 ? 0xc000003e : 0x40000000 + index;
  },
  seccompResolveFor: (arch: unknown, name: unknown) => {
    number(arch);
    string(name);
    return CALLS.indexOf(name as string);
  },
  seccompRule: (_: number, action: unknown, call: unknown, args: readonly unknown[]) => {
    number(action);
    number(call);
    for (const value of args) u64(value);
    return 0;
  },
  seccompExport: () => new Uint8Array(8),
};

(globalThis as { sys?: unknown }).sys = new Proxy(answers, {
  get: (target, name) => {
    if (typeof name === "string" && name in target) return target[name];
    // a pure part that asks for anything else is none
    return () => {
      throw new BindingError(`sys.${String(name)} was called`);
    };
  },
});
