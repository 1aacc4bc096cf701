/** Exit codes of `berth run` that are not the container's own (docker's convention). */
export const EXIT_ENGINE_ERROR = 125;
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;
/** Added to the number of the signal that ended a process. */
export const EXIT_SIGNAL_BASE = 128;

/** How a container ended; the monitor writes it durably to {@link MonitorConfig.exitPath} before anybody is told. */
export interface ExitRecord {
  readonly id: string;
  readonly pid: number;
  /** 0 to 255; 128 + signal when a signal ended the process. */
  readonly exitCode: number;
  /** Number of the signal that ended the process, if one did. */
  readonly signal?: number;
  readonly oomKilled: boolean;
  /** RFC 3339 with nanoseconds, UTC. Absent when the container was never started. */
  readonly startedAt?: string;
  readonly finishedAt: string;
}
