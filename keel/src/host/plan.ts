/** What mount(2) takes: its options are one page, the last byte of it a NUL. */
const PAGE = 4096;
/** What fsconfig(2) takes as one value, with its NUL. */
const VALUE = 256;

/** One parameter of a file system, as fsconfig(2) takes it. */
export interface Parameter {
  readonly key: string;
  /** undefined: a flag. */
  readonly value: string | undefined;
}

/** Whether options fit in one mount(2). */
export function fitsPage(data: string, size: number): boolean {
  return size < PAGE && data.length < PAGE;
}

/** Parameters of the options, each lower directory of an overlay one of its own (`lowerdir+`, Linux 6.8). */
export function planParameters(data: string): Parameter[] {
  const parameters: Parameter[] = [];
  const options = data.split(",");
  for (let i = 0; i < options.length; i++) {
    const option = options[i] as string;
    const eq = option.indexOf("=");
    const key = eq < 0 ? option : option.substring(0, eq);
    const value = eq < 0 ? undefined : option.substring(eq + 1);
    if (key !== "lowerdir" || value === undefined) {
      if (option !== "") parameters.push({ key, value });
      continue;
    }
    const dirs = value.split(":");
    for (let j = 0; j < dirs.length; j++) parameters.push({ key: "lowerdir+", value: dirs[j] as string });
  }
  return parameters;
}

/** Every value is short enough for fsconfig(2). */
export function fitValues(parameters: readonly Parameter[]): boolean {
  return parameters.every((p) => p.value === undefined || p.value.length < VALUE);
}

/** Options of an overlay with its lower directories relative to the directory that most of them share. */
export function planRelative(data: string): { readonly base: string; readonly data: string } {
  const options = data.split(",");
  let base = "/";
  const out = options.map((option) => {
    if (option.substring(0, 9) !== "lowerdir=") return option;
    const dirs = option.substring(9).split(":");
    base = commonDirectory(dirs);
    return `lowerdir=${dirs.map((dir) => dir.substring(base.length)).join(":")}`;
  });
  return { base, data: out.join(",") };
}

/** Longest directory, with a slash at its end, that all these absolute paths are in. */
function commonDirectory(paths: readonly string[]): string {
  let common = paths[0] as string;
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] as string;
    let n = 0;
    while (n < common.length && path.charAt(n) === common.charAt(n)) n++;
    common = common.substring(0, n);
  }
  return common.substring(0, common.lastIndexOf("/") + 1);
}
