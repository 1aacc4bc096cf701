// For unit tests under Node: the few facts of `sys` that pure modules read when they are loaded. Import it first.
(globalThis as { sys?: unknown }).sys = {
  machine: "x86_64",
  errnoName: (errno: number) => `errno ${errno}`,
  errnoText: (errno: number) => `errno ${errno}`,
};

export {};
