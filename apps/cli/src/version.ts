/** The engine's; a copy, so that `berth version` need not load the engine (its test compares them). */
export const VERSION = "0.1.0";
