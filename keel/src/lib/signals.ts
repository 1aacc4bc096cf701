/**
 * Signals whose disposition is not the default here, which a child has to reset; undefined when /proc does not say. To
 * ask costs three system calls, to reset all of them without asking 64.
 */
export function changedSignals(): number[] | undefined {
  const text = sys.readFile("/proc/self/status");
  if (typeof text !== "string") return undefined;
  const ignored = maskIn(text, "\nSigIgn:\t");
  const caught = maskIn(text, "\nSigCgt:\t");
  return ignored !== "" && caught !== "" ? signalsOf([ignored, caught]) : undefined;
}

function maskIn(text: string, name: string): string {
  const at = text.indexOf(name);
  return at < 0 ? "" : text.substring(at + name.length, at + name.length + 16);
}

/** The signals whose bits are set in one of the masks, given as 16 hexadecimal digits. Pure. */
export function signalsOf(masks: readonly string[]): number[] {
  const found: number[] = [];
  for (let digit = 15; digit >= 0; digit--) {
    let bits = 0;
    for (let i = 0; i < masks.length; i++) {
      const hex = (masks[i] as string).charAt(digit);
      // nearly all are
      if (hex !== "0") bits = bits | parseInt(hex, 16);
    }
    for (let bit = 0; bits >> bit !== 0; bit++) if ((bits >> bit) & 1) found.push((15 - digit) * 4 + bit + 1);
  }
  return found;
}
