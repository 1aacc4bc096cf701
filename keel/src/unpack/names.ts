/** Names that begin so are no files but orders (OCI image-spec, layer.md "Whiteouts"). */
export const WHITEOUT = ".wh.";

/** Beginning of names that aufs kept for itself; one of them is the order that a directory hides what is below it. */
const META = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";
/** Where aufs kept files with several names: layers made on it link to entries in there. */
export const AUFS_LINKS = "/.wh..wh.plnk";

/** `file`: an ordinary entry; `invalid`: a whiteout of no name that can be. */
export type Meaning = "file" | "whiteout" | "opaque" | "ignored" | "invalid";

/**
 * What an entry with this absolute clean path stands for. Nothing is done with pieces of the path but comparing: one that
 * begins with a byte that begins no character is a symbol to Duktape.
 */
export function meaningOf(path: string): Meaning {
  if (isBelow(path, AUFS_LINKS)) return "file";
  if (path.substring(1, 1 + META.length) === META && path !== `/${OPAQUE}`) return "ignored";
  const base = path.lastIndexOf("/") + 1;
  if (path.substring(base, base + WHITEOUT.length) !== WHITEOUT) return "file";
  if (path.substring(base) === OPAQUE) return "opaque";
  if (path.substring(base, base + META.length) === META) return "ignored";
  const hidden = path.substring(base + WHITEOUT.length);
  return hidden === "" || hidden === "." || hidden === ".." ? "invalid" : "whiteout";
}

/** `path` is `dir` or below it. */
export function isBelow(path: string, dir: string): boolean {
  return path === dir || path.substring(0, dir.length + 1) === `${dir}/`;
}

/** Directory of an absolute clean path. */
export function dirOf(path: string): string {
  return path.substring(0, path.lastIndexOf("/")) || "/";
}

/** `./name` of an absolute clean path's last component. */
export function nameOf(path: string): string {
  return `.${path.substring(path.lastIndexOf("/"))}`;
}
