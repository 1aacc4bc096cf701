/** Absolute path without empty, `.` and `..` parts, and without a slash at the end; relative ones start at `/`. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Number of components of a clean path; `/` has none. */
export function depthOf(path: string): number {
  return path === "/" ? 0 : path.split("/").length - 1;
}
