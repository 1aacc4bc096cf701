import * as c from "./consts.ts";
import { callError, must, runtimeError } from "./errors.ts";

/** JSON of a file with every digit kept: integers longer than 15 digits arrive as strings. */
export function readJson(path: string, what: string): unknown {
  const text = sys.readFile(path);
  if (typeof text === "number") throw callError(`open ${what} ${path}`, text);
  return parseJson(text, `${what} ${path}`);
}

/** All of stdin, which may be a file, a pipe or a socket. */
export function readStdin(): string {
  let all = new Uint8Array(0);
  for (;;) {
    const chunk = sys.readBytes(0, 65536);
    if (typeof chunk === "number") {
      if (chunk === -c.EINTR) continue;
      throw callError("read stdin", chunk);
    }
    if (chunk.length === 0) return sys.stringFromBytes(all, 0, all.length);
    const longer = new Uint8Array(all.length + chunk.length);
    longer.set(all, 0);
    longer.set(chunk, all.length);
    all = longer;
  }
}

export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(sys.quoteLongIntegers(text));
  } catch (e) {
    throw runtimeError("InvalidArgument", `parse ${what}: ${(e as Error).message}`);
  }
}

/** Writes under a temporary name beside it and renames: readers see the old or the new text, never a part. */
export function writeAtomically(path: string, text: string, mode: number): void {
  const slash = path.lastIndexOf("/");
  const temporary = `${path.substring(0, slash + 1)}.${path.substring(slash + 1)}`;
  must(
    sys.writeFileAt(c.AT_FDCWD, temporary, text, c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW, mode),
    `write ${temporary}`,
  );
  must(sys.renameat(c.AT_FDCWD, temporary, c.AT_FDCWD, path), `rename ${temporary} to ${path}`);
}

/** mkdir -p on a path that only the administrator can change (state directories, cgroups). */
export function ensureDirs(path: string, mode: number): void {
  const result = sys.mkdirat(c.AT_FDCWD, path, mode);
  if (result >= 0 || result === -c.EEXIST) return;
  if (result !== -c.ENOENT || path.lastIndexOf("/") <= 0) throw callError(`make directory ${path}`, result);
  ensureDirs(path.substring(0, path.lastIndexOf("/")), mode);
  const again = sys.mkdirat(c.AT_FDCWD, path, mode);
  if (again < 0 && again !== -c.EEXIST) throw callError(`make directory ${path}`, again);
}

/** Removes a file tree below an administrator-owned directory, never following symlinks; absent is fine. */
export function removeTree(dirFd: number, name: string): void {
  const gone = sys.unlinkat(dirFd, name, 0);
  if (gone >= 0 || gone === -c.ENOENT) return;
  const fd = sys.openat(dirFd, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW, 0);
  if (fd < 0) throw callError(`remove ${name}`, gone);
  const names = sys.readdir(fd);
  if (typeof names !== "number") for (let i = 0; i < names.length; i++) removeTree(fd, names[i] as string);
  sys.close(fd);
  const result = sys.unlinkat(dirFd, name, c.AT_REMOVEDIR);
  if (result < 0 && result !== -c.ENOENT) throw callError(`remove ${name}`, result);
}

/** Absolute path from one that may be relative to the present directory. */
export function absolute(path: string): string {
  if (path.charAt(0) === "/") return path;
  const cwd = sys.getcwd();
  if (typeof cwd === "number") throw callError("get the current directory", cwd);
  return path === "." || path === "" ? cwd : `${cwd === "/" ? "" : cwd}/${path}`;
}

/** Lexically clean absolute path: no ".", "..", "//" (`..` stops at the root). */
export function clean(path: string): string {
  // most are already: to look is cheaper than to take one apart
  const last = path.charAt(path.length - 1);
  const absolutely = path.charAt(0) === "/" && last !== "/";
  if (absolutely && path.indexOf("//") < 0 && path.indexOf("/.") < 0) return path;
  const parts = path.split("/");
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    if (part === "" || part === ".") continue;
    if (part === "..") out.pop();
    else out.push(part);
  }
  return `/${out.join("/")}`;
}
