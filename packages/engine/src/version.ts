/** Of all of Berth: engine, CLI and keel are released together. */
export const VERSION = "0.1.0";
