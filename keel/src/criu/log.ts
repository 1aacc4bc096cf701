/** Of a log, the end is read; CRIU's last errors are not far from it. */
const TAIL = 262_144;
const QUOTED = 5;

/** What a log says went wrong: its last lines with errors, else its last lines; without CRIU's times, in one line. */
export function quoteLog(text: string): string {
  const errors: string[] = [];
  const others: string[] = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = (lines[i] as string).replace(/^\(\d+\.\d+\) */, "").replace(/\s+$/, "");
    if (line !== "") (/^ *\d*:? *Error /.test(line) ? errors : others).push(line);
  }
  return (errors.length > 0 ? errors : others).slice(-QUOTED).join("; ");
}

/** The end of a log file, "" when there is none. */
export function readLog(path: string): string {
  const fd = sys.open(path, 0, 0);
  if (fd < 0) return "";
  const stat = sys.fstat(fd);
  if (typeof stat !== "number" && stat.size > TAIL) sys.lseek(fd, stat.size - TAIL, 0);
  const text = sys.read(fd, TAIL);
  sys.close(fd);
  return typeof text === "string" ? text : "";
}
