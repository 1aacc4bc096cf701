export interface Edit {
  readonly file: string;
  /** Is there exactly once. */
  readonly search: string;
  readonly replace: string;
}

export interface Weakening {
  readonly name: string;
  /** Name of the test that must fail. */
  readonly test: string;
  readonly edits: readonly Edit[];
  /** The guard exists on these hosts only. */
  readonly needs?: "cgroup v1" | "cgroup v2";
}

export interface Row {
  /** CVE numbers, or the class. */
  readonly id: string;
  readonly wrong: string;
  readonly guard: string;
  readonly tests: readonly string[];
  readonly weaken: readonly Weakening[];
}
