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
  for (let signal = 1; signal <= 64; signal++) {
    const digit = 15 - ((signal - 1) >> 2);
    const bit = 1 << ((signal - 1) & 3);
    let set = false;
    for (let i = 0; i < masks.length; i++) set = set || (parseInt((masks[i] as string).charAt(digit), 16) & bit) !== 0;
    if (set) found.push(signal);
  }
  return found;
}
