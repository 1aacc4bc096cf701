/**
 * Signals whose disposition is not the default here, which a child has to reset; undefined when /proc does not say. To
 * ask costs three system calls, to reset all of them without asking 64.
 */
export function changedSignals(): number[] | undefined {
  const text = sys.readFile("/proc/self/status");
  const ignored = typeof text === "string" ? /^SigIgn:\t([0-9a-f]{16})$/m.exec(text) : null;
  const caught = typeof text === "string" ? /^SigCgt:\t([0-9a-f]{16})$/m.exec(text) : null;
  return ignored && caught ? signalsOf([ignored[1] as string, caught[1] as string]) : undefined;
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
