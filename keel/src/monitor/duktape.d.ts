/** The engine's own object (Duktape 2.7 guide, "Duktape built-ins"). */
declare const Duktape: {
  /** Runs a mark-and-sweep pass at once. */
  gc(): void;
};
