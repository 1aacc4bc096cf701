/** True for an ordinary user, and for the root of a user namespace (rootless podman). */
export function isRootless(): boolean {
  return sys.geteuid() !== 0 || inUserNamespace();
}

/** True where root is only that of a user namespace: then 0 is somebody else outside, or not all ids are there. */
export function inUserNamespace(): boolean {
  const map = sys.readFile("/proc/self/uid_map");
  return typeof map === "string" && !/^\s*0\s+0\s+4294967295\s*$/.test(map);
}
